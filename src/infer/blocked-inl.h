// What sums from lists and from all channels share. Highway code: included once for each
// instruction set.

#if defined(TAUT_INFER_BLOCKED_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TAUT_INFER_BLOCKED_INL_H
#undef TAUT_INFER_BLOCKED_INL_H
#else
#define TAUT_INFER_BLOCKED_INL_H
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>

#include "infer/blocked_kernels.h"
#include "infer/tap_range.h"

HWY_BEFORE_NAMESPACE();
namespace taut::infer::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Lane = hn::CappedTag<float, kOutputUnit>;
using Index = hn::RebindToUnsigned<Lane>;
using Numbers = hn::Vec<Lane>;

inline std::int64_t lanes() {
  return static_cast<std::int64_t>(hn::Lanes(Lane()));
}

// Sets with 32 vector registers keep more sums at hand than those with 16.
constexpr bool kManyRegisters = HWY_MAX_BYTES >= 64 || HWY_ARCH_ARM_A64;

inline void start_sums(const BlockSums& block) {
  const std::int64_t positions = (block.row_end - block.row_begin) * block.sizes.out_width;
  float* sums = block.sums;
  for (std::int64_t p = 0; p < positions; ++p, sums += block.width) {
    std::copy_n(block.bias, block.width, sums);
  }
}

// How words of weights are read: kPacked weights a word, kLeast vectors at least at a time.
// column_of(word): among the outputs of a unit; column(unit, v): that of vector v of kVectors, from
// the one of their first word on. load() gives the weights of kVectors vectors, the words of which
// begin at w; add() adds their products with a value to sums.
struct FullWeights {
  static constexpr int kPacked = 1;
  static constexpr int kLeast = 1;

  FullWeights() = default;
  FullWeights(const float* /*scales*/, std::int64_t /*output*/) {}

  static std::int64_t column_of(std::int64_t word) { return word; }
  template <int kVectors>
  static std::int64_t column(std::int64_t /*unit*/, int v) {
    return v * lanes();
  }
  template <int kVectors>
  HWY_INLINE void add(Numbers value, const float* w, Numbers (&sums)[kVectors]) const {
    const Lane d;
    for (int v = 0; v < kVectors; ++v) {
      sums[v] = hn::MulAdd(value, hn::Load(d, w + v * lanes()), sums[v]);
    }
  }
  template <int kVectors>
  HWY_INLINE void load(const float* w, Numbers (&weights)[kVectors]) const {
    const Lane d;
    for (int v = 0; v < kVectors; ++v) weights[v] = hn::Load(d, w + v * lanes());
  }
};

struct HalfWeights {
  static constexpr int kPacked = 2;
  static constexpr int kLeast = 2;

  HalfWeights() = default;
  HalfWeights(const float* /*scales*/, std::int64_t /*output*/) {}

  static std::int64_t column_of(std::int64_t word) { return word; }
  template <int kVectors>
  static std::int64_t column(std::int64_t unit, int v) {
    return v < kVectors / 2 ? v * lanes() : unit / 2 + (v - kVectors / 2) * lanes();
  }
  template <int kVectors>
  HWY_INLINE void add(Numbers value, const float* w, Numbers (&sums)[kVectors]) const {
    Numbers weights[kVectors];
    load<kVectors>(w, weights);
    for (int v = 0; v < kVectors; ++v) sums[v] = hn::MulAdd(value, weights[v], sums[v]);
  }
  template <int kVectors>
  HWY_INLINE void load(const float* w, Numbers (&weights)[kVectors]) const {
    const Lane d;
    const Index di;
    const auto upper = hn::Set(di, 0xFFFF0000u);
    for (int v = 0; v < kVectors / 2; ++v) {
      const auto words = hn::BitCast(di, hn::Load(d, w + v * lanes()));
      weights[v] = hn::BitCast(d, hn::ShiftLeft<16>(words));
      weights[v + kVectors / 2] = hn::BitCast(d, hn::And(words, upper));
    }
  }
};

struct CodeWeights {
  static constexpr int kPacked = 4;
  static constexpr int kLeast = HWY_TARGET == HWY_SCALAR ? 4 : 1;  // a whole word

  CodeWeights() = default;
  // output: of the first word.
  CodeWeights(const float* all_scales, std::int64_t output) : scales(all_scales + output) {}

  static std::int64_t column_of(std::int64_t word) { return word * kPacked; }
  template <int kVectors>
  static std::int64_t column(std::int64_t /*unit*/, int v) {
    return v * lanes();
  }
  template <int kVectors>
  HWY_INLINE void add(Numbers value, const float* w, Numbers (&sums)[kVectors]) const {
    for (int v = 0; v < kVectors; ++v) sums[v] = hn::MulAdd(value, decoded(w, v), sums[v]);
  }
  template <int kVectors>
  HWY_INLINE void load(const float* w, Numbers (&weights)[kVectors]) const {
    for (int v = 0; v < kVectors; ++v) weights[v] = decoded(w, v);
  }
  // The same product as decoded_weight's.
  HWY_INLINE Numbers decoded(const float* w, int v) const {
    const hn::Rebind<std::int32_t, Lane> whole;
    const hn::Rebind<std::int8_t, Lane> bytes;
    const auto* codes = reinterpret_cast<const std::int8_t*>(w) + v * lanes();
    const auto numbers = hn::ConvertTo(Lane(), hn::PromoteTo(whole, hn::LoadU(bytes, codes)));
    return hn::Mul(numbers, hn::LoadU(Lane(), scales + v * lanes()));
  }

  const float* scales = nullptr;
};

// Calls body with the reader of words.
template <class Body>
void with_weights(Words words, Body&& body) {
  switch (words) {
    case Words::kFloat32:
      return body(FullWeights());
    case Words::kBfloat16:
      return body(HalfWeights());
    case Words::kInt8:
      return body(CodeWeights());
  }
}

// Calls visit(weight, first channel, channels, tap) for the weights [channels, words] of each block
// and tap of the first unit, in the order of the sums.
template <typename Visit>
void walk_weights(const BlockSums& block, Visit&& visit) {
  const ConvSizes& sizes = block.sizes;
  const float* weight = block.weight;
  for (std::int64_t first = 0; first < sizes.inputs; first += kInputBlock) {
    const std::int64_t channels = std::min(kInputBlock, sizes.inputs - first);
    for (std::int64_t tap = 0; tap < sizes.kernel * sizes.kernel; ++tap) {
      visit(weight, first, channels, tap);
      weight += channels * block.unit_words();
    }
  }
}

}  // namespace taut::infer::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // TAUT_INFER_BLOCKED_INL_H
