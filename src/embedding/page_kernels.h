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

}  // namespace taut::embedding
