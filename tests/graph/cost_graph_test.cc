// Cost graphs of networks: what is folded into which node, and that the zoo's numbers stay.
#include "taut/graph/cost_graph.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "support/error_matchers.h"
#include "taut/graph/network_builder.h"
#include "taut/graph/recommender.h"
#include "taut/graph/zoo.h"

namespace taut::graph {
namespace {

using test::error_of;
using test::IsError;

/// Sums over the nodes and edges of a graph.
struct Totals {
  const char* name;
  std::array<std::int64_t, 11> sums;
};

class KnownGraph : public testing::TestWithParam<Totals> {};

// As the graphs were when each was written down by hand, layer by layer, before networks made
// them: nodes, edges, weights, multiply-adds on outputs and on inputs, words in, out, out before
// pools, words of edges and these before pools, parts of output channels.
TEST_P(KnownGraph, KeepsItsNumbers) {
  const Graph graph = load_model(GetParam().name);
  std::array<std::int64_t, 11> sums = {graph.size(),
                                       std::ssize(graph.edges()),
                                       graph.weights(),
                                       graph.macs(),
                                       graph.input_macs(),
                                       0,
                                       0,
                                       0,
                                       0,
                                       0,
                                       0};
  for (const Node& node : graph.nodes()) {
    sums[5] += node.in_words;
    sums[6] += node.out_words;
    sums[7] += node.raw_words;
    sums[10] += node.out_channels;
  }
  for (const Edge& edge : graph.edges()) {
    sums[8] += edge.words;
    sums[9] += edge.raw_words;
    EXPECT_FALSE(edge.density.has_value());
  }
  EXPECT_EQ(sums, GetParam().sums);
}

INSTANTIATE_TEST_SUITE_P(
    Zoo, KnownGraph,
    testing::Values(
        Totals{"sfc",
               {5, 4, 140722176, 140722176, 140722176, 25370, 24586, 24586, 24586, 24586, 24587}},
        Totals{"sconv", {5, 4, 100500, 12588000, 21492000, 19114, 18330, 33360, 18330, 33360, 131}},
        Totals{"lenet-c", {5, 4, 430500, 2293000, 4397000, 4974, 4190, 15230, 4190, 15230, 581}},
        Totals{"cifar-c",
               {6, 5, 145376, 12354176, 12354176, 14410, 11338, 45130, 11338, 45130, 203}},
        Totals{
            "alexnet-tower",
            {9, 8, 16624656, 787720464, 1609279488, 463640, 313112, 731544, 313112, 731544, 5785}},
        Totals{"vgg-a",
               {12, 11, 132851392, 7609090048, 7609090048, 2994664, 2844136, 7435240, 2844136,
                7435240, 11945}},
        Totals{"vgg-b",
               {14, 13, 133035712, 11308466176, 11308466176, 7811560, 7661032, 12252136, 7661032,
                12252136, 12137}},
        Totals{"vgg-c",
               {17, 16, 133625536, 11770888192, 11770888192, 9116136, 8965608, 13556712, 8965608,
                13556712, 13417}},
        Totals{"vgg-d",
               {17, 16, 138344128, 15470264320, 15470264320, 9116136, 8965608, 13556712, 8965608,
                13556712, 13417}},
        Totals{"vgg-e",
               {20, 19, 143652544, 19632062464, 19632062464, 10420712, 10270184, 14861288, 10270184,
                14861288, 14697}},
        Totals{"lenet", {6, 5, 61470, 416520, 646920, 2574, 1790, 6518, 1790, 6518, 237}},
        Totals{"alexnet-accpar",
               {9, 8, 62367776, 3041370656, 4684488704, 775752, 625224, 1462088, 625224, 1462088,
                10569}},
        Totals{"resnet-18",
               {31, 38, 11678912, 1814073344, 2746142720, 3714536, 2635752, 3237864, 3564008,
                4768232, 8233}},
        Totals{"resnet-20",
               {33, 41, 270896, 40813184, 48677504, 388170, 286794, 286794, 385098, 385098, 1195}},
        Totals{"resnet-50",
               {72, 87, 25502912, 4089184256, 6408519680, 21804520, 16034280, 16636392, 21653992,
                22858216, 44713}},
        Totals{"mobilenet-v1",
               {30, 29, 4209088, 568740352, 611415040, 5195240, 5044712, 5044712, 5044712, 5044712,
                12969}},
        Totals{"mobilenet-v2",
               {65, 74, 3469760, 300774272, 346243136, 7263688, 6896776, 6896776, 7113160, 7113160,
                20129}},
        Totals{"bert-base",
               {86, 109, 84934656, 11173625856, 11173625856, 16613376, 14254080, 14254080, 16613376,
                16613376, 92929}},
        Totals{"gpt2-small",
               {87, 110, 123532032, 145824153600, 145824153600, 184370176, 165495808, 165495808,
                184370176, 184370176, 143186}},
        Totals{"dlrm", {10, 9, 2365184, 2365184, 2365184, 4205, 4192, 4192, 4192, 4192, 4193}}),
    [](const auto& tested) {
      std::string name = tested.param.name;
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

TEST(CostGraph, EveryNetworkHasANodeForEachWeightedLayerOfItsName) {
  for (const std::string& name : network_names()) {
    const Network network = make_network(name);
    const Graph graph = cost_graph(network);
    std::vector<std::string> layers;
    std::int64_t weights = 0;
    for (const Layer& layer : network.layers) {
      const std::vector<std::int64_t> shape = weight_shape(layer);
      if (shape.empty()) continue;
      layers.push_back(layer.name);
      std::int64_t size = 1;
      for (const std::int64_t side : shape) size *= side;
      weights += size;
    }
    std::vector<std::string> nodes;
    for (const Node& node : graph.nodes()) {
      if (node.kind == NodeKind::kWeighted) nodes.push_back(node.name);
    }
    EXPECT_EQ(nodes, layers) << name;
    EXPECT_EQ(graph.weights(), weights) << name;
    double work = 0;
    for (const Layer& layer : network.layers) work += multiply_adds(layer);
    double macs = 0;
    for (const Node& node : graph.nodes()) {
      if (node.kind == NodeKind::kWeighted) macs += static_cast<double>(node.macs);
    }
    EXPECT_EQ(macs, work) << name;
    EXPECT_EQ(graph.tables().size(), network.tables.size()) << name;
  }
}

int node_of(const Graph& graph, const std::string& name) {
  for (int v = 0; v < graph.size(); ++v) {
    if (graph.node(v).name == name) return v;
  }
  ADD_FAILURE() << "no node " << name;
  return 0;
}

TEST(CostGraph, NormsActivationsPoolsAndFlatteningBelongToTheNodeBefore) {
  NetworkBuilder net("folds", {3, 8, 8});
  int x = net.conv("conv", kNetworkInput, 4, {3, 1, 1});
  x = net.activation("relu", net.batch_norm("norm", x));
  x = net.flatten("flat", net.max_pool("pool", x, {2, 2}));
  net.linear("fc", x, 10);
  const Graph graph = cost_graph(net.finish());
  ASSERT_EQ(graph.size(), 3);
  EXPECT_EQ(graph.node(0).out_words, 4 * 4 * 4);
  EXPECT_EQ(graph.node(0).raw_words, 4 * 8 * 8);
  EXPECT_EQ(graph.node(1).in_channels, 64);
  EXPECT_EQ(graph.edges()[0].words, 64);
  EXPECT_EQ(graph.edges()[0].raw_words, 256);
}

TEST(CostGraph, GatesReadTwoLayersAndFunctionsAndConstantsBelongToOne) {
  NetworkBuilder net("gated", {3, 8, 8});
  const int wide = net.conv("conv", kNetworkInput, 4, {3, 1, 1});
  const int squeezed = net.conv("squeezed", net.global_mean("mean", wide), 4, {});
  Network network = net.finish();
  const auto add = [&](const char* name, Op op, std::vector<int> inputs, const Shape& out) {
    Layer layer;
    layer.name = name;
    layer.op = op;
    layer.in = inputs.empty() ? out : network.shape_of(inputs[0]);
    layer.out = out;
    layer.inputs = std::move(inputs);
    network.layers.push_back(layer);
    return static_cast<int>(network.layers.size()) - 1;
  };
  const int gate = add("gate", Op::kPointwise, {squeezed}, {4, 1, 1});
  const int gated = add("gated", Op::kArithmetic, {wide, gate}, {4, 8, 8});
  const int table = add("table", Op::kConstant, {}, {1, 8, 8});
  add("moved", Op::kArithmetic, {gated, table}, {4, 8, 8});
  ASSERT_EQ(wrong_layer(network), std::nullopt);
  EXPECT_EQ(parameter_count(network),
            parameter_count(network.layers[0]) + parameter_count(network.layers[2]) + 64);
  const Graph graph = cost_graph(network);
  ASSERT_EQ(graph.size(), 5);  // and the loss
  EXPECT_EQ(graph.node(3).name, "gated");
  EXPECT_EQ(graph.node(3).in_words, 4 * 64 + 4);
  EXPECT_EQ(graph.node(3).out_words, 4 * 64);
}

TEST(CostGraph, LayersThatAttentionReadsAreCutAsItsWidth) {
  const Graph graph = load_model("bert-base");
  EXPECT_EQ(graph.node(node_of(graph, "block1_qkv")).out_channels, 768);
  EXPECT_EQ(graph.node(node_of(graph, "block1_ff1")).out_channels, 4 * 768);
}

TEST(CostGraph, EmbeddingsOfASumAreOneNodeThatReadsARowOfEachTablePerToken) {
  const Graph graph = load_model("bert-base");
  const int emb = node_of(graph, "emb");
  EXPECT_EQ(graph.node(emb).kind, NodeKind::kBatchOnly);
  ASSERT_EQ(graph.tables().size(), 2u);
  for (const GraphTable& table : graph.tables()) {
    EXPECT_EQ(table.node, emb);
    EXPECT_EQ(table.rows_read, 128);
  }
}

RecommenderShape two_tables(const std::string& kind) {
  RecommenderShape shape;
  shape.kind = kind;
  shape.dense = 3;
  shape.dim = 4;
  shape.tables = {{.name = "a", .rows = 10, .bytes = 99}, {.name = "b", .rows = 20}};
  shape.bottom = {8};
  shape.top = {8};
  return shape;
}

TEST(CostGraph, TablesOfADlrmStandAtItsInteractionWithTheirRealBytes) {
  const Graph graph = cost_graph(recommender_network(two_tables("dlrm")));
  const int interact = node_of(graph, "interact");
  EXPECT_EQ(graph.node(interact).in_words, 4) << "the dense vector; rows come by the exchange";
  ASSERT_EQ(graph.tables().size(), 2u);
  EXPECT_EQ(graph.tables()[0].node, interact);
  EXPECT_EQ(graph.tables()[0].bytes, 99);
  EXPECT_EQ(graph.tables()[0].rows_read, 1);
  EXPECT_EQ(graph.tables()[1].bytes, 0);
}

TEST(CostGraph, WideDeepHasAnEmbeddingNodeAndASumOfItsParts) {
  const Graph graph = cost_graph(recommender_network(two_tables("wide_deep")));
  const int embedding = node_of(graph, "embedding");
  EXPECT_EQ(graph.node(embedding).kind, NodeKind::kBatchOnly);
  EXPECT_EQ(graph.node(embedding).out_words, 8);
  EXPECT_EQ(graph.tables()[1].node, embedding);
  EXPECT_EQ(graph.tables()[1].rows_read, 1) << "one of each table, though two rows are read";
  EXPECT_EQ(graph.outputs(embedding).size(), 2u);
  EXPECT_EQ(graph.inputs(node_of(graph, "logit")).size(), 3u);
  EXPECT_EQ(graph.node(node_of(graph, "wide")).weights, 3);
}

TEST(CostGraph, EdgesBehindASiteHaveTheMeasuredDensityElseTheRate) {
  Network network = make_network("lenet-c");
  EXPECT_FALSE(cost_graph(network).edges()[0].density);
  network.winners.rates = {0.5, 0.25, 0.125};
  Graph graph = cost_graph(network);
  ASSERT_EQ(graph.edges().size(), 4u);
  EXPECT_EQ(graph.edges()[0].density, 0.5);
  EXPECT_EQ(graph.edges()[1].density, 0.25) << "flattening keeps it";
  EXPECT_EQ(graph.edges()[2].density, 0.125);
  EXPECT_FALSE(graph.edges()[3].density) << "logits are not chosen from";
  network.winners.rates = {1, 1, 0.5};
  EXPECT_FALSE(cost_graph(network).edges()[0].density) << "all win: as dense as it was";
  network.densities = {0.4, 0.2, 0.1};
  graph = cost_graph(network);
  EXPECT_EQ(graph.edges()[0].density, 0.4);
  EXPECT_EQ(graph.edges()[2].density, 0.1);
}

TEST(CostGraph, DensityIsKnownToReadersOfTheSiteAlone) {
  NetworkBuilder net("branch", {3, 8, 8});
  const int conv = net.conv("conv", kNetworkInput, 4, {3, 1, 1});
  const int relu = net.activation("relu", conv);
  const int a = net.conv("a", relu, 4, {1});
  const int b = net.conv("b", conv, 4, {1});
  net.batch_norm("norm", net.add("sum", std::array<int, 2>{a, b}));
  Network network = net.finish();
  network.densities = {0.3};
  const Graph graph = cost_graph(network);
  EXPECT_EQ(graph.edges()[graph.inputs(node_of(graph, "a"))[0]].density, 0.3);
  EXPECT_FALSE(graph.edges()[graph.inputs(node_of(graph, "b"))[0]].density);
}

TEST(CostGraph, WhatCannotBePlannedIsNamed) {
  Network empty;
  empty.name = "n";
  EXPECT_THAT(error_of([&] { (void)cost_graph(empty); }),
              IsError(ErrorKind::kInvalidArgument, "model n"));
  NetworkBuilder folded("folded", {4, 1, 1});
  folded.activation("relu", kNetworkInput);
  EXPECT_THAT(error_of([&] { (void)cost_graph(folded.finish()); }),
              IsError(ErrorKind::kInvalidArgument, "at least one layer"));
  NetworkBuilder branch("branch", {4, 1, 1});
  branch.linear("left", kNetworkInput, 2);
  branch.linear("right", kNetworkInput, 2);
  EXPECT_THAT(error_of([&] { (void)cost_graph(branch.finish()); }),
              IsError(ErrorKind::kInvalidArgument, "left never joins"));
  Network few = make_network("lenet-c");
  few.densities = {0.5};
  EXPECT_THAT(error_of([&] { (void)cost_graph(few); }),
              IsError(ErrorKind::kInvalidArgument, "3, one a site, got 1"));
  RecommenderShape shape = two_tables("dlrm");
  shape.tables[1].rows = 0;
  EXPECT_THAT(error_of([&] { (void)cost_graph(recommender_network(shape)); }),
              IsError(ErrorKind::kInvalidArgument, "layer b: rows"));
}

TEST(Graph, JoinedEdgesHaveTheMeanDensityWhereBothAreKnown) {
  const auto fc = [](const std::string& name) {
    return Node{
        .name = name, .op = "fc", .weights = 1, .in_words = 1, .out_words = 1, .raw_words = 1};
  };
  const auto joined = [&](std::optional<double> first, std::optional<double> second) {
    const Graph graph("m", {fc("a"), fc("b")}, {{0, 1, 3, 3, first}, {0, 1, 1, 1, second}});
    return graph.edges()[0].density;
  };
  EXPECT_DOUBLE_EQ(joined(0.4, 0.8).value(), 0.5);
  EXPECT_FALSE(joined(0.4, std::nullopt));
  EXPECT_FALSE(joined(std::nullopt, 0.4));
  EXPECT_THAT(error_of([&] { (void)joined(0.4, -0.1); }),
              IsError(ErrorKind::kInvalidArgument, "density of a read by b"));
  EXPECT_THAT(error_of([&] { Graph("m", {fc("a")}, {}, {{"t", 0, 5, 4, 0, 0}}); }),
              IsError(ErrorKind::kInvalidArgument, "table t"));
}

}  // namespace
}  // namespace taut::graph
