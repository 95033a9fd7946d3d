// method = fiited: the paper's own policy (FIITED, arXiv 2401.04408). Every chunk of every row has
// a utility that grows with each access by the norm of the chunk's gradient and decays with time;
// chunks of low utility make room for others, so a row holds any subset of its chunks.
//
// Virtually hashed: (row, chunk) names a bucket of a few slots, sized for what the budget holds.
// Where the paper has an index into a pool, a slot here holds the chunk itself. A chunk that is
// absent competes for the bucket's slot of lowest utility with probability gradient / utility, so
// what gains utility comes back and a single access does not push out what is often used.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "dense_rows.h"
#include "frozen_form.h"
#include "load_order.h"
#include "registry.h"
#include "state.h"
#include "taut/core/aligned_buffer.h"
#include "taut/core/checked.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::embedding {
namespace {

constexpr std::int64_t kSlots = 8;          // of a bucket
constexpr int kTagBytes = 4;                // 0: free
constexpr int kHeadBytes = 8;               // tag, utility
constexpr std::int64_t kShardBuckets = 64;  // the least worth a shard of its own
constexpr std::int64_t kMostFiitedShards = 64;
constexpr float kMostInflation = 1e6f;  // utilities are rewritten from here on

std::uint64_t chunk_hash(std::uint64_t key, int chunk) noexcept {
  return mix64(key + static_cast<std::uint64_t>(chunk + 1) * 0xA0761D6478BD642Full);
}

/// A tag is never 0: that is a free slot.
std::uint32_t tag_of(std::uint64_t hash) noexcept {
  return static_cast<std::uint32_t>(hash) | 1u;
}

struct Shape {
  int chunk = 0;
  int chunks = 0;
  std::int64_t shards = 1;   // a power of two
  std::int64_t buckets = 1;  // of a shard
};

struct FiitedReader {
  DenseRowFormat format;
  Shape shape;
  int head_bytes = kHeadBytes;  // a frozen slot has its tag alone
  const std::uint8_t* bytes = nullptr;
  float inflation = 1;  // utilities are stored times this

  [[nodiscard]] std::int64_t slot_bytes() const noexcept { return head_bytes + format.row_bytes(); }
  [[nodiscard]] std::uint64_t key(std::size_t table, std::uint64_t id) const noexcept {
    return row_key(table, id);
  }
  [[nodiscard]] std::size_t shard_of(std::uint64_t key) const noexcept {
    return key & static_cast<std::uint64_t>(shape.shards - 1);
  }
  /// Offset of the bucket of a chunk.
  [[nodiscard]] std::int64_t bucket(std::uint64_t key, std::uint64_t hash) const noexcept {
    const auto shard = static_cast<std::int64_t>(shard_of(key));
    const auto index =
        static_cast<std::int64_t>(reduce_range(hash, static_cast<std::uint64_t>(shape.buckets)));
    return (shard * shape.buckets + index) * kSlots * slot_bytes();
  }
  [[nodiscard]] TAUT_INLINE std::uint64_t where(std::uint64_t key) const noexcept {
    for (int k = 0; k < shape.chunks; ++k) {
      __builtin_prefetch(bytes + bucket(key, chunk_hash(key, k)));
    }
    return key;
  }
  /// Offset of the chunk's slot, or -1.
  [[nodiscard]] std::int64_t find(std::uint64_t key, int chunk) const noexcept {
    const std::uint64_t hash = chunk_hash(key, chunk);
    const std::int64_t begin = bucket(key, hash);
    for (std::int64_t i = 0; i < kSlots; ++i) {
      std::uint32_t tag;
      std::memcpy(&tag, bytes + begin + i * slot_bytes(), sizeof(tag));
      if (tag == tag_of(hash)) return begin + i * slot_bytes();
    }
    return -1;
  }
  void add(std::uint64_t key, float weight, float* out, RowAdder& sums) const noexcept {
    for (int k = 0; k < shape.chunks; ++k) {
      const std::int64_t slot = find(key, k);
      if (slot < 0) continue;
      sums.add(format.part(bytes + slot + head_bytes, weight, out + k * shape.chunk));
    }
  }
  [[nodiscard]] bool read_row(std::uint64_t key, RowCopy& copy) const noexcept {
    float sum = 0;
    for (int k = 0; k < shape.chunks; ++k) {
      const std::int64_t slot = find(key, k);
      if (slot < 0) continue;
      format.read(bytes + slot + head_bytes, copy.values.data() + k * shape.chunk);
      copy.mask |= std::uint32_t{1} << k;
      float utility = NAN;
      if (head_bytes == kHeadBytes) std::memcpy(&utility, bytes + slot + kTagBytes, sizeof(float));
      sum += utility / inflation;
    }
    copy.importance = sum / static_cast<float>(std::popcount(copy.mask));
    return copy.mask != 0;
  }
};

struct SavedState {
  float inflation = 1;
  float reserved = 0;
  std::int64_t admitted = 0;
  std::int64_t evicted = 0;
};

struct FiitedHeader {
  std::int64_t tables = 0;
  std::int64_t chunk = 0;
  std::int64_t chunks = 0;
  std::int64_t shards = 0;
  std::int64_t buckets = 0;
  std::int64_t value_type = 0;
};

Shape make_shape(const Options& options, const DenseRowFormat& format) {
  Shape shape{
      .chunk = options.chunk, .chunks = options.dim / options.chunk, .shards = 1, .buckets = 0};
  const std::int64_t bucket = kSlots * (kHeadBytes + format.row_bytes());
  const std::int64_t room = bytes_within(options.budget.count);
  while (shape.shards < kMostFiitedShards && room / bucket / (shape.shards * 2) >= kShardBuckets) {
    shape.shards *= 2;
  }
  shape.buckets = room / bucket / shape.shards;
  if (shape.buckets == 0) {
    throw Error(ErrorKind::kBudget,
                concat(options.budget.count, " bytes hold not one bucket of ", kSlots, " chunks"),
                "embedding.budget", concat("give at least ", rounded_bytes(bucket), " bytes"));
  }
  return shape;
}

class FiitedEmbedding final : public RowwiseEmbedding {
 public:
  FiitedEmbedding(const Options& options, std::shared_ptr<ThreadPool> pool)
      : FiitedEmbedding(options, std::move(pool), DenseRowFormat(options, options.chunk)) {}

  [[nodiscard]] std::int64_t memory_bytes() const noexcept override { return counter_.bytes(); }
  [[nodiscard]] std::int64_t peak_memory_bytes() const noexcept override {
    return counter_.peak_bytes();
  }
  [[nodiscard]] Statistics statistics() const override;
  void save(SectionSink& file, const std::string& prefix) const override;
  void load(const SectionSource& file, const std::string& prefix) override;
  void export_frozen(SectionSink& file, const std::string& prefix) const override;

 protected:
  void sort_ids(std::span<const JaggedIds> tables, std::int64_t batch,
                GradientGrouper& grouper) override {
    grouper.sort(reader_, tables, batch, *pool_);
  }
  void do_lookup(std::span<const JaggedIds> tables, std::int64_t batch,
                 std::span<float> out) const override {
    pooled_lookup(reader_, tables, batch, options_.dim, out, pool_.get());
  }
  void update_shard(int shard, const TouchedRows& rows) override;
  void end_step() override;
  void do_read_rows(std::size_t table, std::span<const std::uint64_t> ids,
                    Rows& rows) const override {
    FiitedReader reader = reader_;
    reader.inflation = inflation_;
    append_rows(reader, table, ids, options_.dim, rows);
  }
  LoadedRows do_load_rows(const Rows& rows) override;

 private:
  struct Counts {
    std::int64_t admitted = 0;
    std::int64_t evicted = 0;
  };
  FiitedEmbedding(const Options& options, std::shared_ptr<ThreadPool> pool,
                  const DenseRowFormat& format)
      : FiitedEmbedding(options, std::move(pool), format, make_shape(options, format)) {}
  FiitedEmbedding(const Options& options, std::shared_ptr<ThreadPool> pool,
                  const DenseRowFormat& format, const Shape& shape)
      : RowwiseEmbedding(options, std::move(pool), static_cast<int>(shape.shards)),
        counts_(static_cast<std::size_t>(shape.shards)),
        reader_{.format = format, .shape = shape} {
    slots_ = AlignedBuffer<std::uint8_t>(
        static_cast<std::size_t>(shape.shards * shape.buckets * kSlots * reader_.slot_bytes()),
        &counter_);
    reader_.bytes = slots_.data();
  }

  [[nodiscard]] float utility(std::int64_t slot) const noexcept {
    float value;
    std::memcpy(&value, slots_.data() + slot + kTagBytes, sizeof(value));
    return value;
  }
  void set_head(std::int64_t slot, std::uint32_t tag, float utility) noexcept {
    std::memcpy(slots_.data() + slot, &tag, sizeof(tag));
    std::memcpy(slots_.data() + slot + kTagBytes, &utility, sizeof(utility));
  }
  [[nodiscard]] std::uint32_t tag(std::int64_t slot) const noexcept {
    std::uint32_t value;
    std::memcpy(&value, slots_.data() + slot, sizeof(value));
    return value;
  }
  // The free slot of a bucket, or else the one of lowest utility.
  [[nodiscard]] std::int64_t cheapest_slot(std::int64_t bucket) const noexcept;
  // Puts a loaded chunk in where its utility is not below what is there.
  void load_chunk(std::uint64_t key, int chunk, const float* values, float utility);
  // The slot that an absent chunk takes over now, or -1.
  std::int64_t enter(std::uint64_t key, int chunk, float norm, RowRandom& random, Counts& counts);
  void update_chunk(std::uint64_t key, int chunk, const float* gradient,
                    const RowOptimizer& optimizer, RowRandom& random, Counts& counts);

  MemoryCounter counter_;
  std::vector<Counts> counts_;
  FiitedReader reader_;
  AlignedBuffer<std::uint8_t> slots_;
  float inflation_ = 1;
};

std::int64_t FiitedEmbedding::cheapest_slot(std::int64_t bucket) const noexcept {
  std::int64_t lowest = bucket;
  for (std::int64_t i = 0; i < kSlots; ++i) {
    const std::int64_t slot = bucket + i * reader_.slot_bytes();
    if (tag(slot) == 0) return slot;
    if (utility(slot) < utility(lowest)) lowest = slot;
  }
  return lowest;
}

void FiitedEmbedding::load_chunk(std::uint64_t key, int chunk, const float* values, float utility) {
  const std::uint64_t hash = chunk_hash(key, chunk);
  std::int64_t slot = reader_.find(key, chunk);
  if (slot < 0) {
    slot = cheapest_slot(reader_.bucket(key, hash));
    if (tag(slot) != 0 && this->utility(slot) >= utility) return;
    Counts& counts = counts_[reader_.shard_of(key)];
    counts.evicted += tag(slot) != 0 ? 1 : 0;
    ++counts.admitted;
  }
  set_head(slot, tag_of(hash), utility);
  RowRandom random = row_random(options_.seed, 0, hash);
  reader_.format.write_start(slots_.data() + slot + kHeadBytes, values, random);
}

LoadedRows FiitedEmbedding::do_load_rows(const Rows& rows) {
  const int chunk = reader_.shape.chunk;
  for (const std::size_t i : load_order(rows, options_.dim)) {
    const std::uint64_t key = row_key(rows.tables[i], rows.ids[i]);
    const std::span<const float> values = row_values(rows, i, options_.dim);
    const float utility = row_importance(rows, i, options_.dim) * inflation_;
    for (int k = 0; k < reader_.shape.chunks; ++k) {
      if (has_chunk(values, k, chunk)) {
        load_chunk(key, k, values.data() + k * chunk, utility);
      } else if (const std::int64_t slot = reader_.find(key, k); slot >= 0) {
        set_head(slot, 0, 0.0f);
      }
    }
  }
  return count_loaded(reader_, rows);
}

std::int64_t FiitedEmbedding::enter(std::uint64_t key, int chunk, float norm, RowRandom& random,
                                    Counts& counts) {
  const std::uint64_t hash = chunk_hash(key, chunk);
  const std::int64_t lowest = cheapest_slot(reader_.bucket(key, hash));
  if (tag(lowest) != 0) {
    if (random.next() * utility(lowest) >= norm) return -1;
    ++counts.evicted;
  }
  ++counts.admitted;
  // It takes over the standing of what it replaced, so that it is not the next to go at once.
  set_head(lowest, tag_of(hash), tag(lowest) != 0 ? std::max(norm, utility(lowest)) : norm);
  std::array<float, kLongestRow> values;
  initial_range(options_.seed, key, chunk * reader_.shape.chunk, reader_.shape.chunk,
                initial_bound(options_.dim), values.data());
  reader_.format.write_start(slots_.data() + lowest + kHeadBytes, values.data(), random);
  return lowest;
}

void FiitedEmbedding::update_chunk(std::uint64_t key, int chunk, const float* gradient,
                                   const RowOptimizer& optimizer, RowRandom& random,
                                   Counts& counts) {
  const int size = reader_.shape.chunk;
  const float norm = std::sqrt(mean_square(gradient, size) * static_cast<float>(size)) * inflation_;
  std::int64_t slot = reader_.find(key, chunk);
  if (slot >= 0) {
    set_head(slot, tag(slot), utility(slot) + norm);
  } else {
    slot = enter(key, chunk, norm, random, counts);
    if (slot < 0) return;
  }
  reader_.format.update(slots_.data() + slot + kHeadBytes, gradient, optimizer, steps_, random);
}

void FiitedEmbedding::update_shard(int shard, const TouchedRows& rows) {
  const RowOptimizer optimizer(options_, learning_rate());
  const auto dim = static_cast<std::size_t>(options_.dim);
  for (std::size_t i = 0; i < rows.keys.size(); ++i) {
    RowRandom random = row_random(options_.seed, steps_, rows.keys[i]);
    for (int k = 0; k < reader_.shape.chunks; ++k) {
      update_chunk(rows.keys[i], k, rows.gradients.data() + i * dim + k * reader_.shape.chunk,
                   optimizer, random, counts_[static_cast<std::size_t>(shard)]);
    }
  }
}

void FiitedEmbedding::end_step() {
  if (options_.decay >= 1 || steps_ % options_.period != 0) return;
  inflation_ = static_cast<float>(inflation_ / options_.decay);  // new utility counts for more
  if (inflation_ < kMostInflation) return;
  for (std::int64_t slot = 0; slot < static_cast<std::int64_t>(slots_.size());
       slot += reader_.slot_bytes()) {
    set_head(slot, tag(slot), utility(slot) / inflation_);
  }
  inflation_ = 1;
}

Statistics FiitedEmbedding::statistics() const {
  Statistics result;
  result.memory_bytes = memory_bytes();
  result.budget_bytes = options_.budget.count;
  result.skipped_updates = skipped_updates_;
  std::int64_t held = 0;
  for (std::int64_t slot = 0; slot < static_cast<std::int64_t>(slots_.size());
       slot += reader_.slot_bytes()) {
    held += tag(slot) != 0 ? 1 : 0;
  }
  // Chunks do not know their rows: what is counted is chunks, as rows of one.
  result.resident_rows = held;
  result.rows_by_width.assign(static_cast<std::size_t>(reader_.shape.chunks) + 1, 0);
  result.rows_by_width[1] = held;
  result.parts = {{"chunks", held * reader_.format.row_bytes()},
                  {"index", held * kHeadBytes},
                  {"free", result.memory_bytes - held * reader_.slot_bytes()}};
  for (const Counts& counts : counts_) {
    result.admitted_rows += counts.admitted;
    result.evicted_rows += counts.evicted;
  }
  return result;
}

void FiitedEmbedding::save(SectionSink& file, const std::string& prefix) const {
  save_options(file, prefix, options_);
  save_progress(file, prefix);
  const Statistics now = statistics();
  save_value(
      file, prefix + "state",
      SavedState{
          .inflation = inflation_, .admitted = now.admitted_rows, .evicted = now.evicted_rows});
  file.add_array(prefix + "slots", slots_.span());
}

void FiitedEmbedding::load(const SectionSource& file, const std::string& prefix) {
  check_saved_options(file, prefix, options_);
  const Progress progress = load_progress(file, prefix);
  const auto state = load_value<SavedState>(file, prefix + "state");
  const auto slots = file.array<std::uint8_t>(prefix + "slots");
  check_section_bytes(file, prefix + "slots", slots_.size(), slots.size());
  if (!(state.inflation >= 1) || !std::isfinite(state.inflation) || !is_count(state.admitted) ||
      !is_count(state.evicted)) {
    throw_damaged(file, prefix + "state", "holds impossible values");
  }
  std::copy(slots.begin(), slots.end(), slots_.begin());
  counts_.assign(counts_.size(), {});
  counts_[0] = {.admitted = state.admitted, .evicted = state.evicted};
  inflation_ = state.inflation;
  set_progress(progress);
}

void FiitedEmbedding::export_frozen(SectionSink& file, const std::string& prefix) const {
  const Shape& shape = reader_.shape;
  file.add(prefix + "method", options_.method);
  save_value(file, prefix + "header",
             FiitedHeader{.tables = static_cast<std::int64_t>(options_.tables.size()),
                          .chunk = shape.chunk,
                          .chunks = shape.chunks,
                          .shards = shape.shards,
                          .buckets = shape.buckets,
                          .value_type = static_cast<std::int64_t>(options_.value_type)});
  file.begin(prefix + "slots");
  const int skipped = reader_.format.state_bytes();
  for (std::int64_t slot = 0; slot < static_cast<std::int64_t>(slots_.size());
       slot += reader_.slot_bytes()) {
    file.append(slots_.data() + slot, kTagBytes);
    file.append(slots_.data() + slot + kHeadBytes + skipped,
                static_cast<std::size_t>(reader_.format.row_bytes() - skipped));
  }
}

class FrozenFiited final : public FrozenForm<FiitedReader> {
 public:
  FrozenFiited(const SectionSource& file, const std::string& prefix)
      : FrozenFiited(file, prefix, load_value<FiitedHeader>(file, prefix + "header")) {}

 private:
  FrozenFiited(const SectionSource& file, const std::string& prefix, const FiitedHeader& header)
      : FrozenForm(
            file, prefix,
            {.format = frozen_format(file, prefix, header.tables,
                                     checked_product({header.chunk, header.chunks}).value_or(-1),
                                     header.value_type, header.chunk),
             .shape = {.chunk = static_cast<int>(header.chunk),
                       .chunks = static_cast<int>(header.chunks),
                       .shards = header.shards,
                       .buckets = header.buckets},
             .head_bytes = kTagBytes}) {
    const std::string name = prefix + "header";
    check_number(file, name, "chunk", header.chunk, 2, kLongestRow);
    check_number(file, name, "chunks", header.chunks, 1, 32);
    check_number(file, name, "shards", header.shards, 1, kMostFiitedShards);
    if ((header.shards & (header.shards - 1)) != 0) {
      throw_damaged(file, name, concat("says shards = ", header.shards, ", no power of 2"));
    }
    const auto slots = file.array<std::uint8_t>(prefix + "slots");
    const std::int64_t bucket = header.shards * kSlots * reader_.slot_bytes();
    const auto most = static_cast<std::int64_t>(slots.size()) / bucket;
    check_number(file, name, "buckets", header.buckets, 1, std::max<std::int64_t>(most, 1));
    check_section_bytes(file, prefix + "slots", static_cast<std::size_t>(header.buckets * bucket),
                        slots.size());
    reader_.bytes = slots.data();
    set_shape(header.tables, static_cast<int>(header.chunk * header.chunks));
  }
};

}  // namespace

std::unique_ptr<Embedding> make_fiited(const Options& options, std::shared_ptr<ThreadPool> pool) {
  return std::make_unique<FiitedEmbedding>(options, std::move(pool));
}

std::unique_ptr<FrozenEmbedding> open_fiited(const SectionSource& file, const std::string& prefix) {
  return std::make_unique<FrozenFiited>(file, prefix);
}

}  // namespace taut::embedding
