// Ids that come again in a batch: rows are read once, and every sum has the bits of rows read one
// by one.
#include "embedding/repeated_ids.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "support.h"

namespace taut::embedding {
namespace {

// Ids below `distinct`, small ones more often the larger `skew` is.
std::vector<std::uint64_t> draw(std::size_t count, std::uint64_t distinct, int skew,
                                std::uint64_t seed) {
  const CounterRandom random(seed);
  std::vector<std::uint64_t> ids;
  for (std::size_t i = 0; i < count; ++i) {
    double part = 1;
    for (int k = 0; k <= skew; ++k) {
      part *= random.uniform(i * 8 + static_cast<std::uint64_t>(k));
    }
    ids.push_back(static_cast<std::uint64_t>(part * static_cast<double>(distinct)));
  }
  return ids;
}

TEST(IdsRepeat, WhereManyAreTheSame) {
  EXPECT_TRUE(ids_repeat(draw(5000, 7, 0, 1)));
  EXPECT_TRUE(ids_repeat(draw(5000, 300, 0, 2)));
  EXPECT_TRUE(ids_repeat(draw(5000, 100000, 6, 3)));
  EXPECT_FALSE(ids_repeat(draw(5000, 1000000, 0, 4)));
  EXPECT_FALSE(ids_repeat(draw(5000, 20000, 0, 5)));
  EXPECT_FALSE(ids_repeat(draw(500, 7, 0, 6))) << "too few to pay";
  EXPECT_FALSE(ids_repeat({}));
}

// What a row of this id holds, were it read.
float value_of(std::uint64_t id, std::size_t i) {
  return static_cast<float>(id % 100003) + static_cast<float>(i);
}

class Reading {
 public:
  explicit Reading(std::size_t dim) : dim_(dim) {}

  bool start(std::uint64_t call, std::size_t table, std::span<const std::uint64_t> ids = {}) {
    return read_.start(call, table, dim_, ids);
  }
  // Returns how many rows were missing.
  std::size_t expect_rows(std::span<const std::uint64_t> ids) {
    std::vector<std::uint32_t> numbers(ids.size());
    std::vector<std::uint64_t> missing(ids.size());
    std::uint32_t first = 0;
    const std::size_t count = read_.number(ids, numbers.data(), missing.data(), first);
    for (std::size_t k = 0; k < count; ++k) {
      for (std::size_t i = 0; i < dim_; ++i) read_.row(first + k)[i] = value_of(missing[k], i);
    }
    for (std::size_t k = 0; k < ids.size(); ++k) {
      const float* row = read_.row(numbers[k]);
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(row) % 64, 0u);
      for (std::size_t i : {std::size_t{0}, dim_ - 1}) EXPECT_EQ(row[i], value_of(ids[k], i));
    }
    return count;
  }
  [[nodiscard]] std::size_t most_ids() const { return read_.most_ids(); }

 private:
  ReadRows& read_ = ReadRows::of_this_thread();
  std::size_t dim_;
};

TEST(ReadRows, EveryNumberIsThatOfItsIdsRow) {
  std::uint64_t call = 1u << 20;
  for (const std::size_t dim : {1, 16, 20, 64, 512}) {
    Reading reading(dim);
    for (const int skew : {0, 3}) {
      reading.start(++call, 0);
      std::size_t asked = 0;
      std::size_t read = 0;
      for (std::uint64_t block = 0; block < 40; ++block) {
        const auto ids = draw(1 + (block * 211) % reading.most_ids(), 50000, skew, block + 1);
        asked += ids.size();
        read += reading.expect_rows(ids);
      }
      EXPECT_LT(read, asked);
      if (skew == 3 && dim <= 20) {
        EXPECT_LT(read, asked * 2 / 3) << dim;
      }
    }
  }
}

TEST(ReadRows, PayAsTheFirstOfACallJudged) {
  const std::uint64_t call = 1u << 22;
  Reading reading(16);
  const auto same = draw(2000, 9, 0, 1);
  const auto others = draw(2000, 1000000, 0, 2);
  EXPECT_TRUE(reading.start(call, 0, same));
  EXPECT_TRUE(reading.start(call, 0, others));
  EXPECT_FALSE(reading.start(call, 1, others));
  EXPECT_FALSE(reading.start(call, 1, same));
}

TEST(ReadRows, AreThereForTheSameCallAndTableAlone) {
  const std::uint64_t call = 1u << 21;
  Reading reading(16);
  const std::vector<std::uint64_t> ids = {5, 0, 5, 7};
  reading.start(call, 0);
  EXPECT_EQ(reading.expect_rows(ids), 3u);
  reading.start(call, 0);
  EXPECT_EQ(reading.expect_rows(ids), 0u);
  reading.start(call, 1);
  EXPECT_EQ(reading.expect_rows(ids), 3u);
  reading.start(call + 1, 1);
  EXPECT_EQ(reading.expect_rows(ids), 3u);
  Reading wider(32);
  wider.start(call + 1, 1);
  EXPECT_EQ(wider.expect_rows(ids), 3u);
}

struct Bags {
  std::vector<std::uint64_t> ids;
  std::vector<std::int64_t> offsets = {0};
  std::vector<float> weights;

  void add(std::size_t count, std::uint64_t seed) {
    for (const std::uint64_t id : draw(count, 3000, 3, seed)) ids.push_back(id);
    offsets.push_back(static_cast<std::int64_t>(ids.size()));
  }
  [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(offsets.size()) - 1; }
  [[nodiscard]] JaggedIds view() const {
    return {.ids = ids, .offsets = offsets, .weights = weights};
  }
};

// Bags of none to some ids, one of more than are numbered at once.
Bags mixed_bags() {
  Bags bags;
  for (std::uint64_t bag = 0; bag < 600; ++bag) {
    bags.add(bag == 300 ? 2500 : CounterRandom(3).below(bag, 14), bag + 1);
  }
  return bags;
}

class Pooled : public testing::TestWithParam<const char*> {
 protected:
  static constexpr std::size_t kTables = 2;

  std::unique_ptr<Embedding> trained(int dim, int thread_count) const {
    Options options;
    options.method = GetParam();
    options.dim = dim;
    for (std::size_t t = 0; t < kTables; ++t) {
      options.tables.push_back({.name = std::to_string(t), .distinct_ids = 3000});
    }
    options.budget = Bytes{full_bytes(options).count / 8};
    auto table = make_embedding(options, threads(thread_count));
    for (std::uint64_t step = 0; step < 12; ++step) train(*table, dim, step);
    return table;
  }
  static void train(Embedding& table, int dim, std::uint64_t step) {
    const TestBatch batch = make_batch(
        {.size = 512, .tables = kTables, .dim = dim, .ids = 3000, .bags = false}, 5, step);
    table.update(batch.tables(), batch.size, batch.gradient);
  }
  static std::vector<float> lookup(const Embedding& table, int dim, const Bags& bags) {
    const std::vector<JaggedIds> views(kTables, bags.view());
    std::vector<float> out(static_cast<std::size_t>(bags.size()) * kTables *
                           static_cast<std::size_t>(dim));
    table.lookup(views, bags.size(), out);
    return out;
  }
  // Bag by bag, too few ids at once to be read into numbers; a longer one as the sum of its rows.
  static std::vector<float> lookup_plain(const Embedding& table, int dim, const Bags& bags) {
    const std::size_t width = kTables * static_cast<std::size_t>(dim);
    std::vector<float> out;
    for (std::size_t bag = 0; bag + 1 < bags.offsets.size(); ++bag) {
      const auto begin = static_cast<std::size_t>(bags.offsets[bag]);
      const auto end = static_cast<std::size_t>(bags.offsets[bag + 1]);
      std::vector<float> sums(width, 0.0f);
      const std::size_t together = end - begin < 100 ? end - begin : 1;
      for (std::size_t i = begin; i < end; i += together) {
        Bags part;
        part.ids.assign(bags.ids.begin() + static_cast<std::ptrdiff_t>(i),
                        bags.ids.begin() + static_cast<std::ptrdiff_t>(i + together));
        part.offsets.push_back(static_cast<std::int64_t>(together));
        if (!bags.weights.empty()) {
          part.weights.assign(bags.weights.begin() + static_cast<std::ptrdiff_t>(i),
                              bags.weights.begin() + static_cast<std::ptrdiff_t>(i + together));
        }
        const std::vector<float> row = lookup(table, dim, part);
        for (std::size_t k = 0; k < width; ++k) sums[k] += row[k];
      }
      out.insert(out.end(), sums.begin(), sums.end());
    }
    return out;
  }
  static void expect_same(const std::vector<float>& got, const std::vector<float>& wanted) {
    ASSERT_EQ(got.size(), wanted.size());
    for (std::size_t i = 0; i < got.size(); ++i) {
      if (std::isnan(got[i]) && std::isnan(wanted[i])) continue;
      ASSERT_EQ(got[i], wanted[i]) << "value " << i;
    }
  }
};

TEST_P(Pooled, SumsHaveTheBitsOfRowsReadOneByOne) {
  for (const int dim : {4, 20, 64, 512}) {
    for (const int thread_count : {1, 3}) {
      const auto table = trained(dim, thread_count);
      Bags bags = mixed_bags();
      ASSERT_TRUE(ids_repeat(bags.ids));
      expect_same(lookup(*table, dim, bags), lookup_plain(*table, dim, bags));
      for (std::size_t i = 0; i < bags.ids.size(); ++i) {
        bags.weights.push_back(static_cast<float>(CounterRandom(9).normal(i)));
      }
      expect_same(lookup(*table, dim, bags), lookup_plain(*table, dim, bags));
      bags.weights[bags.ids.size() / 3] = std::numeric_limits<float>::infinity();
      expect_same(lookup(*table, dim, bags), lookup_plain(*table, dim, bags));
    }
  }
}

TEST_P(Pooled, RowsThatChangedAreReadAnew) {
  const auto table = trained(16, 1);
  const Bags bags = mixed_bags();
  std::vector<float> before = lookup(*table, 16, bags);
  for (std::uint64_t step = 20; step < 24; ++step) {
    train(*table, 16, step);
    const std::vector<float> after = lookup(*table, 16, bags);
    EXPECT_NE(before, after);
    expect_same(after, lookup_plain(*table, 16, bags));
    before = after;
  }
}

INSTANTIATE_TEST_SUITE_P(Methods, Pooled, testing::Values("full", "elastic", "row", "cafe"));

}  // namespace
}  // namespace taut::embedding
