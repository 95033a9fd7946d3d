// The loops over a row's values, once for each instruction set: to be included after
// foreach_target.h. No `pragma once`: every instruction set reads it.
#if defined(TAUT_EMBEDDING_ROW_KERNELS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TAUT_EMBEDDING_ROW_KERNELS_INL_H
#undef TAUT_EMBEDDING_ROW_KERNELS_INL_H
#else
#define TAUT_EMBEDDING_ROW_KERNELS_INL_H
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "codec.h"

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

// Asks for all lines of a run of bytes; there is one at least.
HWY_INLINE void prefetch_bytes(const std::uint8_t* at, int bytes) {
  __builtin_prefetch(at);
  for (int line = 64; line < bytes; line += 64) __builtin_prefetch(at + line);
  __builtin_prefetch(at + bytes - 1);
}

HWY_INLINE void fill_zeros(int size, float* out) {
  for_vectors(size,
              [&](auto d, auto lanes, int i) HWY_ATTR { lanes.store(hn::Zero(d), d, out + i); });
}

HWY_INLINE void copy_values(const float* values, int size, float* out) {
  for_vectors(size, [&](auto d, auto lanes, int i)
                        HWY_ATTR { lanes.store(lanes.load(d, values + i), d, out + i); });
}

// out[i] += weight * value i.
template <typename D, typename L>
HWY_INLINE void add_to(D d, L lanes, hn::Vec<D> values, float weight, float* out) {
  const auto sum = hn::Add(lanes.load(d, out), hn::Mul(hn::Set(d, weight), values));
  lanes.store(sum, d, out);
}

// out[i] += weight * value i of an encoded run.
template <Storage kStorage>
HWY_INLINE void add_values(const std::uint8_t* values, float scale, int size, float weight,
                           float* out) {
  for_vectors(size, [&](auto d, auto lanes, int i) HWY_ATTR {
    add_to(d, lanes, decode<kStorage>(d, lanes, values, scale, i), weight, out + i);
  });
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

// The sum of 16 lanes: those 8, 4, 2 and 1 apart are added.
#if HWY_TARGET <= HWY_AVX3
template <typename D>
HWY_INLINE float sum_of_sixteen(D d, const hn::Vec<D>* parts) {
  static_assert(hn::MaxLanes(d) == 16);
  const hn::Half<D> eight;
  const hn::Half<decltype(eight)> four;
  const auto eights = hn::Add(hn::LowerHalf(eight, parts[0]), hn::UpperHalf(eight, parts[0]));
  const auto fours = hn::Add(hn::LowerHalf(four, eights), hn::UpperHalf(four, eights));
  const auto twos = hn::Add(fours, hn::Shuffle1032(fours));
  return hn::GetLane(hn::Add(twos, hn::Shuffle2301(twos)));
}
#else
template <typename D>
HWY_INLINE float sum_of_sixteen(D d, const hn::Vec<D>* parts) {
  constexpr int kLanes = static_cast<int>(hn::MaxLanes(D()));
  HWY_ALIGN float sums[16];
  for (int k = 0; k < 16 / kLanes; ++k) hn::Store(parts[k], d, sums + k * kLanes);
  for (int apart = 8; apart > 0; apart /= 2) {
    for (int i = 0; i < apart; ++i) sums[i] += sums[i + apart];
  }
  return sums[0];
}
#endif

HWY_INLINE float sum_of_squares(const float* values, int size) {
  const hn::CappedTag<float, 16> d;
  constexpr int kLanes = static_cast<int>(hn::MaxLanes(d));
  constexpr int kVectors = 16 / kLanes;
  hn::Vec<decltype(d)> parts[kVectors];
  for (auto& part : parts) part = hn::Zero(d);
  int i = 0;
  for (; i + 16 <= size; i += 16) {
    for (int k = 0; k < kVectors; ++k) {
      const auto x = hn::LoadU(d, values + i + k * kLanes);
      parts[k] = hn::Add(parts[k], hn::Mul(x, x));
    }
  }
  if (i < size) {  // the others are zeros
    HWY_ALIGN float rest[16] = {};
    for (int k = 0; i < size; ++i, ++k) rest[k] = values[i];
    for (int k = 0; k < kVectors; ++k) {
      const auto x = hn::Load(d, rest + k * kLanes);
      parts[k] = hn::Add(parts[k], hn::Mul(x, x));
    }
  }
  return sum_of_sixteen(d, parts);
}

HWY_INLINE float largest_magnitude(const float* values, int size) {
#if HWY_TARGET <= HWY_AVX3
  const Floats whole;
  auto most = hn::Zero(whole);
  for_vectors(size, [&](auto d, auto lanes, int i)
                        HWY_ATTR { most = hn::Max(most, hn::Abs(lanes.load(d, values + i))); });
  return hn::GetLane(hn::MaxOfLanes(whole, most));
#else
  float most = 0;
  for_vectors(size, [&](auto d, auto lanes, int i) HWY_ATTR {
    const auto magnitudes = hn::Abs(lanes.load(d, values + i));
    most = std::max(most, hn::GetLane(hn::MaxOfLanes(d, magnitudes)));
  });
  return most;
#endif
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

// Room for the words of so many numbers, and what fill_words() writes behind them.
constexpr int words_for(int numbers) {
  return (numbers + 3) / 4 + 7;
}

// mix64() of each.
template <typename D>
HWY_INLINE hn::Vec<D> mixed(D d, hn::Vec<D> x) {
  x = hn::Add(x, hn::Set(d, 0x9E3779B97F4A7C15ull));
  x = hn::Mul(hn::Xor(x, hn::ShiftRight<30>(x)), hn::Set(d, 0xBF58476D1CE4E5B9ull));
  x = hn::Mul(hn::Xor(x, hn::ShiftRight<27>(x)), hn::Set(d, 0x94D049BB133111EBull));
  return hn::Xor(x, hn::ShiftRight<31>(x));
}

// The words of a RowRandom: [count, rounded up to a vector].
HWY_INLINE void fill_words(std::uint64_t key, int count, std::uint64_t* words) {
#if HWY_TARGET <= HWY_AVX3
  const hn::ScalableTag<std::uint64_t> d;
  const auto lanes = static_cast<int>(hn::Lanes(d));
  const auto numbers = hn::Iota(d, 0);
  for (int i = 0; i < count; i += lanes) {
    const auto first = hn::Set(d, key + static_cast<std::uint64_t>(i));
    hn::Store(mixed(d, hn::Add(numbers, first)), d, words + i);
  }
#else
  for (int i = 0; i < count; ++i) words[i] = mix64(key + static_cast<std::uint64_t>(i));
#endif
}

// values -= rate * slope(d, lanes, values, i), in place. scale_code: read and changed for integers
// only; dice: a number for each value, not read for fp32.
template <Storage kStorage, typename Slope>
HWY_INLINE void descend(std::uint8_t* at, std::uint8_t& scale_code, int size, float rate,
                        const std::uint16_t* dice, Slope&& slope) {
  const float scale = is_scaled(kStorage) ? ScaleCode::step(scale_code, kStorage) : 0.0f;
  const auto stepped = [&](auto d, auto lanes, int i) HWY_ATTR __attribute__((always_inline)) {
    const auto held = decode<kStorage>(d, lanes, at, scale, i);
    return hn::Sub(held, hn::Mul(hn::Set(d, rate), slope(d, lanes, held, i)));
  };
  if constexpr (is_scaled(kStorage)) {
    HWY_ALIGN float values[kLongestRow];
    for_vectors(size, [&](auto d, auto lanes, int i)
                          HWY_ATTR { lanes.store(stepped(d, lanes, i), d, values + i); });
    scale_code = ScaleCode::fit(largest_magnitude(values, size), scale_code);
    const float inverse = 1.0f / ScaleCode::step(scale_code, kStorage);
    for_vectors(size, [&](auto d, auto lanes, int i) HWY_ATTR {
      encode<kStorage>(d, lanes, lanes.load(d, values + i), inverse, dice, at, i);
    });
  } else {
    for_vectors(size, [&](auto d, auto lanes, int i) HWY_ATTR {
      encode<kStorage>(d, lanes, stepped(d, lanes, i), 0.0f, dice, at, i);
    });
  }
}

}  // namespace taut::embedding::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
