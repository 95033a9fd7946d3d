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
using OneLane = hn::CappedTag<float, 1>;

// kRows rows x one vector of outputs from column o on, kept in registers over all inputs.
template <int kRows, class D>
void linear_tile(D d, const LinearLayer& layer, const float* x, std::int64_t o, bool relu,
                 float* y) {
  using Vector = hn::Vec<D>;
  const std::int64_t inputs = layer.inputs;
  const std::int64_t outputs = layer.outputs;
  Vector sums[kRows];
  for (int r = 0; r < kRows; ++r) sums[r] = hn::LoadU(d, layer.bias.data() + o);
  const float* weight = layer.weight.data() + o;
  for (std::int64_t i = 0; i < inputs; ++i, weight += outputs) {
    const Vector w = hn::LoadU(d, weight);
    for (int r = 0; r < kRows; ++r) sums[r] = hn::MulAdd(hn::Set(d, x[r * inputs + i]), w, sums[r]);
  }
  for (int r = 0; r < kRows; ++r) {
    const Vector result = relu ? hn::Max(sums[r], hn::Zero(d)) : sums[r];
    hn::StoreU(result, d, y + r * outputs + o);
  }
}

// All outputs of kRows rows: whole vectors first, then one by one.
template <int kRows>
void linear_rows(const LinearLayer& layer, const float* x, bool relu, float* y) {
  const Tag d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t o = 0;
  for (; o + lanes <= layer.outputs; o += lanes) linear_tile<kRows>(d, layer, x, o, relu, y);
  for (; o < layer.outputs; ++o) linear_tile<kRows>(OneLane(), layer, x, o, relu, y);
}

void linear(const LinearLayer& layer, const float* x, std::int64_t rows, bool relu, float* y) {
  constexpr int kRows = 8;
  std::int64_t row = 0;
  for (; row + kRows <= rows; row += kRows) {
    linear_rows<kRows>(layer, x + row * layer.inputs, relu, y + row * layer.outputs);
  }
  for (; row < rows; ++row) {
    linear_rows<1>(layer, x + row * layer.inputs, relu, y + row * layer.outputs);
  }
}

std::int64_t target() {
  return HWY_TARGET;
}

}  // namespace taut::infer::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace taut::infer {

HWY_EXPORT(linear);
HWY_EXPORT(target);

void linear(const LinearLayer& layer, const float* x, std::int64_t rows, bool relu, float* y) {
  HWY_DYNAMIC_DISPATCH(linear)(layer, x, rows, relu, y);
}

std::string kernel_target() {
  return hwy::TargetName(HWY_DYNAMIC_DISPATCH(target)());
}

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

}  // namespace taut::infer
#endif  // HWY_ONCE
