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

// Calls visit(weight, first channel, channels, tap) for the weights [channels, unit] of each block
// and tap of the first unit, in the order of the sums.
template <typename Visit>
void walk_weights(const BlockSums& block, Visit&& visit) {
  const ConvSizes& sizes = block.sizes;
  const float* weight = block.weight;
  for (std::int64_t first = 0; first < sizes.inputs; first += kInputBlock) {
    const std::int64_t channels = std::min(kInputBlock, sizes.inputs - first);
    for (std::int64_t tap = 0; tap < sizes.kernel * sizes.kernel; ++tap) {
      visit(weight, first, channels, tap);
      weight += channels * block.unit;
    }
  }
}

}  // namespace taut::infer::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // TAUT_INFER_BLOCKED_INL_H
