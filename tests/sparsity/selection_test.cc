// Names, counts and thresholds: what selection is told.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "sparsity/support.h"
#include "support/error_matchers.h"
#include "taut/sparsity/winners.h"

namespace taut::sparsity {
namespace {

using taut::test::error_of;
using taut::test::IsError;

TEST(WinnerCount, IsTheCeilingWithoutFloatError) {
  EXPECT_EQ(winner_count(10, 0.3), 3);
  EXPECT_EQ(winner_count(10, 0.7), 7);  // 0.7 * 10 is 7.000000000000001
  EXPECT_EQ(winner_count(100, 0.07), 7);
  EXPECT_EQ(winner_count(10, 0.31), 4);
  EXPECT_EQ(winner_count(10, 0.0001), 1);
  EXPECT_EQ(winner_count(1, 0.5), 1);
  EXPECT_EQ(winner_count(25088, 1.0), 25088);
  for (std::int64_t n = 1; n <= 400; ++n) {
    for (std::int64_t percent = 1; percent <= 100; ++percent) {
      const std::int64_t exact = (n * percent + 99) / 100;
      ASSERT_EQ(winner_count(n, static_cast<double>(percent) / 100), exact) << n << " " << percent;
    }
  }
}

TEST(WinnersOptions, AreSpelledAsTheyAreParsed) {
  for (const Unit unit :
       {Unit::kNeuron, Unit::kChannel, Unit::kPosition, Unit::kElement, Unit::kBlock}) {
    EXPECT_EQ(parse_unit(to_string(unit)), unit);
  }
  for (const Score score : {Score::kMeanMagnitude, Score::kMaxMagnitude, Score::kMeanSquare}) {
    EXPECT_EQ(parse_score(to_string(score)), score);
  }
  for (const Select select : {Select::kExact, Select::kThreshold}) {
    EXPECT_EQ(parse_select(to_string(select)), select);
  }
}

TEST(WinnersOptions, AWrongNameSuggestsTheNearest) {
  EXPECT_THAT(error_of([] { static_cast<void>(parse_unit("chanel")); }),
              IsError(ErrorKind::kConfig, "unknown unit \"chanel\", unit, did you mean channel?"));
  EXPECT_THAT(error_of([] { static_cast<void>(parse_score("mean")); }),
              IsError(ErrorKind::kConfig, "unknown score \"mean\""));
  EXPECT_THAT(error_of([] { static_cast<void>(parse_select("exat")); }),
              IsError(ErrorKind::kConfig, "did you mean exact?"));
}

TEST(Threshold, MeetsTheMeanRateOverTheSamplesInEveryUnit) {
  const Shape shape{.batch = 16, .channels = 24, .height = 6, .width = 5};
  const std::vector<float> x = test::activations(test::Look::kSigned, shape.size(), 9);
  ThreadPool pool(1);
  for (const Unit unit : {Unit::kChannel, Unit::kPosition, Unit::kElement, Unit::kBlock}) {
    for (const double rate : {0.05, 0.3, 0.8}) {
      WinnersOptions options{.unit = unit, .rate = rate};
      std::vector<float> scores;
      WinnerSelector(shape, Layout::kChannelsFirst, options).append_scores(x.data(), scores);
      options.threshold = threshold_for_rate(scores, rate);
      options.select = Select::kThreshold;
      const WinnerSelector selector(shape, Layout::kChannelsFirst, options);
      std::vector<float> y(x.size());
      winners(selector, x.data(), y.data(), pool);
      WinnerStatistics statistics;
      add_winners(selector, y.data(), statistics);
      // Exact up to the last unit: scores of normal numbers are not tied.
      const double unit_share = 1.0 / static_cast<double>(scores.size());
      EXPECT_NEAR(statistics.rate(), rate, unit_share + 1e-9) << to_string(unit) << " " << rate;
    }
  }
}

TEST(Threshold, RanksNanFirstAndNamesBadArguments) {
  std::vector<float> scores = {1, std::nanf(""), 3, 2};
  EXPECT_EQ(threshold_for_rate(scores, 0.5), 3);
  EXPECT_TRUE(std::isnan(threshold_for_rate(scores, 0.25)));
  EXPECT_THAT(error_of([] { static_cast<void>(threshold_for_rate({}, 0.5)); }),
              IsError(ErrorKind::kInvalidArgument, "scores must be at least 1, got none"));
  EXPECT_THAT(error_of([&] { static_cast<void>(threshold_for_rate(scores, 2)); }),
              IsError(ErrorKind::kInvalidArgument, "rate must be above 0, at most 1, got 2"));
}

}  // namespace
}  // namespace taut::sparsity
