#include "taut/sparsity/prune.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "sparsity/support.h"
#include "support/error_matchers.h"

namespace taut::sparsity {
namespace {

using taut::test::error_of;
using taut::test::IsError;

std::int64_t pruned_in(const Mask& mask) {
  return std::count(mask.begin(), mask.end(), 0);
}

// The mask by a stable sort of magnitudes.
Mask by_sort(const std::vector<float>& values, std::int64_t pruned) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::fabs(values[a]) > std::fabs(values[b]);
  });
  Mask mask(values.size(), 1);
  for (std::size_t i = values.size() - static_cast<std::size_t>(pruned); i < order.size(); ++i) {
    mask[order[i]] = 0;
  }
  return mask;
}

Weight weight_of(const std::vector<float>& values, std::int64_t outputs, std::int64_t inputs,
                 std::int64_t taps = 1) {
  return {.values = values, .outputs = outputs, .inputs = inputs, .taps = taps};
}

TEST(PruneCount, IsTheFloorWithoutFloatError) {
  for (std::int64_t n = 0; n <= 300; ++n) {
    for (std::int64_t percent = 0; percent < 100; ++percent) {
      ASSERT_EQ(pruned_count(n, static_cast<double>(percent) / 100), n * percent / 100);
    }
  }
}

TEST(Prune, GlobalTakesTheSmallestOfAllLayers) {
  const std::vector<float> a = test::activations(test::Look::kLevels, 77, 1);
  const std::vector<float> b = test::activations(test::Look::kLevels, 130, 2);
  std::vector<float> both = a;
  both.insert(both.end(), b.begin(), b.end());
  for (const double share : {0.0, 0.3, 0.5, 0.8, 0.99}) {
    const std::vector<Weight> layers = {weight_of(a, 7, 11), weight_of(b, 13, 2, 5)};
    const auto masks = prune_masks(layers, {.prune = Prune::kGlobal, .share = share});
    Mask joined = masks[0];
    joined.insert(joined.end(), masks[1].begin(), masks[1].end());
    EXPECT_EQ(joined, by_sort(both, pruned_count(207, share))) << share;
  }
}

TEST(Prune, ByLayerTakesTheSameShareOfEach) {
  const std::vector<float> a = test::normal_values(60, 1);
  std::vector<float> b = test::normal_values(50, 2);
  for (float& value : b) value *= 100;
  const std::vector<Weight> layers = {weight_of(a, 6, 10), weight_of(b, 5, 10)};
  const auto masks = prune_masks(layers, {.prune = Prune::kLayer, .share = 0.8});
  EXPECT_EQ(masks[0], by_sort(a, 48));
  EXPECT_EQ(masks[1], by_sort(b, 40));
}

TEST(Prune, NOfMCountsAlongTheInputs) {
  // Two inputs of one output at two taps: the groups are {5, 1} and {-2, 3}.
  const std::vector<float> tiny = {5, -2, 1, 3};
  const std::vector<Weight> one = {weight_of(tiny, 1, 2, 2)};
  EXPECT_EQ(prune_masks(one, {.prune = Prune::kNOfM, .n = 1, .m = 2})[0], (Mask{1, 0, 0, 1}));

  const std::vector<float> values = test::activations(test::Look::kLevels, 6 * 8 * 9, 4);
  const std::vector<Weight> layers = {weight_of(values, 6, 8, 9)};
  const Mask mask = prune_masks(layers, {.prune = Prune::kNOfM})[0];
  for (std::size_t output = 0; output < 6; ++output) {
    for (std::size_t first = 0; first < 8; first += 4) {
      for (std::size_t tap = 0; tap < 9; ++tap) {
        std::vector<float> group;
        Mask got;
        for (std::size_t i = 0; i < 4; ++i) {
          const std::size_t at = (output * 8 + first + i) * 9 + tap;
          group.push_back(values[at]);
          got.push_back(mask[at]);
        }
        ASSERT_EQ(got, by_sort(group, 2));
      }
    }
  }
}

TEST(Prune, BlocksGoAsAWhole) {
  // Blocks of 2 x 2 of a 3 x 3 matrix: means 1, 6; 9 and 2 at the end, smaller ones.
  const std::vector<float> values = {1, -1, 6, 1, 1, -6, 9, 9, 2};
  const std::vector<Weight> layers = {weight_of(values, 3, 3)};
  PruneOptions options{.prune = Prune::kBlock, .share = 0.5, .block_outputs = 2, .block_inputs = 2};
  EXPECT_EQ(prune_masks(layers, options)[0], (Mask{0, 0, 1, 0, 0, 1, 1, 1, 0}));
  options.share = 0.25;
  EXPECT_EQ(prune_masks(layers, options)[0], (Mask{0, 0, 1, 0, 0, 1, 1, 1, 1}));
}

TEST(Prune, BlocksOfAConvolutionAreOfOneTap) {
  const std::vector<float> values = {1, 9, 1, 9, 1, 9, 1, 9};  // tap 0 is small, tap 1 is large
  const std::vector<Weight> layers = {weight_of(values, 2, 2, 2)};
  const PruneOptions options{
      .prune = Prune::kBlock, .share = 0.5, .block_outputs = 2, .block_inputs = 2};
  EXPECT_EQ(prune_masks(layers, options)[0], (Mask{0, 1, 0, 1, 0, 1, 0, 1}));
}

TEST(Prune, OutputsGoAsAWhole) {
  const std::vector<float> values = {1, -1, 5, 0.5f, 0, 2};
  const std::vector<Weight> layers = {weight_of(values, 3, 2)};
  EXPECT_EQ(prune_masks(layers, {.prune = Prune::kOutputs, .share = 0.4})[0],
            (Mask{1, 1, 1, 1, 0, 0}));  // means 1, 2.75, 1: among equals the lower index stays
}

TEST(Prune, AmongEqualsTheLowerIndexStays) {
  const std::vector<float> equal(10, -2.0f);
  const std::vector<Weight> layers = {weight_of(equal, 2, 5)};
  EXPECT_EQ(prune_masks(layers, {.share = 0.7})[0], (Mask{1, 1, 1, 0, 0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(prune_scores(equal, 0.9), (Mask{1, 0, 0, 0, 0, 0, 0, 0, 0, 0}));
}

TEST(Prune, GrowingSharesKeepWhatWasPruned) {
  std::vector<float> values = test::normal_values(1000, 6);
  Mask before(values.size(), 1);
  for (int step = 0; step <= 10; ++step) {
    const double share = gradual_share(step, 0, 10, 0.1, 0.9);
    const std::vector<Weight> layers = {weight_of(values, 10, 100)};
    const Mask mask = prune_masks(layers, {.share = share})[0];
    ASSERT_EQ(pruned_in(mask), pruned_count(1000, share));
    for (std::size_t i = 0; i < mask.size(); ++i) {
      ASSERT_LE(mask[i], before[i]);
      values[i] *= mask[i];
    }
    before = mask;
  }
}

TEST(Prune, TheGradualShareIsCubic) {
  EXPECT_DOUBLE_EQ(gradual_share(-5, 0, 10, 0.2, 0.8), 0.2);
  EXPECT_DOUBLE_EQ(gradual_share(0, 0, 10, 0.2, 0.8), 0.2);
  EXPECT_DOUBLE_EQ(gradual_share(5, 0, 10, 0.0, 0.8), 0.8 - 0.8 / 8);
  EXPECT_DOUBLE_EQ(gradual_share(10, 0, 10, 0.2, 0.8), 0.8);
  EXPECT_DOUBLE_EQ(gradual_share(99, 0, 10, 0.2, 0.8), 0.8);
}

struct BadPrune {
  std::string name;
  PruneOptions options;
  std::int64_t inputs;
  std::string message;
};

class BadPruneOption : public testing::TestWithParam<BadPrune> {};

TEST_P(BadPruneOption, NamesTheArgumentAndBothValues) {
  const std::vector<float> values(12, 1.0f);
  const std::vector<Weight> layers = {weight_of(values, 2, GetParam().inputs)};
  const Error error = error_of([&] { static_cast<void>(prune_masks(layers, GetParam().options)); });
  EXPECT_THAT(error, IsError(ErrorKind::kInvalidArgument, GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    All, BadPruneOption,
    testing::Values(
        BadPrune{"share_1", {.share = 1}, 6, "share must be at least 0, below 1, got 1"},
        BadPrune{"share_negative", {.share = -0.1}, 6, "below 1, got -0.1"},
        BadPrune{"share_nan", {.share = std::nan("")}, 6, "below 1, got nan"},
        BadPrune{"n_above_m",
                 {.prune = Prune::kNOfM, .n = 5, .m = 4},
                 6,
                 "n must be from 1 to m 4, got 5"},
        BadPrune{"inputs_uneven",
                 {.prune = Prune::kNOfM},
                 6,
                 "layers[0].inputs must be a multiple of m 4, got 6"},
        BadPrune{"block_0",
                 {.prune = Prune::kBlock, .block_inputs = 0},
                 6,
                 "block_inputs must be at least 1, got 0"},
        BadPrune{"sizes", {}, 5, "layers[0].values must be 10 values, got 12"}),
    [](const testing::TestParamInfo<BadPrune>& bad) { return bad.param.name; });

TEST(Prune, NamesAreParsed) {
  for (const Prune prune :
       {Prune::kGlobal, Prune::kLayer, Prune::kNOfM, Prune::kBlock, Prune::kOutputs}) {
    EXPECT_EQ(parse_prune(to_string(prune)), prune);
  }
  EXPECT_THAT(error_of([] { static_cast<void>(parse_prune("globl")); }),
              IsError(ErrorKind::kConfig, "did you mean global?"));
  EXPECT_THAT(error_of([] { static_cast<void>(gradual_share(0, 5, 5, 0, 0.5)); }),
              IsError(ErrorKind::kInvalidArgument, "end must be above begin 5, got 5"));
}

}  // namespace
}  // namespace taut::sparsity
