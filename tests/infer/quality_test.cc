#include "taut/infer/quality.h"

#include <gtest/gtest.h>

#include <cmath>
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
