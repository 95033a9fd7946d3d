// method = full: every id seen has a row of its own; grows as ids come.
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <utility>
#include <vector>

#include "dense_rows.h"
#include "frozen_form.h"
#include "load_order.h"
#include "registry.h"
#include "state.h"
#include "taut/core/aligned_buffer.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::embedding {
namespace {

constexpr std::size_t kFullShards = 16;
constexpr std::size_t kBlockRows = 256;
constexpr std::size_t kFirstSlots = 64;

/// Open addressing from key to row, and blocks of rows; live or mapped.
struct FullView {
  const std::uint64_t* keys = nullptr;
  const std::uint32_t* rows = nullptr;  // row + 1; 0: free slot
  std::uint64_t mask = 0;
  const std::uint8_t* const* blocks = nullptr;
  std::size_t row_bytes = 0;

  [[nodiscard]] std::uint64_t first_slot(std::uint64_t key) const noexcept {
    return (key >> 8) & mask;
  }
  /// The key's slot, or the free one where it belongs.
  [[nodiscard]] std::uint64_t slot(std::uint64_t key) const noexcept {
    std::uint64_t slot = first_slot(key);
    while (rows[slot] != 0 && keys[slot] != key) slot = (slot + 1) & mask;
    return slot;
  }
  [[nodiscard]] const std::uint8_t* row(std::size_t index) const noexcept {
    return blocks[index / kBlockRows] + index % kBlockRows * row_bytes;
  }
  [[nodiscard]] const std::uint8_t* find(std::uint64_t key) const noexcept {
    const std::uint32_t found = rows[slot(key)];
    return found == 0 ? nullptr : row(found - 1);
  }
  void prefetch(std::uint64_t key) const noexcept {
    __builtin_prefetch(rows + first_slot(key));
    __builtin_prefetch(keys + first_slot(key));
  }
};

struct FullReader {
  DenseRowFormat format;
  std::uint64_t seed;
  std::array<FullView, kFullShards> shards;
  std::uint32_t mask = 1;  // of a whole row

  [[nodiscard]] std::uint64_t key(std::size_t table, std::uint64_t id) const noexcept {
    return row_key(table, id);
  }
  [[nodiscard]] std::size_t shard_of(std::uint64_t key) const noexcept { return key % kFullShards; }
  [[nodiscard]] std::uint64_t where(std::uint64_t key) const noexcept {
    shards[shard_of(key)].prefetch(key);
    return key;
  }
  void add(std::uint64_t key, float weight, float* out, RowAdder& sums) const noexcept {
    if (const std::uint8_t* row = shards[shard_of(key)].find(key)) {
      sums.add(format.part(row, weight, out));
      return;
    }
    const std::span<float> values = sums.room(format.size());
    initial_range(seed, key, 0, format.size(), initial_bound(format.size()), values.data());
    sums.add(values, weight, out);
  }
  [[nodiscard]] bool read_row(std::uint64_t key, RowCopy& copy) const noexcept {
    const std::uint8_t* row = shards[shard_of(key)].find(key);
    if (row == nullptr) return false;
    format.read(row, copy.values.data());
    copy.mask = mask;
    copy.importance = format.importance(row);
    return true;
  }
};

class FullShard {
 public:
  FullShard(const DenseRowFormat& format, MemoryCounter* counter, MemoryPool* memory)
      : row_bytes_(static_cast<std::size_t>(format.row_bytes())),
        counter_(counter),
        memory_(memory) {
    rehash(kFirstSlots);
  }

  [[nodiscard]] FullView view() const noexcept {
    return {.keys = keys_.data(),
            .rows = rows_.data(),
            .mask = rows_.size() - 1,
            .blocks = pointers_.data(),
            .row_bytes = row_bytes_};
  }
  /// The key's row, or null.
  [[nodiscard]] std::uint8_t* find(std::uint64_t key) noexcept {
    const std::uint32_t found = rows_[view().slot(key)];
    return found == 0 ? nullptr : row(found - 1);
  }
  /// Adds a row for a key that has none; the caller writes its bytes.
  std::uint8_t* append(std::uint64_t key) {
    if ((size_ + 1) * 10 > rows_.size() * 7) rehash(rows_.size() * 2);
    if (size_ % kBlockRows == 0) {
      AlignedBuffer<std::uint8_t> block(kBlockRows * row_bytes_, counter_, memory_);
      blocks_.reserve(std::bit_ceil(blocks_.size() + 1));  // from here on nothing can fail
      pointers_.reserve(std::bit_ceil(blocks_.size() + 1));
      blocks_.push_back(std::move(block));
      pointers_.push_back(blocks_.back().data());
    }
    const std::uint64_t slot = view().slot(key);
    keys_[slot] = key;
    rows_[slot] = static_cast<std::uint32_t>(++size_);
    return row(size_ - 1);
  }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t slots() const noexcept { return rows_.size(); }
  [[nodiscard]] std::int64_t index_bytes() const noexcept { return keys_.bytes() + rows_.bytes(); }
  /// Keys in the order of their rows.
  [[nodiscard]] std::vector<std::uint64_t> keys() const {
    std::vector<std::uint64_t> ordered(size_);
    for (std::size_t slot = 0; slot < rows_.size(); ++slot) {
      if (rows_[slot] != 0) ordered[rows_[slot] - 1] = keys_[slot];
    }
    return ordered;
  }

 private:
  [[nodiscard]] std::uint8_t* row(std::size_t index) noexcept {
    return blocks_[index / kBlockRows].data() + index % kBlockRows * row_bytes_;
  }
  void rehash(std::size_t slots) {
    AlignedBuffer<std::uint64_t> old_keys(slots, counter_, memory_);
    AlignedBuffer<std::uint32_t> old_rows(slots, counter_, memory_);
    keys_.swap(old_keys);
    rows_.swap(old_rows);
    for (std::size_t i = 0; i < old_rows.size(); ++i) {
      if (old_rows[i] == 0) continue;
      const std::uint64_t slot = view().slot(old_keys[i]);
      keys_[slot] = old_keys[i];
      rows_[slot] = old_rows[i];
    }
  }

  std::size_t row_bytes_;
  MemoryCounter* counter_;
  MemoryPool* memory_;
  AlignedBuffer<std::uint64_t> keys_;
  AlignedBuffer<std::uint32_t> rows_;
  std::vector<AlignedBuffer<std::uint8_t>> blocks_;
  std::vector<const std::uint8_t*> pointers_;
  std::size_t size_ = 0;
};

struct FullHeader {
  std::int64_t tables = 0;
  std::uint64_t seed = 0;
  std::int32_t dim = 0;
  std::int32_t chunk = 0;  // 0: not kept, by earlier versions
  std::int64_t value_type = 0;
};

std::string shard_name(const std::string& prefix, std::size_t shard, const char* part) {
  return concat(prefix, "shard/", shard, "/", part);
}

class FullEmbedding final : public RowwiseEmbedding {
 public:
  FullEmbedding(const Options& options, std::shared_ptr<ThreadPool> pool)
      : RowwiseEmbedding(options, std::move(pool), kFullShards),
        format_(options, options.dim),
        shards_(empty_shards()) {}

  [[nodiscard]] std::int64_t memory_bytes() const noexcept override { return counter_.bytes(); }
  [[nodiscard]] std::int64_t peak_memory_bytes() const noexcept override {
    return counter_.peak_bytes();
  }

  [[nodiscard]] Statistics statistics() const override {
    Statistics result;
    result.memory_bytes = memory_bytes();
    result.skipped_updates = skipped_updates_;
    std::int64_t index = 0;
    for (const FullShard& shard : shards_) {
      result.resident_rows += static_cast<std::int64_t>(shard.size());
      index += shard.index_bytes();
    }
    const std::int64_t rows = result.resident_rows * format_.row_bytes();
    result.parts = {{"rows", rows}, {"index", index}, {"free", result.memory_bytes - rows - index}};
    result.rows_by_width.assign(static_cast<std::size_t>(options_.dim / options_.chunk) + 1, 0);
    result.rows_by_width.back() = result.resident_rows;
    result.admitted_rows = result.resident_rows;
    return result;
  }

  void save(SectionSink& file, const std::string& prefix) const override {
    save_options(file, prefix, options_);
    save_progress(file, prefix);
    for (std::size_t s = 0; s < kFullShards; ++s) {
      file.add_array(shard_name(prefix, s, "keys"),
                     std::span<const std::uint64_t>(shards_[s].keys()));
      write_rows(file, shard_name(prefix, s, "rows"), shards_[s], 0);
    }
  }

  void load(const SectionSource& file, const std::string& prefix) override {
    check_saved_options(file, prefix, options_);
    const Progress progress = load_progress(file, prefix);
    const auto row_bytes = static_cast<std::size_t>(format_.row_bytes());
    std::vector<FullShard> loaded = empty_shards();
    for (std::size_t s = 0; s < kFullShards; ++s) {
      const auto keys = file.array<std::uint64_t>(shard_name(prefix, s, "keys"));
      const auto rows = file.array<std::uint8_t>(shard_name(prefix, s, "rows"));
      check_section_bytes(file, shard_name(prefix, s, "rows"), keys.size() * row_bytes,
                          rows.size());
      for (std::size_t i = 0; i < keys.size(); ++i) {
        if (keys[i] % kFullShards != s || loaded[s].find(keys[i]) != nullptr) {
          throw_damaged(file, shard_name(prefix, s, "keys"), concat("has a wrong key at ", i));
        }
        std::memcpy(loaded[s].append(keys[i]), rows.data() + i * row_bytes, row_bytes);
      }
    }
    shards_.swap(loaded);
    set_progress(progress);
  }

  void export_frozen(SectionSink& file, const std::string& prefix) const override {
    file.add(prefix + "method", options_.method);
    save_value(file, prefix + "header",
               FullHeader{.tables = static_cast<std::int64_t>(options_.tables.size()),
                          .seed = options_.seed,
                          .dim = options_.dim,
                          .chunk = options_.chunk,
                          .value_type = static_cast<std::int64_t>(options_.value_type)});
    for (std::size_t s = 0; s < kFullShards; ++s) {
      const FullView view = shards_[s].view();
      file.add_array(shard_name(prefix, s, "keys"), std::span(view.keys, shards_[s].slots()));
      file.add_array(shard_name(prefix, s, "index"), std::span(view.rows, shards_[s].slots()));
      write_rows(file, shard_name(prefix, s, "rows"), shards_[s],
                 static_cast<std::size_t>(format_.state_bytes()));
    }
  }

 protected:
  void sort_ids(std::span<const JaggedIds> tables, std::int64_t batch,
                GradientGrouper& grouper) override {
    grouper.sort(reader(), tables, batch, *pool_);
  }
  void do_lookup(std::span<const JaggedIds> tables, std::int64_t batch,
                 std::span<float> out) const override {
    pooled_lookup(reader(), tables, batch, options_.dim, out, pool_.get());
  }
  void do_read_rows(std::size_t table, std::span<const std::uint64_t> ids,
                    Rows& rows) const override {
    append_rows(reader(), table, ids, options_.dim, rows);
  }
  LoadedRows do_load_rows(const Rows& rows) override {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::uint64_t key = row_key(rows.tables[i], rows.ids[i]);
      FullShard& owned = shards_[key % kFullShards];
      std::uint8_t* row = owned.find(key);
      if (row == nullptr) row = owned.append(key);
      RowRandom random = row_random(options_.seed, 0, key);
      format_.write_start(row, row_values(rows, i, options_.dim).data(), random);
      if (!rows.importances.empty()) format_.set_importance(row, rows.importances[i]);
    }
    return {.held = static_cast<std::int64_t>(rows.size()), .left_out = 0};
  }

  void update_shard(int shard, const TouchedRows& rows) override {
    FullShard& owned = shards_[static_cast<std::size_t>(shard)];
    const RowOptimizer optimizer(options_);
    const auto dim = static_cast<std::size_t>(options_.dim);
    for (std::size_t i = 0; i < rows.keys.size(); ++i) {
      const std::uint64_t key = rows.keys[i];
      std::uint8_t* row = owned.find(key);
      if (row == nullptr) {
        row = owned.append(key);
        format_.initialize(row, options_.seed, key, initial_bound(options_.dim));
      }
      RowRandom random = row_random(options_.seed, steps_, key);
      format_.update(row, rows.gradients.data() + i * dim, optimizer, steps_, random);
    }
  }

 private:
  [[nodiscard]] FullReader reader() const {
    FullReader reader{.format = format_,
                      .seed = options_.seed,
                      .shards = {},
                      .mask = prefix_mask(options_.dim / options_.chunk)};
    for (std::size_t s = 0; s < kFullShards; ++s) reader.shards[s] = shards_[s].view();
    return reader;
  }
  [[nodiscard]] std::vector<FullShard> empty_shards() {
    std::vector<FullShard> shards;
    for (std::size_t s = 0; s < kFullShards; ++s) shards.emplace_back(format_, &counter_, &memory_);
    return shards;
  }
  // The rows in order, each without its first `skip` bytes.
  void write_rows(SectionSink& file, const std::string& name, const FullShard& shard,
                  std::size_t skip) const {
    const FullView view = shard.view();
    file.begin(name);
    for (std::size_t i = 0; i < shard.size(); ++i) {
      file.append(view.row(i) + skip, view.row_bytes - skip);
    }
  }

  DenseRowFormat format_;
  MemoryCounter counter_;
  MemoryPool memory_;
  std::vector<FullShard> shards_;
};

class FrozenFull final : public FrozenForm<FullReader> {
 public:
  FrozenFull(const SectionSource& file, const std::string& prefix)
      : FrozenFull(file, prefix, load_value<FullHeader>(file, prefix + "header")) {}

 private:
  FrozenFull(const SectionSource& file, const std::string& prefix, const FullHeader& header)
      : FrozenForm(file, prefix,
                   {.format = frozen_format(file, prefix, header.tables, header.dim,
                                            header.value_type, header.dim),
                    .seed = header.seed,
                    .shards = {}}) {
    set_shape(header.tables, header.dim);
    if (header.chunk > 0) reader_.mask = prefix_mask(header.dim / header.chunk);
    const auto row_bytes = static_cast<std::size_t>(reader_.format.row_bytes());
    for (std::size_t s = 0; s < kFullShards; ++s) {
      const auto keys = file.array<std::uint64_t>(shard_name(prefix, s, "keys"));
      const auto index = file.array<std::uint32_t>(shard_name(prefix, s, "index"));
      const auto rows = file.array<std::uint8_t>(shard_name(prefix, s, "rows"));
      const std::size_t count = rows.size() / row_bytes;
      const bool free_slot = std::find(index.begin(), index.end(), 0u) != index.end();
      if (keys.size() != index.size() || !free_slot || (index.size() & (index.size() - 1)) != 0 ||
          *std::max_element(index.begin(), index.end()) > count) {
        throw_damaged(file, shard_name(prefix, s, "index"), "does not fit its rows");
      }
      for (std::size_t i = 0; i < count; i += kBlockRows) {
        pointers_[s].push_back(rows.data() + i * row_bytes);
      }
      reader_.shards[s] = {.keys = keys.data(),
                           .rows = index.data(),
                           .mask = index.size() - 1,
                           .blocks = pointers_[s].data(),
                           .row_bytes = row_bytes};
    }
  }

  std::array<std::vector<const std::uint8_t*>, kFullShards> pointers_;
};

}  // namespace

std::unique_ptr<Embedding> make_full(const Options& options, std::shared_ptr<ThreadPool> pool) {
  return std::make_unique<FullEmbedding>(options, std::move(pool));
}

std::unique_ptr<FrozenEmbedding> open_full(const SectionSource& file, const std::string& prefix) {
  return std::make_unique<FrozenFull>(file, prefix);
}

}  // namespace taut::embedding
