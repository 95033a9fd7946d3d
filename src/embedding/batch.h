#pragma once
// What all methods share: pooled lookups over a batch, and gradients grouped by row and shard.

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "row_kernels.h"
#include "taut/core/thread_pool.h"
#include "taut/embedding/embedding.h"

namespace taut::embedding {

/// Gathers the runs of values of some rows, asks for their memory, and adds them in their order,
/// some rows later. Two of them never share an output.
class RowAdder {
 public:
  RowAdder() = default;
  RowAdder(const RowAdder&) = delete;
  RowAdder& operator=(const RowAdder&) = delete;
  ~RowAdder() = default;

  /// out [part.size] += weight * values. The values stay where they are until flush().
  void add(const RowPart& part) noexcept {
    const int bytes = part.size * bytes_per_value(part.storage);
    for (int line = 0; line < bytes; line += 64) __builtin_prefetch(part.values + line);
    __builtin_prefetch(part.values + bytes - 1);
    parts_[size_++] = part;
    if (size_ < parts_.size()) return;
    add_parts(std::span(parts_).first(kHalf));
    std::copy(parts_.begin() + kHalf, parts_.end(), parts_.begin());
    size_ = kHalf;
  }
  /// Room for values [size, at most 512] that are nowhere: to be filled before they are added.
  [[nodiscard]] std::span<float> room(int size) noexcept {
    const auto wanted = static_cast<std::size_t>(size);
    if (used_ + wanted > room_.size()) flush();
    used_ += wanted;
    return std::span(room_).subspan(used_ - wanted, wanted);
  }
  /// out += weight * values, which lie in room().
  void add(std::span<const float> values, float weight, float* out) noexcept {
    add({.values = reinterpret_cast<const std::uint8_t*>(values.data()),
         .out = out,
         .scale = 0,
         .weight = weight,
         .size = static_cast<std::int32_t>(values.size()),
         .storage = Storage::kFloat32});
  }
  void flush() noexcept {
    add_parts(std::span(parts_).first(size_));
    size_ = 0;
    used_ = 0;
  }

 private:
  static constexpr std::size_t kHalf = 32;  // rows whose memory is on its way

  std::array<RowPart, 2 * kHalf> parts_;
  std::array<float, 1024> room_;
  std::size_t size_ = 0;
  std::size_t used_ = 0;
};

/// Whether none is infinite or NaN.
[[nodiscard]] bool all_finite(std::span<const float> values) noexcept;

/// Some bags of one table: a task.
struct BagRange {
  std::uint64_t call;  ///< of for_bag_ranges(): no two have the same
  std::size_t table;
  std::int64_t first;
  std::int64_t end;
};

/// Calls body for all bags of all tables. pool may be null: then the caller's thread does all.
void for_bag_ranges(std::size_t tables, std::int64_t batch, ThreadPool* pool,
                    const std::function<void(const BagRange&)>& body);

/// Pooled sums of a batch into out [batch, tables, dim]. Reader is a method's read-only view:
///   std::uint64_t key(std::size_t table, std::uint64_t id)      what the row is found by
///   Where where(std::uint64_t key)      asks for the memory that says where the row is: an address
///   void add(const Where& where, float weight, float* out, RowAdder& sums)    out += weight * row
/// pool: as for_bag_ranges() has it.
template <typename Reader>
void pooled_lookup(const Reader& reader, std::span<const JaggedIds> tables, std::int64_t batch,
                   int dim, std::span<float> out, ThreadPool* pool) {
  constexpr std::int64_t kAhead = 16;  // rows whose memory is on its way
  for_bag_ranges(tables.size(), batch, pool, [&](const BagRange& range) {
    const JaggedIds& table = tables[range.table];
    const std::int64_t end = table.offsets[static_cast<std::size_t>(range.end)];
    std::array<decltype(reader.where(0)), kAhead> places;
    std::int64_t asked = table.offsets[static_cast<std::size_t>(range.first)];
    const auto ask = [&] {
      const std::uint64_t id = table.ids[static_cast<std::size_t>(asked)];
      places[static_cast<std::size_t>(asked % kAhead)] = reader.where(reader.key(range.table, id));
      ++asked;
    };
    RowAdder sums;
    const std::int64_t first = asked;
    while (asked < end && asked - first < kAhead) ask();
    for (std::int64_t bag = range.first; bag < range.end; ++bag) {
      float* row = out.data() + (static_cast<std::size_t>(bag) * tables.size() + range.table) *
                                    static_cast<std::size_t>(dim);
      std::fill_n(row, dim, 0.0f);
      const std::int64_t bag_end = table.offsets[static_cast<std::size_t>(bag + 1)];
      for (std::int64_t i = table.offsets[static_cast<std::size_t>(bag)]; i < bag_end; ++i) {
        const float weight =
            table.weights.empty() ? 1.0f : table.weights[static_cast<std::size_t>(i)];
        reader.add(places[static_cast<std::size_t>(i % kAhead)], weight, row, sums);
        if (asked < end) ask();
      }
    }
    sums.flush();
  });
}

/// Checks ids, offsets and weights of a batch (kInvalidArgument naming the argument) and calls body
/// with tables whose offsets are all there. values: what out or gradient holds; argument: its name.
void with_checked_tables(std::span<const JaggedIds> tables, std::size_t wanted_tables,
                         std::int64_t batch, int dim, std::size_t values, const char* argument,
                         const std::function<void(std::span<const JaggedIds>)>& body);

/// Rows of one shard that a batch touched, each once, in order of first occurrence.
struct TouchedRows {
  std::span<const std::uint64_t> keys;
  std::span<float> gradients;  ///< [rows, dim] summed over the batch in order of occurrence
};

/// Scales each row's gradient down to an L2 norm of at most `most`.
void clip_gradients(const TouchedRows& rows, int dim, float most) noexcept;

/// One id of a batch.
struct Occurrence {
  std::uint64_t key;
  std::uint32_t output;  ///< bag * tables + table
  float weight;
};

/// Sums of gradients by row, each row numbered when it first comes. Keeps its memory for the next
/// batch.
class RowSums {
 public:
  /// Forgets all rows; at most so many occurrences follow.
  void start(std::size_t most, int dim);
  /// Adds weight * gradient[output] for each, in their order. gradient: [outputs, dim].
  void add(std::span<const Occurrence> occurrences, std::span<const float> gradient);
  [[nodiscard]] TouchedRows rows() noexcept { return {.keys = keys_, .gradients = gradients_}; }

 private:
  int dim_ = 0;
  std::vector<std::uint64_t> keys_;
  std::vector<float> gradients_;
  std::vector<GradientPart> parts_;
  std::vector<std::int32_t> slots_;  // open addressing: row number or -1
};

/// Groups a batch's gradients by row. Keeps its memory for the next batch; it is bounded by the
/// batch, not by the table.
class GradientGrouper {
 public:
  explicit GradientGrouper(int shards);

  /// Every id of a batch with its key, by shard. Reader is that of pooled_lookup() with
  ///   std::size_t shard_of(std::uint64_t key)                   below the number of shards
  template <typename Reader>
  void sort(const Reader& reader, std::span<const JaggedIds> tables, std::int64_t batch,
            ThreadPool& pool) {
    begin_sort(tables, batch);
    pool.run(tasks(), [&](std::int64_t task) {
      std::size_t* counts = counts_of(task);
      std::size_t at = first_of(task, tables);
      for_occurrences(task, tables, batch, [&](std::size_t table, std::size_t i, Occurrence found) {
        found.key = reader.key(table, tables[table].ids[i]);
        ++counts[reader.shard_of(found.key)];
        staged_[at++] = found;
      });
    });
    count_shards();
    pool.run(tasks(), [&](std::int64_t task) {
      std::size_t* next = counts_of(task);
      const std::size_t end = first_of(task + 1, tables);
      for (std::size_t i = first_of(task, tables); i < end; ++i) {
        occurrences_[next[reader.shard_of(staged_[i].key)]++] = staged_[i];
      }
    });
  }

  /// Calls update(shard, rows) once for each shard that has rows of the sorted batch, on one thread
  /// each; the sums are the same bits for any number of threads.
  void for_shards(int dim, std::span<const float> gradient, ThreadPool& pool,
                  const std::function<void(int, const TouchedRows&)>& update);

 private:
  static constexpr std::int64_t kBagsPerTask = 1024;

  [[nodiscard]] std::int64_t tasks() const noexcept {
    return ranges_ * static_cast<std::int64_t>(table_begins_.size());
  }
  [[nodiscard]] std::size_t* counts_of(std::int64_t task) noexcept {
    return begins_.data() + static_cast<std::size_t>(task) * sums_.size();
  }
  // Where a task's occurrences begin in the order of tables and bags.
  [[nodiscard]] std::size_t first_of(std::int64_t task,
                                     std::span<const JaggedIds> tables) const noexcept {
    if (task == tasks()) return staged_.size();
    const auto t = static_cast<std::size_t>(task / ranges_);
    const auto bag = static_cast<std::size_t>(task % ranges_ * kBagsPerTask);
    return table_begins_[t] +
           static_cast<std::size_t>(tables[t].offsets[bag] - tables[t].offsets[0]);
  }
  template <typename Body>
  void for_occurrences(std::int64_t task, std::span<const JaggedIds> tables, std::int64_t batch,
                       Body&& body) const {
    const auto t = static_cast<std::size_t>(task / ranges_);
    const JaggedIds& table = tables[t];
    const std::int64_t first = task % ranges_ * kBagsPerTask;
    const std::int64_t last = std::min(batch, first + kBagsPerTask);
    for (std::int64_t bag = first; bag < last; ++bag) {
      const auto output =
          static_cast<std::uint32_t>(static_cast<std::size_t>(bag) * tables.size() + t);
      const auto end = static_cast<std::size_t>(table.offsets[static_cast<std::size_t>(bag + 1)]);
      for (auto i = static_cast<std::size_t>(table.offsets[static_cast<std::size_t>(bag)]); i < end;
           ++i) {
        const float weight = table.weights.empty() ? 1.0f : table.weights[i];
        body(t, i, Occurrence{.key = 0, .output = output, .weight = weight});
      }
    }
  }
  void begin_sort(std::span<const JaggedIds> tables, std::int64_t batch);
  void count_shards();

  std::int64_t ranges_ = 0;  // of bags: tasks of a table
  std::vector<std::size_t> table_begins_;
  std::vector<Occurrence> staged_;       // in the order of tables and bags
  std::vector<Occurrence> occurrences_;  // by shard
  std::vector<std::size_t> begins_;      // [tasks, shards]
  std::vector<std::size_t> shard_begins_;
  std::vector<RowSums> sums_;  // of each shard
};

/// A method whose rows are found by one key each and updated by the owner of the key's shard.
class RowwiseEmbedding : public Embedding {
 public:
  [[nodiscard]] std::int64_t steps() const noexcept override { return steps_; }

 protected:
  RowwiseEmbedding(Options options, std::shared_ptr<ThreadPool> pool, int shards);

  /// Sorts the ids of a batch by key and shard.
  virtual void sort_ids(std::span<const JaggedIds> tables, std::int64_t batch,
                        GradientGrouper& grouper) = 0;
  /// Before any shard of a batch is at work.
  virtual void begin_step() {}
  /// Applies the optimizer to the rows of one shard; other shards may be at work meanwhile.
  virtual void update_shard(int shard, const TouchedRows& rows) = 0;
  /// After all shards are done; steps() is the number of the step just done.
  virtual void end_step() {}

  void do_update(std::span<const JaggedIds> tables, std::int64_t batch,
                 std::span<const float> gradient) final;

  void save_progress(SectionSink& file, const std::string& prefix) const;
  struct Progress {
    std::int64_t steps = 0;
    std::int64_t skipped = 0;
  };
  /// Throws kFormat; set_progress() takes it over when all else is known to fit.
  [[nodiscard]] static Progress load_progress(const SectionSource& file, const std::string& prefix);
  void set_progress(const Progress& progress) noexcept {
    steps_ = progress.steps;
    skipped_updates_ = progress.skipped;
  }

  /// What groups the gradients from the next update on, made for as many shards as there are then.
  void set_grouper(GradientGrouper grouper) noexcept { grouper_ = std::move(grouper); }

  std::int64_t steps_ = 0;

 private:
  GradientGrouper grouper_;
};

}  // namespace taut::embedding
