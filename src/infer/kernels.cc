#include "infer/kernels.h"

#include "taut/infer/engine.h"

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
void linear_tile(D d, const LinearMap& map, const float* x, std::int64_t o, float* y,
                 std::int64_t stride) {
  using Vector = hn::Vec<D>;
  Vector sums[kRows];
  for (int r = 0; r < kRows; ++r) sums[r] = hn::LoadU(d, map.bias.data() + o);
  const float* weight = map.weight.data() + o;
  for (std::int64_t i = 0; i < map.inputs; ++i, weight += map.outputs) {
    const Vector w = hn::LoadU(d, weight);
    for (int r = 0; r < kRows; ++r) {
      sums[r] = hn::MulAdd(hn::Set(d, x[r * map.inputs + i]), w, sums[r]);
    }
  }
  for (int r = 0; r < kRows; ++r) hn::StoreU(sums[r], d, y + r * stride + o);
}

// All outputs of kRows rows: whole vectors first, then one by one.
template <int kRows>
void linear_rows(const LinearMap& map, const float* x, float* y, std::int64_t stride) {
  const Tag d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t o = 0;
  for (; o + lanes <= map.outputs; o += lanes) linear_tile<kRows>(d, map, x, o, y, stride);
  for (; o < map.outputs; ++o) linear_tile<kRows>(OneLane(), map, x, o, y, stride);
}

void linear(const LinearMap& map, const float* x, std::int64_t rows, float* y,
            std::int64_t stride) {
  constexpr int kRows = 8;
  std::int64_t row = 0;
  for (; row + kRows <= rows; row += kRows) {
    linear_rows<kRows>(map, x + row * map.inputs, y + row * stride, stride);
  }
  for (; row < rows; ++row) linear_rows<1>(map, x + row * map.inputs, y + row * stride, stride);
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

void linear(const LinearMap& map, const float* x, std::int64_t rows, float* y,
            std::int64_t stride) {
  HWY_DYNAMIC_DISPATCH(linear)(map, x, rows, y, stride);
}

std::string kernel_target() {
  return hwy::TargetName(HWY_DYNAMIC_DISPATCH(target)());
}

void linear_reference(const LinearMap& map, const float* x, std::int64_t rows, float* y,
                      std::int64_t stride) {
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t o = 0; o < map.outputs; ++o) {
      double sum = map.bias[static_cast<std::size_t>(o)];
      for (std::int64_t i = 0; i < map.inputs; ++i) {
        sum += static_cast<double>(x[row * map.inputs + i]) *
               static_cast<double>(map.weight[static_cast<std::size_t>(i * map.outputs + o)]);
      }
      y[row * stride + o] = static_cast<float>(sum);
    }
  }
}

}  // namespace taut::infer
#endif  // HWY_ONCE
