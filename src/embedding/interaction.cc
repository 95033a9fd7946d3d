#include "taut/embedding/interaction.h"

#include <algorithm>
#include <cstring>
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

std::int64_t lanes() {
  return static_cast<std::int64_t>(hn::Lanes(Tag()));
}

std::int64_t padded(std::int64_t size) {
  return (size + lanes() - 1) / lanes() * lanes();
}

void copy_floats(const float* from, std::int64_t count, float* to) {
  std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(float));
}

// sums [width, a multiple of the vector length] = sum over k of factors[k] * rows[k * width ..].
void weighted_sum(const float* factors, const float* rows, std::int64_t count, std::int64_t width,
                  float* sums) {
  const Tag d;
  for (std::int64_t at = 0; at < width; at += lanes()) {
    auto sum = hn::Zero(d);
    for (std::int64_t k = 0; k < count; ++k) {
      sum = hn::MulAdd(hn::Set(d, factors[k]), hn::LoadU(d, rows + k * width + at), sum);
    }
    hn::StoreU(sum, d, sums + at);
  }
}

void interact(const InteractionShape& s, std::int64_t rows, const float* x, float* out) {
  const std::int64_t width = padded(s.vectors);
  std::vector<float> turned(static_cast<std::size_t>(s.dim * width));  // [dim, width]
  std::vector<float> dots(static_cast<std::size_t>(width));
  for (std::int64_t row = 0; row < rows; ++row, x += s.vectors * s.dim, out += s.outputs()) {
    for (std::int64_t i = 0; i < s.vectors; ++i) {
      for (std::int64_t k = 0; k < s.dim; ++k)
        turned[static_cast<std::size_t>(k * width + i)] = x[i * s.dim + k];
    }
    float* next = out;
    for (std::int64_t i = 1; i < s.vectors; ++i) {
      weighted_sum(x + i * s.dim, turned.data(), s.dim, width, dots.data());
      copy_floats(dots.data(), i, next);
      next += i;
    }
    copy_floats(x, s.copied * s.dim, next);
  }
}

void interact_backward(const InteractionShape& s, std::int64_t rows, const float* x,
                       const float* out_gradient, float* x_gradient) {
  const std::int64_t width = padded(s.dim);
  std::vector<float> wide(static_cast<std::size_t>(s.vectors * width));  // x, rows padded
  std::vector<float> pairs(static_cast<std::size_t>(s.vectors * s.vectors));
  std::vector<float> sums(static_cast<std::size_t>(width));
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* from = x + row * s.vectors * s.dim;
    const float* gradient = out_gradient + row * s.outputs();
    float* to = x_gradient + row * s.vectors * s.dim;
    for (std::int64_t i = 0; i < s.vectors; ++i)
      copy_floats(from + i * s.dim, s.dim, wide.data() + i * width);
    const float* copied = gradient + s.pairs();
    for (std::int64_t i = 0; i < s.vectors; ++i) {
      for (std::int64_t j = 0; j < i; ++j) {
        pairs[static_cast<std::size_t>(i * s.vectors + j)] = *gradient;
        pairs[static_cast<std::size_t>(j * s.vectors + i)] = *gradient++;
      }
    }
    for (std::int64_t i = 0; i < s.vectors; ++i) {
      weighted_sum(pairs.data() + i * s.vectors, wide.data(), s.vectors, width, sums.data());
      copy_floats(sums.data(), s.dim, to + i * s.dim);
    }
    for (std::int64_t k = 0; k < s.copied * s.dim; ++k) to[k] += copied[k];
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

}  // namespace

HWY_EXPORT(interact);
HWY_EXPORT(interact_backward);

void interact(const InteractionShape& shape, std::int64_t rows, const float* x, float* out) {
  check(shape);
  HWY_DYNAMIC_DISPATCH(interact)(shape, rows, x, out);
}

void interact_backward(const InteractionShape& shape, std::int64_t rows, const float* x,
                       const float* out_gradient, float* x_gradient) {
  check(shape);
  HWY_DYNAMIC_DISPATCH(interact_backward)(shape, rows, x, out_gradient, x_gradient);
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
