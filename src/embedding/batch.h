#pragma once
// What all methods share: pooled lookups over a batch, and gradients grouped by row and shard.

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "taut/core/thread_pool.h"
#include "taut/embedding/embedding.h"

namespace taut::embedding {

/// Pooled sums of a batch into out [batch, tables, dim]. Reader is a method's read-only view:
///   std::uint64_t key(std::size_t table, std::uint64_t id)      what the row is found by
///   void prefetch(std::uint64_t key)                            asks for the row's memory
///   void add(std::uint64_t key, float weight, float* out)       out += weight * row
/// pool may be null: then the caller's thread does all.
template <typename Reader>
void pooled_lookup(const Reader& reader, std::span<const JaggedIds> tables, std::int64_t batch,
                   int dim, std::span<float> out, ThreadPool* pool) {
  constexpr std::int64_t kBags = 256;  // of one table: a task
  constexpr std::int64_t kAhead = 16;  // rows whose memory is on its way
  const auto table_count = static_cast<std::int64_t>(tables.size());
  const std::int64_t ranges = (batch + kBags - 1) / kBags;
  const auto body = [&](std::int64_t task) {
    const auto t = static_cast<std::size_t>(task / ranges);
    const JaggedIds& table = tables[t];
    const std::int64_t first_bag = task % ranges * kBags;
    const std::int64_t end_bag = std::min(batch, first_bag + kBags);
    const std::int64_t end = table.offsets[static_cast<std::size_t>(end_bag)];
    std::array<std::uint64_t, kAhead> keys;
    std::int64_t asked = table.offsets[static_cast<std::size_t>(first_bag)];
    const auto ask = [&] {
      const std::uint64_t key = reader.key(t, table.ids[static_cast<std::size_t>(asked)]);
      reader.prefetch(key);
      keys[static_cast<std::size_t>(asked % kAhead)] = key;
      ++asked;
    };
    const std::int64_t first = asked;
    while (asked < end && asked - first < kAhead) ask();
    for (std::int64_t bag = first_bag; bag < end_bag; ++bag) {
      float* row = out.data() + (bag * table_count + static_cast<std::int64_t>(t)) * dim;
      std::fill_n(row, dim, 0.0f);
      const std::int64_t bag_end = table.offsets[static_cast<std::size_t>(bag + 1)];
      for (std::int64_t i = table.offsets[static_cast<std::size_t>(bag)]; i < bag_end; ++i) {
        const std::uint64_t key = keys[static_cast<std::size_t>(i % kAhead)];
        const float weight =
            table.weights.empty() ? 1.0f : table.weights[static_cast<std::size_t>(i)];
        reader.add(key, weight, row);
        if (asked < end) ask();
      }
    }
  };
  if (pool != nullptr) {
    pool->run(table_count * ranges, body);
  } else {
    for (std::int64_t task = 0; task < table_count * ranges; ++task) body(task);
  }
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

/// Groups a batch's gradients by row. Keeps its memory for the next batch; it is bounded by the
/// batch, not by the table.
class GradientGrouper {
 public:
  explicit GradientGrouper(int shards);

  /// key(table, id) and shard(key) must be pure. Calls update(shard, rows) once for each shard that
  /// has rows, on one thread each; the sums are the same bits for any number of threads.
  void run(std::span<const JaggedIds> tables, std::int64_t batch, int dim,
           std::span<const float> gradient, ThreadPool& pool,
           const std::function<std::uint64_t(std::size_t, std::uint64_t)>& key,
           const std::function<int(std::uint64_t)>& shard,
           const std::function<void(int, const TouchedRows&)>& update);

 private:
  struct Occurrence {
    std::uint64_t key;
    std::uint32_t output;  // bag * tables + table
    float weight;
  };
  struct Scratch {
    std::vector<std::uint64_t> keys;
    std::vector<float> gradients;
    std::vector<std::int32_t> slots;  // open addressing: row number or -1
  };
  void group(std::span<const Occurrence> occurrences, int dim, std::span<const float> gradient,
             Scratch& scratch) const;

  std::vector<Occurrence> occurrences_;
  std::vector<std::size_t> begins_;  // [tasks, shards], then [shards + 1]
  std::vector<Scratch> scratch_;
};

/// A method whose rows are found by one key each and updated by the owner of the key's shard.
class RowwiseEmbedding : public Embedding {
 public:
  [[nodiscard]] std::int64_t steps() const noexcept override { return steps_; }

 protected:
  RowwiseEmbedding(Options options, std::shared_ptr<ThreadPool> pool, int shards);

  [[nodiscard]] virtual std::uint64_t key_of(std::size_t table,
                                             std::uint64_t id) const noexcept = 0;
  [[nodiscard]] virtual int shard_of(std::uint64_t key) const noexcept = 0;
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
