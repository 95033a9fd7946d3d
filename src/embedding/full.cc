// method = full: every id seen has a row of its own; grows as ids come.
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <utility>
#include <vector>

#include "dealt_shards.h"
#include "dense_rows.h"
#include "dense_update.h"
#include "frozen_form.h"
#include "full_form.h"
#include "full_index.h"
#include "load_order.h"
#include "registry.h"
#include "state.h"
#include "taut/core/aligned_buffer.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::embedding {
namespace {

class FullShard {
 public:
  FullShard(const DenseRowFormat& format, MemoryCounter* counter, MemoryPool* memory)
      : row_bytes_(static_cast<std::size_t>(format.row_bytes())),
        counter_(counter),
        memory_(memory),
        index_(counter, memory) {}

  [[nodiscard]] FullView<FullBuckets> view() const noexcept {
    return {.index = index_.view(), .blocks = pointers_.data(), .row_bytes = row_bytes_};
  }
  [[nodiscard]] const FullIndex& index() const noexcept { return index_; }
  [[nodiscard]] std::size_t size() const noexcept { return index_.size(); }
  /// The key's row, or null.
  [[nodiscard]] std::uint8_t* find(std::uint64_t key) noexcept {
    const std::uint32_t found = index_.find(key);
    return found == FullBuckets::kNone ? nullptr : row(found);
  }
  /// Adds a row for a key that has none; the caller writes its bytes. Rows never move.
  std::uint8_t* append(std::uint64_t key) {
    index_.make_room();
    if (size() % kFullBlockRows == 0) {
      AlignedBuffer<std::uint8_t> block(kFullBlockRows * row_bytes_, counter_, memory_);
      blocks_.reserve(std::bit_ceil(blocks_.size() + 1));  // from here on nothing can fail
      pointers_.reserve(std::bit_ceil(blocks_.size() + 1));
      blocks_.push_back(std::move(block));
      pointers_.push_back(blocks_.back().data());
    }
    index_.append(key);
    return row(size() - 1);
  }

 private:
  [[nodiscard]] std::uint8_t* row(std::size_t number) noexcept {
    return blocks_[number / kFullBlockRows].data() + number % kFullBlockRows * row_bytes_;
  }

  std::size_t row_bytes_;
  MemoryCounter* counter_;
  MemoryPool* memory_;
  FullIndex index_;
  std::vector<AlignedBuffer<std::uint8_t>> blocks_;
  std::vector<const std::uint8_t*> pointers_;
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

class FullEmbedding final : public LiveForm<FullEmbedding, RowwiseEmbedding> {
 public:
  /// peers: null, or those of whose collection this is a part; shards of others hold no row.
  FullEmbedding(const Options& options, std::shared_ptr<ThreadPool> pool,
                std::shared_ptr<Peers> peers)
      : LiveForm(options, std::move(pool), kFullShards),
        dealt_(kFullShards, std::move(peers)),
        format_(options, options.dim),
        shards_(empty_shards()) {}

  [[nodiscard]] const Dealt& dealt() const noexcept { return dealt_; }
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
      index += shard.index().bytes();
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
      const std::vector<std::uint64_t>& keys = shards_[s].index().keys();
      const auto index = static_cast<std::int64_t>(s);
      file.begin(shard_name(prefix, s, "keys"));
      dealt_.append(file, index, std::as_bytes(std::span(keys)));
      if (!dealt_.is_divided()) {
        write_rows(file, shard_name(prefix, s, "rows"), shards_[s], 0);
        continue;
      }
      file.begin(shard_name(prefix, s, "rows"));
      dealt_.append(file, index, gathered_rows(shards_[s]));
    }
  }

  void load(const SectionSource& file, const std::string& prefix) override {
    check_saved_options(file, prefix, options_);
    const Progress progress = load_progress(file, prefix);
    const auto row_bytes = static_cast<std::size_t>(format_.row_bytes());
    std::vector<FullShard> loaded = empty_shards();
    for (std::size_t s = 0; s < kFullShards; ++s) {
      if (!dealt_.is_mine(static_cast<std::int64_t>(s))) continue;
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
      const FullSlotArrays slots(shards_[s].index().keys());
      file.add_array(shard_name(prefix, s, "keys"), std::span<const std::uint64_t>(slots.keys));
      file.add_array(shard_name(prefix, s, "index"), std::span<const std::uint32_t>(slots.rows));
      write_rows(file, shard_name(prefix, s, "rows"), shards_[s],
                 static_cast<std::size_t>(format_.state_bytes()));
    }
  }

 protected:
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
    constexpr std::size_t kAhead = 16;  // keys whose buckets are on their way
    FullShard& owned = shards_[static_cast<std::size_t>(shard)];
    const RowOptimizer optimizer(options_, learning_rate());
    DenseUpdater steps({.optimizer = &optimizer, .seed = options_.seed, .step = steps_});
    const auto dim = static_cast<std::size_t>(options_.dim);
    for (std::size_t i = 0; i < rows.keys.size(); ++i) {
      if (i + kAhead < rows.keys.size()) owned.index().view().prefetch(rows.keys[i + kAhead]);
      const std::uint64_t key = rows.keys[i];
      std::uint8_t* row = owned.find(key);
      if (row == nullptr) {
        row = owned.append(key);
        format_.initialize(row, options_.seed, key, initial_bound(options_.dim));
      }
      steps.add({.row = row,
                 .gradient = rows.gradients.data() + i * dim,
                 .name = key,
                 .format = &format_});
    }
    steps.flush();
  }

 private:
  friend LiveForm;

  [[nodiscard]] FullReader<FullBuckets> reader() const {
    FullReader<FullBuckets> reader{.format = format_,
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
    const auto view = shard.view();
    file.begin(name);
    for (std::size_t i = 0; i < shard.size(); ++i) {
      file.append(view.row(i) + skip, view.row_bytes - skip);
    }
  }

  // The rows in order, side by side.
  [[nodiscard]] static std::vector<std::byte> gathered_rows(const FullShard& shard) {
    const auto view = shard.view();
    std::vector<std::byte> bytes(shard.size() * view.row_bytes);
    for (std::size_t i = 0; i < shard.size(); ++i) {
      std::memcpy(bytes.data() + i * view.row_bytes, view.row(i), view.row_bytes);
    }
    return bytes;
  }

  Dealt dealt_;  // the shards
  DenseRowFormat format_;
  MemoryCounter counter_;
  MemoryPool memory_;
  std::vector<FullShard> shards_;
};

class FrozenFull final : public FrozenForm<FullReader<FullSlots>> {
 public:
  FrozenFull(const SectionSource& file, const std::string& prefix)
      : FrozenFull(file, prefix, load_value<FullHeader>(file, prefix + "header")) {}

 private:
  FrozenFull(const SectionSource& file, const std::string& prefix, const FullHeader& header)
      : FrozenForm(
            file, prefix, header,
            {.format = frozen_format(file, prefix, header), .seed = header.seed, .shards = {}}) {
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
      for (std::size_t i = 0; i < count; i += kFullBlockRows) {
        pointers_[s].push_back(rows.data() + i * row_bytes);
      }
      reader_.shards[s] = {
          .index = {.keys = keys.data(), .rows = index.data(), .mask = index.size() - 1},
          .blocks = pointers_[s].data(),
          .row_bytes = row_bytes};
    }
  }

  std::array<std::vector<const std::uint8_t*>, kFullShards> pointers_;
};

}  // namespace

EmbeddingPart make_full_part(const Options& options, std::shared_ptr<ThreadPool> pool,
                             std::shared_ptr<Peers> peers) {
  auto rows = std::make_unique<FullEmbedding>(options, std::move(pool), std::move(peers));
  const Dealt& dealt = rows->dealt();
  return {.rows = std::move(rows), .owner = [dealt](std::size_t table, std::uint64_t id) {
            return dealt.owner(static_cast<std::int64_t>(row_key(table, id) % kFullShards));
          }};
}

std::unique_ptr<FrozenEmbedding> open_full(const SectionSource& file, const std::string& prefix) {
  return std::make_unique<FrozenFull>(file, prefix);
}

}  // namespace taut::embedding
