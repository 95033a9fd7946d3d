// The shuffle buffer: a permutation, full or windowed, by seed and epoch alone.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "data/shuffle.h"
#include "test_files.h"

namespace taut::data {
namespace {

using namespace testing;  // NOLINT: helpers of these tests

class ShuffleTest : public ::testing::Test {
 protected:
  std::vector<std::int64_t> order(std::int64_t shuffle_rows, std::uint64_t seed,
                                  std::int64_t epoch) {
    ReaderOptions options = numbered_options({path_});
    options.shuffle_rows = shuffle_rows;
    options.seed = seed;
    options.epoch = epoch;
    options.threads = 1;
    options.prefetch = false;
    const Batch batch = read_all(options);
    for (std::int64_t row = 0; row < batch.size; ++row) {  // rows stay whole
      const auto id = static_cast<std::uint64_t>(batch.time[row]);
      EXPECT_EQ(batch.dense[row], static_cast<float>(id));
      EXPECT_EQ(bags(batch, 0)[row], std::vector{id});
      EXPECT_EQ(bags(batch, 1)[row], std::vector(id % 4, id));
      if (row > 200) break;
    }
    return batch.time;
  }

  void write(std::int64_t rows, std::int64_t row_group_rows) {
    rows_ = rows;
    write_numbered(path_, rows, row_group_rows);
  }

  void expect_permutation(std::vector<std::int64_t> values) {
    ASSERT_EQ(static_cast<std::int64_t>(values.size()), rows_);
    std::sort(values.begin(), values.end());
    for (std::int64_t i = 0; i < rows_; ++i) ASSERT_EQ(values[i], i);
  }

  test::TemporaryDirectory dir_;
  std::string path_ = dir_.file("data.parquet");
  std::int64_t rows_ = 0;
};

// Correlation of position and value: 1 for file order, about 0 +- 1/sqrt(n) for a full shuffle.
double order_correlation(const std::vector<std::int64_t>& values) {
  const double n = static_cast<double>(values.size());
  const double mean = (n - 1) / 2;
  double sum = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    sum += (static_cast<double>(i) - mean) * (static_cast<double>(values[i]) - mean);
  }
  return sum / (n * (n * n - 1) / 12 / n);
}

TEST_F(ShuffleTest, IsAFullShuffleWhenTheBufferHoldsAllRows) {
  write(20000, 1 << 20);
  for (const std::int64_t buffer : {20000, 1000000}) {
    const std::vector<std::int64_t> values = order(buffer, 1, 0);
    expect_permutation(values);
    EXPECT_LT(std::abs(order_correlation(values)) / static_cast<double>(rows_), 0.03);
    // A fixed point or a kept neighbour happens about once in a random permutation.
    int neighbours = 0;
    for (std::size_t i = 1; i < values.size(); ++i) neighbours += values[i] == values[i - 1] + 1;
    EXPECT_LT(neighbours, 10);
  }
}

TEST(ShuffleBuffer, EveryRowIsEquallyLikelyToComeFirst) {
  Rows in;
  in.size = 8;
  in.time = {0, 1, 2, 3, 4, 5, 6, 7};
  std::vector<int> first(8);
  for (std::uint64_t seed = 0; seed < 800; ++seed) {
    ShuffleBuffer buffer(8, CounterRandom(seed));
    buffer.fill(in, 0, 8);
    Rows out;
    buffer.drain(8, out);
    ++first[static_cast<std::size_t>(out.time[0])];
  }
  // Binomial(800, 1/8): mean 100, deviation 9.4; five deviations.
  for (const int count : first) EXPECT_NEAR(count, 100, 47);
}

TEST_F(ShuffleTest, MixesARowOverAboutABufferWithinItsRowGroup) {
  write(50000, 1 << 20);
  const std::vector<std::int64_t> values = order(5000, 1, 0);
  expect_permutation(values);
  double moved = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    moved += std::abs(static_cast<double>(values[i]) - static_cast<double>(i));
  }
  moved /= static_cast<double>(values.size());
  EXPECT_GT(moved, 2500);
  EXPECT_LT(moved, 7500);
}

TEST_F(ShuffleTest, TakesRowGroupsInRandomOrder) {
  write(30000, 1000);
  const std::vector<std::int64_t> values = order(2000, 1, 0);
  expect_permutation(values);
  EXPECT_LT(std::abs(order_correlation(values)) / static_cast<double>(rows_), 0.5);
}

TEST_F(ShuffleTest, DependsOnSeedAndEpochAlone) {
  write(5000, 700);
  EXPECT_EQ(order(1000, 1, 0), order(1000, 1, 0));
  EXPECT_NE(order(1000, 1, 0), order(1000, 2, 0));
  EXPECT_NE(order(1000, 1, 0), order(1000, 1, 1));
  EXPECT_NE(order(1000, 2, 0), order(1000, 1, 1));
  expect_permutation(order(1000, 1, 7));
}

TEST_F(ShuffleTest, TheOrderDoesNotDependOnTheBatchSize) {
  write(5000, 700);
  ReaderOptions options = numbered_options({path_});
  options.shuffle_rows = 900;
  const std::vector<std::int64_t> wanted = read_all(options).time;
  for (const std::int64_t batch_size : {1, 7, 899, 900, 901, 4999}) {
    options.batch_size = batch_size;
    std::vector<std::int64_t> values;
    for (const Batch& batch : read_batches(options)) {
      values.insert(values.end(), batch.time.begin(), batch.time.end());
    }
    EXPECT_EQ(values, wanted) << batch_size;
  }
}

// Bags that become multi-valued in the middle of the stream, against a plain vector of rows.
TEST(ShuffleBuffer, FollowsAPlainModelWithBagsOfAnySize) {
  const CounterRandom random(5);
  const Schema schema{.label = "", .dense = {"d"}, .categorical = {"c"}, .time = ""};
  ShuffleBuffer buffer(50, random);
  std::vector<std::vector<std::uint64_t>> held;  // the model: one bag per place
  std::vector<std::vector<std::uint64_t>> given;
  std::uint64_t drawn = 0;
  Rows out;
  out.reset(schema);
  const auto bag_of = [](std::int64_t row) {
    return std::vector<std::uint64_t>(row < 300 ? 1 : row % 7, static_cast<std::uint64_t>(row));
  };
  for (std::int64_t row = 0; row < 1000; row += 10) {
    Rows in;
    in.reset(schema);
    in.size = 10;
    if (row >= 300) in.categorical[0].offsets.push_back(0);
    for (std::int64_t i = row; i < row + 10; ++i) {
      in.dense[0].push_back(static_cast<float>(i));
      for (const std::uint64_t value : bag_of(i)) in.categorical[0].ids.push_back(value);
      if (row >= 300) {
        in.categorical[0].offsets.push_back(
            static_cast<std::int64_t>(in.categorical[0].ids.size()));
      }
    }
    if (buffer.room() > 0) {
      buffer.fill(in, 0, 10);
      for (std::int64_t i = row; i < row + 10; ++i) held.push_back(bag_of(i));
    } else {
      buffer.exchange(in, 0, 10, out);
      for (std::int64_t i = row; i < row + 10; ++i) {
        auto& place = held[random.below(drawn++, 50)];
        given.push_back(place);
        place = bag_of(i);
      }
    }
  }
  buffer.drain(20, out);
  buffer.drain(30, out);
  while (!held.empty()) {
    auto& place = held[random.below(drawn++, held.size())];
    given.push_back(place);
    place = held.back();
    held.pop_back();
  }
  ASSERT_EQ(out.size, 1000);
  Batch batch;
  to_batch(out, 0, out.size, batch);
  EXPECT_EQ(bags(batch, 0), given);
  EXPECT_EQ(buffer.size(), 0);
}

}  // namespace
}  // namespace taut::data
