#include "taut/core/random.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

namespace taut {
namespace {

constexpr std::uint64_t kDraws = 200'000;

double chi_square(const std::vector<int>& counts, double expected) {
  double sum = 0;
  for (const int count : counts) sum += (count - expected) * (count - expected) / expected;
  return sum;
}

// Runs are compared bit by bit across versions: these values must never change.
TEST(CounterRandomIsStable, BitsUniformAndNormal) {
  const CounterRandom random(1);
  EXPECT_EQ(random.bits(0), 0xD300120A5EA35CACull);
  EXPECT_EQ(random.with(7).bits(3), 0x2CA94212F0B95630ull);
  EXPECT_DOUBLE_EQ(random.uniform(0), 0.8242198252979852);
  EXPECT_DOUBLE_EQ(random.normal(0), -0.796433039609101);
}

TEST(CounterRandom, DependsOnKeyAndCounterAloneNotOnCallsBefore) {
  const CounterRandom random = CounterRandom(5).with(2);
  const std::uint64_t first = random.bits(9);
  for (std::uint64_t i = 0; i < 100; ++i) (void)random.bits(i);
  EXPECT_EQ(random.bits(9), first);
  EXPECT_EQ(CounterRandom(5).with(2).bits(9), first);
}

TEST(CounterRandom, GivesOtherNumbersForOtherSeedsPurposesAndCounters) {
  const CounterRandom random(1);
  EXPECT_NE(random.bits(0), random.bits(1));
  EXPECT_NE(random.bits(0), CounterRandom(2).bits(0));
  EXPECT_NE(random.bits(0), random.with(0).bits(0));
  EXPECT_NE(random.with(1).bits(0), random.with(2).bits(0));
  EXPECT_NE(random.with(1).with(2).bits(0), random.with(2).with(1).bits(0));
}

TEST(CounterRandom, UniformIsInsideItsRangeAndFlat) {
  constexpr std::size_t kBins = 100;
  std::vector<int> counts(kBins);
  double sum = 0;
  const CounterRandom random(11);
  for (std::uint64_t i = 0; i < kDraws; ++i) {
    const double value = random.uniform(i);
    ASSERT_GE(value, 0.0);
    ASSERT_LT(value, 1.0);
    ++counts[static_cast<std::size_t>(value * kBins)];
    sum += value;
  }
  EXPECT_NEAR(sum / kDraws, 0.5, 0.0033);  // five deviations of the mean
  EXPECT_LT(chi_square(counts, static_cast<double>(kDraws) / kBins), 148.2);  // 99 dof, 0.001
}

TEST(CounterRandom, NeighbouringCountersAndPurposesAreUncorrelated) {
  const CounterRandom random(3);
  double counters = 0;
  double purposes = 0;
  for (std::uint64_t i = 0; i < kDraws; ++i) {
    counters += (random.uniform(i) - 0.5) * (random.uniform(i + 1) - 0.5);
    purposes += (random.with(i).uniform(0) - 0.5) * (random.with(i + 1).uniform(0) - 0.5);
  }
  // A product of two uniform deviations has deviation 1/12: five deviations of the mean.
  const double bound = 5.0 / 12 / std::sqrt(static_cast<double>(kDraws));
  EXPECT_NEAR(counters / kDraws, 0.0, bound);
  EXPECT_NEAR(purposes / kDraws, 0.0, bound);
}

TEST(CounterRandom, EveryBitIsSetHalfOfTheTime) {
  const CounterRandom random(17);
  std::array<int, 64> set{};
  for (std::uint64_t i = 0; i < kDraws; ++i) {
    const std::uint64_t bits = random.bits(i);
    for (std::size_t bit = 0; bit < set.size(); ++bit)
      set[bit] += static_cast<int>(bits >> bit & 1);
  }
  for (std::size_t bit = 0; bit < set.size(); ++bit) {
    EXPECT_NEAR(set[bit], kDraws / 2.0, 5 * std::sqrt(kDraws / 4.0)) << "bit " << bit;
  }
}

TEST(CounterRandom, BelowIsFlatOverARangeThatIsNoPowerOfTwo) {
  constexpr std::uint64_t kRange = 37;
  std::vector<int> counts(kRange);
  const CounterRandom random(23);
  for (std::uint64_t i = 0; i < kDraws; ++i) {
    const std::uint64_t value = random.below(i, kRange);
    ASSERT_LT(value, kRange);
    ++counts[value];
  }
  EXPECT_LT(chi_square(counts, static_cast<double>(kDraws) / kRange), 67.99);  // 36 dof, 0.001
  EXPECT_EQ(random.below(5, 1), 0u);
}

TEST(CounterRandom, NormalHasTheMomentsAndTailsOfANormal) {
  const CounterRandom random(29);
  double sum = 0;
  double squares = 0;
  double fourth = 0;
  int beyond_two = 0;
  for (std::uint64_t i = 0; i < kDraws; ++i) {
    const double value = random.normal(i);
    ASSERT_TRUE(std::isfinite(value));
    sum += value;
    squares += value * value;
    fourth += value * value * value * value;
    beyond_two += std::abs(value) > 2 ? 1 : 0;
  }
  const double root = std::sqrt(static_cast<double>(kDraws));
  EXPECT_NEAR(sum / kDraws, 0.0, 5 / root);                       // deviation 1
  EXPECT_NEAR(squares / kDraws, 1.0, 5 * std::sqrt(2.0) / root);  // of x^2: sqrt 2
  EXPECT_NEAR(fourth / kDraws, 3.0, 5 * std::sqrt(96.0) / root);  // of x^4: sqrt 96
  EXPECT_NEAR(static_cast<double>(beyond_two) / kDraws, 0.0455, 5 * 0.2084 / root);
}

}  // namespace
}  // namespace taut
