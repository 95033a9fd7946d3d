// Networks of the zoo against their published sizes, and what the builder refuses.
#include <gtest/gtest.h>

#include <array>
#include <map>

#include "support/error_matchers.h"
#include "taut/graph/model_builder.h"
#include "taut/graph/zoo.h"

namespace taut::graph {
namespace {

using test::error_of;
using test::IsError;

TEST(Zoo, NetworksHaveTheirKnownWeightsAndOperations) {
  // Without biases and normalisation. VGG, ResNet, MobileNet: the papers' tables; BERT, GPT-2: the
  // matrices of their blocks.
  struct Known {
    std::int64_t weights;
    std::int64_t macs;
  };
  const std::map<std::string, Known> known = {
      {"vgg-d", {138'344'128, 15'470'264'320}},
      {"vgg-e", {143'652'544, 19'632'062'464}},
      {"lenet", {61'470, 416'520}},
      {"alexnet-accpar", {62'367'776, 3'041'370'656}},
      {"resnet-18", {11'678'912, 1'814'073'344}},
      {"resnet-20", {270'896, 40'813'184}},
      {"resnet-50", {25'502'912, 4'089'184'256}},
      {"mobilenet-v1", {4'209'088, 568'740'352}},
      {"mobilenet-v2", {3'469'760, 300'774'272}},
      {"bert-base", {84'934'656, 11'173'625'856}},
  };
  for (const auto& [name, sizes] : known) {
    const Graph graph = load_model(name);
    EXPECT_EQ(graph.weights(), sizes.weights) << name;
    EXPECT_EQ(graph.macs(), sizes.macs) << name;
  }
  EXPECT_EQ(load_model("gpt2-small").weights(), 84'934'656 + 768 * 50'257);
  EXPECT_EQ(load_model("dlrm").weights(), 2'365'184);
  EXPECT_EQ(load_model("dlrm").tables().size(), 26u);
}

TEST(Zoo, EveryNetworkIsSortedAndEndsInItsLoss) {
  EXPECT_EQ(network_names().size(), 24u);
  EXPECT_EQ(image_network_names().size(), 21u);
  EXPECT_EQ(hypar_names().size(), 10u);
  for (const std::string& name : network_names()) {
    const Graph graph = load_model(name);
    EXPECT_EQ(graph.name(), name);
    EXPECT_EQ(graph.node(graph.size() - 1).op, "loss");
    for (const Edge& edge : graph.edges()) EXPECT_LT(edge.from, edge.to);
    for (int v = 0; v < graph.size(); ++v) {
      for (const int e : graph.inputs(v)) EXPECT_EQ(graph.edges()[e].to, v);
      for (const int e : graph.outputs(v)) EXPECT_EQ(graph.edges()[e].from, v);
    }
  }
}

TEST(Zoo, UnknownNamesGetTheNearestOne) {
  EXPECT_THAT(error_of([] { (void)load_model("resnet-5O"); }),
              IsError(ErrorKind::kNotFound, "resnet-50"));
  EXPECT_THAT(error_of([] { (void)load_model("some/where.bin"); }),
              IsError(ErrorKind::kNotFound, "some/where.bin"));
}

TEST(ModelBuilder, RefusesSizesThatDoNotFitNamingLayerAndValue) {
  ModelBuilder model("m");
  const Tensor in = model.input({3, 8, 8});
  const auto conv = [&](std::int64_t out, Window window, std::int64_t groups = 1) {
    return error_of([&] { (void)model.conv("c", in, out, window, groups); });
  };
  EXPECT_THAT(conv(0, {3}), IsError(ErrorKind::kInvalidArgument, "layer c: out"));
  EXPECT_THAT(conv(4, {9}), IsError(ErrorKind::kInvalidArgument, "got 9"));
  EXPECT_THAT(conv(4, {3, 0}), IsError(ErrorKind::kInvalidArgument, "stride"));
  EXPECT_THAT(conv(4, {3, 1, -1}), IsError(ErrorKind::kInvalidArgument, "pad"));
  EXPECT_THAT(conv(4, {3}, 2), IsError(ErrorKind::kInvalidArgument, "groups"));
  EXPECT_THAT(error_of([&] { (void)model.input({0, 1, 1}); }),
              IsError(ErrorKind::kInvalidArgument, "channels"));
  EXPECT_THAT(
      error_of([&] { (void)model.fc("f", model.input({4096, 1, 1}), std::int64_t{1} << 39); }),
      IsError(ErrorKind::kInvalidArgument, "2^50"))
      << "fits, but times the input it does not";
  const Tensor other = model.conv("d", in, 4, {1});
  const std::array<Tensor, 2> unlike = {in, other};
  EXPECT_THAT(error_of([&] { (void)model.add("a", unlike); }),
              IsError(ErrorKind::kInvalidArgument, "[4, 8, 8]"));
  EXPECT_THAT(error_of([&] { (void)model.attention("t", other, 3); }),
              IsError(ErrorKind::kInvalidArgument, "heads"));
  const std::array<Tensor, 3> apart = {other, other, other};
  EXPECT_EQ(model.attention("u", apart, 2).shape, (Shape{4, 8, 8}));
  EXPECT_THAT(error_of([&] { (void)model.attention("v", apart, 3); }),
              IsError(ErrorKind::kInvalidArgument, "heads"));
  const std::array<Tensor, 3> narrow = {in, other, other};
  EXPECT_THAT(error_of([&] { (void)model.attention("w", narrow, 1); }),
              IsError(ErrorKind::kInvalidArgument, "3 and 4"));
}

Node layer(const std::string& name) {
  return {.name = name, .op = "fc", .weights = 1, .in_words = 1, .out_words = 1, .raw_words = 1};
}

TEST(Graph, RefusesCyclesDanglingBranchesAndDoubleNames) {
  const std::vector<Node> nodes = {layer("a"), layer("b"), layer("c")};
  const auto graph = [&](std::vector<Edge> edges) {
    return error_of([&] { Graph("m", nodes, edges); });
  };
  EXPECT_THAT(graph({{0, 1, 1, 1}, {1, 2, 1, 1}, {2, 1, 1, 1}}),
              IsError(ErrorKind::kInvalidArgument, "cycle: b, c"));
  EXPECT_THAT(graph({{0, 2, 1, 1}}), IsError(ErrorKind::kInvalidArgument, "never joins"));
  EXPECT_THAT(graph({{0, 0, 1, 1}}), IsError(ErrorKind::kInvalidArgument, "its own output"));
  EXPECT_THAT(graph({{0, 7, 1, 1}}), IsError(ErrorKind::kInvalidArgument, "got 7"));
  EXPECT_THAT(graph({{0, 1, 0, 0}}), IsError(ErrorKind::kInvalidArgument, "words of a"));
  EXPECT_THAT(error_of([&] { Graph("m", {layer("a"), layer("a")}, {{0, 1, 1, 1}}); }),
              IsError(ErrorKind::kInvalidArgument, "two layers"));
  Node zero = layer("z");
  zero.in_channels = 0;
  EXPECT_THAT(error_of([&] { Graph("m", {zero}, {}); }),
              IsError(ErrorKind::kInvalidArgument, "node z: in_channels"));
  EXPECT_THAT(error_of([] { Graph("m", {}, {}); }), IsError(ErrorKind::kInvalidArgument, "none"));
}

TEST(Graph, SortsNodesAndJoinsDoubleEdges) {
  const Graph graph("m", {layer("last"), layer("first"), layer("middle")},
                    {{2, 0, 5, 5}, {1, 2, 3, 3}, {1, 2, 4, 4}});
  EXPECT_EQ(graph.node(0).name, "first");
  EXPECT_EQ(graph.node(2).name, "last");
  ASSERT_EQ(graph.edges().size(), 2u);
  EXPECT_EQ(graph.edges()[0].words, 7);
  EXPECT_TRUE(graph.is_chain());
}

}  // namespace
}  // namespace taut::graph
