#include "taut/infer/quality.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "taut/core/random.h"

namespace taut::infer {
namespace {

// Counts pairs one by one.
double auc_by_pairs(const std::vector<float>& scores, const std::vector<float>& labels) {
  double won = 0;
  double pairs = 0;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    for (std::size_t j = 0; j < scores.size(); ++j) {
      if (labels[i] != 1 || labels[j] != 0) continue;
      pairs += 1;
      won += scores[i] > scores[j] ? 1.0 : scores[i] == scores[j] ? 0.5 : 0.0;
    }
  }
  return won / pairs;
}

TEST(Metrics, AucEqualsTheShareOfPairsInOrder) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const CounterRandom random(seed);
    std::vector<float> scores;
    std::vector<float> labels = {0, 1};
    for (std::uint64_t i = 0; i < 150; ++i) {
      scores.push_back(static_cast<float>(random.below(2 * i, 40)));  // many ties
      if (i >= 2) labels.push_back(random.uniform(2 * i + 1) < 0.3 ? 1.0f : 0.0f);
    }
    EXPECT_DOUBLE_EQ(area_under_curve(scores, labels), auc_by_pairs(scores, labels)) << seed;
  }
}

TEST(Metrics, AucKnowsItsLimits) {
  const std::vector<float> scores = {1, 2, 3};
  EXPECT_DOUBLE_EQ(area_under_curve(scores, std::vector<float>{0, 0, 1}), 1.0);
  EXPECT_DOUBLE_EQ(area_under_curve(scores, std::vector<float>{1, 0, 0}), 0.0);
  EXPECT_TRUE(std::isnan(area_under_curve(scores, std::vector<float>{1, 1, 1})));
  EXPECT_TRUE(std::isnan(area_under_curve({}, {})));
}

TEST(Metrics, ConstantBaseRatePredictionHasNormalizedEntropyOne) {
  const float logit = std::log(0.25f / 0.75f);
  const Quality quality =
      measure_quality(std::vector<float>(4, logit), std::vector<float>{1, 0, 0, 0});
  EXPECT_NEAR(quality.normalized_entropy, 1.0, 1e-6);
  EXPECT_NEAR(quality.log_loss, 0.5623351, 1e-6);
  EXPECT_DOUBLE_EQ(quality.auc, 0.5);
  EXPECT_EQ(quality.examples, 4);
}

TEST(Metrics, CrossEntropyDoesNotOverflow) {
  EXPECT_NEAR(cross_entropy(1000, 1), 0, 1e-12);
  EXPECT_NEAR(cross_entropy(1000, 0), 1000, 1e-9);
  EXPECT_NEAR(cross_entropy(-1000, 1), 1000, 1e-9);
  EXPECT_NEAR(cross_entropy(0, 1), std::log(2.0), 1e-12);
}

TEST(Metrics, AScoreThatIsNoNumberIsLeftOut) {
  const float nan = std::nanf("");
  const std::vector<float> scores = {nan, 1, nan, 2, 0};
  const std::vector<float> labels = {0, 0, 1, 1, 1};
  EXPECT_DOUBLE_EQ(area_under_curve(scores, labels), 0.5);
  const Quality all = measure_quality(scores, labels);
  const Quality rest = measure_quality(std::vector<float>{1, 2, 0}, std::vector<float>{0, 1, 1});
  EXPECT_EQ(all.examples, 3);
  EXPECT_EQ(all.unscored, 2);
  EXPECT_EQ(all.log_loss, rest.log_loss);
  EXPECT_EQ(all.normalized_entropy, rest.normalized_entropy);
  const Quality none = measure_quality(std::vector<float>{nan}, std::vector<float>{1});
  EXPECT_EQ(none.examples, 0);
  EXPECT_TRUE(std::isnan(none.auc));
}

// Scores of exactly 0 and 1 are logits without bound: they cost much, and not everything.
TEST(Metrics, InfiniteLogitsCostABoundedLoss) {
  const float most = std::numeric_limits<float>::infinity();
  EXPECT_EQ(cross_entropy(most, 1), 0);
  EXPECT_EQ(cross_entropy(most, 0), kMostLogit);
  EXPECT_EQ(cross_entropy(-most, 1), kMostLogit);
  const Quality quality =
      measure_quality(std::vector<float>{most, -most, 0, 0}, std::vector<float>{1, 0, 1, 0});
  EXPECT_DOUBLE_EQ(quality.log_loss, std::log(2.0) / 2);
  EXPECT_DOUBLE_EQ(quality.auc, 1 - 0.5 / 4);
  ClassQuality classes;
  classes.add(2, std::vector<float>{most, 0, most, 0}, std::vector<std::int64_t>{0, 1});
  EXPECT_TRUE(std::isfinite(classes.log_loss()));
  EXPECT_DOUBLE_EQ(classes.top1(), 0.5);
}

TEST(ClickQuality, NamesExamplesWithoutAScoreAndLeavesBadOnesOut) {
  const float nan = std::nanf("");
  ClickQuality quality;
  std::vector<std::size_t> named;
  quality.add(std::vector<float>{1, nan, nan, -1}, std::vector<float>{1, 1, 0, 0},
              std::vector<std::uint8_t>{0, 0, 1, 0}, [&](std::size_t i) {
                named.push_back(i);
                return std::string("row");
              });
  EXPECT_EQ(named, std::vector<std::size_t>{1});
  EXPECT_EQ(quality.unscored().count(), 1);
  EXPECT_EQ(quality.measure().examples, 2);
  EXPECT_EQ(quality.measure().auc, 1);
}

TEST(ClassQuality, LeavesOutWhatHasNoScore) {
  ClassQuality quality;
  quality.add(2, std::vector<float>{1, std::nanf(""), 2, 1}, std::vector<std::int64_t>{0, 0});
  EXPECT_EQ(quality.examples(), 1);
  EXPECT_EQ(quality.unscored(), 1);
  EXPECT_DOUBLE_EQ(quality.top1(), 1);
}

TEST(ClassQuality, AddsUpOverBatchesAndGivesEqualsToTheLowerClass) {
  ClassQuality quality;
  quality.add(3, std::vector<float>{1, 2, 3, 5, 5, 0}, std::vector<std::int64_t>{2, 0});
  quality.add(3, std::vector<float>{5, 5, 0}, std::vector<std::int64_t>{1});
  EXPECT_EQ(quality.examples(), 3);
  EXPECT_DOUBLE_EQ(quality.top1(), 2.0 / 3);
  const double first = std::log(1 + std::exp(-1.0) + std::exp(-2.0));
  const double tied = std::log(2 + std::exp(-5.0));
  EXPECT_NEAR(quality.log_loss(), (first + tied + tied) / 3, 1e-12);
}

TEST(ClassQuality, StaysFiniteForLogitsWithoutBound) {
  ClassQuality quality;
  quality.add(2, std::vector<float>{3e38f, -3e38f}, std::vector<std::int64_t>{0});
  EXPECT_EQ(quality.log_loss(), 0);
  quality.add(2, std::vector<float>{1000, -1000}, std::vector<std::int64_t>{1});
  EXPECT_DOUBLE_EQ(quality.log_loss(), 1000);
}

}  // namespace
}  // namespace taut::infer
