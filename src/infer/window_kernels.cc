#include "infer/window_kernels.h"

#include <algorithm>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "infer/window_kernels.cc"
#include <hwy/foreach_target.h>
// Must come after foreach_target.h.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace taut::infer::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using WideLane = hn::ScalableTag<float>;
// What is left of channels: most networks have multiples of 8 of them.
using EightLanes = hn::CappedTag<float, 8>;
using FourLanes = hn::CappedTag<float, 4>;
using OneLane = hn::CappedTag<float, 1>;

constexpr int kVectors = 4;  // of channels that are computed together

// The part of one output's window that lies on the image.
struct Reach {
  Reach(std::int64_t out, std::int64_t side, const graph::Window& window)
      : first(out * window.stride - window.padding),
        begin(std::max<std::int64_t>(0, -first)),
        end(std::min(window.kernel, side - first)) {}
  std::int64_t first;
  std::int64_t begin;
  std::int64_t end;
};

// kCount vectors of channels from c on, at one output: step(state, tap, input position) for each
// tap on the image.
template <int kCount, class D, class Fold>
HWY_INLINE void fold_window(D d, const graph::Layer& layer, const Reach& down, const Reach& across,
                            const float* x, std::int64_t c, const Fold& fold, float* y) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t channels = layer.out.channels;
  hn::Vec<D> held[kCount];
  for (int v = 0; v < kCount; ++v) held[v] = fold.start(d, c + v * lanes);
  for (std::int64_t ky = down.begin; ky < down.end; ++ky) {
    for (std::int64_t kx = across.begin; kx < across.end; ++kx) {
      const std::int64_t position = (down.first + ky) * layer.in.width + across.first + kx;
      const float* from = x + position * channels + c;
      const std::int64_t tap = ky * layer.window.kernel + kx;
      for (int v = 0; v < kCount; ++v) {
        held[v] =
            fold.step(d, tap * channels + c + v * lanes, hn::LoadU(d, from + v * lanes), held[v]);
      }
    }
  }
  const std::int64_t taps = (down.end - down.begin) * (across.end - across.begin);
  for (int v = 0; v < kCount; ++v) {
    hn::StoreU(fold.finish(d, held[v], taps), d, y + c + v * lanes);
  }
}

// Channels [c, channels) of one output, as many vectors at a time as fit; where they end.
template <int kCount, class D, class Fold>
HWY_INLINE std::int64_t fold_channels(D d, const graph::Layer& layer, const Reach& down,
                                      const Reach& across, const float* x, std::int64_t c,
                                      const Fold& fold, float* y) {
  const auto step = kCount * static_cast<std::int64_t>(hn::Lanes(d));
  for (; c + step <= layer.out.channels; c += step) {
    fold_window<kCount>(d, layer, down, across, x, c, fold, y);
  }
  return c;
}

template <class Fold>
void fold_row(const graph::Layer& layer, const float* x, std::int64_t row, const Fold& fold,
              float* y) {
  const WideLane d;
  const std::int64_t channels = layer.out.channels;
  const Reach down(row, layer.in.height, layer.window);
  const graph::Window along = graph::along_width(layer.window);
  for (std::int64_t out = 0; out < layer.out.width; ++out, y += channels) {
    const Reach across(out, layer.in.width, along);
    std::int64_t c = fold_channels<kVectors>(d, layer, down, across, x, 0, fold, y);
    c = fold_channels<kVectors / 2>(d, layer, down, across, x, c, fold, y);
    c = fold_channels<1>(d, layer, down, across, x, c, fold, y);
    c = fold_channels<1>(EightLanes(), layer, down, across, x, c, fold, y);
    c = fold_channels<1>(FourLanes(), layer, down, across, x, c, fold, y);
    fold_channels<1>(OneLane(), layer, down, across, x, c, fold, y);
  }
}

struct WeightedSum {
  const float* weight;
  const float* bias;
  template <class D>
  HWY_INLINE hn::Vec<D> start(D d, std::int64_t c) const {
    return hn::LoadU(d, bias + c);
  }
  template <class D>
  HWY_INLINE hn::Vec<D> step(D d, std::int64_t at, hn::Vec<D> x, hn::Vec<D> sum) const {
    return hn::MulAdd(x, hn::LoadU(d, weight + at), sum);
  }
  template <class D>
  HWY_INLINE hn::Vec<D> finish(D /*d*/, hn::Vec<D> sum, std::int64_t /*taps*/) const {
    return sum;
  }
};

struct Mean {
  template <class D>
  HWY_INLINE hn::Vec<D> start(D d, std::int64_t /*c*/) const {
    return hn::Zero(d);
  }
  template <class D>
  HWY_INLINE hn::Vec<D> step(D /*d*/, std::int64_t /*at*/, hn::Vec<D> x, hn::Vec<D> sum) const {
    return hn::Add(sum, x);
  }
  template <class D>
  HWY_INLINE hn::Vec<D> finish(D d, hn::Vec<D> sum, std::int64_t taps) const {
    return hn::Div(sum, hn::Set(d, static_cast<float>(taps)));
  }
};

struct Maximum {
  template <class D>
  HWY_INLINE hn::Vec<D> start(D d, std::int64_t /*c*/) const {
    return hn::Set(d, -std::numeric_limits<float>::infinity());
  }
  template <class D>
  HWY_INLINE hn::Vec<D> step(D /*d*/, std::int64_t /*at*/, hn::Vec<D> x, hn::Vec<D> most) const {
    const auto takes = hn::And(hn::Not(hn::Ge(most, x)), hn::Eq(most, most));  // NaN stays
    return hn::IfThenElse(takes, x, most);
  }
  template <class D>
  HWY_INLINE hn::Vec<D> finish(D /*d*/, hn::Vec<D> most, std::int64_t /*taps*/) const {
    return most;
  }
};

void depthwise_row(const graph::Layer& layer, const float* weight, const float* bias,
                   const float* x, std::int64_t row, float* y) {
  fold_row(layer, x, row, WeightedSum{weight, bias}, y);
}

void maxima_row(const graph::Layer& layer, const float* x, std::int64_t row, float* y) {
  fold_row(layer, x, row, Maximum{}, y);
}

void means_row(const graph::Layer& layer, const float* x, std::int64_t row, float* y) {
  fold_row(layer, x, row, Mean{}, y);
}

using WideSum = hn::ScalableTag<double>;
using OneSum = hn::CappedTag<double, 1>;

// kCount vectors of channels from x on.
template <int kCount, class D>
HWY_INLINE void mean_of_channels(D d, const float* x, std::int64_t positions, std::int64_t channels,
                                 float* y) {
  const hn::Rebind<float, D> narrow;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  hn::Vec<D> sums[kCount];
  for (int v = 0; v < kCount; ++v) sums[v] = hn::Zero(d);
  for (std::int64_t p = 0; p < positions; ++p, x += channels) {
    for (int v = 0; v < kCount; ++v) {
      sums[v] = hn::Add(sums[v], hn::PromoteTo(d, hn::LoadU(narrow, x + v * lanes)));
    }
  }
  const auto count = hn::Set(d, static_cast<double>(positions));
  for (int v = 0; v < kCount; ++v) {
    hn::StoreU(hn::DemoteTo(narrow, hn::Div(sums[v], count)), narrow, y + v * lanes);
  }
}

void means_of_positions(const float* x, std::int64_t positions, std::int64_t channels, float* y) {
  const WideSum d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t c = 0;
  for (; c + kVectors * lanes <= channels; c += kVectors * lanes) {
    mean_of_channels<kVectors>(d, x + c, positions, channels, y + c);
  }
  for (; c + lanes <= channels; c += lanes) {
    mean_of_channels<1>(d, x + c, positions, channels, y + c);
  }
  for (; c < channels; ++c) mean_of_channels<1>(OneSum(), x + c, positions, channels, y + c);
}

}  // namespace taut::infer::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace taut::infer {

HWY_EXPORT(depthwise_row);
HWY_EXPORT(maxima_row);
HWY_EXPORT(means_row);
HWY_EXPORT(means_of_positions);

void depthwise_row(const graph::Layer& layer, const float* weight, const float* bias,
                   const float* x, std::int64_t row, float* y) {
  HWY_DYNAMIC_DISPATCH(depthwise_row)(layer, weight, bias, x, row, y);
}
void maxima_row(const graph::Layer& layer, const float* x, std::int64_t row, float* y) {
  HWY_DYNAMIC_DISPATCH(maxima_row)(layer, x, row, y);
}
void means_of_positions(const float* x, std::int64_t positions, std::int64_t channels, float* y) {
  HWY_DYNAMIC_DISPATCH(means_of_positions)(x, positions, channels, y);
}
void means_row(const graph::Layer& layer, const float* x, std::int64_t row, float* y) {
  HWY_DYNAMIC_DISPATCH(means_row)(layer, x, row, y);
}

}  // namespace taut::infer
#endif  // HWY_ONCE
