#include "infer/kernels.h"

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <algorithm>
#include <string>
#include <vector>

#include "taut/core/random.h"

namespace taut::infer {
namespace {

std::vector<float> random_values(std::int64_t count, std::uint64_t seed) {
  std::vector<float> values;
  for (std::int64_t i = 0; i < count; ++i) {
    values.push_back(static_cast<float>(CounterRandom(seed).normal(static_cast<std::uint64_t>(i))));
  }
  return values;
}

// Runs the test body once for each instruction set that this machine has.
class InferKernels : public testing::TestWithParam<std::int64_t> {
 protected:
  void SetUp() override { hwy::SetSupportedTargetsForTest(GetParam()); }
  void TearDown() override { hwy::SetSupportedTargetsForTest(0); }
};

TEST_P(InferKernels, LinearMatchesTheReferenceAtOddSizesAndLeavesWhatLiesBetween) {
  constexpr float kGuard = 12345.0f;
  for (const std::int64_t rows : {1, 2, 7, 8, 9, 19}) {
    for (const std::int64_t inputs : {0, 1, 5, 33}) {
      for (const std::int64_t outputs : {1, 3, 8, 16, 17, 40}) {
        const std::vector<float> weight = random_values(inputs * outputs, 1);
        const std::vector<float> bias = random_values(outputs, 2);
        const std::vector<float> x = random_values(rows * inputs, 3);
        const LinearMap map{inputs, outputs, weight, bias};
        for (const std::int64_t stride : {outputs, outputs + 3}) {
          std::vector<float> wanted(static_cast<std::size_t>(rows * stride + 1), kGuard);
          std::vector<float> got = wanted;
          linear_reference(map, x.data(), rows, wanted.data(), stride);
          linear(map, x.data(), rows, got.data(), stride);
          for (std::size_t i = 0; i < wanted.size(); ++i) {
            // Sums of up to 34 terms of size about 1: float rounding is below 1e-5. Guards differ
            // from any such sum.
            ASSERT_NEAR(got[i], wanted[i], 2e-5) << rows << "x" << inputs << "x" << outputs;
          }
        }
      }
    }
  }
}

TEST_P(InferKernels, ARowDoesNotDependOnTheRowsBesideIt) {
  const std::vector<float> weight = random_values(21 * 19, 1);
  const std::vector<float> bias = random_values(19, 2);
  const std::vector<float> x = random_values(11 * 21, 3);
  const LinearMap map{21, 19, weight, bias};
  std::vector<float> together(11 * 19);
  linear(map, x.data(), 11, together.data(), 19);
  for (int row = 0; row < 11; ++row) {
    std::vector<float> alone(19);
    linear(map, x.data() + row * 21, 1, alone.data(), 19);
    EXPECT_TRUE(std::equal(alone.begin(), alone.end(), together.begin() + row * 19)) << row;
  }
}

INSTANTIATE_TEST_SUITE_P(EveryIsa, InferKernels,
                         testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         [](const testing::TestParamInfo<std::int64_t>& target) {
                           return std::string(hwy::TargetName(target.param));
                         });

}  // namespace
}  // namespace taut::infer
