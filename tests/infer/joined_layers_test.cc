// Layers that are computed in one go, from lists or from all channels.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "infer/engine_support.h"
#include "infer/small_network.h"
#include "support/error_matchers.h"
#include "taut/core/error.h"
#include "taut/infer/engine.h"
#include "taut/infer/random_values.h"
#include "taut/sparsity/winners.h"

namespace taut::infer {
namespace {

using graph::Op;
using sparsity::Unit;
using test::error_of;
using test::IsError;
using test_support::expect_plain;
using test_support::expect_same_bits;
using test_support::kBatch;
using test_support::predicted;
using test_support::SmallNetwork;

// A layer of every kind that is joined to others, wide enough for lists, with zeros behind it.
void add_joined_layers(SmallNetwork& small) {
  const int first = small.same(Op::kRelu, {small.conv(40, {3, 1, 1})});
  small.conv(24, {3, 1, 1});
  const int branch = small.same(Op::kBatchNorm);
  small.conv(24, {1, 1, 0}, 1, true, first);
  small.same(Op::kBatchNorm);
  const int sum = small.same(Op::kRelu6, {small.same(Op::kAdd, {SmallNetwork::kLast, branch})});
  small.choose_winners(0.2);
  small.same(Op::kBatchNorm, {small.conv(24, {3, 1, 1}, 24)});
  const int joined = small.same(Op::kAdd, {sum, SmallNetwork::kLast});
  small.conv(48, {3, 2, 1}, 2, true, joined);
  small.same(Op::kRelu);
  small.choose_winners(0.1);
  small.flatten();
  small.same(Op::kRelu, {small.linear(300)});
  small.choose_winners(0.1);
  small.linear(5);
}

TEST(JoinedLayers, JoinsSumsNormalizationsAndRectifiersToTheLayerBeforeThem) {
  SmallNetwork small({.channels = 3, .height = 9, .width = 7});
  small.network.winners.unit = Unit::kPosition;
  add_joined_layers(small);
  expect_plain(small, 2e-5);  // sums of up to 960 terms
}

TEST(JoinedLayers, GivesTheSameBitsWhateverIsListedOfABatch) {
  SmallNetwork small({.channels = 20, .height = 9, .width = 7});
  add_joined_layers(small);
  constexpr std::int64_t kMany = 40;
  std::vector<float> x = small.random_input(kMany);
  for (std::size_t i = 0; i < x.size(); ++i) {  // examples from full to empty
    const std::size_t example = i / static_cast<std::size_t>(small.network.input.size());
    if (i * 2654435761U % 40 < example) x[i] = 0;
  }
  expect_same_bits(small.network, x, kMany);
}

TEST(JoinedLayers, ZerosTimesInfiniteWeightsAreSeen) {
  SmallNetwork small({.channels = 32, .height = 2, .width = 2});
  small.conv(16, {1, 1, 0});
  std::vector<float> weight(small.network.values[0].weight.begin(),
                            small.network.values[0].weight.end());
  weight[0] = std::numeric_limits<float>::infinity();
  small.network.values[0].weight = weight;
  const std::vector<float> got = predicted(small.network, std::vector<float>(128), 1);
  EXPECT_TRUE(std::isnan(got[0]));
  EXPECT_FALSE(std::isnan(got[1]));
}

TEST(JoinedLayers, MeasuresEveryLayerOnce) {
  SmallNetwork small({.channels = 20, .height = 9, .width = 7});
  add_joined_layers(small);
  const std::shared_ptr<const void> held = fill_random_values(small.network, 7);
  const Engine engine(small.network);
  ThreadPool pool(2);
  const std::vector<float> x = small.random_input(kBatch);
  const NetworkTimes times = engine.measure({.batch = kBatch, .values = x}, 3, pool);
  EXPECT_EQ(times.seconds.size(), 3U);
  EXPECT_TRUE(std::is_sorted(times.seconds.begin(), times.seconds.end()));
  std::vector<std::string> names;
  for (const LayerTimes& layer : times.layers) {
    names.insert(names.end(), layer.layers.begin(), layer.layers.end());
    EXPECT_GE(std::min({layer.seconds, layer.all_seconds, layer.lists_seconds}), 0);
    EXPECT_TRUE(layer.density >= 0 && layer.density <= 1) << layer.density;
    EXPECT_TRUE(layer.listed == 0 || layer.has_lists);
    EXPECT_GT(layer.bytes, 0);
  }
  std::vector<std::string> described;
  for (const graph::Layer& layer : small.network.layers) described.push_back(layer.name);
  EXPECT_THAT(names, testing::UnorderedElementsAreArray(described));
  EXPECT_THAT(
      error_of([&] { static_cast<void>(engine.measure({.batch = kBatch, .values = x}, 0, pool)); }),
      IsError(ErrorKind::kInvalidArgument, "repetitions must be 1 or more, got 0"));
}

// More values than a core's own cache holds: winners are chosen strip by strip, or row by row.
void expect_winners_of_a_whole_pass(Unit unit, bool depthwise, bool ties) {
  SmallNetwork small({.channels = 3, .height = 96, .width = 64});
  if (ties) small.use_whole_numbers();
  small.conv(48, {3, 1, 1});
  if (depthwise) small.conv(48, {3, 1, 1}, 48);
  small.same(Op::kRelu);
  const std::vector<float> x = small.random_input(1);
  std::vector<float> wanted = predicted(small.network, x, 1);
  small.network.winners.unit = unit;
  small.choose_winners(0.2);
  const graph::Layer& last = small.network.layers.back();
  const sparsity::WinnerSelector selector({.batch = 1, .channels = 48, .height = 96, .width = 64},
                                          sparsity::Layout::kChannelsLast,
                                          graph::winners_at(small.network, last));
  ThreadPool pool(1);
  sparsity::winners(selector, wanted.data(), wanted.data(), pool);
  std::vector<float> kept(48, 1.0f);
  kept[5] = 0;
  small.keep_maps(kept);
  for (std::size_t i = 5; i < wanted.size(); i += 48) wanted[i] *= 0;
  for (const int threads : {1, 3}) EXPECT_EQ(predicted(small.network, x, 1, threads), wanted);
}

TEST(JoinedLayers, WinnersOfLargeOutputsAreThoseOfAWholePass) {
  for (const Unit unit : {Unit::kPosition, Unit::kBlock, Unit::kElement}) {
    for (const bool depthwise : {false, true}) {
      expect_winners_of_a_whole_pass(unit, depthwise, false);
      expect_winners_of_a_whole_pass(unit, depthwise, true);
    }
  }
}

TEST(JoinedLayers, ChoosingIsTimedByItselfWhereverItHappens) {
  SmallNetwork small({.channels = 3, .height = 96, .width = 64});
  small.network.winners.unit = Unit::kPosition;
  small.conv(48, {3, 1, 1});
  small.choose_winners(0.2);
  const Engine engine(small.network);
  const std::vector<float> x = small.random_input(1);
  ThreadPool pool(2);
  const NetworkTimes times = engine.measure({.batch = 1, .values = x}, 2, pool);
  ASSERT_EQ(times.layers.size(), 1U);
  EXPECT_GT(times.layers[0].selection_seconds, 0);
  EXPECT_GT(times.layers[0].seconds, 0);
}

TEST(RandomValues, KeepTheSizeOfActivationsAndFollowTheSeed) {
  SmallNetwork small({.channels = 64});
  small.linear(512);
  const auto weights_of = [&](std::uint64_t seed) {
    const std::shared_ptr<const void> held = fill_random_values(small.network, seed);
    const std::span<const float> weight = small.network.values[0].weight;
    return std::vector<float>(weight.begin(), weight.end());
  };
  const std::vector<float> weight = weights_of(1);
  double squares = 0;
  for (const float w : weight) squares += static_cast<double>(w) * w;
  // The variance of 32,768 uniform values: within 1 % (more than two standard deviations of it).
  EXPECT_NEAR(squares / static_cast<double>(weight.size()), 2.0 / 64, 0.01 * 2.0 / 64);
  EXPECT_EQ(weights_of(1), weight);
  EXPECT_NE(weights_of(2), weight);
}

}  // namespace
}  // namespace taut::infer
