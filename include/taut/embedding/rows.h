#pragma once
// Rows outside a collection: what is dumped from one and loaded into another.

#include <cstdint>
#include <span>
#include <vector>

namespace taut::embedding {

/// A list of rows, each of one table. All arrays have size() entries, values dim times as many.
struct Rows {
  std::vector<std::uint32_t> tables;  ///< number of the table
  std::vector<std::uint64_t> ids;
  std::vector<std::uint32_t> masks;  ///< bit k: chunk k was held; load_rows() does not look at it
  /// On the scale of Statistics::threshold (elastic: the sum of mean squared gradients, which is
  /// also the optimizer's state; fiited: mean utility of the held chunks). NaN: not known; empty:
  /// of none.
  std::vector<float> importances;
  std::vector<float> values;  ///< [size, dim]; 0 in chunks that are not held

  [[nodiscard]] std::size_t size() const noexcept { return ids.size(); }
};

/// What became of loaded rows.
struct LoadedRows {
  std::int64_t held = 0;      ///< resident now, perhaps with fewer chunks
  std::int64_t left_out = 0;  ///< for want of room
};

/// The rows of a dense weight [rows, dim] as ids 0 .. rows - 1 of a table. Throws kInvalidArgument
/// for a weight whose size is no multiple of dim.
[[nodiscard]] Rows rows_of_weight(std::span<const float> weight, int dim, std::uint32_t table = 0);

}  // namespace taut::embedding
