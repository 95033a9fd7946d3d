#pragma once
// Kernels of attention: products of two values that both move, and softmax. Compiled once for each
// instruction set (Highway).

#include <cstdint>

namespace taut::infer {

/// Rows of floats, each `stride` behind the one before.
struct MatrixView {
  const float* values = nullptr;
  std::int64_t stride = 0;
};

/// y [rows, columns] = a [rows, inner] times b [inner, columns]. Each sum is taken in the order of
/// inner, from its first product on, each product added in one rounding where the instruction set
/// can: a value has the same bits whatever rows and columns are computed beside it.
void multiply_rows(const MatrixView& a, const MatrixView& b, std::int64_t rows, std::int64_t inner,
                   std::int64_t columns, std::int64_t y_stride, float* y);

/// to [columns, rows] of from [rows, columns]; rows of `to` are `rows` floats long.
void turn_rows(const MatrixView& from, std::int64_t rows, std::int64_t columns, float* to);

/// What becomes of scores: score * scale, then a mask, then the softmax.
struct ScoreRule {
  float scale = 1;
  MatrixView mask = {};  ///< [rows, columns]; or null
  /// The mask stands in place of scores where it is no NaN; else it is added.
  bool replaces = false;
  bool nan_is_zero = false;  ///< of what the softmax gives
};

/// Softmax of each row of y [rows, columns] in place, rows one behind another, after the rule. A
/// row with NaN, infinity, or -infinity alone becomes NaN. A row's bits are its own.
void softmax_rows(const ScoreRule& rule, std::int64_t rows, std::int64_t columns, float* y);

}  // namespace taut::infer
