#include "nn/interaction.h"

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <string>
#include <vector>

#include "taut/core/random.h"

namespace taut::nn {
namespace {

std::vector<float> random_values(std::int64_t count, std::uint64_t seed) {
  std::vector<float> values;
  for (std::int64_t i = 0; i < count; ++i) {
    values.push_back(static_cast<float>(CounterRandom(seed).normal(static_cast<std::uint64_t>(i))));
  }
  return values;
}

constexpr float kGuard = 12345.0f;

std::vector<float> guarded(std::int64_t count) {
  return std::vector<float>(static_cast<std::size_t>(count) + 1, kGuard);
}

// Sums of up to 33 products of normal numbers: float rounding stays below 5e-5.
void expect_near(const std::vector<float>& got, const std::vector<float>& wanted) {
  ASSERT_EQ(got.size(), wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], wanted[i], 5e-5) << i;
}

class InteractionEveryIsa : public testing::TestWithParam<std::int64_t> {
 protected:
  void SetUp() override { hwy::SetSupportedTargetsForTest(GetParam()); }
  void TearDown() override { hwy::SetSupportedTargetsForTest(0); }
};

TEST_P(InteractionEveryIsa, MatchesTheReferenceAtOddSizes) {
  for (const std::int64_t vectors : {1, 2, 3, 9, 16, 17, 27}) {
    for (const std::int64_t dim : {1, 4, 15, 16, 33}) {
      for (const std::int64_t copied : {std::int64_t{0}, std::int64_t{1}, vectors}) {
        const InteractionShape shape{vectors, dim, copied};
        const std::int64_t rows = 3;
        const std::vector<float> x = random_values(rows * vectors * dim, 1);
        const std::vector<float> gradient = random_values(rows * shape.outputs(), 2);
        std::vector<float> got = guarded(rows * shape.outputs());
        std::vector<float> wanted = got;
        interact(shape, rows, x.data(), got.data());
        interact_reference(shape, rows, x.data(), wanted.data());
        expect_near(got, wanted);
        got = guarded(rows * vectors * dim);
        wanted = got;
        interact_backward(shape, rows, x.data(), gradient.data(), got.data());
        interact_backward_reference(shape, rows, x.data(), gradient.data(), wanted.data());
        expect_near(got, wanted);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, InteractionEveryIsa,
                         testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         [](const testing::TestParamInfo<std::int64_t>& target) {
                           return std::string(hwy::TargetName(target.param));
                         });

}  // namespace
}  // namespace taut::nn
