#include "row_kernels.h"

#include <algorithm>
#include <array>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "embedding/row_kernels.cc"
#include <hwy/foreach_target.h>
// Must come after foreach_target.h.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace taut::embedding::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
template <typename D>
using Words = hn::RebindToUnsigned<D>;
template <typename D>
using Integers = hn::RebindToSigned<D>;
template <typename D>
using Halves = hn::Rebind<std::uint16_t, D>;
template <typename D>
using Shorts = hn::Rebind<std::int16_t, D>;
template <typename D>
using Bytes = hn::Rebind<std::int8_t, D>;

#if HWY_TARGET <= HWY_AVX3
constexpr bool kMasks = true;  // loads and stores of a part of a vector touch that part alone
#else
constexpr bool kMasks = false;
#endif

// All lanes of a vector.
struct Whole {
  template <typename D, typename T = hn::TFromD<D>>
  HWY_INLINE hn::Vec<D> load(D d, const T* at) const {
    return hn::LoadU(d, at);
  }
  template <typename D, typename T = hn::TFromD<D>>
  HWY_INLINE void store(hn::Vec<D> values, D d, T* at) const {
    hn::StoreU(values, d, at);
  }
};

// The first lanes: others are 0 when loaded, and left alone when stored.
struct First {
  std::size_t count;

  template <typename D, typename T = hn::TFromD<D>>
  HWY_INLINE hn::Vec<D> load(D d, const T* at) const {
    return hn::MaskedLoad(hn::FirstN(d, count), d, at);
  }
  template <typename D, typename T = hn::TFromD<D>>
  HWY_INLINE void store(hn::Vec<D> values, D d, T* at) const {
    hn::BlendedStore(values, hn::FirstN(d, count), d, at);
  }
};

// Calls body(d, lanes, i) for all values: lanes of a vector of d that begin with value i.
template <typename Body>
HWY_INLINE void for_vectors(int size, Body&& body) {
  const Floats d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  int i = 0;
  for (; i + lanes <= size; i += lanes) body(d, Whole(), i);
  if constexpr (kMasks) {
    if (i < size) body(d, First{static_cast<std::size_t>(size - i)}, i);
  } else {
    const hn::CappedTag<float, 4> four;
    for (; i + 4 <= size; i += 4) body(four, Whole(), i);
    const hn::CappedTag<float, 1> one;
    for (; i < size; ++i) body(one, Whole(), i);
  }
}

template <typename T>
HWY_INLINE const T* typed(const std::uint8_t* source) {
  return reinterpret_cast<const T*>(source);
}

template <typename T>
HWY_INLINE T* typed(std::uint8_t* target) {
  return reinterpret_cast<T*>(target);
}

template <typename D>
HWY_INLINE hn::Vec<D> from_float16(D d, hn::Vec<Words<D>> half) {
  const Words<D> u;
  const auto sign = hn::ShiftLeft<16>(hn::And(half, hn::Set(u, 0x8000u)));
  const auto rest = hn::ShiftLeft<13>(hn::And(half, hn::Set(u, 0x7FFFu)));
  const auto magnitude = hn::Mul(hn::BitCast(d, rest), hn::Set(d, 0x1.0p112f));
  return hn::Or(magnitude, hn::BitCast(d, sign));
}

// The values of a row from i on.
template <Storage kStorage, typename D, typename L>
HWY_INLINE hn::Vec<D> decode(D d, L lanes, const std::uint8_t* source, float scale, int i) {
  if constexpr (kStorage == Storage::kFloat32) {
    return lanes.load(d, typed<float>(source) + i);
  } else if constexpr (kStorage == Storage::kInt8) {
    const auto whole = lanes.load(Bytes<D>(), typed<std::int8_t>(source) + i);
    return hn::Mul(hn::ConvertTo(d, hn::PromoteTo(Integers<D>(), whole)), hn::Set(d, scale));
  } else if constexpr (kStorage == Storage::kInt16) {
    const auto whole = lanes.load(Shorts<D>(), typed<std::int16_t>(source) + i);
    return hn::Mul(hn::ConvertTo(d, hn::PromoteTo(Integers<D>(), whole)), hn::Set(d, scale));
  } else {
    const auto bits =
        hn::PromoteTo(Words<D>(), lanes.load(Halves<D>(), typed<std::uint16_t>(source) + i));
    if constexpr (kStorage == Storage::kBFloat16) return hn::BitCast(d, hn::ShiftLeft<16>(bits));
    return from_float16(d, bits);
  }
}

// out[i] += weight * value i.
template <typename D, typename L>
HWY_INLINE void add_to(D d, L lanes, hn::Vec<D> values, float weight, float* out) {
  const auto sum = hn::Add(lanes.load(d, out), hn::Mul(hn::Set(d, weight), values));
  lanes.store(sum, d, out);
}

// Calls body.operator()<storage>().
template <typename Body>
HWY_INLINE void with_storage(Storage storage, Body&& body) {
  switch (storage) {
    case Storage::kFloat32:
      return body.template operator()<Storage::kFloat32>();
    case Storage::kBFloat16:
      return body.template operator()<Storage::kBFloat16>();
    case Storage::kFloat16:
      return body.template operator()<Storage::kFloat16>();
    case Storage::kInt8:
      return body.template operator()<Storage::kInt8>();
    case Storage::kInt16:
      return body.template operator()<Storage::kInt16>();
  }
}

void add_parts(std::span<const RowPart> parts) {
  for (const RowPart& part : parts) {
    with_storage(part.storage, [&]<Storage kStorage>() HWY_ATTR {
      for_vectors(part.size, [&](auto d, auto lanes, int i) HWY_ATTR {
        const auto values = decode<kStorage>(d, lanes, part.values, part.scale, i);
        add_to(d, lanes, values, part.weight, part.out + i);
      });
    });
  }
}

void add_gradients(std::span<const GradientPart> parts, int dim, const float* gradient,
                   float* sums) {
  const auto width = static_cast<std::size_t>(dim);
  for (const GradientPart& part : parts) {
    const float* from = gradient + part.output * width;
    float* to = sums + part.row * width;
    for_vectors(dim, [&](auto d, auto lanes, int i) HWY_ATTR {
      add_to(d, lanes, lanes.load(d, from + i), part.weight, to + i);
    });
  }
}

void read_values(Storage storage, const std::uint8_t* source, float scale, int size, float* out) {
  with_storage(storage, [&]<Storage kStorage>() HWY_ATTR {
    for_vectors(size, [&](auto d, auto lanes, int i) HWY_ATTR {
      lanes.store(decode<kStorage>(d, lanes, source, scale, i), d, out + i);
    });
  });
}

// Adds those 8, 4, 2 and 1 apart.
HWY_INLINE float sum_of_sixteen(float* sums) {
  for (int apart = 8; apart > 0; apart /= 2) {
    for (int i = 0; i < apart; ++i) sums[i] += sums[i + apart];
  }
  return sums[0];
}

float sum_of_squares(const float* values, int size) {
  const hn::CappedTag<float, 16> d;
  constexpr int kLanes = static_cast<int>(hn::MaxLanes(d));
  constexpr int kVectors = 16 / kLanes;
  HWY_ALIGN float sums[16];
  hn::Vec<decltype(d)> parts[kVectors];
  for (auto& part : parts) part = hn::Zero(d);
  int i = 0;
  for (; i + 16 <= size; i += 16) {
    for (int k = 0; k < kVectors; ++k) {
      const auto x = hn::LoadU(d, values + i + k * kLanes);
      parts[k] = hn::Add(parts[k], hn::Mul(x, x));
    }
  }
  for (int k = 0; k < kVectors; ++k) hn::Store(parts[k], d, sums + k * kLanes);
  for (int k = 0; i < size; ++i, ++k) sums[k] += values[i] * values[i];
  return sum_of_sixteen(sums);
}

float largest_magnitude(const float* values, int size) {
  float most = 0;
  for_vectors(size, [&](auto d, auto lanes, int i) HWY_ATTR {
    const auto magnitudes = hn::Abs(lanes.load(d, values + i));
    most = std::max(most, hn::GetLane(hn::MaxOfLanes(d, magnitudes)));
  });
  return most;
}

template <typename D>
HWY_INLINE hn::Vec<Words<D>> to_bfloat16(D d, hn::Vec<D> values, hn::Vec<Words<D>> random) {
  const Words<D> u;
  const auto most = hn::Set(d, kLargestBFloat16);
  const auto bits = hn::BitCast(u, hn::Clamp(values, hn::Neg(most), most));
  const auto largest = hn::Or(hn::And(bits, hn::Set(u, 0x80000000u)), hn::Set(u, 0x7F7FFFFFu));
  return hn::ShiftRight<16>(hn::Min(hn::Add(bits, random), largest));
}

template <typename D>
HWY_INLINE hn::Vec<Words<D>> to_float16(D d, hn::Vec<D> values, hn::Vec<Words<D>> random) {
  const Words<D> u;
  const Integers<D> s;
  const auto magnitude = hn::Min(hn::Abs(values), hn::Set(d, kLargestFloat16));
  const auto sign = hn::And(hn::ShiftRight<16>(hn::BitCast(u, values)), hn::Set(u, 0x8000u));
  const auto dice = hn::ConvertTo(d, hn::BitCast(s, random));
  const auto small = hn::Add(hn::Mul(magnitude, hn::Set(d, 0x1.0p24f)),
                             hn::Mul(dice, hn::Set(d, 0x1.0p-16f)));  // steps of 2^-24
  const auto subnormal = hn::BitCast(u, hn::ConvertTo(s, small));
  const auto bits = hn::Add(hn::BitCast(u, magnitude), hn::ShiftRight<3>(random));
  const auto normal = hn::Sub(hn::ShiftRight<13>(bits), hn::Set(u, 112u << 10));
  const auto is_small = hn::RebindMask(u, hn::Lt(magnitude, hn::Set(d, 0x1.0p-14f)));
  const auto half = hn::IfThenElse(is_small, subnormal, normal);
  return hn::Or(hn::Min(half, hn::Set(u, 0x7BFFu)), sign);
}

// Integers in [-limit, limit], rounded up with the probability of what is lost.
template <typename D>
HWY_INLINE hn::Vec<Integers<D>> to_integer(D d, hn::Vec<D> values, float inverse, float limit,
                                           hn::Vec<Words<D>> random) {
  const Integers<D> s;
  const auto dice = hn::Mul(hn::ConvertTo(d, hn::BitCast(s, random)), hn::Set(d, 0x1.0p-16f));
  const auto whole = hn::Floor(hn::Add(hn::Mul(values, hn::Set(d, inverse)), dice));
  return hn::ConvertTo(s, hn::Clamp(whole, hn::Set(d, -limit), hn::Set(d, limit)));
}

template <Storage kStorage, typename D, typename L>
HWY_INLINE void encode(D d, L lanes, hn::Vec<D> values, float inverse, const std::uint16_t* random,
                       std::uint8_t* target, int i) {
  if constexpr (kStorage == Storage::kFloat32) {
    lanes.store(values, d, typed<float>(target) + i);
    return;
  }
  const auto dice = hn::PromoteTo(Words<D>(), lanes.load(Halves<D>(), random + i));
  if constexpr (kStorage == Storage::kInt8) {
    const auto whole = hn::DemoteTo(Shorts<D>(), to_integer(d, values, inverse, 127.0f, dice));
    lanes.store(hn::DemoteTo(Bytes<D>(), whole), Bytes<D>(), typed<std::int8_t>(target) + i);
  } else if constexpr (kStorage == Storage::kInt16) {
    const auto whole = to_integer(d, values, inverse, 32767.0f, dice);
    lanes.store(hn::DemoteTo(Shorts<D>(), whole), Shorts<D>(), typed<std::int16_t>(target) + i);
  } else {
    const auto bits =
        kStorage == Storage::kBFloat16 ? to_bfloat16(d, values, dice) : to_float16(d, values, dice);
    const auto halves = hn::DemoteTo(Halves<D>(), hn::BitCast(Integers<D>(), bits));
    lanes.store(halves, Halves<D>(), typed<std::uint16_t>(target) + i);
  }
}

void write_values(Storage storage, const float* values, float scale, int size,
                  const std::uint16_t* random, std::uint8_t* target) {
  const float inverse = is_scaled(storage) ? 1.0f / scale : 0.0f;
  with_storage(storage, [&]<Storage kStorage>() HWY_ATTR {
    for_vectors(size, [&](auto d, auto lanes, int i) HWY_ATTR {
      encode<kStorage>(d, lanes, lanes.load(d, values + i), inverse, random, target, i);
    });
  });
}

}  // namespace taut::embedding::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace taut::embedding {
namespace {

constexpr std::size_t kLongestRow = 512;

}  // namespace

HWY_EXPORT(add_parts);
HWY_EXPORT(add_gradients);
HWY_EXPORT(sum_of_squares);
HWY_EXPORT(largest_magnitude);
HWY_EXPORT(read_values);
HWY_EXPORT(write_values);

void add_parts(std::span<const RowPart> parts) noexcept {
  HWY_DYNAMIC_DISPATCH(add_parts)(parts);
}

void add_gradients(std::span<const GradientPart> parts, int dim, const float* gradient,
                   float* sums) noexcept {
  HWY_DYNAMIC_DISPATCH(add_gradients)(parts, dim, gradient, sums);
}

float mean_square(const float* gradient, int size) noexcept {
  return HWY_DYNAMIC_DISPATCH(sum_of_squares)(gradient, size) / static_cast<float>(size);
}

float mean_square_reference(const float* gradient, int size) noexcept {
  std::array<float, 16> sums{};
  for (int i = 0; i < size; ++i) {
    sums[static_cast<std::size_t>(i % 16)] += gradient[i] * gradient[i];
  }
  for (std::size_t apart = 8; apart > 0; apart /= 2) {
    for (std::size_t i = 0; i < apart; ++i) sums[i] += sums[i + apart];
  }
  return sums[0] / static_cast<float>(size);
}

float largest_magnitude(const float* values, int size) noexcept {
  return HWY_DYNAMIC_DISPATCH(largest_magnitude)(values, size);
}

void read_values(Storage storage, const std::uint8_t* source, float scale, int size,
                 float* out) noexcept {
  HWY_DYNAMIC_DISPATCH(read_values)(storage, source, scale, size, out);
}

void write_values(Storage storage, const float* values, float scale, int size, RowRandom& random,
                  std::uint8_t* target) noexcept {
  std::array<std::uint16_t, kLongestRow> dice;
  if (storage != Storage::kFloat32) random.fill(dice.data(), size);
  HWY_DYNAMIC_DISPATCH(write_values)(storage, values, scale, size, dice.data(), target);
}

}  // namespace taut::embedding
#endif  // HWY_ONCE
