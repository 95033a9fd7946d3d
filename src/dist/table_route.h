#pragma once
// Which rows a worker's part of a batch reads, and how they come from those who have them.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "taut/core/jagged.h"
#include "taut/core/thread_pool.h"

namespace taut::dist {

/// What a worker asks another one of one table: vectors, each the (weighted) sum of some rows.
struct TableRequest {
  std::int64_t vectors = 0;
  std::int64_t ids = 0;       ///< of all of them
  std::int32_t pooled = 0;    ///< 1: vectors are of bags, so that their lengths travel; 0: of rows
  std::int32_t weighted = 0;  ///< 1: ids of bags have weights

  /// Of the message that names them: ids, then lengths and weights where vectors are pooled.
  [[nodiscard]] std::int64_t message_bytes() const noexcept;
};

/// What the vectors of a worker and table are.
enum class RouteVectors {
  kFewestBytes,  ///< rows or bags, whichever are fewer bytes on the way there and back
  kRows,
  kBags,
};

/// The vectors that a batch needs of each worker. Of a worker and table they are its distinct rows,
/// each once; or the sums of its rows of each bag that has some. Vectors lie in the order of
/// workers, for each in the order of tables, for each as they first come in the batch; so do their
/// gradients on the way back. Keeps its memory for the next batch. Threads: one call at a time;
/// work is spread over the pool, with the same bits for any.
class TableRoute {
 public:
  /// The worker that has an id's row.
  using Owner = std::function<std::int64_t(std::size_t table, std::uint64_t id)>;

  /// Takes a batch for rows of `dim` values. tables: checked, offsets all there.
  void take(std::span<const JaggedIds> tables, const Owner& owner, int workers, int dim,
            RouteVectors vectors);

  /// [workers, tables]
  [[nodiscard]] std::span<const TableRequest> requests() const noexcept { return requests_; }
  /// What names the vectors, a message for each request.
  [[nodiscard]] std::span<const std::byte> messages() const noexcept { return messages_; }
  /// Of all workers and tables.
  [[nodiscard]] std::int64_t vectors() const noexcept { return vectors_; }
  /// Whether these are the ids that were taken last.
  [[nodiscard]] bool is_of(std::span<const JaggedIds> tables) const;

  /// out [batch, tables, dim]: pooled sums of vectors [vectors, dim], each in the order of its bag.
  void pool(std::span<const float> vectors, std::int64_t batch, std::span<float> out,
            ThreadPool& threads) const;
  /// sums [vectors, dim]: of gradient [batch, tables, dim], each in the order of the batch.
  void sum(std::span<const float> gradient, std::int64_t batch, std::span<float> sums,
           ThreadPool& threads) const;

 private:
  // A vector in a bag's sum.
  struct Term {
    std::int64_t vector;
    float weight;
  };
  // The sums of one table's bags.
  struct Bags {
    std::vector<Term> terms;
    std::vector<std::int64_t> ends;  // [batch], of each bag's terms
  };
  // One distinct id of a table.
  struct Found {
    std::uint64_t id;
    std::int64_t worker;
  };

  void find_distinct(std::size_t table, const JaggedIds& bags, const Owner& owner);
  void take_table(std::size_t table, const JaggedIds& bags, int dim, RouteVectors vectors);

  std::vector<TableRequest> requests_;
  std::vector<std::byte> messages_;
  std::int64_t vectors_ = 0;
  std::vector<Bags> tables_;
  std::uint64_t taken_ = 0;  // what is_of() knows the batch by

  // Of the table at work.
  std::vector<Found> found_;                         // distinct ids in the order of the batch
  std::vector<std::int64_t> numbers_;                // distinct id of each id
  std::vector<std::int64_t> slots_;                  // open addressing: distinct id or -1
  std::vector<std::vector<std::byte>> of_requests_;  // messages, [workers, tables]
};

}  // namespace taut::dist
