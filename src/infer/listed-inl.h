// Lists of channels that are not zero, and sums over them. Highway code: included once for each
// instruction set.

#if defined(TAUT_INFER_LISTED_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TAUT_INFER_LISTED_INL_H
#undef TAUT_INFER_LISTED_INL_H
#else
#define TAUT_INFER_LISTED_INL_H
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>

#include "infer/blocked-inl.h"

HWY_BEFORE_NAMESPACE();
namespace taut::infer::HWY_NAMESPACE {

constexpr int kListVectors = kManyRegisters ? 16 : 8;
constexpr int kPairVectors = kManyRegisters ? 8 : 4;  // of two units
constexpr int kSlidVectors = 4;                       // of each of three outputs

// Lists up to kInputBlock channels at one position; returns how many are not zero. A vector's store
// ends within the slots, as no more have been written than channels seen.
inline std::uint32_t list_block(const float* x, std::int64_t channels, std::int64_t unit,
                                float* values, std::uint32_t* offsets) {
  const Lane d;
  const Index di;
  const auto zero = hn::Zero(d);
  const std::int64_t step = lanes();
  auto index = hn::Mul(hn::Iota(di, 0), hn::Set(di, static_cast<std::uint32_t>(unit)));
  const auto advance = hn::Set(di, static_cast<std::uint32_t>(step * unit));
  std::size_t count = 0;
  std::int64_t c = 0;
  for (; c + step <= channels; c += step) {
    const auto v = hn::LoadU(d, x + c);
    const auto kept = hn::Not(hn::Eq(v, zero));
    hn::StoreU(hn::Compress(v, kept), d, values + count);
    hn::StoreU(hn::Compress(index, hn::RebindMask(di, kept)), di, offsets + count);
    count += hn::CountTrue(d, kept);
    index = hn::Add(index, advance);
  }
  for (; c < channels; ++c) {
    if (x[c] == 0) continue;
    values[count] = x[c];
    offsets[count++] = static_cast<std::uint32_t>(c * unit);
  }
  return static_cast<std::uint32_t>(count);
}

inline void list_nonzeros(const float* x, std::int64_t stride, std::int64_t channels,
                          std::int64_t unit, const ChannelLists& lists) {
  for (std::int64_t p = 0; p < lists.positions; ++p, x += stride) {
    for (std::int64_t c = 0, at = p; c < channels; c += kInputBlock, at += lists.positions) {
      lists.counts[at] =
          list_block(x + c, std::min(kInputBlock, channels - c), unit,
                     lists.values + at * kInputBlock, lists.offsets + at * kInputBlock);
    }
  }
}

// Asks for a listed channel's weights of the next block of inputs.
template <int kVectors>
HWY_INLINE void fetch_listed(const float* weight, const std::uint32_t* offsets, std::uint32_t i) {
  constexpr std::int64_t kLineFloats = 16;
  const float* w = weight + offsets[i];
  for (std::int64_t line = 0; line < kVectors * lanes(); line += kLineFloats) {
    hwy::Prefetch(w + line);
  }
}

// kVectors vectors of the block's sums from `column` on, at each position that the tap reaches;
// their weights from `weight` on, the second half of them `second` floats further.
template <int kVectors, bool kAhead>
HWY_NOINLINE void sum_listed_columns(const BlockSums& block, const ChannelLists& lists,
                                     const float* weight, std::int64_t first, std::int64_t tap,
                                     std::int64_t column, std::int64_t second) {
  constexpr int kHalf = (kVectors + 1) / 2;
  const Lane d;
  const std::int64_t step = lanes();
  const ConvSizes& sizes = block.sizes;
  const TapRange range(block, tap);
  const std::int64_t block_start = first / kInputBlock * lists.positions;
  for (std::int64_t row = range.row_begin; row < range.row_end; ++row) {
    const std::int64_t in_row = row * sizes.stride + range.down - lists.first_row;
    float* sums = block.sums + column +
                  ((row - block.row_begin) * sizes.out_width + range.begin) * block.width;
    std::int64_t at =
        block_start + in_row * sizes.in_width + range.begin * sizes.stride + range.across;
    for (std::int64_t out = range.begin; out < range.end;
         ++out, sums += block.width, at += sizes.stride) {
      const std::uint32_t count = lists.counts[at];
      const bool more = kAhead && first + kInputBlock < sizes.inputs;
      const std::uint32_t next_count = more ? lists.counts[at + lists.positions] : 0;
      const std::uint32_t* next = lists.offsets + (at + lists.positions) * kInputBlock;
      const float* next_weight = weight + kInputBlock * block.unit;
      const float* values = lists.values + at * kInputBlock;
      const std::uint32_t* offsets = lists.offsets + at * kInputBlock;
      Numbers held[kVectors];
      for (int v = 0; v < kVectors; ++v) held[v] = hn::Load(d, sums + v * step);
      for (std::uint32_t i = 0; i < count; ++i) {
        const float* w = weight + offsets[i];
        const float* w2 = w + second;
        if (kAhead && i < next_count) fetch_listed<kVectors>(next_weight, next, i);
        const Numbers value = hn::Set(d, values[i]);
        for (int v = 0; v < kVectors; ++v) {
          const float* from = v < kHalf ? w + v * step : w2 + (v - kHalf) * step;
          held[v] = hn::MulAdd(value, hn::Load(d, from), held[v]);
        }
      }
      for (int v = 0; v < kVectors; ++v) hn::Store(held[v], d, sums + v * step);
      if constexpr (kAhead) {
        for (std::uint32_t i = count; i < next_count; ++i) {
          fetch_listed<kVectors>(next_weight, next, i);
        }
      }
    }
  }
}

// One unit from `column` of its outputs on: with kVectors while they fit, then with half of them.
// sums: the first column of the unit.
template <int kVectors>
void sum_listed(const BlockSums& block, const ChannelLists& lists, const float* weight,
                std::int64_t first, std::int64_t tap, std::int64_t column, std::int64_t sums) {
  for (; column + kVectors * lanes() <= block.unit; column += kVectors * lanes()) {
    const std::int64_t second = (kVectors + 1) / 2 * lanes();
    if (block.fetches_ahead) {
      sum_listed_columns<kVectors, true>(block, lists, weight + column, first, tap, sums + column,
                                         second);
    } else {
      sum_listed_columns<kVectors, false>(block, lists, weight + column, first, tap, sums + column,
                                          second);
    }
  }
  if constexpr (kVectors > 1) {
    if (column < block.unit) {
      sum_listed<kVectors / 2>(block, lists, weight, first, tap, column, sums);
    }
  }
}

constexpr std::int64_t kSlidTaps = 3;

// kVectors vectors of the block's sums from `column` on, over three taps of a row at once: each
// listed position adds to three outputs beside one another, whose sums slide along the row, so that
// a list is walked, and its end guessed, once for three. weight: of the first tap. Each output
// meets its taps in their order. Outputs beside the image are zeros that nobody reads.
template <int kVectors>
HWY_NOINLINE void slide_listed(const BlockSums& block, const ChannelLists& lists,
                               const float* weight, std::int64_t tap_stride, std::int64_t first,
                               std::int64_t tap, std::int64_t column) {
  const Lane d;
  const std::int64_t step = lanes();
  const ConvSizes& sizes = block.sizes;
  const TapRange range(block, tap);
  const std::int64_t block_start = first / kInputBlock * lists.positions;
  const float* middle_weight = weight + tap_stride;
  const float* left_weight = middle_weight + tap_stride;
  for (std::int64_t row = range.row_begin; row < range.row_end; ++row) {
    float* row_sums = block.sums + column + (row - block.row_begin) * sizes.out_width * block.width;
    const auto is_output = [&](std::int64_t o) { return o >= 0 && o < sizes.out_width; };
    const auto load = [&](std::int64_t o, int v) HWY_ATTR {
      return is_output(o) ? hn::Load(d, row_sums + o * block.width + v * step) : hn::Zero(d);
    };
    Numbers right[kVectors];
    Numbers middle[kVectors];
    Numbers left[kVectors];
    std::int64_t last = sizes.padding;  // the output that reads the position by its first tap
    for (int v = 0; v < kVectors; ++v) {
      right[v] = load(last, v);
      middle[v] = load(last - 1, v);
      left[v] = load(last - 2, v);
    }
    const std::int64_t in_row = row + range.down - lists.first_row;
    const std::int64_t begin = block_start + in_row * sizes.in_width;
    for (std::int64_t at = begin; at < begin + sizes.in_width; ++at) {
      const std::uint32_t count = lists.counts[at];
      const float* values = lists.values + at * kInputBlock;
      const std::uint32_t* offsets = lists.offsets + at * kInputBlock;
      for (std::uint32_t i = 0; i < count; ++i) {
        const Numbers value = hn::Set(d, values[i]);
        const std::uint32_t offset = offsets[i];
        for (int v = 0; v < kVectors; ++v) {
          right[v] = hn::MulAdd(value, hn::Load(d, weight + offset + v * step), right[v]);
          middle[v] = hn::MulAdd(value, hn::Load(d, middle_weight + offset + v * step), middle[v]);
          left[v] = hn::MulAdd(value, hn::Load(d, left_weight + offset + v * step), left[v]);
        }
      }
      float* done = row_sums + (last - 2) * block.width;
      if (is_output(last - 2)) {
        for (int v = 0; v < kVectors; ++v) hn::Store(left[v], d, done + v * step);
      }
      ++last;
      for (int v = 0; v < kVectors; ++v) {
        left[v] = middle[v];
        middle[v] = right[v];
        right[v] = load(last, v);
      }
    }
    for (int v = 0; v < kVectors; ++v) {
      if (is_output(last - 2)) {
        hn::Store(left[v], d, row_sums + (last - 2) * block.width + v * step);
      }
      if (is_output(last - 1)) {
        hn::Store(middle[v], d, row_sums + (last - 1) * block.width + v * step);
      }
    }
  }
}

// All units, three taps at once.
inline void sum_slid(const BlockSums& block, const ChannelLists& lists, const float* weight,
                     std::int64_t tap_stride, std::int64_t first, std::int64_t tap) {
  for (std::int64_t sums = 0; sums < block.width; sums += block.unit, weight += block.unit_stride) {
    std::int64_t column = 0;
    for (; column + kSlidVectors * lanes() <= block.unit; column += kSlidVectors * lanes()) {
      slide_listed<kSlidVectors>(block, lists, weight + column, tap_stride, first, tap,
                                 sums + column);
    }
    for (; column < block.unit; column += lanes()) {
      slide_listed<1>(block, lists, weight + column, tap_stride, first, tap, sums + column);
    }
  }
}

// Two units share the walk over a list where their sums fit the registers.
inline bool sums_pairs(const BlockSums& block) {
  return 2 * block.unit == kPairVectors * lanes() && block.width > block.unit;
}

// Whether three taps of a row are summed at once: their weights fill the first-level cache, which
// pays for lists that are short, or are walked for one unit alone.
inline bool slides(const BlockSums& block, const ChannelLists& lists, std::int64_t first) {
  constexpr std::uint64_t kShortList = 7;
  if (block.sizes.kernel != kSlidTaps || block.sizes.stride != 1) return false;
  if (!sums_pairs(block)) return true;
  const std::uint32_t* counts = lists.counts + first / kInputBlock * lists.positions;
  std::uint64_t listed = 0;
  for (std::int64_t p = 0; p < lists.positions; ++p) listed += counts[p];
  return listed < kShortList * static_cast<std::uint64_t>(lists.positions);
}

// All units, one tap.
inline void sum_tap_listed(const BlockSums& block, const ChannelLists& lists, const float* weight,
                           std::int64_t first, std::int64_t tap) {
  std::int64_t sums = 0;
  if (sums_pairs(block)) {
    for (; sums + 2 * block.unit <= block.width; sums += 2 * block.unit) {
      sum_listed_columns<kPairVectors, false>(block, lists, weight, first, tap, sums,
                                              block.unit_stride);
      weight += 2 * block.unit_stride;
    }
  }
  for (; sums < block.width; sums += block.unit, weight += block.unit_stride) {
    sum_listed<kListVectors>(block, lists, weight, first, tap, 0, sums);
  }
}

inline void sum_lists(const BlockSums& block, const ChannelLists& lists) {
  start_sums(block);
  bool slid = false;
  walk_weights(
      block, [&](const float* weight, std::int64_t first, std::int64_t channels, std::int64_t tap) {
        if (tap == 0) slid = slides(block, lists, first);
        if (!slid) return sum_tap_listed(block, lists, weight, first, tap);
        if (tap % kSlidTaps == 0) sum_slid(block, lists, weight, channels * block.unit, first, tap);
      });
}

}  // namespace taut::infer::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // TAUT_INFER_LISTED_INL_H
