#pragma once
// Which rows a worker's part of a batch reads, each once, and who has them.

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "taut/core/jagged.h"
#include "taut/core/thread_pool.h"

namespace taut::dist {

/// The distinct ids of a batch by the worker that has their rows. Rows lie in the order of workers,
/// for each in the order of tables, for each as they first come in the batch; so do their gradients
/// on the way back. Keeps its memory for the next batch.
/// Threads: one call at a time; work is spread over the pool, with the same bits for any.
class TableRoute {
 public:
  /// The worker that has an id's row.
  using Owner = std::function<std::int64_t(std::size_t table, std::uint64_t id)>;

  /// Takes the ids of a batch. tables: checked, offsets all there.
  void take(std::span<const JaggedIds> tables, const Owner& owner, int workers);

  /// How many rows it reads: [workers, tables].
  [[nodiscard]] std::span<const std::int64_t> counts() const noexcept { return counts_; }
  /// [rows], as said above.
  [[nodiscard]] std::span<const std::uint64_t> ids() const noexcept { return ids_; }
  /// Whether these are the ids that were taken last.
  [[nodiscard]] bool is_of(std::span<const JaggedIds> tables) const;

  /// out [batch, tables, dim]: pooled sums of rows [rows, dim], each in the order of its bag.
  void pool(std::span<const JaggedIds> tables, std::int64_t batch, std::span<const float> rows,
            std::span<float> out, ThreadPool& threads) const;
  /// sums [rows, dim]: of gradient [batch, tables, dim], each row's in the order of the batch.
  void sum(std::span<const JaggedIds> tables, std::int64_t batch, std::span<const float> gradient,
           std::span<float> sums, ThreadPool& threads) const;

 private:
  struct Found {
    std::int64_t worker;
    std::int64_t place;  // among the worker's
  };
  void take_table(std::size_t table, const JaggedIds& bags, const Owner& owner,
                  std::vector<std::vector<std::uint64_t>>& of_workers);

  std::vector<std::int64_t> counts_;
  std::vector<std::uint64_t> ids_;
  std::vector<std::vector<std::int64_t>> rows_of_;  // by table: the row of each id
  std::vector<Found> found_;                        // distinct ids in the order of the batch
  std::vector<std::int64_t> slots_;                 // open addressing: distinct id or -1
  std::uint64_t taken_ = 0;                         // what is_of() knows the batch by
};

}  // namespace taut::dist
