// Recommenders as networks: structure, names, sizes and what is refused.
#include "taut/graph/recommender.h"

#include <gtest/gtest.h>

#include <map>

#include "support/error_matchers.h"

namespace taut::graph {
namespace {

using test::error_of;
using test::IsError;

RecommenderShape small(const std::string& kind = "dlrm") {
  RecommenderShape shape;
  shape.kind = kind;
  shape.dense = 3;
  shape.tables = {{.name = "user", .rows = 100}, {.name = "item", .rows = 50, .bytes = 77}};
  shape.dim = 4;
  shape.bottom = {8};
  shape.top = {16, 6};
  return shape;
}

std::map<std::string, int> numbers(const Network& network) {
  std::map<std::string, int> found;
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    found[network.layers[i].name] = static_cast<int>(i);
  }
  return found;
}

std::vector<std::string> weighted(const Network& network) {
  std::vector<std::string> names;
  for (const Layer& layer : network.layers) {
    if (!weight_shape(layer).empty()) names.push_back(layer.name);
  }
  return names;
}

TEST(Recommender, DlrmInteractsTheBottomWithTheEmbeddedRows) {
  const Network net = recommender_network(small());
  EXPECT_EQ(wrong_layer(net), std::nullopt);
  EXPECT_EQ(net.input, (Shape{3, 1, 1}));
  EXPECT_EQ(weighted(net),
            (std::vector<std::string>{"bottom.0", "bottom.1", "top.0", "top.1", "top.2"}));
  auto at = numbers(net);
  const Layer& interact = net.layers[static_cast<std::size_t>(at["interact"])];
  EXPECT_EQ(interact.inputs, (std::vector<int>{at["bottom.1_relu"], at["embedding"]}));
  EXPECT_EQ(interact.copied, 1);
  EXPECT_EQ(interact.out, (Shape{3 * 2 / 2 + 4, 1, 1}));
  EXPECT_EQ(net.layers[static_cast<std::size_t>(at["embedding"])].out, (Shape{4, 2, 1}));
  EXPECT_EQ(net.layers.back().name, "top.2") << "no ReLU behind the logit";
  EXPECT_EQ(net.layers.back().out, (Shape{1, 1, 1}));
}

TEST(Recommender, EveryReluOfBottomAndTopIsASiteOfWinners) {
  const Network net = recommender_network(small());
  std::vector<std::string> names;
  for (const int site : net.winner_sites()) {
    names.push_back(net.layers[static_cast<std::size_t>(site)].name);
    EXPECT_EQ(net.layers[static_cast<std::size_t>(site)].winner_site,
              static_cast<int>(names.size()) - 1);
  }
  EXPECT_EQ(names, (std::vector<std::string>{"bottom.0_relu", "bottom.1_relu", "top.0_relu",
                                             "top.1_relu"}));
}

TEST(Recommender, VectorsAreCopiedWhereAskedOrWithoutDenseColumns) {
  RecommenderShape shape = small();
  const auto interaction = [&] {
    const Network net = recommender_network(shape);
    EXPECT_EQ(wrong_layer(net), std::nullopt);
    return net.layers[static_cast<std::size_t>(numbers(net)["interact"])];
  };
  shape.interaction = "dots_vectors";
  EXPECT_EQ(interaction().copied, 3);
  EXPECT_EQ(interaction().out.channels, 3 + 3 * 4);
  shape.interaction = "dots";
  shape.dense = 0;
  EXPECT_EQ(interaction().copied, 2);
  EXPECT_EQ(interaction().out.channels, 1 + 2 * 4);
  shape = small();
  shape.tables.clear();
  EXPECT_EQ(interaction().out.channels, 4) << "the dense vector alone";
}

TEST(Recommender, WideDeepAddsFirstValuesAndTheWidePartToTheLogit) {
  const Network net = recommender_network(small("wide_deep"));
  EXPECT_EQ(wrong_layer(net), std::nullopt);
  EXPECT_EQ(weighted(net), (std::vector<std::string>{"top.0", "top.1", "top.2", "wide"}));
  auto at = numbers(net);
  const Layer& top = net.layers[static_cast<std::size_t>(at["top.0"])];
  EXPECT_EQ(top.in.channels, 3 + 2 * 4);
  const Layer& wide = net.layers[static_cast<std::size_t>(at["wide"])];
  EXPECT_EQ(wide.inputs, std::vector<int>{kNetworkInput});
  EXPECT_FALSE(wide.bias);
  EXPECT_EQ(net.layers.back().inputs, (std::vector<int>{at["top.2"], at["first"], at["wide"]}));
}

TEST(Recommender, WideDeepWorksWithEitherKindOfColumnAlone) {
  RecommenderShape shape = small("wide_deep");
  shape.dense = 0;
  Network net = recommender_network(shape);
  EXPECT_EQ(wrong_layer(net), std::nullopt);
  EXPECT_EQ(net.input.channels, 0);
  EXPECT_FALSE(numbers(net).contains("wide"));
  shape = small("wide_deep");
  shape.tables.clear();
  net = recommender_network(shape);
  EXPECT_EQ(wrong_layer(net), std::nullopt);
  EXPECT_FALSE(numbers(net).contains("first"));
  shape.tables = {{.name = "one", .rows = 5}};
  EXPECT_EQ(wrong_layer(recommender_network(shape)), std::nullopt);
}

TEST(Recommender, TablesKeepWhatIsKnownOfThem) {
  const Network net = recommender_network(small());
  ASSERT_EQ(net.tables.size(), 2u);
  EXPECT_EQ(net.tables[1].name, "item");
  EXPECT_EQ(net.tables[1].dim, 4);
  EXPECT_EQ(net.tables[1].bytes, 77);
}

TEST(Recommender, MistakesAreNamedAsConfigKeys) {
  const auto refused = [](auto change) {
    RecommenderShape shape = small();
    change(shape);
    return error_of([&] { (void)recommender_network(shape); });
  };
  EXPECT_THAT(refused([](auto& s) { s.kind = "dcn"; }),
              IsError(ErrorKind::kConfig, "model.kind must be dlrm or wide_deep, got dcn"));
  EXPECT_THAT(refused([](auto& s) { s.interaction = "cat"; }),
              IsError(ErrorKind::kConfig, "model.interaction"));
  EXPECT_THAT(refused([](auto& s) { s.dense = -1; }), IsError(ErrorKind::kConfig, "model.inputs"));
  EXPECT_THAT(refused([](auto& s) {
                s.dense = 0;
                s.tables.clear();
              }),
              IsError(ErrorKind::kConfig, "got 0"));
  EXPECT_THAT(refused([](auto& s) { s.dim = 0; }), IsError(ErrorKind::kConfig, "model.dim"));
  EXPECT_THAT(refused([](auto& s) { s.top = {0}; }), IsError(ErrorKind::kConfig, "model.top"));
  EXPECT_THAT(refused([](auto& s) { s.bottom = {-2}; }),
              IsError(ErrorKind::kConfig, "model.bottom must be widths of at least 1, got -2"));
  EXPECT_THAT(refused([](auto& s) { s.tables[1].dim = 5; }),
              IsError(ErrorKind::kInvalidArgument, "table item"));
}

}  // namespace
}  // namespace taut::graph
