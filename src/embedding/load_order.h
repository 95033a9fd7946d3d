#pragma once
// The order in which loaded rows compete for room.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include "optimizer.h"
#include "taut/embedding/rows.h"

namespace taut::embedding {

/// The values of one row.
[[nodiscard]] inline std::span<const float> row_values(const Rows& rows, std::size_t row,
                                                       int dim) noexcept {
  return std::span(rows.values)
      .subspan(row * static_cast<std::size_t>(dim), static_cast<std::size_t>(dim));
}

/// The importance of a row; where it is not known, the mean square of its values: what is pruned by
/// magnitude goes first.
[[nodiscard]] inline float row_importance(const Rows& rows, std::size_t row, int dim) noexcept {
  const float given = rows.importances.empty() ? NAN : rows.importances[row];
  return std::isnan(given) ? mean_square(row_values(rows, row, dim).data(), dim) : given;
}

/// Numbers of the rows, the most important first, the first given first among equals.
[[nodiscard]] inline std::vector<std::size_t> load_order(const Rows& rows, int dim) {
  std::vector<float> importances(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) importances[i] = row_importance(rows, i, dim);
  std::vector<std::size_t> order(rows.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return importances[a] > importances[b]; });
  return order;
}

/// Whether chunk k of a row has a value other than 0: a chunk of zeros reads as an absent one does.
[[nodiscard]] inline bool has_chunk(std::span<const float> values, int k, int chunk) noexcept {
  for (int i = k * chunk; i < (k + 1) * chunk; ++i) {
    if (values[static_cast<std::size_t>(i)] != 0.0f) return true;
  }
  return false;
}

}  // namespace taut::embedding
