#pragma once
// Searching a page's columns, for every instruction set. Nothing outside the columns is read.

#include <cstdint>

namespace taut::embedding {

/// The first of the tags (u16 each, any alignment) from number `first` on that equals tag, or -1.
[[nodiscard]] int find_tag(const std::uint8_t* tags, int count, int first,
                           std::uint16_t tag) noexcept;

/// Bytes of the values of rows with these shapes: a shape's upper five bits are chunks - 1, bit 2
/// says that the row is precise.
[[nodiscard]] int sum_value_bytes(const std::uint8_t* shapes, int rows, int chunk_bytes,
                                  int precise_chunk_bytes) noexcept;

/// Worth per byte of what a row of importance G would lose first.
struct RowWorths {
  const float* importances;  ///< G of an ImportanceCode
  const float* chunks;       ///< [width]: the last chunk of such a row is worth G times this
  float precision;           ///< the second byte of a precise row's values is worth G times this
};

/// A row, and its worth by RowWorths; row -1 and INFINITY where there is none.
struct CheapestRow {
  int row;
  float worth;
};

/// The first of the rows of least worth but row `keep` (-1: none is kept). Shapes and importances
/// are columns of a page, whose lowest and middle bits of a shape are as page.h has them.
[[nodiscard]] CheapestRow cheapest_row(const std::uint8_t* shapes, const std::uint8_t* importances,
                                       int rows, int keep, const RowWorths& worths) noexcept;
/// The same, row by row.
[[nodiscard]] CheapestRow cheapest_row_reference(const std::uint8_t* shapes,
                                                 const std::uint8_t* importances, int rows,
                                                 int keep, const RowWorths& worths) noexcept;

}  // namespace taut::embedding
