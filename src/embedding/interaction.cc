#include "taut/embedding/interaction.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "taut/core/error.h"
#include "taut/core/text.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "embedding/interaction.cc"
#include <hwy/foreach_target.h>
// Must come after foreach_target.h.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace taut::embedding::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Tag = hn::ScalableTag<float>;
using One = hn::CappedTag<float, 1>;

// Eight sums are made at once: dots of kRows vectors with kColumns others, or gradients.
constexpr std::int64_t kRows = 2;
constexpr std::int64_t kColumns = 4;
constexpr std::int64_t kSums = 8;

// Where the vectors of the present row lie.
template <typename Value>
class Vectors {
 public:
  explicit Vectors(std::span<const RowVectors<Value>> parts, std::int64_t dim) {
    for (const RowVectors<Value>& part : parts) {
      const bool is_there = part.values != nullptr;
      for (std::int64_t i = 0; i < part.count; ++i) {
        at_.push_back(is_there ? part.values + i * dim : nullptr);
        strides_.push_back(is_there ? part.stride : 0);
      }
    }
  }
  Value* operator[](std::int64_t i) const { return at_[static_cast<std::size_t>(i)]; }
  void next_row() {
    for (std::size_t i = 0; i < at_.size(); ++i) at_[i] += strides_[i];
  }

 private:
  std::vector<Value*> at_;
  std::vector<std::int64_t> strides_;
};

void copy_floats(const float* from, std::int64_t count, float* to) {
  std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(float));
}

// sums[k] = the sum of all lanes of the k-th of four vectors.
#if HWY_TARGET == HWY_SCALAR
template <typename V>
void sum_lanes(V a, V b, V c, V e, float* sums) {
  sums[0] = hn::GetLane(a);
  sums[1] = hn::GetLane(b);
  sums[2] = hn::GetLane(c);
  sums[3] = hn::GetLane(e);
}
#else
template <typename V>
void sum_lanes(V a, V b, V c, V e, float* sums) {
  const Tag d;
  const hn::RepartitionToWide<Tag> pairs;
  const auto ab = hn::Add(hn::InterleaveLower(d, a, b), hn::InterleaveUpper(d, a, b));
  const auto ce = hn::Add(hn::InterleaveLower(d, c, e), hn::InterleaveUpper(d, c, e));
  const auto low = hn::InterleaveLower(pairs, hn::BitCast(pairs, ab), hn::BitCast(pairs, ce));
  const auto high = hn::InterleaveUpper(pairs, hn::BitCast(pairs, ab), hn::BitCast(pairs, ce));
  // Each block of four lanes has a part of each sum.
  HWY_ALIGN float blocks[hn::MaxLanes(d)];
  hn::Store(hn::Add(hn::BitCast(d, low), hn::BitCast(d, high)), d, blocks);
  const hn::CappedTag<float, 4> four;
  auto sum = hn::Load(four, blocks);
  for (std::size_t at = 4; at < hn::Lanes(d); at += 4) {
    sum = hn::Add(sum, hn::Load(four, blocks + at));
  }
  hn::StoreU(sum, four, sums);
}
#endif

struct Dots {
  const float* rows[kRows];
  const float* columns[kColumns];
};

// to[r][k] = rows[r] . columns[k]
void dot_block(const Dots& of, std::int64_t dim, float* const* to) {
  const Tag d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  hn::Vec<Tag> sums[kRows][kColumns];
#pragma GCC unroll 2
  for (auto& row : sums) {
#pragma GCC unroll 4
    for (auto& sum : row) sum = hn::Zero(d);
  }
  std::int64_t at = 0;
  for (; at + lanes <= dim; at += lanes) {
    hn::Vec<Tag> rows[kRows];
#pragma GCC unroll 2
    for (int r = 0; r < kRows; ++r) rows[r] = hn::LoadU(d, of.rows[r] + at);
#pragma GCC unroll 4
    for (int k = 0; k < kColumns; ++k) {
      const auto column = hn::LoadU(d, of.columns[k] + at);
#pragma GCC unroll 2
      for (int r = 0; r < kRows; ++r) sums[r][k] = hn::MulAdd(rows[r], column, sums[r][k]);
    }
  }
#pragma GCC unroll 2
  for (int r = 0; r < kRows; ++r) {
    sum_lanes(sums[r][0], sums[r][1], sums[r][2], sums[r][3], to[r]);
  }
  for (; at < dim; ++at) {
    for (int r = 0; r < kRows; ++r) {
      for (int k = 0; k < kColumns; ++k) to[r][k] += of.rows[r][at] * of.columns[k][at];
    }
  }
}

// Some rows of the triangle of dots and four columns at a time: what lies behind the diagonal is
// left out.
void interact(const InteractionShape& s, std::int64_t rows,
              std::span<const RowVectors<const float>> x, float* out) {
  Vectors<const float> v(x, s.dim);
  for (std::int64_t row = 0; row < rows; ++row, v.next_row()) {
    for (std::int64_t i = 0; i < s.vectors; i += kRows) {
      const std::int64_t last = std::min(i + kRows, s.vectors) - 1;
      float* const first_row = out + i * (i - 1) / 2;
      float* const second_row = first_row + i;
      for (std::int64_t j = 0; j < last; j += kColumns) {
        Dots of = {{v[i], v[last]}, {}};
        for (std::int64_t k = 0; k < kColumns; ++k) of.columns[k] = v[std::min(j + k, last)];
        float sums[kRows][kColumns];
        const bool whole = last > i && j + kColumns <= i;
        float* const to[kRows] = {whole ? first_row + j : sums[0],
                                  whole ? second_row + j : sums[1]};
        dot_block(of, s.dim, to);
        if (whole) continue;
        std::copy_n(sums[0], std::clamp(i - j, std::int64_t{0}, kColumns), first_row + j);
        if (last > i) std::copy_n(sums[1], std::min(i + 1 - j, kColumns), second_row + j);
      }
    }
    out += s.pairs();
    for (std::int64_t i = 0; i < s.copied; ++i, out += s.dim) copy_floats(v[i], s.dim, out);
  }
}

// Values [at, at + V vectors) of R vectors: to[i] = sum over j of factors[j * width + i] * x[j].
template <int R, int V, typename D>
void weighted_sums(D d, const Vectors<const float>& x, std::int64_t count, std::int64_t at,
                   const float* factors, std::int64_t width, float* const* to) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  hn::Vec<D> sums[R][V];
#pragma GCC unroll 8
  for (auto& row : sums) {
#pragma GCC unroll 2
    for (auto& sum : row) sum = hn::Zero(d);
  }
  for (std::int64_t j = 0; j < count; ++j, factors += width) {
    hn::Vec<D> values[V];
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) values[v] = hn::LoadU(d, x[j] + at + v * lanes);
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) {
      const auto factor = hn::Set(d, factors[i]);
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) sums[i][v] = hn::MulAdd(factor, values[v], sums[i][v]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < R; ++i) {
    if (to[i] == nullptr) continue;
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) hn::StoreU(sums[i][v], d, to[i] + at + v * lanes);
  }
}

// The gradients of dots as a symmetric matrix [vectors, width], zeros on the diagonal and behind
// the vectors.
void unfold(std::int64_t vectors, std::int64_t width, const float* gradient, float* matrix) {
  for (std::int64_t i = 1; i < vectors; gradient += i++) {
    copy_floats(gradient, i, matrix + i * width);
    for (std::int64_t j = 0; j < i; ++j) matrix[j * width + i] = gradient[j];
  }
}

void interact_backward(const InteractionShape& s, std::int64_t rows,
                       std::span<const RowVectors<const float>> x, const float* out_gradient,
                       std::span<const RowVectors<float>> x_gradient) {
  const Tag d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t width = (s.vectors + kSums - 1) / kSums * kSums;
  std::vector<float> factors(static_cast<std::size_t>(s.vectors * width));
  Vectors<const float> v(x, s.dim);
  Vectors<float> to(x_gradient, s.dim);
  for (std::int64_t row = 0; row < rows; ++row, v.next_row(), to.next_row()) {
    unfold(s.vectors, width, out_gradient, factors.data());
    for (std::int64_t i = 0; i < s.vectors; i += kSums) {
      const float* const block = factors.data() + i;
      float* places[kSums] = {};
      for (std::int64_t k = 0; k < std::min(kSums, s.vectors - i); ++k) places[k] = to[i + k];
      std::int64_t at = 0;
      for (; at + 2 * lanes <= s.dim; at += 2 * lanes) {
        weighted_sums<kSums / 2, 2>(d, v, s.vectors, at, block, width, places);
        if (i + kSums / 2 >= s.vectors) continue;
        weighted_sums<kSums / 2, 2>(d, v, s.vectors, at, block + kSums / 2, width,
                                    places + kSums / 2);
      }
      if (at + lanes <= s.dim) {
        weighted_sums<kSums, 1>(d, v, s.vectors, at, block, width, places);
        at += lanes;
      }
      for (const One one; at < s.dim; ++at) {
        weighted_sums<kSums, 1>(one, v, s.vectors, at, block, width, places);
      }
    }
    out_gradient += s.pairs();
    for (std::int64_t i = 0; i < s.copied; ++i, out_gradient += s.dim) {
      if (to[i] == nullptr) continue;
      for (std::int64_t k = 0; k < s.dim; ++k) to[i][k] += out_gradient[k];
    }
  }
}

}  // namespace taut::embedding::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace taut::embedding {
namespace {

void check(const InteractionShape& shape) {
  if (shape.vectors < 1) {
    throw_invalid_argument("vectors", "at least 1", std::to_string(shape.vectors));
  }
  if (shape.dim < 1) throw_invalid_argument("dim", "at least 1", std::to_string(shape.dim));
  if (shape.copied < 0 || shape.copied > shape.vectors) {
    throw_invalid_argument("copied", concat("0 to ", shape.vectors), std::to_string(shape.copied));
  }
}

template <typename Value>
void check_parts(const InteractionShape& shape, std::span<const RowVectors<Value>> parts,
                 const char* name) {
  std::int64_t vectors = 0;
  for (const RowVectors<Value>& part : parts) vectors += part.count;
  if (vectors == shape.vectors) return;
  throw_invalid_argument(name, concat(shape.vectors, " vectors a row in all"),
                         std::to_string(vectors));
}

template <typename Value>
RowVectors<Value> all_vectors(const InteractionShape& shape, Value* values) {
  return {.values = values, .count = shape.vectors, .stride = shape.vectors * shape.dim};
}

}  // namespace

HWY_EXPORT(interact);
HWY_EXPORT(interact_backward);

void interact(const InteractionShape& shape, std::int64_t rows,
              std::span<const RowVectors<const float>> x, float* out) {
  check(shape);
  check_parts(shape, x, "x");
  HWY_DYNAMIC_DISPATCH(interact)(shape, rows, x, out);
}

void interact_backward(const InteractionShape& shape, std::int64_t rows,
                       std::span<const RowVectors<const float>> x, const float* out_gradient,
                       std::span<const RowVectors<float>> x_gradient) {
  check(shape);
  check_parts(shape, x, "x");
  check_parts(shape, x_gradient, "x_gradient");
  HWY_DYNAMIC_DISPATCH(interact_backward)(shape, rows, x, out_gradient, x_gradient);
}

void interact(const InteractionShape& shape, std::int64_t rows, const float* x, float* out) {
  const RowVectors<const float> all = all_vectors(shape, x);
  interact(shape, rows, std::span(&all, 1), out);
}

void interact_backward(const InteractionShape& shape, std::int64_t rows, const float* x,
                       const float* out_gradient, float* x_gradient) {
  const RowVectors<const float> all = all_vectors(shape, x);
  const RowVectors<float> gradient = all_vectors(shape, x_gradient);
  interact_backward(shape, rows, std::span(&all, 1), out_gradient, std::span(&gradient, 1));
}

void interact_reference(const InteractionShape& s, std::int64_t rows, const float* x, float* out) {
  for (std::int64_t row = 0; row < rows; ++row, x += s.vectors * s.dim) {
    for (std::int64_t i = 0; i < s.vectors; ++i) {
      for (std::int64_t j = 0; j < i; ++j) {
        double sum = 0;
        for (std::int64_t k = 0; k < s.dim; ++k) {
          sum += static_cast<double>(x[i * s.dim + k]) * static_cast<double>(x[j * s.dim + k]);
        }
        *out++ = static_cast<float>(sum);
      }
    }
    out = std::copy(x, x + s.copied * s.dim, out);
  }
}

void interact_backward_reference(const InteractionShape& s, std::int64_t rows, const float* x,
                                 const float* out_gradient, float* x_gradient) {
  std::fill(x_gradient, x_gradient + rows * s.vectors * s.dim, 0.0f);
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t i = 0; i < s.vectors; ++i) {
      for (std::int64_t j = 0; j < i; ++j, ++out_gradient) {
        for (std::int64_t k = 0; k < s.dim; ++k) {
          x_gradient[i * s.dim + k] += *out_gradient * x[j * s.dim + k];
          x_gradient[j * s.dim + k] += *out_gradient * x[i * s.dim + k];
        }
      }
    }
    for (std::int64_t k = 0; k < s.copied * s.dim; ++k) x_gradient[k] += *out_gradient++;
    x += s.vectors * s.dim;
    x_gradient += s.vectors * s.dim;
  }
}

}  // namespace taut::embedding
#endif  // HWY_ONCE
