#include "nn/dense_kernels.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "nn/dense_kernels.cc"
#include <hwy/foreach_target.h>
// Must come after foreach_target.h.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace taut::nn::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Tag = hn::ScalableTag<float>;
using One = hn::CappedTag<float, 1>;

template <typename D>
using Floats = hn::Vec<D>;

template <typename D>
Floats<D> load(D d, const float* from) {
  return hn::LoadU(d, from);
}

template <typename D>
void store(D d, Floats<D> values, float* to) {
  hn::StoreU(values, d, to);
}

template <typename D>
Floats<D> load(D d, const std::uint16_t* from) {
  const hn::Rebind<std::uint32_t, D> wide;
  const hn::Rebind<std::uint16_t, D> narrow;
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(wide, hn::LoadU(narrow, from))));
}

// To the nearest, ties to even; what is not a number stays none.
template <typename D>
void store(D, Floats<D> values, std::uint16_t* to) {
  const hn::Rebind<std::uint32_t, D> wide;
  const hn::Rebind<std::int32_t, D> signed_wide;
  const hn::Rebind<std::uint16_t, D> narrow;
  const auto bits = hn::BitCast(wide, values);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(wide, 1U));
  const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(wide, 0x7FFFU)));
  const auto quiet = hn::Or(bits, hn::Set(wide, 0x400000U));
  const auto is_number = hn::RebindMask(wide, hn::Eq(values, values));
  const auto top = hn::ShiftRight<16>(hn::IfThenElse(is_number, rounded, quiet));
  hn::StoreU(hn::DemoteTo(narrow, hn::BitCast(signed_wide, top)), narrow, to);
}

// Calls body(tag, first, ...) for whole vectors of [0, count), then for the values that are left.
template <typename Body>
void for_values(std::int64_t count, Body&& body) {
  const Tag d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t at = 0;
  for (; at + lanes <= count; at += lanes) body(d, at);
  for (const One one; at < count; ++at) body(one, at);
}

template <typename T>
void add_bias(std::int64_t rows, std::int64_t columns, const float* bias, bool relu, T* y) {
  for (std::int64_t r = 0; r < rows; ++r, y += columns) {
    for_values(columns, [&](auto d, std::int64_t at) {
      auto value = load(d, y + at);
      if (bias != nullptr) value = hn::Add(value, load(d, bias + at));
      // What is not a number stays so: the loss must see it.
      if (relu) value = hn::IfThenZeroElse(hn::Lt(value, hn::Zero(d)), value);
      store(d, value, y + at);
    });
  }
}

// Four rows at once: their sum is read and written once.
template <typename T>
void mask_and_sum(std::int64_t rows, std::int64_t columns, const T* y, T* gradient, float* sums) {
  std::fill(sums, sums + columns, 0.0F);
  const auto masked = [&](auto d, std::int64_t at) {
    auto value = load(d, gradient + at);
    if (y == nullptr) return value;
    value = hn::IfThenElseZero(hn::Gt(load(d, y + at), hn::Zero(d)), value);
    store(d, value, gradient + at);
    return value;
  };
  std::int64_t r = 0;
  for (; r + 4 <= rows; r += 4) {
    const std::int64_t first = r * columns;
    for_values(columns, [&](auto d, std::int64_t at) {
      const auto a = hn::Add(masked(d, first + at), masked(d, first + columns + at));
      const auto b =
          hn::Add(masked(d, first + 2 * columns + at), masked(d, first + 3 * columns + at));
      store(d, hn::Add(load(d, sums + at), hn::Add(a, b)), sums + at);
    });
  }
  for (; r < rows; ++r) {
    for_values(columns, [&](auto d, std::int64_t at) {
      store(d, hn::Add(load(d, sums + at), masked(d, r * columns + at)), sums + at);
    });
  }
}

template <typename T>
void one_output(std::int64_t rows, std::int64_t columns, const T* x, const float* weight,
                float bias, float* out) {
  const Tag d;
  for (std::int64_t r = 0; r < rows; ++r, x += columns) {
    auto sum = hn::Zero(d);
    float rest = 0;
    for_values(columns, [&](auto tag, std::int64_t at) {
      const auto product = hn::Mul(load(tag, x + at), load(tag, weight + at));
      if constexpr (std::is_same_v<decltype(tag), Tag>) {
        sum = hn::Add(sum, product);
      } else {
        rest += hn::GetLane(product);
      }
    });
    out[r] = hn::GetLane(hn::SumOfLanes(d, sum)) + rest + bias;
  }
}

template <typename T>
void one_output_backward(std::int64_t rows, std::int64_t columns, const T* x, const float* weight,
                         const float* gradient, T* x_gradient, float* weight_gradient) {
  std::fill(weight_gradient, weight_gradient + columns, 0.0F);
  for (std::int64_t r = 0; r < rows; ++r, x += columns) {
    for_values(columns, [&](auto d, std::int64_t at) {
      const auto g = hn::Set(d, gradient[r]);
      const auto sum = load(d, weight_gradient + at);
      store(d, hn::MulAdd(g, load(d, x + at), sum), weight_gradient + at);
      if (x_gradient != nullptr) {
        store(d, hn::Mul(g, load(d, weight + at)), x_gradient + r * columns + at);
      }
    });
  }
}

template <typename From, typename To>
void convert(std::int64_t count, const From* from, To* to) {
  for_values(count, [&](auto d, std::int64_t at) { store(d, load(d, from + at), to + at); });
}

template <typename T>
void accumulate(std::int64_t count, const T* part, bool add, float* sum) {
  for_values(count, [&](auto d, std::int64_t at) {
    const auto value = load(d, part + at);
    store(d, add ? hn::Add(load(d, sum + at), value) : value, sum + at);
  });
}

template <typename Step, typename D>
Floats<D> decayed(const Step& step, D d, const float* gradient, Floats<D> values) {
  const auto scaled = hn::Mul(load(d, gradient), hn::Set(d, step.scale));
  return hn::Add(scaled, hn::Mul(values, hn::Set(d, step.weight_decay)));
}

void adam(const AdamStep& s, std::int64_t count, const float* gradient, float* first, float* second,
          float* values) {
  for_values(count, [&](auto d, std::int64_t at) {
    const auto value = load(d, values + at);
    const auto g = decayed(s, d, gradient + at, value);
    const auto m = hn::Add(hn::Mul(load(d, first + at), hn::Set(d, s.beta1)),
                           hn::Mul(g, hn::Set(d, 1.0F - s.beta1)));
    const auto v = hn::Add(hn::Mul(load(d, second + at), hn::Set(d, s.beta2)),
                           hn::Mul(hn::Mul(g, g), hn::Set(d, 1.0F - s.beta2)));
    const auto root =
        hn::Add(hn::Div(hn::Sqrt(v), hn::Set(d, s.correction_root)), hn::Set(d, s.epsilon));
    store(d, m, first + at);
    store(d, v, second + at);
    store(d, hn::Sub(value, hn::Mul(hn::Set(d, s.step_size), hn::Div(m, root))), values + at);
  });
}

void adagrad(const AdagradStep& s, std::int64_t count, const float* gradient, float* sum,
             float* values) {
  for_values(count, [&](auto d, std::int64_t at) {
    const auto value = load(d, values + at);
    const auto g = decayed(s, d, gradient + at, value);
    const auto all = hn::Add(load(d, sum + at), hn::Mul(g, g));
    const auto root = hn::Add(hn::Sqrt(all), hn::Set(d, s.epsilon));
    store(d, all, sum + at);
    store(d, hn::Sub(value, hn::Mul(hn::Set(d, s.learning_rate), hn::Div(g, root))), values + at);
  });
}

void sgd(const SgdStep& s, std::int64_t count, const float* gradient, float* buffer,
         float* values) {
  for_values(count, [&](auto d, std::int64_t at) {
    const auto value = load(d, values + at);
    const auto g = decayed(s, d, gradient + at, value);
    const auto momentum = hn::Set(d, s.momentum);
    const auto b = hn::Add(hn::Mul(load(d, buffer + at), momentum), g);
    const auto move = s.nesterov ? hn::Add(g, hn::Mul(b, momentum)) : b;
    store(d, b, buffer + at);
    store(d, hn::Sub(value, hn::Mul(hn::Set(d, s.learning_rate), move)), values + at);
  });
}

// HWY_EXPORT takes names, not templates.
void add_bias_f32(std::int64_t r, std::int64_t c, const float* b, bool relu, float* y) {
  add_bias(r, c, b, relu, y);
}
void add_bias_bf16(std::int64_t r, std::int64_t c, const float* b, bool relu, std::uint16_t* y) {
  add_bias(r, c, b, relu, y);
}
void mask_and_sum_f32(std::int64_t r, std::int64_t c, const float* y, float* g, float* sums) {
  mask_and_sum(r, c, y, g, sums);
}
void mask_and_sum_bf16(std::int64_t r, std::int64_t c, const std::uint16_t* y, std::uint16_t* g,
                       float* sums) {
  mask_and_sum(r, c, y, g, sums);
}
void one_output_f32(std::int64_t r, std::int64_t c, const float* x, const float* w, float b,
                    float* out) {
  one_output(r, c, x, w, b, out);
}
void one_output_bf16(std::int64_t r, std::int64_t c, const std::uint16_t* x, const float* w,
                     float b, float* out) {
  one_output(r, c, x, w, b, out);
}
void one_output_backward_f32(std::int64_t r, std::int64_t c, const float* x, const float* w,
                             const float* g, float* dx, float* dw) {
  one_output_backward(r, c, x, w, g, dx, dw);
}
void one_output_backward_bf16(std::int64_t r, std::int64_t c, const std::uint16_t* x,
                              const float* w, const float* g, std::uint16_t* dx, float* dw) {
  one_output_backward(r, c, x, w, g, dx, dw);
}
void to_bf16(std::int64_t count, const float* from, std::uint16_t* to) {
  convert(count, from, to);
}
void to_f32(std::int64_t count, const std::uint16_t* from, float* to) {
  convert(count, from, to);
}
void accumulate_f32(std::int64_t count, const float* part, bool add, float* sum) {
  accumulate(count, part, add, sum);
}
void accumulate_bf16(std::int64_t count, const std::uint16_t* part, bool add, float* sum) {
  accumulate(count, part, add, sum);
}

}  // namespace taut::nn::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace taut::nn {

HWY_EXPORT(add_bias_f32);
HWY_EXPORT(add_bias_bf16);
HWY_EXPORT(mask_and_sum_f32);
HWY_EXPORT(mask_and_sum_bf16);
HWY_EXPORT(one_output_f32);
HWY_EXPORT(one_output_bf16);
HWY_EXPORT(one_output_backward_f32);
HWY_EXPORT(one_output_backward_bf16);
HWY_EXPORT(to_bf16);
HWY_EXPORT(to_f32);
HWY_EXPORT(accumulate_f32);
HWY_EXPORT(accumulate_bf16);
HWY_EXPORT(adam);
HWY_EXPORT(adagrad);
HWY_EXPORT(sgd);

void add_bias(std::int64_t rows, std::int64_t columns, const float* bias, bool relu, float* y) {
  HWY_DYNAMIC_DISPATCH(add_bias_f32)(rows, columns, bias, relu, y);
}
void add_bias(std::int64_t rows, std::int64_t columns, const float* bias, bool relu,
              std::uint16_t* y) {
  HWY_DYNAMIC_DISPATCH(add_bias_bf16)(rows, columns, bias, relu, y);
}
void mask_and_sum(std::int64_t rows, std::int64_t columns, const float* y, float* gradient,
                  float* sums) {
  HWY_DYNAMIC_DISPATCH(mask_and_sum_f32)(rows, columns, y, gradient, sums);
}
void mask_and_sum(std::int64_t rows, std::int64_t columns, const std::uint16_t* y,
                  std::uint16_t* gradient, float* sums) {
  HWY_DYNAMIC_DISPATCH(mask_and_sum_bf16)(rows, columns, y, gradient, sums);
}
void one_output(std::int64_t rows, std::int64_t columns, const float* x, const float* weight,
                float bias, float* out) {
  HWY_DYNAMIC_DISPATCH(one_output_f32)(rows, columns, x, weight, bias, out);
}
void one_output(std::int64_t rows, std::int64_t columns, const std::uint16_t* x,
                const float* weight, float bias, float* out) {
  HWY_DYNAMIC_DISPATCH(one_output_bf16)(rows, columns, x, weight, bias, out);
}
void one_output_backward(std::int64_t rows, std::int64_t columns, const float* x,
                         const float* weight, const float* gradient, float* x_gradient,
                         float* weight_gradient) {
  HWY_DYNAMIC_DISPATCH(one_output_backward_f32)
  (rows, columns, x, weight, gradient, x_gradient, weight_gradient);
}
void one_output_backward(std::int64_t rows, std::int64_t columns, const std::uint16_t* x,
                         const float* weight, const float* gradient, std::uint16_t* x_gradient,
                         float* weight_gradient) {
  HWY_DYNAMIC_DISPATCH(one_output_backward_bf16)
  (rows, columns, x, weight, gradient, x_gradient, weight_gradient);
}
void convert(std::int64_t count, const float* from, std::uint16_t* to) {
  HWY_DYNAMIC_DISPATCH(to_bf16)(count, from, to);
}
void convert(std::int64_t count, const std::uint16_t* from, float* to) {
  HWY_DYNAMIC_DISPATCH(to_f32)(count, from, to);
}
void accumulate(std::int64_t count, const float* part, bool add, float* sum) {
  HWY_DYNAMIC_DISPATCH(accumulate_f32)(count, part, add, sum);
}
void accumulate(std::int64_t count, const std::uint16_t* part, bool add, float* sum) {
  HWY_DYNAMIC_DISPATCH(accumulate_bf16)(count, part, add, sum);
}
void adam(const AdamStep& step, std::int64_t count, const float* gradient, float* first,
          float* second, float* values) {
  HWY_DYNAMIC_DISPATCH(adam)(step, count, gradient, first, second, values);
}
void adagrad(const AdagradStep& step, std::int64_t count, const float* gradient, float* sum,
             float* values) {
  HWY_DYNAMIC_DISPATCH(adagrad)(step, count, gradient, sum, values);
}
void sgd(const SgdStep& step, std::int64_t count, const float* gradient, float* buffer,
         float* values) {
  HWY_DYNAMIC_DISPATCH(sgd)(step, count, gradient, buffer, values);
}

}  // namespace taut::nn
#endif  // HWY_ONCE
