// The interpreter of networks, layer by layer.
#include "nn/network_forward.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nn/training_support.h"
#include "support/error_matchers.h"
#include "taut/graph/network_builder.h"
#include "taut/nn/winners.h"

namespace taut::nn {
namespace {

using graph::NetworkBuilder;
using taut::test::error_of;
using taut::test::IsError;

// Maps as the interpreter takes them: channel-last in memory.
Tensor maps(at::IntArrayRef shape, std::uint64_t seed) {
  return random_tensor(shape, seed).contiguous(at::MemoryFormat::ChannelsLast);
}

Tensor run(const Network& network, const NetworkInputs& inputs,
           const ForwardOptions& options = {}) {
  const torch::NoGradGuard no_grad;
  return forward(network, initial_values(network, Start::kKaiming, 3), inputs, options);
}

TEST(NetworkForward, ConcatenatesFeaturesMapsAndVectors) {
  {
    NetworkBuilder net("features", {.channels = 3});
    const int a = net.activation("a", kNetworkInput);
    net.concat("both", std::vector<int>{kNetworkInput, a});
    const Tensor x = random_tensor({4, 3}, 1);
    EXPECT_TRUE(torch::equal(run(net.finish(), {x, {}}), torch::cat({x, x.relu()}, 1)));
  }
  {
    NetworkBuilder net("maps", {.channels = 3, .height = 2, .width = 2});
    const int a = net.activation("a", kNetworkInput);
    net.concat("both", std::vector<int>{a, kNetworkInput});
    const Tensor x = maps({4, 3, 2, 2}, 2);
    EXPECT_TRUE(torch::equal(run(net.finish(), {x, {}}), torch::cat({x.relu(), x}, 1)));
  }
}

TEST(NetworkForward, AddsAnyNumberOfLayersInOrder) {
  NetworkBuilder net("sum", {.channels = 5});
  const int relu = net.activation("relu", kNetworkInput);
  const int relu6 = net.activation("relu6", kNetworkInput, Op::kRelu6);
  net.add("sum", std::vector<int>{kNetworkInput, relu, relu6, relu});
  const Tensor x = random_tensor({3, 5}, 3) * 5;
  const Tensor wanted = ((x + x.relu()) + x.clamp(0, 6)) + x.relu();
  EXPECT_TRUE(torch::equal(run(net.finish(), {x, {}}), wanted));
}

TEST(NetworkForward, WindowsReachBehindTheImage) {
  NetworkBuilder net("windows", {.channels = 2, .height = 8, .width = 8});
  const int conv =
      net.conv("conv", kNetworkInput, 3, {.kernel = 3, .stride = 2, .padding = 0, .after = 1});
  net.max_pool("pool", conv, {.kernel = 3, .stride = 2, .padding = 0, .after = 1});
  const Network network = net.finish();
  const torch::NoGradGuard no_grad;
  const NetworkValues values = initial_values(network, Start::kKaiming, 3);
  const Tensor x = maps({2, 2, 8, 8}, 4);
  const Tensor padded = torch::constant_pad_nd(x, {0, 1, 0, 1}, 0);
  const Tensor y = torch::conv2d(padded, values.weights[0], values.biases[0], 2);
  const Tensor wanted = torch::max_pool2d(y, {3, 3}, {2, 2}, {0, 0}, {1, 1}, /*ceil_mode=*/true);
  EXPECT_TRUE(torch::allclose(forward(network, values, {x, {}}, {}), wanted));
}

TEST(NetworkForward, GivesEachEmbeddingLayerItsVectors) {
  NetworkBuilder net("tables", {.channels = 0});
  std::vector<int> tables;
  for (const char* name : {"a", "b", "c"}) tables.push_back(net.table({.name = name, .dim = 4}));
  const int two = net.embedding("two", std::vector<int>{tables[0], tables[1]});
  const int one = net.embedding("one", std::vector<int>{tables[2]});
  const int flat = net.flatten("flat", two);
  net.concat("all", std::vector<int>{flat, one});
  const Tensor vectors = random_tensor({6, 3, 4}, 4);
  // Vectors lie one after another.
  EXPECT_TRUE(torch::equal(run(net.finish(), {{}, vectors}), vectors.flatten(1)));
}

TEST(NetworkForward, SumsTheFirstValuesOfVectors) {
  for (const int count : {1, 3}) {
    NetworkBuilder net("first", {.channels = 0});
    std::vector<int> tables;
    for (int t = 0; t < count; ++t) {
      tables.push_back(net.table({.name = std::to_string(t), .dim = 4}));
    }
    net.first_values("first", net.embedding("rows", tables));
    const Tensor vectors = random_tensor({5, count, 4}, 5);
    EXPECT_TRUE(
        torch::allclose(run(net.finish(), {{}, vectors}), vectors.select(2, 0).sum(1, true)));
  }
}

TEST(NetworkForward, InteractsFeaturesAndVectors) {
  NetworkBuilder net("dots", {.channels = 4});
  std::vector<int> tables;
  for (const char* name : {"a", "b"}) tables.push_back(net.table({.name = name, .dim = 4}));
  const int rows = net.embedding("rows", tables);
  net.interaction("dots", std::vector<int>{kNetworkInput, rows}, 1);
  const Tensor x = random_tensor({3, 4}, 6);
  const Tensor vectors = random_tensor({3, 2, 4}, 7);
  const Tensor a = vectors.select(1, 0);
  const Tensor b = vectors.select(1, 1);
  const Tensor dots = torch::stack({(a * x).sum(1), (b * x).sum(1), (b * a).sum(1)}, 1);
  EXPECT_TRUE(
      torch::allclose(run(net.finish(), {x, vectors}), torch::cat({dots, x}, 1), 1e-5, 1e-6));
}

TEST(NetworkForward, LinearLayersOnMapsWorkAtEachPosition) {
  NetworkBuilder net("positions", {.channels = 3, .height = 2, .width = 4});
  net.linear("fc", kNetworkInput, 5);
  const Network network = net.finish();
  const Tensor x = maps({2, 3, 2, 4}, 8);
  const NetworkValues values = initial_values(network, Start::kKaiming, 3);
  const Tensor wanted = torch::linear(x.permute({0, 2, 3, 1}), values.weights[0], values.biases[0])
                            .permute({0, 3, 1, 2});
  EXPECT_TRUE(torch::allclose(run(network, {x, {}}), wanted, 1e-5, 1e-6));
}

TEST(NetworkForward, OneOutputWithoutBiasIsAProductWithAVector) {
  NetworkBuilder net("wide", {.channels = 7});
  net.linear("wide", kNetworkInput, 1, /*bias=*/false);
  const Network network = net.finish();
  const Tensor x = random_tensor({6, 7}, 9);
  const NetworkValues values = initial_values(network, Start::kUniform, 3);
  const Tensor leaf = values.weights[0].detach().requires_grad_();
  NetworkValues trained = values;
  trained.weights[0] = leaf;
  const Tensor y = forward(network, trained, {x, {}}, {});
  EXPECT_EQ(y.sizes(), (std::vector<std::int64_t>{6, 1}));
  EXPECT_TRUE(torch::allclose(y, torch::linear(x, leaf), 1e-5, 1e-6));
  const Tensor gradient = torch::autograd::grad({y.sum()}, {leaf})[0];
  EXPECT_TRUE(torch::allclose(gradient, x.sum(0, true), 1e-5, 1e-6));
}

TEST(NetworkForward, MapsOfOnePositionChooseAmongNeurons) {
  using sparsity::Unit;
  NetworkBuilder net("small", {.channels = 16});
  net.activation("relu", kNetworkInput);
  Network network = net.finish();
  network.winners = {.unit = Unit::kChannel, .rates = {0.25}};
  const Tensor flat = random_tensor({5, 16}, 10);
  const Tensor wanted = winners(flat.relu(), {.unit = Unit::kNeuron, .rate = 0.25});
  EXPECT_TRUE(torch::equal(run(network, {flat, {}}), wanted));
  const Tensor as_map = flat.view({5, 16, 1, 1}).contiguous(at::MemoryFormat::ChannelsLast);
  EXPECT_TRUE(torch::equal(run(network, {as_map, {}}).flatten(1), wanted));
}

TEST(NetworkForward, CallsHooksAtSitesAndWeights) {
  NetworkBuilder net("hooks", {.channels = 6});
  int x = net.activation("relu1", net.linear("fc1", kNetworkInput, 8));
  x = net.activation("relu2", net.linear("fc2", x, 4));
  net.linear("fc3", x, 2);
  Network network = net.finish();
  network.winners = {.unit = sparsity::Unit::kNeuron, .rates = {0.25, 0.5}};
  std::vector<std::string> seen;
  std::vector<std::int64_t> winners_left;
  ForwardOptions options;
  options.at_weighted = [&](int layer, const Tensor&) {
    seen.push_back(network.layers[static_cast<std::size_t>(layer)].name);
  };
  options.at_site = [&](int layer, const Tensor& before, const Tensor& after) {
    seen.push_back(network.layers[static_cast<std::size_t>(layer)].name);
    EXPECT_EQ(before.sizes(), after.sizes());
    winners_left.push_back((after != 0).sum(1).max().item<std::int64_t>());
  };
  static_cast<void>(run(network, {random_tensor({9, 6}, 11), {}}, options));
  EXPECT_THAT(seen, testing::ElementsAre("fc1", "relu1", "fc2", "relu2", "fc3"));
  EXPECT_THAT(winners_left, testing::ElementsAre(2, 2));
}

TEST(NetworkForward, PrunedMapsAreZeroForAllInputs) {
  NetworkBuilder net("pruned", {.channels = 4, .height = 2, .width = 2});
  net.activation("relu", kNetworkInput);
  const Network network = net.finish();
  const std::vector<Tensor> kept = {torch::tensor({1.0f, 0.0f, 0.0f, 1.0f})};
  ForwardOptions options;
  options.maps = &kept;
  const Tensor x = maps({3, 4, 2, 2}, 12);
  EXPECT_TRUE(torch::equal(run(network, {x, {}}, options), x.relu() * kept[0].view({1, 4, 1, 1})));
}

TEST(NetworkForward, Bf16StaysNearFp32AndGivesFp32) {
  NetworkBuilder net("bf16", {.channels = 3, .height = 8, .width = 8});
  int x = net.batch_norm("norm", net.conv("conv", kNetworkInput, 8, {.kernel = 3, .padding = 1}));
  x = net.max_pool("pool", net.activation("relu", x), {.kernel = 2, .stride = 2});
  net.linear("fc", net.global_mean("mean", x), 5);
  const Network network = net.finish();
  const Tensor images = maps({4, 3, 8, 8}, 13);
  ForwardOptions options;
  options.training = true;
  const Tensor exact = run(network, {images, {}}, options);
  options.bf16 = true;
  const Tensor half = run(network, {images, {}}, options);
  EXPECT_EQ(half.scalar_type(), torch::kFloat32);
  EXPECT_FALSE(torch::equal(half, exact));
  // Numbers of 8 significant bits through four layers.
  EXPECT_LT((half - exact).norm().item<double>(), 0.03 * exact.norm().item<double>());
}

TEST(NetworkForward, NormalizationGivesStatisticsOfItsSlice) {
  NetworkBuilder net("norm", {.channels = 3, .height = 4, .width = 4});
  net.batch_norm("norm", kNetworkInput);
  const Network network = net.finish();
  NormStatistics statistics{.means = std::vector<Tensor>(1), .variances = std::vector<Tensor>(1)};
  ForwardOptions options;
  options.training = true;
  options.statistics = &statistics;
  const Tensor x = maps({6, 3, 4, 4}, 14) * 3 + 1;
  const Tensor y = run(network, {x, {}}, options);
  EXPECT_TRUE(torch::allclose(statistics.means[0], x.mean({0, 2, 3}), 1e-4, 1e-5));
  EXPECT_TRUE(torch::allclose(statistics.variances[0],
                              x.permute({1, 0, 2, 3}).flatten(1).var(1, /*unbiased=*/true), 1e-3,
                              1e-4));
  EXPECT_NEAR(y.mean().item<double>(), 0, 1e-5);
  EXPECT_NEAR(y.var().item<double>(), 1, 0.02);
}

TEST(NetworkForward, StartsWithinItsBoundsFromTheSeed) {
  NetworkBuilder net("start", {.channels = 24});
  net.linear("fc", kNetworkInput, 500);
  const Network network = net.finish();
  const auto kaiming = initial_values(network, Start::kKaiming, 1);
  const auto uniform = initial_values(network, Start::kUniform, 1);
  EXPECT_NEAR(kaiming.weights[0].abs().max().item<double>(), std::sqrt(6.0 / 24), 1e-3);
  EXPECT_NEAR(uniform.weights[0].abs().max().item<double>(), 1 / std::sqrt(24.0), 1e-3);
  for (const auto* values : {&kaiming, &uniform}) {
    EXPECT_LE(values->biases[0].abs().max().item<double>(), 1 / std::sqrt(24.0));
    EXPECT_NEAR(values->weights[0].mean().item<double>(), 0, 0.02);
  }
  EXPECT_TRUE(
      torch::equal(initial_values(network, Start::kUniform, 1).weights[0], uniform.weights[0]));
  EXPECT_FALSE(
      torch::equal(initial_values(network, Start::kUniform, 2).weights[0], uniform.weights[0]));
}

TEST(NetworkForward, AttentionIsRefusedByName) {
  NetworkBuilder net("transformer", {.channels = 12, .height = 5});
  net.attention("attend", kNetworkInput, 2);
  EXPECT_THAT(error_of([&] { check_computable(net.finish()); }),
              IsError(ErrorKind::kConfig, "layer attend of transformer is attention"));
}

}  // namespace
}  // namespace taut::nn
