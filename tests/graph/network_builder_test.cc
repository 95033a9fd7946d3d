// The builder of networks: what each layer gives, and what is refused with which words.
#include "taut/graph/network_builder.h"

#include <gtest/gtest.h>

#include <array>
#include <functional>

#include "support/error_matchers.h"

namespace taut::graph {
namespace {

using test::error_of;
using test::IsError;
using Pair = std::array<int, 2>;

TEST(NetworkBuilder, EveryLayerGivesTheShapeThatItsOpSays) {
  NetworkBuilder net("all", {3, 9, 8});
  const int conv = net.conv("conv", kNetworkInput, 6, {3, 2, 1}, 3, false);
  EXPECT_EQ(net.shape(conv), (Shape{6, 5, 4}));
  EXPECT_EQ(net.shape(net.batch_norm("norm", conv)), (Shape{6, 5, 4}));
  const int relu = net.activation("relu", conv, Op::kRelu6);
  EXPECT_EQ(net.shape(net.max_pool("pool", relu, {2, 2})), (Shape{6, 2, 2}));
  EXPECT_EQ(net.shape(net.global_mean("mean", relu)), (Shape{6, 1, 1}));
  EXPECT_EQ(net.shape(net.flatten("flat", relu)), (Shape{120, 1, 1}));
  EXPECT_EQ(net.shape(net.linear("each", relu, 7)), (Shape{7, 5, 4}));
  EXPECT_EQ(net.shape(net.add("sum", Pair{conv, relu})), (Shape{6, 5, 4}));
  EXPECT_EQ(net.shape(net.concat("both", Pair{conv, relu})), (Shape{12, 5, 4}));
  EXPECT_EQ(net.shape(net.attention("attention", relu, 2)), (Shape{2, 5, 4}));
  const int a = net.table({.name = "a", .rows = 5, .dim = 6});
  const int b = net.table({.name = "b", .rows = 7, .dim = 6});
  const int rows = net.embedding("rows", Pair{a, b}, 2);
  EXPECT_EQ(net.shape(rows), (Shape{6, 4, 1}));
  EXPECT_EQ(net.shape(net.interaction("dots", Pair{conv, rows}, 2)),
            (Shape{24 * 23 / 2 + 2 * 6, 1, 1}));
  EXPECT_EQ(net.shape(net.first_values("first", rows)), (Shape{1, 1, 1}));
  EXPECT_EQ(net.name(), "all");
  EXPECT_EQ(net.name_of(conv), "conv");
  const Network network = net.finish();
  EXPECT_EQ(wrong_layer(network), std::nullopt);
  EXPECT_EQ(network.layers[static_cast<std::size_t>(conv)].groups, 3);
  EXPECT_FALSE(network.layers[static_cast<std::size_t>(conv)].bias);
}

TEST(NetworkBuilder, FullyConnectedFlattensMapsAlone) {
  NetworkBuilder net("flat", {3, 4, 4});
  const int first = net.fully_connected("fc1", kNetworkInput, 5);
  const int second = net.fully_connected("fc2", first, 2, false);
  const Network network = net.finish();
  ASSERT_EQ(network.layers.size(), 3u);
  EXPECT_EQ(network.layers[0].name, "fc1_flat");
  EXPECT_EQ(network.layers[static_cast<std::size_t>(first)].in.channels, 48);
  EXPECT_TRUE(network.layers[static_cast<std::size_t>(first)].bias);
  EXPECT_FALSE(network.layers[static_cast<std::size_t>(second)].bias);
}

TEST(NetworkBuilder, SitesOfWinnersAreNumberedInOrder) {
  NetworkBuilder net("sites", {3, 8, 8});
  int x = net.activation("relu1", net.conv("conv1", kNetworkInput, 4, {3}));
  x = net.max_pool("pool", x, {2, 2});
  x = net.activation("relu2", net.fully_connected("fc", x, 4));
  const Network network = net.finish();
  EXPECT_EQ(network.winner_sites(), (std::vector<int>{2, 5}));
  EXPECT_EQ(network.layers[2].winner_site, 0);
  EXPECT_EQ(network.layers[5].winner_site, 1);
}

struct Refused {
  const char* name;
  std::function<void(NetworkBuilder&)> call;
  const char* said;
};

class RefusedLayer : public testing::TestWithParam<Refused> {};

TEST_P(RefusedLayer, IsNamedWithArgumentAndValue) {
  NetworkBuilder net("n", {3, 8, 8});
  net.conv("taken", kNetworkInput, 4, {1});
  net.table({.name = "t", .rows = 5, .dim = 4});
  net.table({.name = "u", .rows = 5, .dim = 3});
  EXPECT_THAT(error_of([&] { GetParam().call(net); }),
              IsError(ErrorKind::kInvalidArgument, GetParam().said));
}

INSTANTIATE_TEST_SUITE_P(
    Layers, RefusedLayer,
    testing::Values(
        Refused{"out", [](auto& n) { n.conv("c", -1, 0, {3}); }, "layer c: out"},
        Refused{"large", [](auto& n) { n.conv("c", -1, std::int64_t{1} << 41, {3}); },
                "1099511627776"},
        Refused{"kernel", [](auto& n) { n.conv("c", -1, 4, {9}); }, "got 9"},
        Refused{"noKernel", [](auto& n) { n.conv("c", -1, 4, {0}); }, "layer c: kernel"},
        Refused{"stride", [](auto& n) { n.conv("c", -1, 4, {3, 0}); }, "layer c: stride"},
        Refused{"pad", [](auto& n) { n.max_pool("c", -1, {3, 1, -1}); }, "layer c: pad"},
        Refused{"groups", [](auto& n) { n.conv("c", -1, 4, {3}, 2); },
                "a divisor of 3 and 4 channels, got 2"},
        Refused{"weights",
                [](auto& n) {
                  n.linear("f", n.linear("g", -1, std::int64_t{1} << 38), std::int64_t{1} << 38);
                },
                "2^50"},
        Refused{"from", [](auto& n) { n.batch_norm("b", 7); }, "a layer before it, got 7"},
        Refused{"fromBelow", [](auto& n) { n.batch_norm("b", -2); }, "got -2"},
        Refused{"twice", [](auto& n) { n.batch_norm("taken", 0); }, "\"taken\""},
        Refused{"nameless", [](auto& n) { n.batch_norm("", 0); }, "\"\""},
        Refused{"activation", [](auto& n) { n.activation("r", 0, Op::kConv); }, "got conv"},
        Refused{"addOne", [](auto& n) { n.add("a", std::array<int, 1>{0}); }, "at least 2, got 1"},
        Refused{"addUnlike", [](auto& n) { n.add("a", Pair{-1, 0}); },
                "of shape [3, 8, 8], got [4, 8, 8]"},
        Refused{"concatNone", [](auto& n) { n.concat("c", {}); }, "some, got none"},
        Refused{"concatUnlike", [](auto& n) { n.concat("c", Pair{0, n.global_mean("m", 0)}); },
                "of 8 x 8, got [4, 1, 1]"},
        Refused{"heads", [](auto& n) { n.attention("t", 0, 3); }, "a multiple of 3 x 3 heads"},
        Refused{"noHeads", [](auto& n) { n.attention("t", 0, 0); }, "layer t: heads"},
        Refused{"vectors", [](auto& n) { n.interaction("i", Pair{-1, 0}, 0); }, "of vectors of 3"},
        Refused{"copied", [](auto& n) { n.interaction("i", Pair{0, 0}, 129); }, "the 128 vectors"},
        Refused{"copiedBelow", [](auto& n) { n.interaction("i", Pair{0, 0}, -1); }, "copied"},
        Refused{"noTables", [](auto& n) { n.embedding("e", {}); }, "layer e: tables"},
        Refused{"noTable", [](auto& n) { n.embedding("e", Pair{0, 2}); }, "got 2"},
        Refused{"dims", [](auto& n) { n.embedding("e", Pair{0, 1}); }, "dim of table u"},
        Refused{"tokens", [](auto& n) { n.embedding("e", std::array<int, 1>{0}, 0); }, "tokens"},
        Refused{"rows", [](auto& n) { n.table({.name = "v", .rows = -1, .dim = 2}); },
                "layer v: rows"},
        Refused{"dim", [](auto& n) { n.table({.name = "v", .rows = 1, .dim = 0}); },
                "layer v: dim"}),
    [](const auto& tested) { return std::string(tested.param.name); });

TEST(NetworkBuilder, InputsAndEmptyNetworksAreRefused) {
  EXPECT_THAT(error_of([] { NetworkBuilder("n", {3, 0, 1}); }),
              IsError(ErrorKind::kInvalidArgument, "layer input: height"));
  EXPECT_THAT(
      error_of([] { NetworkBuilder("n", {1, std::int64_t{1} << 30, std::int64_t{1} << 30}); }),
      IsError(ErrorKind::kInvalidArgument, "2^50"));
  EXPECT_THAT(error_of([] { (void)NetworkBuilder("n", {3}).finish(); }),
              IsError(ErrorKind::kInvalidArgument, "at least one layer"));
  EXPECT_THAT(error_of([] { NetworkBuilder("n", {}).linear("f", kNetworkInput, 2); }),
              IsError(ErrorKind::kInvalidArgument, "with values"));
}

}  // namespace
}  // namespace taut::graph
