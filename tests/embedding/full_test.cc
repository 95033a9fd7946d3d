// The full table against a plain map: exact gradients, exact row-wise Adagrad.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "embedding/codec.h"
#include "embedding/full_form.h"
#include "support.h"
#include "support/every_target.h"

namespace taut::embedding {
namespace {

struct PlainRow {
  std::vector<float> values;
  float accumulated = 0;
};

// Row-wise Adagrad written as plainly as can be.
class PlainTable {
 public:
  explicit PlainTable(const Options& options) : options_(options) {}

  PlainRow& row(std::size_t table, std::uint64_t id) {
    PlainRow& found = rows_[{table, id}];
    if (found.values.empty()) {
      found.values.resize(static_cast<std::size_t>(options_.dim));
      initial_range(options_.seed, row_key(table, id), 0, options_.dim,
                    1.0f / std::sqrt(static_cast<float>(options_.dim)), found.values.data());
    }
    return found;
  }

  std::vector<float> lookup(const TestBatch& batch) {
    const std::size_t dim = static_cast<std::size_t>(options_.dim);
    std::vector<float> out(static_cast<std::size_t>(batch.size) * batch.ids.size() * dim, 0.0f);
    for_ids(batch, [&](std::size_t t, std::uint64_t id, std::size_t output, float weight) {
      const PlainRow& held = row(t, id);
      for (std::size_t i = 0; i < dim; ++i) out[output * dim + i] += weight * held.values[i];
    });
    return out;
  }

  void update(const TestBatch& batch) {
    const std::size_t dim = static_cast<std::size_t>(options_.dim);
    std::map<std::pair<std::size_t, std::uint64_t>, std::vector<float>> sums;
    for_ids(batch, [&](std::size_t t, std::uint64_t id, std::size_t output, float weight) {
      std::vector<float>& sum = sums[{t, id}];
      sum.resize(dim, 0.0f);
      for (std::size_t i = 0; i < dim; ++i) sum[i] += weight * batch.gradient[output * dim + i];
    });
    for (const auto& [name, sum] : sums) {
      PlainRow& held = row(name.first, name.second);
      // The order of the sum is part of the result: see row_kernels.h.
      std::array<float, 16> squares{};
      for (std::size_t i = 0; i < sum.size(); ++i) squares[i % 16] += sum[i] * sum[i];
      for (std::size_t apart = 8; apart > 0; apart /= 2) {
        for (std::size_t i = 0; i < apart; ++i) squares[i] += squares[i + apart];
      }
      held.accumulated += squares[0] / static_cast<float>(dim);
      const float step =
          static_cast<float>(options_.learning_rate) /
          (std::sqrt(held.accumulated + static_cast<float>(options_.initial_accumulator)) +
           static_cast<float>(options_.epsilon));
      for (std::size_t i = 0; i < dim; ++i) held.values[i] -= step * sum[i];
    }
  }

  [[nodiscard]] std::size_t size() const { return rows_.size(); }

 private:
  template <typename Body>
  void for_ids(const TestBatch& batch, Body&& body) {
    for (std::size_t t = 0; t < batch.ids.size(); ++t) {
      for (std::size_t bag = 0; bag < static_cast<std::size_t>(batch.size); ++bag) {
        const std::size_t first =
            batch.offsets[t].empty() ? bag : static_cast<std::size_t>(batch.offsets[t][bag]);
        const std::size_t last = batch.offsets[t].empty()
                                     ? bag + 1
                                     : static_cast<std::size_t>(batch.offsets[t][bag + 1]);
        for (std::size_t i = first; i < last; ++i) {
          const float weight = batch.weights[t].empty() ? 1.0f : batch.weights[t][i];
          body(t, batch.ids[t][i], bag * batch.ids.size() + t, weight);
        }
      }
    }
  }

  Options options_;
  std::map<std::pair<std::size_t, std::uint64_t>, PlainRow> rows_;
};

TEST(Full, IsAPlainMapWithExactGradientsBitForBit) {
  for (const bool bags : {true, false}) {
    const BatchShape shape{.size = 100, .tables = 3, .dim = 8, .ids = 3000, .bags = bags};
    const Options options = make_options("full", shape, 0);
    const auto full = make_embedding(options, threads(2));
    PlainTable plain(options);
    for (std::uint64_t step = 0; step < 60; ++step) {
      const TestBatch batch = make_batch(shape, 5, step);
      ASSERT_EQ(look_up(*full, batch, shape.dim), plain.lookup(batch)) << step;
      full->update(batch.tables(), batch.size, batch.gradient);
      plain.update(batch);
    }
    EXPECT_EQ(full->statistics().resident_rows, static_cast<std::int64_t>(plain.size()));
    EXPECT_EQ(full->steps(), 60);
  }
}

TEST(Full, LookingUpAnUnseenIdMakesNoRow) {
  const BatchShape shape;
  const auto full = make_embedding(make_options("full", shape, 0), threads(1));
  const TestBatch batch = make_batch(shape, 1, 1);
  (void)look_up(*full, batch, shape.dim);
  EXPECT_EQ(full->statistics().resident_rows, 0);
}

TEST(Full, TakesFourDimPlusFourBytesARowAndAnIndex) {
  const BatchShape shape{.size = 512, .ids = 200000, .bags = false};
  const auto full = make_embedding(make_options("full", shape, 0), threads(1));
  train(*full, shape, 3, 0, 100);
  const Statistics statistics = full->statistics();
  EXPECT_GT(statistics.resident_rows, 50000);
  EXPECT_EQ(statistics.parts[0].second, statistics.resident_rows * (4 * 16 + 4));
  EXPECT_LE(statistics.memory_bytes, statistics.resident_rows * (4 * 16 + 4 + 40));
}

// Keys by the thousand whose homes are the same few buckets, the last one among them.
std::vector<std::uint64_t> crowded_keys() {
  std::vector<std::uint64_t> keys = {0, 1, UINT64_MAX};
  for (std::uint64_t i = 0; i < 5000; ++i) {
    keys.push_back(mix64(i));
    if (i % 8 == 0) keys.push_back(UINT64_MAX - 1 - i);
    if (i % 16 == 0) keys.push_back((std::uint64_t{1} << 40) + i);
  }
  return keys;
}

TEST(FullIndex, FindsEveryKeyAndNoOtherAsItGrows) {
  MemoryCounter counter;
  MemoryPool memory;
  FullIndex index(&counter, &memory);
  const std::vector<std::uint64_t> keys = crowded_keys();
  for (std::size_t i = 0; i < keys.size(); ++i) {
    ASSERT_EQ(index.find(keys[i]), FullBuckets::kNone) << i;
    index.make_room();
    index.append(keys[i]);
    ASSERT_EQ(index.find(keys[i]), i);
    if (i % 97 != 0) continue;
    for (std::size_t k = 0; k <= i; ++k) ASSERT_EQ(index.find(keys[k]), k);
    ASSERT_EQ(index.find(keys[i] ^ (std::uint64_t{1} << 20)), FullBuckets::kNone);
  }
  EXPECT_EQ(index.size(), keys.size());
  EXPECT_EQ(index.keys(), keys);
  EXPECT_EQ(index.bytes(), counter.bytes());
  EXPECT_LE(index.bytes(), static_cast<std::int64_t>(keys.size() * 26 + 64));
}

TEST(FullIndex, IsReadFromAFileAsItWas) {
  std::vector<std::uint64_t> keys;
  for (const std::uint64_t key : crowded_keys()) {
    const FullSlotArrays made(keys);
    ASSERT_GE(made.keys.size() * 7, keys.size() * 10);
    keys.push_back(key);
    if (keys.size() == 50) break;
  }
  keys = crowded_keys();
  const FullSlotArrays made(keys);
  const FullSlots slots{
      .keys = made.keys.data(), .rows = made.rows.data(), .mask = made.keys.size() - 1};
  for (std::size_t i = 0; i < keys.size(); ++i) ASSERT_EQ(slots.find(keys[i]), i);
  EXPECT_EQ(slots.find(std::uint64_t{1} << 50), FullSlots::kNone);
}

// The rows of ids 0, 3, 6 ... of a full table, live and as a file has them.
class PlainShards {
 public:
  PlainShards(const DenseRowFormat& format, std::uint64_t ids) : format_(format) {
    for (std::size_t s = 0; s < kFullShards; ++s) indices_.emplace_back(&counter_, &memory_);
    for (std::uint64_t id = 0; id < ids; id += 3) {
      const std::uint64_t key = row_key(0, id);
      const std::size_t shard = key % kFullShards;
      const std::size_t row = indices_[shard].size();
      indices_[shard].make_room();
      indices_[shard].append(key);
      if (row % kFullBlockRows == 0) {
        const auto bytes = kFullBlockRows * static_cast<std::size_t>(format.row_bytes());
        blocks_[shard].emplace_back(bytes);
        pointers_[shard].push_back(blocks_[shard].back().data());
      }
      format.initialize(row_of(shard, row), 9, key, 0.7f);
    }
    for (const FullIndex& index : indices_) slots_.emplace_back(index.keys());
  }

  [[nodiscard]] FullReader<FullBuckets> live() const {
    return reader<FullBuckets>([&](std::size_t s) { return indices_[s].view(); });
  }
  [[nodiscard]] FullReader<FullSlots> filed() const {
    return reader<FullSlots>([&](std::size_t s) {
      return FullSlots{.keys = slots_[s].keys.data(),
                       .rows = slots_[s].rows.data(),
                       .mask = slots_[s].keys.size() - 1};
    });
  }
  // sums += weight * row, as plainly as can be.
  void add(std::uint64_t id, float weight, std::span<float> sums) {
    const std::uint64_t key = row_key(0, id);
    const std::size_t shard = key % kFullShards;
    const std::uint32_t row = indices_[shard].find(key);
    std::vector<float> values(sums.size());
    if (row == FullBuckets::kNone) {
      initial_range(kSeed, key, 0, format_.size(), initial_bound(format_.size()), values.data());
    } else {
      format_.read(row_of(shard, row), values.data());
    }
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += weight * values[i];
  }

 private:
  static constexpr std::uint64_t kSeed = 5;

  template <typename Index, typename IndexOf>
  [[nodiscard]] FullReader<Index> reader(IndexOf&& index_of) const {
    FullReader<Index> made{.format = format_, .seed = kSeed, .shards = {}};
    for (std::size_t s = 0; s < kFullShards; ++s) {
      made.shards[s] = {.index = index_of(s),
                        .blocks = pointers_[s].data(),
                        .row_bytes = static_cast<std::size_t>(format_.row_bytes())};
    }
    return made;
  }
  [[nodiscard]] std::uint8_t* row_of(std::size_t shard, std::size_t row) {
    return blocks_[shard][row / kFullBlockRows].data() +
           row % kFullBlockRows * static_cast<std::size_t>(format_.row_bytes());
  }

  DenseRowFormat format_;
  MemoryCounter counter_;
  MemoryPool memory_;
  std::vector<FullIndex> indices_;
  std::vector<FullSlotArrays> slots_;
  std::array<std::vector<std::vector<std::uint8_t>>, kFullShards> blocks_;
  std::array<std::vector<const std::uint8_t*>, kFullShards> pointers_;
};

class FullEveryIsa : public test::EveryTarget {};

TEST_P(FullEveryIsa, PooledSumsAreThoseOfTheRowsInTurn) {
  constexpr std::uint64_t kIds = 16000;
  constexpr std::int64_t kBags = 30;
  const CounterRandom random(17);
  std::uint64_t draws = 0;
  for (const ValueType type : {ValueType::kFloat32, ValueType::kBFloat16, ValueType::kInt8}) {
    for (const int dim : {4, 12, 16, 20, 64, 100}) {
      Options options = make_options("full", {.tables = 1, .dim = dim}, 0);
      options.value_type = type;
      PlainShards shards(DenseRowFormat(options, dim), kIds);
      std::vector<std::uint64_t> ids;
      std::vector<std::int64_t> offsets = {0};
      std::vector<float> weights;
      for (std::int64_t bag = 0; bag < kBags; ++bag) {
        for (auto left = random.below(draws++, 24); left > 0; --left) {
          ids.push_back(random.below(draws++, kIds));
          weights.push_back(static_cast<float>(random.normal(draws++)));
        }
        offsets.push_back(static_cast<std::int64_t>(ids.size()));
      }
      for (const bool weighted : {false, true}) {
        JaggedIds table{.ids = ids, .offsets = offsets, .weights = {}};
        if (weighted) table.weights = weights;
        const auto width = static_cast<std::size_t>(dim);
        std::vector<float> wanted(static_cast<std::size_t>(kBags) * width, 0.0f);
        for (std::size_t bag = 0; bag + 1 < offsets.size(); ++bag) {
          for (auto i = static_cast<std::size_t>(offsets[bag]);
               i < static_cast<std::size_t>(offsets[bag + 1]); ++i) {
            shards.add(ids[i], weighted ? weights[i] : 1.0f,
                       std::span(wanted).subspan(bag * width, width));
          }
        }
        std::vector<float> got(wanted.size(), 7.0f);
        pooled_lookup(shards.live(), std::span(&table, 1), kBags, dim, got, nullptr);
        ASSERT_EQ(got, wanted) << dim << (weighted ? ", weighted" : "");
        std::ranges::fill(got, 7.0f);
        pooled_lookup(shards.filed(), std::span(&table, 1), kBags, dim, got, nullptr);
        ASSERT_EQ(got, wanted) << dim << (weighted ? ", weighted, filed" : ", filed");
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, FullEveryIsa, test::every_target(), test::target_name);

}  // namespace
}  // namespace taut::embedding
