// The loops of elastic tables against the same done row by row, to the bit, for every value type,
// width, kind of key and instruction set of this machine.
#include <gtest/gtest.h>
#include <hwy/targets.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <ostream>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "embedding/elastic_form.h"
#include "taut/core/random.h"

namespace taut::embedding {
namespace {

struct StoreCase {
  std::string name;
  Storage low;
  bool mixed = false;
  bool exact = false;
  bool sketch = false;
  int chunk = 4;
  int chunks = 4;
  int page_bytes = 128;
  std::int64_t pages = 24;
  std::int64_t pool_slots = 0;
  Optimizer optimizer = Optimizer::kRowwiseAdagrad;
  double l2 = 0.01;
};

void PrintTo(const StoreCase& one, std::ostream* stream) {
  *stream << one.name;
}

using Case = std::tuple<StoreCase, std::int64_t>;

// A copy of bytes that begins, or ends, where memory does that may be read.
class GuardedBytes {
 public:
  GuardedBytes(std::span<const std::uint8_t> bytes, bool at_begin) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t inner = (bytes.size() + page - 1) / page * page;
    size_ = inner + 2 * page;
    map_ = mmap(nullptr, size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map_ == MAP_FAILED) throw std::bad_alloc();
    std::uint8_t* begin = static_cast<std::uint8_t*>(map_) + page;
    if (mprotect(begin, inner, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
    data_ = at_begin ? begin : begin + inner - bytes.size();
    std::memcpy(data_, bytes.data(), bytes.size());
  }
  GuardedBytes(const GuardedBytes&) = delete;
  GuardedBytes& operator=(const GuardedBytes&) = delete;
  ~GuardedBytes() { munmap(map_, size_); }
  [[nodiscard]] const std::uint8_t* data() const noexcept { return data_; }

 private:
  void* map_;
  std::size_t size_ = 0;
  std::uint8_t* data_ = nullptr;
};

class ElasticEveryIsa : public testing::TestWithParam<Case> {
 protected:
  ElasticEveryIsa()
      : store_(std::get<0>(GetParam())),
        layout_{.page_bytes = store_.page_bytes,
                .chunk = store_.chunk,
                .chunks = store_.chunks,
                .low = store_.low,
                .high = store_.mixed ? Storage::kInt16 : store_.low,
                .mixed = store_.mixed,
                .exact = store_.exact,
                .value_state =
                    store_.optimizer == Optimizer::kAdagrad || store_.optimizer == Optimizer::kAdam,
                .row_state = store_.optimizer == Optimizer::kAdam},
        optimizer_(options()),
        rule_(layout_, 1.0, 8.0, 0.2) {
    sizes_.pages = store_.pages;
    sizes_.pool_slots = store_.pool_slots;
    sizes_.sketch_counters = store_.sketch ? 256 : 0;
    sizes_.registers = store_.sketch ? 64 : 0;
    sizes_.granule_bits = ShardSizes::bits_for(sizes_.pages);
    context_ = {.seed = 3,
                .step = 0,
                .sketch = store_.sketch,
                .optimizer = &optimizer_,
                .cold_learning_rate = 0.3f,
                .initial_accumulator = 0.2f,
                .epsilon = 1e-8f,
                .bound = 0.25f,
                .inflation = 1.5f,
                .rule = &rule_};
  }
  void SetUp() override { hwy::SetSupportedTargetsForTest(std::get<1>(GetParam())); }
  void TearDown() override { hwy::SetSupportedTargetsForTest(0); }

  [[nodiscard]] Options options() const {
    Options options;
    options.optimizer = store_.optimizer;
    options.learning_rate = 0.4;
    options.initial_accumulator = 0.2;
    options.epsilon = 1e-8;
    options.l2 = store_.l2;
    return options;
  }
  [[nodiscard]] int dim() const { return layout_.dim(); }

  // Distinct keys, often the same ones, and gradients of very different sizes.
  void draw(std::size_t most) {
    keys_.clear();
    gradients_.clear();
    std::set<std::uint64_t> seen;
    const auto rows = random_.below(draws_++, most + 1);
    while (keys_.size() < rows) {
      const double u = random_.uniform(draws_++);
      const std::uint64_t key = row_key(0, static_cast<std::uint64_t>(600 * u * u));
      if (!seen.insert(key).second) continue;
      keys_.push_back(key);
      const double size = random_.uniform(draws_++) < 0.1 ? 3.0 : 0.3;
      for (int i = 0; i < dim(); ++i) {
        gradients_.push_back(static_cast<float>(random_.normal(draws_++) * size));
      }
    }
  }
  void train(ElasticShard& shard, int step) {
    context_.step = step;
    draw(60);
    shard.update_rows({.keys = keys_, .gradients = gradients_}, context_);
  }
  void choose_threshold(const ElasticShard& shard) {
    ImportanceHistogram rows{};
    const std::int64_t pages = shard.sample(rows, 1000, 0);
    const auto room = static_cast<double>(pages * (layout_.page_bytes - 4));
    rule_.set_threshold_code(rule_.solve(rows, 0.97 * room));
  }

  // out += weight * what the shard holds of the row, the pool's values for the rest.
  void add_plain(const ShardView& shard, std::uint64_t key, float weight, float* out) const {
    std::vector<float> values(static_cast<std::size_t>(dim()), 0.0f);
    const int width = shard.read(key, values.data()).width;
    int known = width * layout_.chunk;
    for (int k = width; shard.has_pool() && k < layout_.chunks; ++k) {
      const std::uint8_t* slot = shard.pool_slot(key, k);
      read_values_reference(layout_.low, slot + ShardView::kSlotHeadBytes,
                            ScaleCode::step(slot[0], layout_.low), layout_.chunk,
                            values.data() + k * layout_.chunk);
      known += layout_.chunk;
    }
    for (int i = 0; i < known; ++i) out[i] += weight * values[static_cast<std::size_t>(i)];
  }

  // Looks up bags of none to some ids, ids that were never seen among them.
  void expect_sums_of_rows(const std::vector<ShardView>& shards, std::int64_t bags) {
    const ElasticReader reader{.layout = &layout_, .shards = shards, .inflation = 1};
    std::vector<std::uint64_t> ids;
    std::vector<float> weights;
    std::vector<std::int64_t> offsets = {0};
    for (std::int64_t bag = 0; bag < bags; ++bag) {
      for (auto left = random_.below(draws_++, 40); left > 0; --left) {
        ids.push_back(random_.below(draws_++, 700));
        weights.push_back(static_cast<float>(random_.normal(draws_++)));
      }
      offsets.push_back(static_cast<std::int64_t>(ids.size()));
    }
    for (const bool weighted : {false, true}) {
      const JaggedIds table{
          .ids = ids,
          .offsets = offsets,
          .weights = weighted ? std::span<const float>(weights) : std::span<const float>()};
      const auto width = static_cast<std::size_t>(dim());
      std::vector<float> wanted(static_cast<std::size_t>(bags) * width, 0.0f);
      std::vector<float> got(wanted.size(), 7.0f);
      for (std::size_t bag = 0; bag + 1 < offsets.size(); ++bag) {
        for (auto i = static_cast<std::size_t>(offsets[bag]);
             i < static_cast<std::size_t>(offsets[bag + 1]); ++i) {
          const std::uint64_t key = row_key(0, ids[i]);
          add_plain(shards[reader.shard_of(key)], key, weighted ? weights[i] : 1.0f,
                    wanted.data() + bag * width);
        }
      }
      pooled_lookup(reader, std::span(&table, 1), bags, dim(), got, nullptr);
      ASSERT_EQ(got, wanted) << bags << " bags of " << shards.size() << " shards";
    }
  }

  StoreCase store_;
  PageLayout layout_;
  RowOptimizer optimizer_;
  WidthRule rule_;
  ShardSizes sizes_;
  StepContext context_;
  CounterRandom random_{11};
  std::uint64_t draws_ = 0;
  std::vector<std::uint64_t> keys_;
  std::vector<float> gradients_;
};

TEST_P(ElasticEveryIsa, RowsTrainedTogetherAreThoseTrainedInTurn) {
  ElasticShard together(sizes_, &layout_, nullptr, 1);
  ElasticShard in_turn(sizes_, &layout_, nullptr, 1);
  for (int step = 1; step <= 120; ++step) {
    train(together, step);
    for (std::size_t i = 0; i < keys_.size(); ++i) {
      in_turn.update(keys_[i], gradients_.data() + i * static_cast<std::size_t>(dim()), context_);
    }
    ASSERT_TRUE(std::ranges::equal(together.bytes(), in_turn.bytes())) << "step " << step;
    if (step % 10 == 0) choose_threshold(together);
    ASSERT_EQ(together.counts().admitted, in_turn.counts().admitted);
    ASSERT_EQ(together.counts().evicted, in_turn.counts().evicted);
  }
  EXPECT_GT(together.counts().admitted, 20);
  EXPECT_GT(together.counts().evicted, 5);
}

TEST_P(ElasticEveryIsa, PooledSumsAreThoseOfTheRowsInTurn) {
  ElasticShard shard(sizes_, &layout_, nullptr, 1);
  for (int step = 1; step <= 60; ++step) {
    train(shard, step);
    if (step % 6 != 0) continue;
    choose_threshold(shard);
    expect_sums_of_rows({shard}, step == 60 ? 300 : 7);
  }
}

TEST_P(ElasticEveryIsa, RowsOfSeveralShardsAreFoundWhetherOrNotTheseAreAlike) {
  for (const std::int64_t more_pages : {0, 5}) {
    std::vector<ElasticShard> shards;
    for (int i = 0; i < 4; ++i) {
      ShardSizes sizes = sizes_;
      sizes.pages += i * more_pages;
      sizes.granule_bits = ShardSizes::bits_for(sizes.pages);
      shards.emplace_back(sizes, &layout_, nullptr, 1);
      for (int step = 1; step <= 12; ++step) train(shards.back(), step);
    }
    for (const std::int64_t bags : {0, 1, 2, 40}) {
      expect_sums_of_rows({shards.begin(), shards.end()}, bags);
    }
  }
}

TEST_P(ElasticEveryIsa, NothingIsReadFarFromPages) {
  ElasticShard shard(sizes_, &layout_, nullptr, 1);
  for (int step = 1; step <= 24; ++step) train(shard, step);
  const GuardedBytes first(shard.bytes(), true);
  const GuardedBytes last(shard.bytes(), false);
  expect_sums_of_rows({ShardView(first.data(), sizes_, &layout_)}, 20);
  expect_sums_of_rows({ShardView(last.data(), sizes_, &layout_)}, 20);
}

constexpr Optimizer kAdagrad = Optimizer::kAdagrad;
constexpr Optimizer kAdam = Optimizer::kAdam;

INSTANTIATE_TEST_SUITE_P(
    Stores, ElasticEveryIsa,
    testing::Combine(
        testing::Values(
            StoreCase{.name = "fp32", .low = Storage::kFloat32},
            StoreCase{.name = "bf16_sketch", .low = Storage::kBFloat16, .sketch = true},
            StoreCase{.name = "fp16", .low = Storage::kFloat16},
            StoreCase{.name = "int8", .low = Storage::kInt8},
            StoreCase{.name = "mixed", .low = Storage::kInt8, .mixed = true},
            StoreCase{.name = "mixed_sketch", .low = Storage::kInt8, .mixed = true, .sketch = true},
            StoreCase{.name = "mixed_exact", .low = Storage::kInt8, .mixed = true, .exact = true},
            StoreCase{.name = "mixed_pool", .low = Storage::kInt8, .mixed = true, .pool_slots = 37},
            StoreCase{.name = "mixed_adagrad",
                      .low = Storage::kInt8,
                      .mixed = true,
                      .optimizer = kAdagrad},
            StoreCase{
                .name = "fp32_adagrad", .low = Storage::kFloat32, .optimizer = kAdagrad, .l2 = 0},
            StoreCase{
                .name = "mixed_adam", .low = Storage::kInt8, .mixed = true, .optimizer = kAdam},
            StoreCase{.name = "bf16_adam_exact",
                      .low = Storage::kBFloat16,
                      .exact = true,
                      .chunk = 10,
                      .chunks = 2,
                      .page_bytes = 256,
                      .optimizer = kAdam,
                      .l2 = 0},
            StoreCase{.name = "fp32_pool_whole_rows",
                      .low = Storage::kFloat32,
                      .chunk = 12,
                      .chunks = 1,
                      .page_bytes = 256,
                      .pool_slots = 37},
            StoreCase{.name = "int8_pool_adam",
                      .low = Storage::kInt8,
                      .pool_slots = 37,
                      .optimizer = kAdam},
            StoreCase{.name = "mixed_whole_rows",
                      .low = Storage::kInt8,
                      .mixed = true,
                      .chunk = 12,
                      .chunks = 1},
            StoreCase{
                .name = "mixed_odd_pages", .low = Storage::kInt8, .mixed = true, .page_bytes = 131},
            StoreCase{.name = "mixed_less_than_a_line",
                      .low = Storage::kInt8,
                      .mixed = true,
                      .page_bytes = 61,
                      .pages = 40},
            StoreCase{.name = "mixed_long",
                      .low = Storage::kInt8,
                      .mixed = true,
                      .chunk = 36,
                      .chunks = 14,
                      .page_bytes = 2048},
            StoreCase{.name = "int8_many_rows",
                      .low = Storage::kInt8,
                      .chunk = 4,
                      .chunks = 5,
                      .page_bytes = 1024,
                      .pages = 3}),
        testing::ValuesIn(hwy::SupportedAndGeneratedTargets())),
    [](const auto& one) {
      return std::get<0>(one.param).name + "_" + hwy::TargetName(std::get<1>(one.param));
    });

}  // namespace
}  // namespace taut::embedding
