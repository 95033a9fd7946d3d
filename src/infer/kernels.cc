#include "infer/kernels.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "infer/kernels.cc"
#include <hwy/foreach_target.h>
// Must come after foreach_target.h.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace taut::infer::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Tag = hn::ScalableTag<float>;
using Vector = hn::Vec<Tag>;

// Rows x lanes outputs starting at column o, kept in registers over all inputs.
template <int kRows>
void linear_tile(const LinearLayer& layer, const float* x, std::int64_t o, bool relu, float* y) {
  const Tag d;
  const std::int64_t inputs = layer.inputs;
  const std::int64_t outputs = layer.outputs;
  const auto lanes = static_cast<std::size_t>(
      std::min<std::int64_t>(static_cast<std::int64_t>(hn::Lanes(d)), outputs - o));
  const bool whole = lanes == hn::Lanes(d);
  const auto load = [&](const float* from) HWY_ATTR {
    return whole ? hn::LoadU(d, from) : hn::LoadN(d, from, lanes);
  };
  Vector sums[kRows];
  for (int r = 0; r < kRows; ++r) sums[r] = load(layer.bias.data() + o);
  const float* weight = layer.weight.data() + o;
  for (std::int64_t i = 0; i < inputs; ++i, weight += outputs) {
    const Vector w = load(weight);
    for (int r = 0; r < kRows; ++r) sums[r] = hn::MulAdd(hn::Set(d, x[r * inputs + i]), w, sums[r]);
  }
  for (int r = 0; r < kRows; ++r) {
    const Vector result = relu ? hn::Max(sums[r], hn::Zero(d)) : sums[r];
    if (whole) {
      hn::StoreU(result, d, y + r * outputs + o);
    } else {
      hn::StoreN(result, d, y + r * outputs + o, lanes);
    }
  }
}

void linear(const LinearLayer& layer, const float* x, std::int64_t rows, bool relu, float* y) {
  constexpr int kRows = 8;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(Tag()));
  std::int64_t row = 0;
  for (; row + kRows <= rows; row += kRows) {
    for (std::int64_t o = 0; o < layer.outputs; o += lanes) {
      linear_tile<kRows>(layer, x + row * layer.inputs, o, relu, y + row * layer.outputs);
    }
  }
  for (; row < rows; ++row) {
    for (std::int64_t o = 0; o < layer.outputs; o += lanes) {
      linear_tile<1>(layer, x + row * layer.inputs, o, relu, y + row * layer.outputs);
    }
  }
}

float dot(const float* a, const float* b, std::int64_t size) {
  const Tag d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  Vector sum = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + lanes <= size; i += lanes) {
    sum = hn::MulAdd(hn::LoadU(d, a + i), hn::LoadU(d, b + i), sum);
  }
  if (i < size) {
    const auto rest = static_cast<std::size_t>(size - i);
    sum = hn::MulAdd(hn::LoadN(d, a + i, rest), hn::LoadN(d, b + i, rest), sum);
  }
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

void pairwise_dots(const float* x, std::int64_t rows, std::int64_t vectors, std::int64_t dim,
                   float* dots, std::int64_t stride) {
  for (std::int64_t row = 0; row < rows; ++row, x += vectors * dim, dots += stride) {
    float* out = dots;
    for (std::int64_t i = 0; i < vectors; ++i) {
      for (std::int64_t j = 0; j < i; ++j) *out++ = dot(x + i * dim, x + j * dim, dim);
    }
  }
}

std::int64_t target() { return HWY_TARGET; }

}  // namespace taut::infer::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace taut::infer {

HWY_EXPORT(linear);
HWY_EXPORT(pairwise_dots);
HWY_EXPORT(target);

void linear(const LinearLayer& layer, const float* x, std::int64_t rows, bool relu, float* y) {
  HWY_DYNAMIC_DISPATCH(linear)(layer, x, rows, relu, y);
}

void pairwise_dots(const float* x, std::int64_t rows, std::int64_t vectors, std::int64_t dim,
                   float* dots, std::int64_t stride) {
  HWY_DYNAMIC_DISPATCH(pairwise_dots)(x, rows, vectors, dim, dots, stride);
}

std::string kernel_target() { return hwy::TargetName(HWY_DYNAMIC_DISPATCH(target)()); }

void linear_reference(const LinearLayer& layer, const float* x, std::int64_t rows, bool relu,
                      float* y) {
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t o = 0; o < layer.outputs; ++o) {
      double sum = layer.bias[static_cast<std::size_t>(o)];
      for (std::int64_t i = 0; i < layer.inputs; ++i) {
        sum += static_cast<double>(x[row * layer.inputs + i]) *
               static_cast<double>(layer.weight[static_cast<std::size_t>(i * layer.outputs + o)]);
      }
      y[row * layer.outputs + o] = static_cast<float>(relu ? std::max(sum, 0.0) : sum);
    }
  }
}

void pairwise_dots_reference(const float* x, std::int64_t rows, std::int64_t vectors,
                             std::int64_t dim, float* dots, std::int64_t stride) {
  for (std::int64_t row = 0; row < rows; ++row) {
    std::int64_t out = row * stride;
    for (std::int64_t i = 0; i < vectors; ++i) {
      for (std::int64_t j = 0; j < i; ++j) {
        double sum = 0;
        for (std::int64_t k = 0; k < dim; ++k) {
          sum += static_cast<double>(x[(row * vectors + i) * dim + k]) *
                 static_cast<double>(x[(row * vectors + j) * dim + k]);
        }
        dots[out++] = static_cast<float>(sum);
      }
    }
  }
}

}  // namespace taut::infer
#endif  // HWY_ONCE
