#pragma once
// Embedding tables that live inside a byte budget while they are trained (FIITED, arXiv
// 2401.04408).

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "taut/core/file.h"
#include "taut/core/jagged.h"
#include "taut/core/thread_pool.h"
#include "taut/embedding/options.h"
#include "taut/embedding/rows.h"

namespace taut::embedding {

using taut::JaggedIds;

/// What a collection holds at one moment.
struct Statistics {
  std::int64_t memory_bytes = 0;  ///< everything, = allocator count
  std::int64_t budget_bytes = 0;  ///< 0: none
  std::vector<std::pair<std::string, std::int64_t>>
      parts;  ///< bytes by part ("values", "index", ...)
  std::int64_t resident_rows = 0;
  std::vector<std::int64_t> rows_by_width;  ///< [chunks + 1] resident rows that hold k chunks
  double threshold = 0;                     ///< importance at which a row is just worth a chunk
  std::int64_t admitted_rows = 0;           ///< since the start
  std::int64_t evicted_rows = 0;            ///< since the start
  double rebalance_seconds = 0;             ///< since the start
  std::int64_t skipped_updates = 0;         ///< left out for a gradient that was not finite
};

/// A collection of tables, one per categorical feature, under one budget.
///
/// Threads: one call at a time; a call spreads its work over the pool given at the start. Results
/// are the same bits for any number of threads.
/// Errors: kInvalidArgument (naming argument and both values) leaves the collection unchanged.
/// Always true: memory_bytes() <= budget, at every moment, for every method but full; what
/// resize_budget() and load() say apart.
/// std::bad_alloc: no const call changes anything. update(), load_rows() and resize_budget() may
/// have been done for some rows and not for others: every row is whole, the budget holds (after
/// resize_budget() the larger of the two) and the next call works. load() leaves the collection as
/// it was, and so does finish_counting() with its counts; md and frequency, where they hold rows of
/// other widths, give these up first and then have to be loaded or counted again.
class Embedding {
 public:
  virtual ~Embedding() = default;
  Embedding(const Embedding&) = delete;
  Embedding& operator=(const Embedding&) = delete;

  [[nodiscard]] const Options& options() const noexcept { return options_; }

  /// out [batch, tables, dim]: pooled sums. Rows that are not held read as the method says
  /// (elastic: zeros or cold pool; full: the row's initial value).
  void lookup(std::span<const JaggedIds> tables, std::int64_t batch, std::span<float> out) const;

  /// One optimizer step with the gradient of the SUMMED loss, gradient [batch, tables, dim], for
  /// the ids of the lookup before. Exact: a row's gradients are summed over the batch first.
  /// Counts as one step; rebalancing happens in here.
  /// A gradient or weight that is not finite: with on_nan = fail kInvalidArgument naming the first
  /// position; with skip the batch is left out and counted. Either way nothing is changed.
  void update(std::span<const JaggedIds> tables, std::int64_t batch,
              std::span<const float> gradient);

  /// Counts a batch as left out: of a part of a collection (taut/embedding/part.h), where another
  /// part has found its gradient not finite.
  void skip_update() noexcept { ++skipped_updates_; }

  /// The rate of the updates to come, for schedules; 0 leaves values as they are. The cold pool's
  /// rate follows in proportion. Not part of what save() writes. kInvalidArgument below 0 and for
  /// what is not finite.
  void set_learning_rate(double rate);
  /// options().learning_rate, or what was set last.
  [[nodiscard]] double learning_rate() const noexcept { return learning_rate_; }

  /// Whether the method needs the popularity of ids before training (md, frequency: "offline"
  /// counts). Then call count() with every batch of a first pass, finish_counting() once, and only
  /// then lookup() and update() (kInvalidArgument before).
  [[nodiscard]] virtual bool wants_counts() const noexcept { return false; }
  /// Adds the ids of a batch to the counts. The counts are outside the budget, and gone after
  /// finish_counting(). kInvalidArgument for methods that do not want them.
  void count(std::span<const JaggedIds> tables, std::int64_t batch);
  virtual void finish_counting();

  /// Changes the budget while training: what matters least goes first, or room is made. On return
  /// memory_bytes() is within it. kBudget if it cannot hold anything, kUnsupported (naming the
  /// method) where rows cannot move; either way nothing is changed.
  /// While it works, at most one shard (1/64 of a large table) is held twice outside the budget.
  virtual void resize_budget(Bytes budget);

  /// Appends the rows that are held of these ids, in their order. Tables know their ids by hashes
  /// alone, so the caller names them; with keys = tagged an id that is not held may, once in about
  /// a thousand, be taken for another's row (as lookups take it). kUnsupported (naming the method)
  /// where ids share rows: hash, qr. Shared chunks of a cold pool are no part of a row.
  void read_rows(std::size_t table, std::span<const std::uint64_t> ids, Rows& rows) const;

  /// Puts rows in, in place of those of the same ids; rows of other ids may lose chunks that are
  /// worth less. Where there is not room for all, the most important are held (of equal ones the
  /// first), as wide as they are worth; a row of unknown importance counts by the mean square of
  /// its values. Of an id that comes twice one row counts. Chunks of zeros count as not held.
  /// Values are rounded to the value type; optimizer state starts anew but for the importance. md
  /// and frequency hold the rows that they counted. Never above the budget. kInvalidArgument
  /// (naming the argument) and kUnsupported (hash, qr) leave the collection unchanged. The rows
  /// themselves are the caller's memory.
  LoadedRows load_rows(const Rows& rows);

  /// Updates so far.
  [[nodiscard]] virtual std::int64_t steps() const noexcept = 0;
  [[nodiscard]] virtual std::int64_t memory_bytes() const noexcept = 0;
  /// Most bytes ever held at one moment.
  [[nodiscard]] virtual std::int64_t peak_memory_bytes() const noexcept = 0;
  [[nodiscard]] virtual Statistics statistics() const = 0;

  /// Writes all state as sections whose names begin with prefix; load() restores the same bits into
  /// a collection made with the same options (kFormat naming what differs otherwise; then the
  /// collection is as it was). elastic, row and cafe: a state of another size than the collection
  /// has (its budget was changed) lies beside what was there for a moment, outside the budget.
  virtual void save(SectionSink& file, const std::string& prefix) const = 0;
  virtual void load(const SectionSource& file, const std::string& prefix) = 0;

  /// Writes the read-only form without optimizer state, for FrozenEmbedding.
  virtual void export_frozen(SectionSink& file, const std::string& prefix) const = 0;

 protected:
  Embedding(Options options, std::shared_ptr<ThreadPool> pool);

  // Called with checked arguments: offsets never empty, sizes right, gradient finite.
  virtual void do_lookup(std::span<const JaggedIds> tables, std::int64_t batch,
                         std::span<float> out) const = 0;
  virtual void do_update(std::span<const JaggedIds> tables, std::int64_t batch,
                         std::span<const float> gradient) = 0;
  /// Whether a batch is left out, whose gradient was found not finite or not; counts it if so.
  virtual bool leaves_out(bool bad);
  virtual void do_read_rows(std::size_t table, std::span<const std::uint64_t> ids,
                            Rows& rows) const;
  virtual LoadedRows do_load_rows(const Rows& rows);
  virtual void do_count(std::span<const JaggedIds> tables, std::int64_t batch);
  /// Called when learning_rate() has another value.
  virtual void take_learning_rate() {}
  /// Throws while the collection cannot be used yet (first pass not done).
  virtual void check_ready() const {}

  Options options_;
  std::shared_ptr<ThreadPool> pool_;
  std::int64_t skipped_updates_ = 0;

 private:
  double learning_rate_;
};

/// Makes the collection that options.method names. Errors: kConfig for an unknown method (with the
/// nearest known one) or an option out of range; kBudget when the budget cannot hold anything,
/// naming the least that can.
[[nodiscard]] std::unique_ptr<Embedding> make_embedding(const Options& options,
                                                        std::shared_ptr<ThreadPool> pool);

/// Names of all methods, in the order of the docs.
[[nodiscard]] std::vector<std::string> methods();

/// A frozen collection, read straight from a mapped file. Lookups may run at once, without locks.
class FrozenEmbedding {
 public:
  virtual ~FrozenEmbedding() = default;
  [[nodiscard]] virtual int dim() const noexcept = 0;
  [[nodiscard]] virtual std::int64_t tables() const noexcept = 0;
  /// Same shapes, meaning and result bits as Embedding::lookup at the time of the export.
  virtual void lookup(std::span<const JaggedIds> tables, std::int64_t batch,
                      std::span<float> out) const = 0;
  /// As Embedding::read_rows. Importances are NaN where the method keeps none without training.
  virtual void read_rows(std::size_t table, std::span<const std::uint64_t> ids,
                         Rows& rows) const = 0;
};

/// The file must outlive the result.
[[nodiscard]] std::unique_ptr<FrozenEmbedding> open_frozen(const SectionSource& file,
                                                           const std::string& prefix);

}  // namespace taut::embedding
