#pragma once
// The loops over a row's values, for every instruction set; dispatched once for many rows where
// there are many. Sums and products are done in the same order and rounding everywhere, so results
// are the same bits on every machine; codec.h has the plain references.

#include <cstdint>
#include <span>

#include "codec.h"

namespace taut::embedding {

/// A run of encoded values that is to be added: out[i] += weight * value i.
struct RowPart {
  const std::uint8_t* values;
  float* out;
  float scale;  ///< read for integers only
  float weight;
  std::int32_t size;
  Storage storage;
};

/// Adds the parts in their order.
void add_parts(std::span<const RowPart> parts) noexcept;

/// A gradient that goes to a row of sums: sums[row] += weight * gradient[output].
struct GradientPart {
  std::uint32_t row;
  std::uint32_t output;
  float weight;
};

/// Adds the gradients [outputs, dim] of the parts to sums [rows, dim], in the order of the parts.
void add_gradients(std::span<const GradientPart> parts, int dim, const float* gradient,
                   float* sums) noexcept;

/// Mean of the squares. Sixteen sums, each of every sixteenth square, then those 8, 4, 2 and 1
/// apart added: mean_square_reference() to the bit.
[[nodiscard]] float mean_square(const float* gradient, int size) noexcept;
[[nodiscard]] float mean_square_reference(const float* gradient, int size) noexcept;

/// The largest |value|, 0 if there is none.
[[nodiscard]] float largest_magnitude(const float* values, int size) noexcept;

/// As codec.h's read_values_reference().
void read_values(Storage storage, const std::uint8_t* source, float scale, int size,
                 float* out) noexcept;
/// out[i] = value i of first * value i of second, runs of one size and storage.
void read_products(const RowPart& first, const RowPart& second, float* out) noexcept;
/// As codec.h's write_values_reference(): the same bytes from the same random numbers.
void write_values(Storage storage, const float* values, float scale, int size, RowRandom& random,
                  std::uint8_t* target) noexcept;

}  // namespace taut::embedding
