#include "infer/value_kernels.h"

#include <array>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "infer/value_kernels.cc"
#include <hwy/foreach_target.h>
// Must come after foreach_target.h.
#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace taut::infer::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Values = hn::ScalableTag<float>;
// What is left of channels: most networks have multiples of 8 of them.
using EightValues = hn::CappedTag<float, 8>;
using FourValues = hn::CappedTag<float, 4>;
using OneValue = hn::CappedTag<float, 1>;

// `otherwise` where x is no number.
template <class V>
HWY_INLINE V unless_nan(V x, V y) {
  return hn::IfThenElse(hn::Eq(x, x), y, x);
}

// min(max(x, least), most); NaN stays.
template <class V>
HWY_INLINE V clipped(V x, V least, V most) {
  x = hn::IfThenElse(hn::Lt(x, least), least, x);
  return hn::IfThenElse(hn::Gt(x, most), most, x);
}

// By exp(-|x|), which cannot become infinite.
template <class D, class V>
HWY_INLINE V sigmoid(D d, V x) {
  const V one = hn::Set(d, 1.0f);
  const V e = hn::Exp(d, hn::Neg(hn::Abs(x)));
  const V above = hn::IfThenElse(hn::Lt(x, hn::Zero(d)), e, one);
  return unless_nan(x, hn::Div(above, hn::Add(one, e)));
}

// c[0] + c[1] * x + ...
template <class D, class V, std::size_t kCount>
HWY_INLINE V polynomial(D d, V x, const std::array<float, kCount>& c) {
  V sum = hn::Set(d, c[kCount - 1]);
  for (std::size_t i = kCount - 1; i-- > 0;) sum = hn::MulAdd(sum, x, hn::Set(d, c[i]));
  return sum;
}

// erf(z) / z for |z| <= 1, by z^2; within 7e-8 of itself.
constexpr std::array<float, 7> kNearErf = {1.1283791065f,    -0.3761262596f, 0.1128359735f,
                                           -0.0268543288f,   0.0051893122f,  -0.0008018855f,
                                           0.00007882497448f};
// erfc(z) * exp(z^2) for z >= 1, by t = 1 / (1 + z / 2); within 3e-7 of itself. Both are
// Chebyshev's approximations on the interval.
constexpr std::array<float, 9> kFarErfc = {
    -6.7184910221840255e-06f, 0.2822630703449249f,   0.2803367078304291f,
    0.256674587726593f,       0.1453501135110855f,   0.13225631415843964f,
    -0.009531030431389809f,   -0.16035498678684235f, 0.07338686287403107f};

// 1 - erf(z) for z >= 1.
template <class D, class V>
HWY_INLINE V far_erfc(D d, V z) {
  const V one = hn::Set(d, 1.0f);
  const V t = hn::Div(one, hn::MulAdd(z, hn::Set(d, 0.5f), one));
  return hn::Mul(polynomial(d, t, kFarErfc), hn::Exp(d, hn::Neg(hn::Mul(z, z))));
}

template <class D, class V>
HWY_INLINE V near_erf(D d, V z) {
  return hn::Mul(z, polynomial(d, hn::Mul(z, z), kNearErf));
}

template <class D, class V>
HWY_INLINE V error_function(D d, V x) {
  const V one = hn::Set(d, 1.0f);
  const V z = hn::Min(hn::Abs(x), hn::Set(d, 10.0f));
  const V far = hn::CopySign(hn::Sub(one, far_erfc(d, z)), x);
  return unless_nan(x, hn::IfThenElse(hn::Lt(z, one), near_erf(d, x), far));
}

// x * (1 + erf(x / sqrt(2))) / 2, of large negative x from the small rest.
template <class D, class V>
HWY_INLINE V gelu(D d, V x) {
  const V one = hn::Set(d, 1.0f);
  const V half = hn::Set(d, 0.5f);
  const V z = hn::Mul(x, hn::Set(d, 0.70710678118654752f));
  const V size = hn::Min(hn::Abs(z), hn::Set(d, 15.0f));
  const V rest = hn::Mul(half, far_erfc(d, size));
  const V far = hn::IfThenElse(hn::Lt(x, hn::Zero(d)), rest, hn::Sub(one, rest));
  const V near = hn::MulAdd(half, near_erf(d, z), half);
  return unless_nan(x, hn::Mul(x, hn::IfThenElse(hn::Lt(size, one), near, far)));
}

template <class D, class V>
HWY_INLINE V hyperbolic_tangent(D d, V x) {
  return unless_nan(x, hn::Tanh(d, x));
}

template <class D, class V>
HWY_INLINE V gelu_tanh(D d, V x) {
  const V half = hn::Set(d, 0.5f);
  const V cube = hn::Mul(hn::Mul(x, x), x);
  const V inner =
      hn::Mul(hn::MulAdd(cube, hn::Set(d, 0.044715f), x), hn::Set(d, 0.79788456080286536f));
  return hn::Mul(x, hn::MulAdd(half, hyperbolic_tangent(d, inner), half));
}

template <class D, class V>
HWY_INLINE V hard_sigmoid(D d, V x, V alpha, V beta) {
  return clipped(hn::Add(hn::Mul(alpha, x), beta), hn::Zero(d), hn::Set(d, 1.0f));
}

// Columns [c, columns) of a row, as many vectors as fit; where they end.
template <class D, class Of>
HWY_INLINE std::int64_t map_columns(D d, std::int64_t c, std::int64_t columns, float* y,
                                    const Of& of) {
  const auto step = static_cast<std::int64_t>(hn::Lanes(d));
  for (; c + step <= columns; c += step) hn::StoreU(of(d, hn::LoadU(d, y + c)), d, y + c);
  return c;
}

template <class Of>
HWY_INLINE void map_rows(std::int64_t rows, std::int64_t columns, std::int64_t stride, float* y,
                         const Of& of) {
  for (std::int64_t row = 0; row < rows; ++row, y += stride) {
    std::int64_t c = map_columns(Values(), 0, columns, y, of);
    c = map_columns(EightValues(), c, columns, y, of);
    c = map_columns(FourValues(), c, columns, y, of);
    map_columns(OneValue(), c, columns, y, of);
  }
}

HWY_NOINLINE void apply_function(const graph::Pointwise& of, std::int64_t rows,
                                 std::int64_t columns, std::int64_t stride, float* y) {
  const float a = of.alpha;
  const float b = of.beta;
  const auto map = [&](const auto& function) { map_rows(rows, columns, stride, y, function); };
  switch (of.function) {
    case graph::Function::kClip:
      return map([=](auto d, auto x) { return clipped(x, hn::Set(d, a), hn::Set(d, b)); });
    case graph::Function::kLeakyRelu:
      return map([=](auto d, auto x) {
        return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), hn::Mul(x, hn::Set(d, a)), x);
      });
    case graph::Function::kSigmoid:
      return map([](auto d, auto x) { return sigmoid(d, x); });
    case graph::Function::kSilu:
      return map([=](auto d, auto x) { return hn::Mul(x, sigmoid(d, hn::Mul(x, hn::Set(d, a)))); });
    case graph::Function::kHardSigmoid:
      return map([=](auto d, auto x) { return hard_sigmoid(d, x, hn::Set(d, a), hn::Set(d, b)); });
    case graph::Function::kHardSwish:
      return map([=](auto d, auto x) {
        return hn::Mul(x, hard_sigmoid(d, x, hn::Set(d, a), hn::Set(d, b)));
      });
    case graph::Function::kTanh:
      return map([](auto d, auto x) { return hyperbolic_tangent(d, x); });
    case graph::Function::kErf:
      return map([](auto d, auto x) { return error_function(d, x); });
    case graph::Function::kGelu:
      return map([](auto d, auto x) { return gelu(d, x); });
    case graph::Function::kGeluTanh:
      return map([](auto d, auto x) { return gelu_tanh(d, x); });
  }
}

// One side of an arithmetic at channel c.
template <class D>
HWY_INLINE hn::Vec<D> operand_at(D d, const float* values, std::int64_t channel, std::int64_t c) {
  return channel == 0 ? hn::Set(d, *values) : hn::LoadU(d, values + c);
}

// Channels [c, channels) of a position, as many vectors as fit; where they end.
template <class D, class Of>
HWY_INLINE std::int64_t combine_channels(D d, const RowOperand& a, const RowOperand& b,
                                         std::int64_t c, std::int64_t channels, float* y,
                                         const Of& of) {
  const auto step = static_cast<std::int64_t>(hn::Lanes(d));
  for (; c + step <= channels; c += step) {
    hn::StoreU(of(operand_at(d, a.values, a.channel, c), operand_at(d, b.values, b.channel, c)), d,
               y + c);
  }
  return c;
}

template <class Of>
HWY_INLINE void combine_positions(RowOperand a, RowOperand b, std::int64_t width,
                                  std::int64_t channels, float* y, const Of& of) {
  for (std::int64_t p = 0; p < width; ++p, y += channels) {
    std::int64_t c = combine_channels(Values(), a, b, 0, channels, y, of);
    c = combine_channels(EightValues(), a, b, c, channels, y, of);
    c = combine_channels(FourValues(), a, b, c, channels, y, of);
    combine_channels(OneValue(), a, b, c, channels, y, of);
    a.values += a.position;
    b.values += b.position;
  }
}

HWY_NOINLINE void combine_row(graph::Arithmetic how, const RowOperand& a, const RowOperand& b,
                              std::int64_t width, std::int64_t channels, float* y) {
  // Positions that lie beside one another on both sides are one long one.
  const auto is_dense = [&](const RowOperand& of) {
    return of.channel == 1 && of.position == channels;
  };
  if (is_dense(a) && is_dense(b)) {
    channels *= width;
    width = 1;
  }
  const auto combine = [&](const auto& of) { combine_positions(a, b, width, channels, y, of); };
  switch (how) {
    case graph::Arithmetic::kAdd:
      return combine([](auto x, auto z) { return hn::Add(x, z); });
    case graph::Arithmetic::kSubtract:
      return combine([](auto x, auto z) { return hn::Sub(x, z); });
    case graph::Arithmetic::kMultiply:
      return combine([](auto x, auto z) { return hn::Mul(x, z); });
    case graph::Arithmetic::kDivide:
      return combine([](auto x, auto z) { return hn::Div(x, z); });
  }
}

// The sum of of(vector) over a row.
template <class Of>
HWY_INLINE float sum_of_row(const float* x, std::int64_t columns, const Of& of) {
  const Values d;
  const OneValue one;
  const auto step = static_cast<std::int64_t>(hn::Lanes(d));
  auto sums = hn::Zero(d);
  std::int64_t c = 0;
  for (; c + step <= columns; c += step) sums = hn::Add(sums, of(d, hn::LoadU(d, x + c)));
  float sum = hn::GetLane(hn::SumOfLanes(d, sums));
  for (; c < columns; ++c) sum += hn::GetLane(of(one, hn::LoadU(one, x + c)));
  return sum;
}

HWY_NOINLINE void normalize_rows(const RowNorm& norm, const float* x, std::int64_t rows, float* y) {
  const Values d;
  const OneValue one;
  const auto step = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t columns = norm.columns;
  const auto count = static_cast<float>(columns);
  for (std::int64_t row = 0; row < rows; ++row, x += columns, y += columns) {
    const float mean = sum_of_row(x, columns, [](auto, auto v) { return v; }) / count;
    const float squares = sum_of_row(x, columns, [=](auto tag, auto v) {
      const auto from_mean = hn::Sub(v, hn::Set(tag, mean));
      return hn::Mul(from_mean, from_mean);
    });
    const float factor = 1 / std::sqrt(squares / count + norm.epsilon);
    const auto normal = [&](auto tag, std::int64_t c) {
      const auto from_mean = hn::Sub(hn::LoadU(tag, x + c), hn::Set(tag, mean));
      const auto unit = hn::Mul(from_mean, hn::Set(tag, factor));
      return hn::MulAdd(unit, hn::LoadU(tag, norm.scale + c), hn::LoadU(tag, norm.shift + c));
    };
    std::int64_t c = 0;
    for (; c + step <= columns; c += step) hn::StoreU(normal(d, c), d, y + c);
    for (; c < columns; ++c) hn::StoreU(normal(one, c), one, y + c);
  }
}

}  // namespace taut::infer::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace taut::infer {

HWY_EXPORT(apply_function);
HWY_EXPORT(combine_row);
HWY_EXPORT(normalize_rows);

void apply_function(const graph::Pointwise& of, std::int64_t rows, std::int64_t columns,
                    std::int64_t stride, float* y) {
  if (stride == columns) {
    columns *= rows;
    rows = 1;
  }
  HWY_DYNAMIC_DISPATCH(apply_function)(of, rows, columns, stride, y);
}
void combine_row(graph::Arithmetic how, const RowOperand& a, const RowOperand& b,
                 std::int64_t width, std::int64_t channels, float* y) {
  HWY_DYNAMIC_DISPATCH(combine_row)(how, a, b, width, channels, y);
}
void normalize_rows(const RowNorm& norm, const float* x, std::int64_t rows, float* y) {
  HWY_DYNAMIC_DISPATCH(normalize_rows)(norm, x, rows, y);
}

}  // namespace taut::infer
#endif  // HWY_ONCE
