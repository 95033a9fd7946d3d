#include "infer/attention_kernels.h"

#include <algorithm>
#include <limits>
#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "infer/attention_kernels.cc"
#include <hwy/foreach_target.h>
// Must come after foreach_target.h.
#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace taut::infer::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Wide = hn::ScalableTag<float>;
using Eight = hn::CappedTag<float, 8>;
using Four = hn::CappedTag<float, 4>;
using One = hn::CappedTag<float, 1>;

// Sums of kRows rows by kVectors vectors of columns, in registers.
template <int kRows, int kVectors, class D>
HWY_INLINE void multiply_tile(D d, const float* a, std::int64_t a_stride, const float* b,
                              std::int64_t b_stride, std::int64_t inner, std::int64_t y_stride,
                              float* y) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  hn::Vec<D> sums[kRows][kVectors];
  for (int v = 0; v < kVectors; ++v) {
    const auto right = hn::LoadU(d, b + v * lanes);
    for (int r = 0; r < kRows; ++r) {
      sums[r][v] = hn::Mul(hn::Set(d, a[r * a_stride]), right);
    }
  }
  for (std::int64_t i = 1; i < inner; ++i) {
    b += b_stride;
    hn::Vec<D> right[kVectors];
    for (int v = 0; v < kVectors; ++v) right[v] = hn::LoadU(d, b + v * lanes);
    for (int r = 0; r < kRows; ++r) {
      const auto left = hn::Set(d, a[r * a_stride + i]);
      for (int v = 0; v < kVectors; ++v) sums[r][v] = hn::MulAdd(left, right[v], sums[r][v]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) hn::StoreU(sums[r][v], d, y + r * y_stride + v * lanes);
  }
}

// Columns [c, columns) of kRows rows, as many whole groups of vectors as fit; where they end.
template <int kRows, int kVectors, class D>
HWY_INLINE std::int64_t multiply_columns(D d, const MatrixView& a, const MatrixView& b,
                                         std::int64_t inner, std::int64_t c, std::int64_t columns,
                                         std::int64_t y_stride, float* y) {
  const auto step = static_cast<std::int64_t>(hn::Lanes(d)) * kVectors;
  for (; c + step <= columns; c += step) {
    multiply_tile<kRows, kVectors>(d, a.values, a.stride, b.values + c, b.stride, inner, y_stride,
                                   y + c);
  }
  return c;
}

template <int kRows>
HWY_INLINE void multiply_some(const MatrixView& a, const MatrixView& b, std::int64_t inner,
                              std::int64_t columns, std::int64_t y_stride, float* y) {
  std::int64_t c = multiply_columns<kRows, 2>(Wide(), a, b, inner, 0, columns, y_stride, y);
  c = multiply_columns<kRows, 1>(Wide(), a, b, inner, c, columns, y_stride, y);
  c = multiply_columns<kRows, 1>(Eight(), a, b, inner, c, columns, y_stride, y);
  c = multiply_columns<kRows, 1>(Four(), a, b, inner, c, columns, y_stride, y);
  multiply_columns<kRows, 1>(One(), a, b, inner, c, columns, y_stride, y);
}

HWY_NOINLINE void multiply_rows(const MatrixView& a, const MatrixView& b, std::int64_t rows,
                                std::int64_t inner, std::int64_t columns, std::int64_t y_stride,
                                float* y) {
  constexpr int kTogether = 6;  // two vectors of each, and those of b, in 16 registers
  std::int64_t row = 0;
  for (; row + kTogether <= rows; row += kTogether) {
    multiply_some<kTogether>({a.values + row * a.stride, a.stride}, b, inner, columns, y_stride,
                             y + row * y_stride);
  }
  for (; row + kTogether / 2 <= rows; row += kTogether / 2) {
    multiply_some<kTogether / 2>({a.values + row * a.stride, a.stride}, b, inner, columns, y_stride,
                                 y + row * y_stride);
  }
  for (; row < rows; ++row) {
    multiply_some<1>({a.values + row * a.stride, a.stride}, b, inner, columns, y_stride,
                     y + row * y_stride);
  }
}

// Calls of(tag, column) for all columns, in whole vectors, then one by one.
template <class Of>
HWY_INLINE void each_vector(std::int64_t columns, const Of& of) {
  const Wide d;
  const auto step = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t c = 0;
  for (; c + step <= columns; c += step) of(d, c);
  for (; c < columns; ++c) of(One(), c);
}

// The rule of a row, and its largest score: any number where there is a NaN.
HWY_INLINE float prepare_scores(const ScoreRule& rule, const float* mask, std::int64_t columns,
                                float* y) {
  constexpr float kLeast = -std::numeric_limits<float>::infinity();
  auto most = hn::Set(Wide(), kLeast);
  float last = kLeast;
  each_vector(columns, [&](auto d, std::int64_t c) {
    auto score = hn::Mul(hn::LoadU(d, y + c), hn::Set(d, rule.scale));
    if (mask != nullptr) {
      const auto given = hn::LoadU(d, mask + c);
      score = rule.replaces ? hn::IfThenElse(hn::Eq(given, given), given, score)
                            : hn::Add(score, given);
    }
    hn::StoreU(score, d, y + c);
    if constexpr (std::is_same_v<decltype(d), One>) {
      last = std::max(last, hn::GetLane(score));
    } else {
      most = hn::Max(most, score);
    }
  });
  return std::max(last, hn::GetLane(hn::MaxOfLanes(Wide(), most)));
}

HWY_NOINLINE void softmax_rows(const ScoreRule& rule, std::int64_t rows, std::int64_t columns,
                               float* y) {
  const float* mask = rule.mask.values;
  for (std::int64_t row = 0; row < rows; ++row, y += columns) {
    const float most = prepare_scores(rule, mask, columns, y);
    auto sums = hn::Zero(Wide());
    float rest = 0;
    each_vector(columns, [&](auto d, std::int64_t c) {
      const auto below = hn::Sub(hn::LoadU(d, y + c), hn::Set(d, most));
      const auto power = hn::IfThenElse(hn::Eq(below, below), hn::Exp(d, below), below);
      hn::StoreU(power, d, y + c);
      if constexpr (std::is_same_v<decltype(d), One>) {
        rest += hn::GetLane(power);
      } else {
        sums = hn::Add(sums, power);
      }
    });
    const float whole = hn::GetLane(hn::SumOfLanes(Wide(), sums)) + rest;
    each_vector(columns, [&](auto d, std::int64_t c) {
      const auto weight = hn::Div(hn::LoadU(d, y + c), hn::Set(d, whole));
      const bool kept = !rule.nan_is_zero;
      hn::StoreU(kept ? weight : hn::IfThenElseZero(hn::Eq(weight, weight), weight), d, y + c);
    });
    if (mask != nullptr) mask += rule.mask.stride;
  }
}

}  // namespace taut::infer::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace taut::infer {

HWY_EXPORT(multiply_rows);
HWY_EXPORT(softmax_rows);

void multiply_rows(const MatrixView& a, const MatrixView& b, std::int64_t rows, std::int64_t inner,
                   std::int64_t columns, std::int64_t y_stride, float* y) {
  HWY_DYNAMIC_DISPATCH(multiply_rows)(a, b, rows, inner, columns, y_stride, y);
}
void softmax_rows(const ScoreRule& rule, std::int64_t rows, std::int64_t columns, float* y) {
  HWY_DYNAMIC_DISPATCH(softmax_rows)(rule, rows, columns, y);
}

void turn_rows(const MatrixView& from, std::int64_t rows, std::int64_t columns, float* to) {
  constexpr std::int64_t kBlock = 16;  // rows whose lines are in cache while columns are taken
  for (std::int64_t first = 0; first < rows; first += kBlock) {
    const std::int64_t end = std::min(rows, first + kBlock);
    for (std::int64_t c = 0; c < columns; ++c) {
      for (std::int64_t r = first; r < end; ++r) {
        to[c * rows + r] = from.values[r * from.stride + c];
      }
    }
  }
}

}  // namespace taut::infer
#endif  // HWY_ONCE
