// What the first pass learns, against plain computations.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <unordered_set>

#include "data/distinct.h"
#include "taut/core/hash.h"
#include "taut/core/text.h"
#include "test_files.h"

namespace taut::data {
namespace {

using namespace testing;  // NOLINT: helpers of these tests
using ::testing::ElementsAre;

TEST(DistinctCounter, IsExactUpToTheLimit) {
  DistinctCounter counter(5000);
  std::unordered_set<std::uint64_t> model;
  for (std::uint64_t i = 0; i < 20000; ++i) {
    const std::uint64_t id = mix64(i) % 4000;
    counter.add({&id, 1});
    model.insert(id);
  }
  EXPECT_EQ(counter.count(), static_cast<std::int64_t>(model.size()));
}

TEST(DistinctCounter, CountsTheIdWhoseHashIsZero) {
  std::uint64_t zero = 0;  // mix64 adds this constant and then maps 0 to 0
  zero -= 0x9E3779B97F4A7C15ull;
  ASSERT_EQ(mix64(zero), 0u);
  DistinctCounter counter;
  counter.add(std::vector<std::uint64_t>{zero, 1, zero, 2});
  EXPECT_EQ(counter.count(), 3);
}

TEST(DistinctCounter, EstimatesWithinOnePercentBeyondTheLimit) {
  for (const std::int64_t ids : {600000, 1000000, 6000000}) {
    DistinctCounter counter(500000);
    for (std::int64_t i = 0; i < ids; ++i) {
      const auto id = static_cast<std::uint64_t>(i);
      counter.add(std::vector<std::uint64_t>{id, id / 2});
    }
    EXPECT_NEAR(static_cast<double>(counter.count()), static_cast<double>(ids),
                0.01 * static_cast<double>(ids));
  }
}

TEST(DistinctCounter, IsExactAtTheDefaultLimitOf4194304) {
  DistinctCounter counter;
  std::vector<std::uint64_t> ids(DistinctCounter::kExactLimit);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = i;
  counter.add(ids);
  counter.add(ids);
  EXPECT_EQ(counter.count(), DistinctCounter::kExactLimit);
}

class ProfileTest : public ::testing::Test {
 protected:
  test::TemporaryDirectory dir_;
  std::string path_ = dir_.file("data.parquet");
};

TEST_F(ProfileTest, CountsRowsPositivesAndIds) {
  write_numbered(dir_.file("a.parquet"), 70000, 30000, 0);
  write_numbered(dir_.file("b.parquet"), 999, 500, 69000);
  ReaderOptions options = numbered_options({dir_.file("*.parquet")});
  options.shuffle_rows = 500;  // of no influence
  const DataProfile profile = learn_profile(options, ScalingKind::kStandard);
  EXPECT_EQ(profile.rows, 70999);
  EXPECT_EQ(profile.positive_rows, 35499);
  EXPECT_THAT(profile.distinct_ids, ElementsAre(70000, 52500));
  EXPECT_EQ(profile.bad_rows.count, 0);
}

TEST_F(ProfileTest, LearnsMeanAndDeviationOfPresentValues) {
  write_parquet(path_, *make_table({{"a", arrow::float64(), "[1, null, 2, 6, 3]"},
                                    {"b", arrow::float64(), "[7, 7, 7, 7, 7]"},
                                    {"c", arrow::float64(), "[null, null, null, null, null]"}}));
  ReaderOptions options;
  options.files = {path_};
  options.schema.dense = {"a", "b", "c"};
  const DataProfile standard = learn_profile(options, ScalingKind::kStandard);
  EXPECT_DOUBLE_EQ(standard.scaling[0].mean, 3);
  EXPECT_DOUBLE_EQ(standard.scaling[0].deviation, std::sqrt(14.0 / 4));
  EXPECT_DOUBLE_EQ(standard.scaling[1].mean, 7);
  EXPECT_EQ(standard.scaling[1].deviation, 1);
  EXPECT_EQ(standard.scaling[2].mean, 0);
  EXPECT_EQ(standard.scaling[2].deviation, 1);
  const DataProfile log = learn_profile(options, ScalingKind::kLog);
  EXPECT_DOUBLE_EQ(log.scaling[0].mean,
                   (std::log1p(1) + std::log1p(2) + std::log1p(6) + std::log1p(3)) / 4);
  EXPECT_EQ(log.scaling[0].kind, ScalingKind::kLog);
  EXPECT_EQ(learn_profile(options, ScalingKind::kNone).scaling[0].mean, 0);
}

TEST_F(ProfileTest, ColumnsReadWithTheirScalingHaveMeanZeroAndDeviationOne) {
  for (const ScalingKind kind : {ScalingKind::kStandard, ScalingKind::kLog}) {
    write_numbered(path_, 100000, 30000);
    ReaderOptions options = numbered_options({path_});
    options.scaling = learn_profile(options, kind).scaling;
    const Batch batch = read_all(options);
    double sum = 0;
    double squares = 0;
    for (const float value : batch.dense) {
      sum += value;
      squares += static_cast<double>(value) * value;
    }
    EXPECT_NEAR(sum / 100000, 0, 1e-5);
    EXPECT_NEAR(squares / 100000, 1, 1e-5);
  }
}

TEST_F(ProfileTest, LeavesBadRowsOut) {
  write_parquet(path_, *make_table({{"y", arrow::int8(), "[1, 5, 0, 1]"},
                                    {"a", arrow::float64(), "[1, 2, NaN, 3]"},
                                    {"c", arrow::int32(), "[1, 2, 3, 4]"}}));
  ReaderOptions options;
  options.files = {path_};
  options.schema = {.label = "y", .dense = {"a"}, .categorical = {"c"}};
  EXPECT_EQ(error_of([&] { (void)learn_profile(options, ScalingKind::kStandard); }).first,
            ErrorKind::kData);
  options.on_bad_row = OnBadRow::kSkip;
  const DataProfile profile = learn_profile(options, ScalingKind::kStandard);
  EXPECT_EQ(profile.rows, 2);
  EXPECT_EQ(profile.positive_rows, 2);
  EXPECT_DOUBLE_EQ(profile.scaling[0].mean, 2);
  EXPECT_THAT(profile.distinct_ids, ElementsAre(2));
  EXPECT_EQ(profile.bad_rows.count, 2);
}

// Values that float32 tells apart only once an offset is taken away, in every format.
TEST_F(ProfileTest, AnOffsetCostsNoDigitsInAnyFormat) {
  std::string plain = "[null";
  std::string shifted = "[null";
  std::string text = "a,b\n,\n";
  for (int row = 0; row < 40000; ++row) {
    const double value = static_cast<double>(mix64(static_cast<std::uint64_t>(row)) % 4096) / 64;
    const std::string far = concat(1700000000 + static_cast<std::int64_t>(value),
                                   std::to_string(value - std::floor(value)).substr(1));
    plain += "," + std::to_string(value);
    shifted += "," + far;
    text += std::to_string(value) + "," + far + "\n";
  }
  const auto table =
      make_table({{"a", arrow::float64(), plain + "]"}, {"b", arrow::float64(), shifted + "]"}});
  write_parquet(dir_.file("x.parquet"), *table, 7000);
  write_arrow(dir_.file("x.arrow"), *table, 9000);
  write_text(dir_.file("x.csv"), text);
  for (const char* name : {"x.parquet", "x.arrow", "x.csv"}) {
    ReaderOptions options;
    options.files = {dir_.file(name)};
    options.schema.dense = {"a", "b"};
    options.scaling = learn_profile(options, ScalingKind::kStandard).scaling;
    EXPECT_NEAR(options.scaling[1].mean - 1.7e9, options.scaling[0].mean, 1e-6) << name;
    EXPECT_NEAR(options.scaling[1].deviation, options.scaling[0].deviation, 1e-6) << name;
    const Batch batch = read_all(options);
    ASSERT_EQ(batch.size, 40001) << name;
    EXPECT_EQ(batch.dense[0], 0) << "missing, " << name;
    EXPECT_EQ(batch.dense[1], 0) << "missing, " << name;
    for (std::int64_t row = 0; row < batch.size; ++row) {
      ASSERT_NEAR(batch.dense[2 * row], batch.dense[2 * row + 1], 1e-6) << name << ", row " << row;
    }
  }
}

TEST_F(ProfileTest, WhatIsLearntDoesNotDependOnThreads) {
  write_numbered(path_, 100000, 30000);
  ReaderOptions options = numbered_options({path_});
  options.threads = 1;
  const DenseScaling one = learn_profile(options, ScalingKind::kStandard).scaling[0];
  options.threads = 5;
  const DenseScaling five = learn_profile(options, ScalingKind::kStandard).scaling[0];
  EXPECT_EQ(one.mean, five.mean);
  EXPECT_EQ(one.deviation, five.deviation);
}

TEST_F(ProfileTest, SmallDifferencesBesideALargeOffsetAreNoConstant) {
  write_parquet(path_, *make_table({{"a", arrow::float64(), "[1e9, 1000000000.25, 1e9, 1e9]"},
                                    {"b", arrow::float32(), "[0.1, 0.1, 0.1, 0.1]"}}));
  ReaderOptions options;
  options.files = {path_};
  options.schema.dense = {"a", "b"};
  options.scaling = learn_profile(options, ScalingKind::kStandard).scaling;
  EXPECT_DOUBLE_EQ(options.scaling[0].mean, 1e9 + 0.0625);
  EXPECT_NEAR(options.scaling[0].deviation, std::sqrt(0.01171875), 1e-9);
  const Batch batch = read_all(options);
  EXPECT_NEAR(batch.dense[2], std::sqrt(3.0), 1e-6);
  EXPECT_NEAR(batch.dense[0], -std::sqrt(1.0 / 3), 1e-6);
  EXPECT_EQ(batch.dense[1], 0) << "a constant is as far from its mean as it can be: not at all";
}

TEST_F(ProfileTest, DifferencesTooSmallToScaleAreAConstant) {
  write_parquet(path_, *make_table({{"a", arrow::float64(), "[1e-310, 3e-310, 0, 2e-310]"},
                                    {"b", arrow::float64(), "[1e-150, 3e-150, 1e-150, 3e-150]"}}));
  ReaderOptions options;
  options.files = {path_};
  options.schema.dense = {"a", "b"};
  options.scaling = learn_profile(options, ScalingKind::kStandard).scaling;
  EXPECT_EQ(options.scaling[0].deviation, 1);
  EXPECT_THAT(read_all(options).dense, ElementsAre(0, -1, 0, 1, 0, -1, 0, 1));
}

TEST_F(ProfileTest, WithoutScalingValuesAreRoundedOnce) {
  write_parquet(path_, *make_table({{"a", arrow::float64(), "[0.1, null, -16777217, 3.4e38]"},
                                    {"b", arrow::int64(), "[16777217, 1, -2, 9007199254740993]"}}));
  ReaderOptions options;
  options.files = {path_};
  options.schema.dense = {"a", "b"};
  EXPECT_THAT(read_all(options).dense,
              ElementsAre(0.1F, 16777216.0F, 0, 1, -16777216.0F, -2, 3.4e38F, 9007199254740992.0F));
}

}  // namespace
}  // namespace taut::data
