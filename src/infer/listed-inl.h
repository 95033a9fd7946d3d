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
inline std::uint32_t list_block(const float* x, std::int64_t channels, std::int64_t words,
                                float* values, std::uint32_t* offsets) {
  const Lane d;
  const Index di;
  const auto zero = hn::Zero(d);
  const std::int64_t step = lanes();
  auto index = hn::Mul(hn::Iota(di, 0), hn::Set(di, static_cast<std::uint32_t>(words)));
  const auto advance = hn::Set(di, static_cast<std::uint32_t>(step * words));
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
    offsets[count++] = static_cast<std::uint32_t>(c * words);
  }
  return static_cast<std::uint32_t>(count);
}

inline void list_nonzeros(const float* x, std::int64_t stride, std::int64_t channels,
                          std::int64_t words, const ChannelLists& lists) {
  for (std::int64_t p = 0; p < lists.positions; ++p, x += stride) {
    for (std::int64_t c = 0, at = p; c < channels; c += kInputBlock, at += lists.positions) {
      lists.counts[at] =
          list_block(x + c, std::min(kInputBlock, channels - c), words,
                     lists.values + at * kInputBlock, lists.offsets + at * kInputBlock);
    }
  }
}

// Asks for some words of a listed channel's weights of the next block of inputs.
inline void fetch_listed(const float* weight, std::int64_t words, std::uint32_t offset) {
  constexpr std::int64_t kLineFloats = 16;
  for (std::int64_t line = 0; line < words; line += kLineFloats) {
    hwy::Prefetch(weight + offset + line);
  }
}

// kVectors vectors of the sums of each of kUnits units from `column` on, at each position that the
// tap reaches; the words of their weights from `weight` on.
template <class Weights, int kUnits, int kVectors, bool kAhead>
HWY_NOINLINE void sum_listed_columns(const BlockSums& block, const ChannelLists& lists,
                                     const float* weight, std::int64_t first, std::int64_t tap,
                                     std::int64_t column) {
  const Lane d;
  const ConvSizes& sizes = block.sizes;
  const TapRange range(block, tap);
  const std::int64_t block_start = first / kInputBlock * lists.positions;
  Weights weights[kUnits];
  for (int unit = 0; unit < kUnits; ++unit) {
    weights[unit] = Weights(block.scales, column + unit * block.unit);
  }
  const auto place = [&](float* sums, int unit, int v) {
    return sums + unit * block.unit + Weights::template column<kVectors>(block.unit, v);
  };
  for (std::int64_t row = range.row_begin; row < range.row_end; ++row) {
    const std::int64_t in_row = row * sizes.stride + range.down - lists.first_row;
    float* sums = block.sums + column +
                  ((row - block.row_begin) * sizes.out_width + range.begin) * block.width;
    std::int64_t at =
        block_start + in_row * sizes.in_width + range.begin * sizes.stride_across + range.across;
    for (std::int64_t out = range.begin; out < range.end;
         ++out, sums += block.width, at += sizes.stride_across) {
      const std::uint32_t count = lists.counts[at];
      const bool more = kAhead && first + kInputBlock < sizes.inputs;
      const std::uint32_t next_count = more ? lists.counts[at + lists.positions] : 0;
      const std::uint32_t* next = lists.offsets + (at + lists.positions) * kInputBlock;
      const float* next_weight = weight + kInputBlock * block.unit_words();
      const float* values = lists.values + at * kInputBlock;
      const std::uint32_t* offsets = lists.offsets + at * kInputBlock;
      Numbers held[kUnits][kVectors];
      for (int unit = 0; unit < kUnits; ++unit) {
        for (int v = 0; v < kVectors; ++v) held[unit][v] = hn::Load(d, place(sums, unit, v));
      }
      const std::int64_t words = kVectors * lanes() / Weights::kPacked;
      for (std::uint32_t i = 0; i < count; ++i) {
        const float* w = weight + offsets[i];
        if (kAhead && i < next_count) fetch_listed(next_weight, words, next[i]);
        const Numbers value = hn::Set(d, values[i]);
        for (int unit = 0; unit < kUnits; ++unit) {
          weights[unit].template add<kVectors>(value, w + unit * block.unit_stride, held[unit]);
        }
      }
      for (int unit = 0; unit < kUnits; ++unit) {
        for (int v = 0; v < kVectors; ++v) hn::Store(held[unit][v], d, place(sums, unit, v));
      }
      if constexpr (kAhead) {
        for (std::uint32_t i = count; i < next_count; ++i) {
          fetch_listed(next_weight, words, next[i]);
        }
      }
    }
  }
}

// One unit from `word` of a channel on: with kVectors while they fit, then with half of them.
// sums: the first column of the unit.
template <class Weights, int kVectors>
void sum_listed(const BlockSums& block, const ChannelLists& lists, const float* weight,
                std::int64_t first, std::int64_t tap, std::int64_t word, std::int64_t sums) {
  const std::int64_t words = kVectors * lanes() / Weights::kPacked;
  for (; word + words <= block.unit_words(); word += words) {
    const std::int64_t at = sums + Weights::column_of(word);
    if (block.fetches_ahead) {
      sum_listed_columns<Weights, 1, kVectors, true>(block, lists, weight + word, first, tap, at);
    } else {
      sum_listed_columns<Weights, 1, kVectors, false>(block, lists, weight + word, first, tap, at);
    }
  }
  if constexpr (kVectors > Weights::kLeast) {
    if (word < block.unit_words()) {
      sum_listed<Weights, kVectors / 2>(block, lists, weight, first, tap, word, sums);
    }
  }
}

constexpr std::int64_t kSlidTaps = 3;

// kVectors vectors of the block's sums from `column` on, over three taps of a row at once: each
// listed position adds to three outputs beside one another, whose sums slide along the row, so that
// a list is walked, and its end guessed, once for three. weight: of the first tap. Each output
// meets its taps in their order. Outputs beside the image are zeros that nobody reads.
template <class Weights, int kVectors>
HWY_NOINLINE void slide_listed(const BlockSums& block, const ChannelLists& lists,
                               const float* weight, std::int64_t tap_stride, std::int64_t first,
                               std::int64_t tap, std::int64_t column) {
  const Lane d;
  const Weights weights(block.scales, column);
  const ConvSizes& sizes = block.sizes;
  const TapRange range(block, tap);
  const std::int64_t block_start = first / kInputBlock * lists.positions;
  const float* middle_weight = weight + tap_stride;
  const float* left_weight = middle_weight + tap_stride;
  for (std::int64_t row = range.row_begin; row < range.row_end; ++row) {
    float* row_sums = block.sums + column + (row - block.row_begin) * sizes.out_width * block.width;
    const auto place = [&](std::int64_t o, int v) {
      return row_sums + o * block.width + Weights::template column<kVectors>(block.unit, v);
    };
    const auto is_output = [&](std::int64_t o) { return o >= 0 && o < sizes.out_width; };
    const auto load = [&](std::int64_t o, int v) HWY_ATTR {
      return is_output(o) ? hn::Load(d, place(o, v)) : hn::Zero(d);
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
        weights.template add<kVectors>(value, weight + offset, right);
        weights.template add<kVectors>(value, middle_weight + offset, middle);
        weights.template add<kVectors>(value, left_weight + offset, left);
      }
      if (is_output(last - 2)) {
        for (int v = 0; v < kVectors; ++v) hn::Store(left[v], d, place(last - 2, v));
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
        hn::Store(left[v], d, place(last - 2, v));
      }
      if (is_output(last - 1)) {
        hn::Store(middle[v], d, place(last - 1, v));
      }
    }
  }
}

// One unit from `word` of a channel on, three taps at once: with kVectors while they fit, then with
// half of them. sums: the first column of the unit.
template <class Weights, int kVectors>
void slide_unit(const BlockSums& block, const ChannelLists& lists, const float* weight,
                std::int64_t tap_stride, std::int64_t first, std::int64_t tap, std::int64_t word,
                std::int64_t sums) {
  const std::int64_t words = kVectors * lanes() / Weights::kPacked;
  for (; word + words <= block.unit_words(); word += words) {
    slide_listed<Weights, kVectors>(block, lists, weight + word, tap_stride, first, tap,
                                    sums + Weights::column_of(word));
  }
  if constexpr (kVectors > Weights::kLeast) {
    if (word < block.unit_words()) {
      slide_unit<Weights, kVectors / 2>(block, lists, weight, tap_stride, first, tap, word, sums);
    }
  }
}

// All units, three taps at once.
template <class Weights>
void sum_slid(const BlockSums& block, const ChannelLists& lists, const float* weight,
              std::int64_t tap_stride, std::int64_t first, std::int64_t tap) {
  for (std::int64_t sums = 0; sums < block.width; sums += block.unit, weight += block.unit_stride) {
    slide_unit<Weights, kSlidVectors>(block, lists, weight, tap_stride, first, tap, 0, sums);
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
  const ConvSizes& sizes = block.sizes;
  if (sizes.kernel != kSlidTaps || sizes.stride != 1 || sizes.stride_across != 1) return false;
  if (!sums_pairs(block)) return true;
  const std::uint32_t* counts = lists.counts + first / kInputBlock * lists.positions;
  std::uint64_t listed = 0;
  for (std::int64_t p = 0; p < lists.positions; ++p) listed += counts[p];
  return listed < kShortList * static_cast<std::uint64_t>(lists.positions);
}

// All units, one tap.
template <class Weights>
void sum_tap_listed(const BlockSums& block, const ChannelLists& lists, const float* weight,
                    std::int64_t first, std::int64_t tap) {
  std::int64_t sums = 0;
  if (sums_pairs(block)) {
    for (; sums + 2 * block.unit <= block.width; sums += 2 * block.unit) {
      sum_listed_columns<Weights, 2, kPairVectors / 2, false>(block, lists, weight, first, tap,
                                                              sums);
      weight += 2 * block.unit_stride;
    }
  }
  for (; sums < block.width; sums += block.unit, weight += block.unit_stride) {
    sum_listed<Weights, kListVectors>(block, lists, weight, first, tap, 0, sums);
  }
}

template <class Weights>
void sum_lists_of(const BlockSums& block, const ChannelLists& lists) {
  start_sums(block);
  bool slid = false;
  walk_weights(
      block, [&](const float* weight, std::int64_t first, std::int64_t channels, std::int64_t tap) {
        if (tap == 0) slid = slides(block, lists, first);
        if (!slid) return sum_tap_listed<Weights>(block, lists, weight, first, tap);
        if (tap % kSlidTaps == 0) {
          sum_slid<Weights>(block, lists, weight, channels * block.unit_words(), first, tap);
        }
      });
}

inline void sum_lists(const BlockSums& block, const ChannelLists& lists) {
  with_weights(block.words, [&](auto weights) { sum_lists_of<decltype(weights)>(block, lists); });
}

}  // namespace taut::infer::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // TAUT_INFER_LISTED_INL_H
