#pragma once
// Kernels that compute value by value: functions of one, arithmetic of two; and norms of rows.
// Compiled once for each
// instruction set (Highway). A value's result has the same bits wherever it lies.

#include <cstdint>

#include "taut/graph/arithmetic.h"

namespace taut::infer {

/// Values [rows, columns], each row `stride` floats behind the one before, in place. Within 2e-6 of
/// the function's value and of that value's size 1 (kClip, kLeakyRelu and the hard ones: rounding
/// of one or two operations).
void apply_function(const graph::Pointwise& of, std::int64_t rows, std::int64_t columns,
                    std::int64_t stride, float* y);

/// Where the values of one side of an arithmetic lie for one row of an image.
struct RowOperand {
  const float* values = nullptr;
  std::int64_t position = 0;  ///< floats from one position to the next; 0: one for all
  std::int64_t channel = 1;   ///< the same of channels, 1 or 0
};

/// y [width, channels] of one row of an image.
void combine_row(graph::Arithmetic how, const RowOperand& a, const RowOperand& b,
                 std::int64_t width, std::int64_t channels, float* y);

/// What a layer norm multiplies and adds.
struct RowNorm {
  const float* scale = nullptr;  ///< [columns]
  const float* shift = nullptr;
  float epsilon = 0;
  std::int64_t columns = 0;
};

/// (x - mean) / sqrt(variance + epsilon) * scale + shift of each row [rows, columns], whose mean
/// and variance are its own. x and y may be the same array.
void normalize_rows(const RowNorm& norm, const float* x, std::int64_t rows, float* y);

}  // namespace taut::infer
