// Synthetic data: the law of its ids, its best AUC, and that it is what its options say.

#include "taut/data/synth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <set>

#include "data/planted.h"
#include "taut/core/text.h"
#include "test_files.h"

namespace taut::data {
namespace {

using namespace testing;  // NOLINT: helpers of these tests
using ::testing::HasSubstr;

TEST(Zipf, FollowsTheLaw) {
  for (const double exponent : {0.0, 0.7, 1.0, 1.1, 2.5}) {
    constexpr std::int64_t kIds = 50;
    constexpr int kDraws = 200000;
    const Zipf zipf(kIds, exponent);
    const CounterRandom random(9);
    std::vector<double> counts(kIds);
    for (std::uint64_t i = 0; i < kDraws; ++i) {
      const std::int64_t id = zipf.sample(random.with(i), 0);
      ASSERT_GE(id, 0);
      ASSERT_LT(id, kIds);
      counts[id] += 1;
    }
    double total = 0;
    for (int k = 1; k <= kIds; ++k) total += std::pow(k, -exponent);
    double chi_squared = 0;
    for (int k = 1; k <= kIds; ++k) {
      const double expected = kDraws * std::pow(k, -exponent) / total;
      chi_squared += (counts[k - 1] - expected) * (counts[k - 1] - expected) / expected;
    }
    // 49 degrees of freedom: mean 49, deviation 9.9; five deviations.
    EXPECT_LT(chi_squared, 99) << "exponent " << exponent;
  }
}

TEST(Zipf, ReachesTheWholeRangeOfLargeTables) {
  const Zipf zipf(std::int64_t{1} << 40, 1.0);
  const CounterRandom random(1);
  std::int64_t largest = 0;
  for (std::uint64_t i = 0; i < 10000; ++i)
    largest = std::max(largest, zipf.sample(random.with(i), 0));
  EXPECT_GT(largest, std::int64_t{1} << 35);
  EXPECT_EQ(Zipf(1, 1.1).sample(random, 0), 0);
}

TEST(ExpectedAuc, IsThatOfAllPairs) {
  const CounterRandom random(4);
  std::vector<double> probabilities;
  ExpectedAuc auc;
  for (std::uint64_t i = 0; i < 500; ++i) {
    // Some exact ties; the others are apart by more than a bin.
    probabilities.push_back(i % 10 == 0 ? 0.3 : random.uniform(i));
    auc.add(probabilities.back());
  }
  double ranked = 0;
  double pairs = 0;
  for (std::size_t i = 0; i < probabilities.size(); ++i) {
    for (std::size_t j = 0; j < probabilities.size(); ++j) {
      if (i == j) continue;
      const double pair = probabilities[i] * (1 - probabilities[j]);
      pairs += pair;
      if (probabilities[i] > probabilities[j]) ranked += pair;
      if (probabilities[i] == probabilities[j]) ranked += pair / 2;
    }
  }
  EXPECT_NEAR(auc.value(), ranked / pairs, 1e-6);
}

// AUC of scores against labels, by counting pairs through a sort.
double auc_of(const std::vector<std::pair<double, bool>>& scored) {
  std::vector<std::pair<double, bool>> sorted = scored;
  std::sort(sorted.begin(), sorted.end());
  double negatives = 0;
  double positives = 0;
  double ranked = 0;
  for (const auto& [score, label] : sorted) {
    if (label) ranked += negatives;
    (label ? positives : negatives) += 1;
  }
  return ranked / (positives * negatives);
}

TEST(PlantedModel, TrueProbabilitiesRankDrawnLabelsAsWellAsExpected) {
  SynthOptions options;
  options.ids = {1000};
  options.rows = 200000;
  const PlantedModel model(options);
  PlantedRow row;
  ExpectedAuc expected;
  std::vector<std::pair<double, bool>> scored;
  double positives = 0;
  for (std::uint64_t r = 0; r < 200000; ++r) {
    model.draw(r, row);
    const double probability = model.probability(r, row);
    expected.add(probability);
    scored.emplace_back(probability, model.label(r, probability));
    positives += scored.back().second ? 1 : 0;
  }
  // The AUC of 200,000 rows has a deviation of about 0.0011.
  EXPECT_NEAR(auc_of(scored), expected.value(), 0.004);
  EXPECT_NEAR(expected.value(), options.bayes_auc, 0.005);
  EXPECT_NEAR(positives / 200000, options.positive_rate, 0.01);
}

TEST(PlantedModel, DriftMakesLateRowsObeyOtherFactors) {
  SynthOptions options;
  options.ids = {100};
  options.rows = 1000000;
  options.dense = 0;
  options.drift = 1;
  const PlantedModel model(options);
  const auto correlation = [&](std::uint64_t early, std::uint64_t late) {
    PlantedRow row;
    double products = 0;
    double squares_early = 0;
    double squares_late = 0;
    for (std::uint64_t r = 0; r < 3000; ++r) {
      model.draw(r, row);
      const auto logit = [&](std::uint64_t when) {
        const double p = model.probability(when, row);
        return std::log(p / (1 - p)) + 1.3;
      };
      products += logit(early) * logit(late);
      squares_early += logit(early) * logit(early);
      squares_late += logit(late) * logit(late);
    }
    return products / std::sqrt(squares_early * squares_late);
  };
  EXPECT_GT(correlation(0, 50000), 0.95);
  EXPECT_LT(std::abs(correlation(0, 999999)), 0.5);
}

class SynthTest : public ::testing::Test {
 protected:
  SynthOptions small(const std::string& name) {
    SynthOptions options;
    options.path = dir_.file(name);
    options.rows = 70000;
    options.categorical = 4;
    options.dense = 2;
    options.ids = {1000, 50, 7, 200};
    options.multi_columns = 1;
    options.multi_ids = 3;
    return options;
  }

  Batch read(const std::string& path) {
    ReaderOptions options;
    options.files = {path};
    options.schema = {"label", {"d_0", "d_1"}, {"c_0", "c_1", "c_2", "c_3"}, "time"};
    return read_all(options);
  }

  test::TemporaryDirectory dir_;
};

TEST_F(SynthTest, WritesWhatItSays) {
  const SynthOptions options = small("x.parquet");
  std::int64_t last_progress = 0;
  const SynthResult result =
      write_synthetic(options, [&](std::int64_t rows) { last_progress = rows; });
  EXPECT_EQ(last_progress, 70000);
  EXPECT_EQ(result.rows, 70000);
  EXPECT_EQ(result.bytes, static_cast<std::int64_t>(std::filesystem::file_size(options.path)));
  EXPECT_NEAR(result.bayes_auc, 0.80, 0.01);
  const Batch batch = read(options.path);
  ASSERT_EQ(batch.size, 70000);
  std::int64_t positives = 0;
  for (const float label : batch.labels) positives += label == 1 ? 1 : 0;
  EXPECT_EQ(positives, result.files[0].positive_rows);
  EXPECT_DOUBLE_EQ(result.positive_rate, static_cast<double>(positives) / 70000);
  for (std::int64_t row = 0; row < 70000; ++row) ASSERT_EQ(batch.time[row], row);
  for (std::size_t c = 0; c < 3; ++c) {
    const auto& ids = batch.categorical[c].ids;
    EXPECT_EQ(ids.size(), 70000u);
    const std::set<std::uint64_t> distinct(ids.begin(), ids.end());
    EXPECT_LT(*distinct.rbegin(), static_cast<std::uint64_t>(options.ids[c]));
    EXPECT_GT(distinct.size(), static_cast<std::size_t>(options.ids[c]) * 9 / 10);
  }
  std::set<std::size_t> lengths;
  for (const auto& bag : bags(batch, 3)) lengths.insert(bag.size());
  EXPECT_EQ(lengths, (std::set<std::size_t>{1, 2, 3}));
}

TEST_F(SynthTest, SharesOneNumberOfIdsOutGeometrically) {
  SynthOptions options;
  const std::vector<std::int64_t> ids = synthetic_ids(options);
  ASSERT_EQ(ids.size(), 10u);
  EXPECT_NEAR(static_cast<double>(std::accumulate(ids.begin(), ids.end(), std::int64_t{0})), 1e6,
              10);
  EXPECT_TRUE(std::is_sorted(ids.rbegin(), ids.rend()));
  EXPECT_NEAR(static_cast<double>(ids[0]) / static_cast<double>(ids[9]), std::pow(10, 2.5), 1);
  options.categorical = 1;
  EXPECT_EQ(synthetic_ids(options), std::vector<std::int64_t>{1000000});
}

TEST_F(SynthTest, CsvHoldsTheSameAsParquet) {
  SynthOptions options = small("x.parquet");
  write_synthetic(options);
  const Batch wanted = read(options.path);
  options.path = dir_.file("x.csv");
  write_synthetic(options);
  const Batch batch = read(options.path);
  EXPECT_EQ(batch.labels, wanted.labels);
  EXPECT_EQ(batch.dense, wanted.dense);
  for (std::size_t c = 0; c < 4; ++c) {
    EXPECT_EQ(batch.categorical[c].ids, wanted.categorical[c].ids);
    EXPECT_EQ(batch.categorical[c].offsets, wanted.categorical[c].offsets);
  }
}

TEST_F(SynthTest, DependsOnTheSeedAndNotOnThreads) {
  std::vector<std::string> bytes;
  for (const auto& [threads, seed] :
       std::vector<std::pair<int, std::uint64_t>>{{1, 1}, {3, 1}, {1, 2}}) {
    SynthOptions options = small("x.csv");
    options.threads = threads;
    options.seed = seed;
    write_synthetic(options);
    bytes.push_back(read_text(options.path));
  }
  EXPECT_EQ(bytes[0], bytes[1]);
  EXPECT_NE(bytes[0], bytes[2]);
}

TEST_F(SynthTest, SplitsByTime) {
  SynthOptions options = small("all.parquet");
  write_synthetic(options);
  const Batch whole = read(options.path);
  options.split = {0.7, 0.1, 0.2};
  const SynthResult result = write_synthetic(options);
  ASSERT_EQ(result.files.size(), 3u);
  EXPECT_EQ(result.files[0].path, dir_.file("train.parquet"));
  EXPECT_EQ(result.files[1].path, dir_.file("valid.parquet"));
  EXPECT_EQ(result.files[2].path, dir_.file("test.parquet"));
  std::int64_t row = 0;
  for (const SynthFile& file : result.files) {
    const Batch part = read(file.path);
    EXPECT_EQ(part.size, file.rows);
    EXPECT_NEAR(file.bayes_auc, 0.8, 0.02);
    for (std::int64_t i = 0; i < part.size; ++i, ++row) {
      ASSERT_EQ(part.labels[i], whole.labels[row]);
      ASSERT_EQ(part.categorical[0].ids[i], whole.categorical[0].ids[row]);
    }
  }
  EXPECT_EQ(row, 70000);
}

TEST_F(SynthTest, RefusesOptionsOutOfRange) {
  const auto refused = [&](auto&& change, const std::string& part) {
    SynthOptions options = small("x.parquet");
    change(options);
    const auto [kind, message] = error_of([&] { write_synthetic(options); });
    EXPECT_NE(kind, ErrorKind::kInternal);
    EXPECT_THAT(message, HasSubstr(part));
    EXPECT_FALSE(std::filesystem::exists(options.path));
  };
  refused([](auto& o) { o.rows = 0; }, "rows must be from 1");
  refused([](auto& o) { o.ids = {1, 2}; },
          "ids must be one number for all or one per column (4), got 2");
  refused([](auto& o) { o.ids = {0}; }, "ids must be from 1");
  refused([](auto& o) { o.multi_columns = 5; }, "multi_columns");
  refused([](auto& o) { o.bayes_auc = 1; }, "bayes_auc");
  refused([](auto& o) { o.split = {0.5, 0.5}; }, "three shares");
  refused([](auto& o) { o.split = {0.5, 0.2, 0.2}; }, "shares with sum 1");
  refused([&](auto& o) { o.path = dir_.file("x.json"); }, "name it .parquet or .csv");
  refused([&](auto& o) { o.path = dir_.file("no/such/folder.csv"); }, "no/such");
}

}  // namespace
}  // namespace taut::data
