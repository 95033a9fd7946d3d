#include "infer/blocked_kernels.h"

#include <algorithm>
#include <bit>

#include "infer/value_kernels.h"
#include "taut/infer/engine.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "infer/blocked_kernels.cc"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
// Must come after foreach_target.h.
#include <hwy/highway.h>

#include "infer/listed-inl.h"

HWY_BEFORE_NAMESPACE();
namespace taut::infer::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// What is left of outputs: most networks have multiples of 8 of them.
using Eight = hn::CappedTag<float, 8>;
using Four = hn::CappedTag<float, 4>;
using Single = hn::CappedTag<float, 1>;

constexpr int kTileVectors = kManyRegisters ? 4 : 2;
constexpr int kTilePositions = 6;

std::int64_t count_nonzeros(const float* x, std::int64_t positions, std::int64_t stride,
                            std::int64_t channels) {
  const Lane d;
  const auto zero = hn::Zero(d);
  const std::int64_t step = lanes();
  std::int64_t zeros = 0;
  for (std::int64_t p = 0; p < positions; ++p, x += stride) {
    std::int64_t c = 0;
    for (; c + step <= channels; c += step) {
      zeros += static_cast<std::int64_t>(hn::CountTrue(d, hn::Eq(hn::LoadU(d, x + c), zero)));
    }
    for (; c < channels; ++c) zeros += x[c] == 0 ? 1 : 0;
  }
  return positions * channels - zeros;
}

// Positions that are summed together, and the weights of one input block and tap.
struct Tile {
  const float* weight;
  std::int64_t channels;
  std::int64_t unit;
  std::int64_t words;  // of a channel
  const float* scales;
  std::int64_t output;  // of the first word
  const float* x[kTilePositions];
  float* sums[kTilePositions];
};

template <class Weights, int kPositions, int kVectors>
HWY_INLINE void sum_tile(const Tile& tile) {
  const Lane d;
  const Weights weights(tile.scales, tile.output);
  const auto place = [&tile](int p, int v) {
    return tile.sums[p] + Weights::template column<kVectors>(tile.unit, v);
  };
  Numbers held[kPositions][kVectors];
  const float* x[kPositions];
  for (int p = 0; p < kPositions; ++p) {
    x[p] = tile.x[p];
    for (int v = 0; v < kVectors; ++v) held[p][v] = hn::Load(d, place(p, v));
  }
  const float* weight = tile.weight;
  for (std::int64_t c = 0; c < tile.channels; ++c, weight += tile.words) {
    Numbers w[kVectors];
    weights.template load<kVectors>(weight, w);
    for (int p = 0; p < kPositions; ++p) {
      const Numbers value = hn::Set(d, x[p][c]);
      for (int v = 0; v < kVectors; ++v) held[p][v] = hn::MulAdd(value, w[v], held[p][v]);
    }
  }
  for (int p = 0; p < kPositions; ++p) {
    for (int v = 0; v < kVectors; ++v) hn::Store(held[p][v], d, place(p, v));
  }
}

// The first `count` positions of a tile.
template <class Weights, int kPositions, int kVectors>
void sum_first(const Tile& tile, int count) {
  if (count == kPositions) return sum_tile<Weights, kPositions, kVectors>(tile);
  if constexpr (kPositions > 1) sum_first<Weights, kPositions - 1, kVectors>(tile, count);
}

template <class Weights, int kVectors>
HWY_NOINLINE void sum_tap(const BlockSums& block, const float* x, const float* zeros, Tile tile,
                          std::int64_t tap, std::int64_t column) {
  const ConvSizes& sizes = block.sizes;
  const TapRange range(block, tap);
  int count = 0;
  const auto take = [&](const float* from, std::int64_t row, std::int64_t out) {
    tile.x[count] = from;
    tile.sums[count] =
        block.sums + column + ((row - block.row_begin) * sizes.out_width + out) * block.width;
    if (++count < kTilePositions) return;
    sum_tile<Weights, kTilePositions, kVectors>(tile);
    count = 0;
  };
  const bool all = zeros != nullptr;
  const std::int64_t row_end = all ? block.row_end : range.row_end;
  const std::int64_t end = all ? sizes.out_width : range.end;
  for (std::int64_t row = all ? block.row_begin : range.row_begin; row < row_end; ++row) {
    const std::int64_t in_row = row * sizes.stride + range.down;
    for (std::int64_t out = all ? 0 : range.begin; out < end; ++out) {
      const bool inside = !all || (row >= range.row_begin && row < range.row_end &&
                                   out >= range.begin && out < range.end);
      const std::int64_t at = in_row * sizes.in_width + out * sizes.stride_across + range.across;
      take(inside ? x + at * sizes.in_stride : zeros, row, out);
    }
  }
  if (count > 0) sum_first<Weights, kTilePositions - 1, kVectors>(tile, count);
}

template <class Weights, int kVectors>
void sum_columns(const BlockSums& block, const float* x, const float* zeros, const Tile& tile,
                 std::int64_t tap, std::int64_t word, std::int64_t sums) {
  const std::int64_t words = kVectors * lanes() / Weights::kPacked;
  for (; word + words <= tile.words; word += words) {
    Tile part = tile;
    part.weight += word;
    part.output += Weights::column_of(word);
    sum_tap<Weights, kVectors>(block, x, zeros, part, tap, sums + Weights::column_of(word));
  }
  if constexpr (kVectors > Weights::kLeast) {
    if (word < tile.words) {
      sum_columns<Weights, kVectors / 2>(block, x, zeros, tile, tap, word, sums);
    }
  }
}

template <class Weights>
void sum_channels_of(const BlockSums& block, const float* x, const float* zeros) {
  start_sums(block);
  walk_weights(
      block, [&](const float* weight, std::int64_t first, std::int64_t channels, std::int64_t tap) {
        Tile tile{.weight = weight,
                  .channels = channels,
                  .unit = block.unit,
                  .words = block.unit_words(),
                  .scales = block.scales,
                  .output = 0,
                  .x = {},
                  .sums = {}};
        for (std::int64_t sums = 0; sums < block.width; sums += block.unit) {
          sum_columns<Weights, std::max(kTileVectors, Weights::kLeast)>(block, x + first, zeros,
                                                                        tile, tap, 0, sums);
          tile.weight += block.unit_stride;
          tile.output += block.unit;
        }
      });
}

void sum_channels(const BlockSums& block, const float* x, const float* zeros) {
  with_weights(block.words,
               [&](auto weights) { sum_channels_of<decltype(weights)>(block, x, zeros); });
}

template <class D>
HWY_INLINE hn::Vec<D> finished(D d, const Finish& finish, std::int64_t o, const float* added,
                               hn::Vec<D> y) {
  if (finish.scale != nullptr) {
    y = hn::Add(hn::Mul(y, hn::LoadU(d, finish.scale + o)), hn::LoadU(d, finish.shift + o));
  }
  if (added != nullptr) {
    const auto other = hn::LoadU(d, added + o);
    y = finish.added_first ? hn::Add(other, y) : hn::Add(y, other);
  }
  if (finish.rectified) {
    const auto most = hn::Set(d, finish.most);
    y = hn::IfThenZeroElse(hn::Lt(y, hn::Zero(d)), y);
    y = hn::IfThenElse(hn::Gt(y, most), most, y);
  }
  return y;
}

// Outputs [o, outputs) of one position, as many vectors as fit; where they end.
template <class D>
HWY_INLINE std::int64_t finish_outputs(D d, const Finish& finish, const float* added,
                                       const float* sums, std::int64_t o, std::int64_t outputs,
                                       float* y) {
  const auto step = static_cast<std::int64_t>(hn::Lanes(d));
  for (; o + step <= outputs; o += step) {
    hn::StoreU(finished(d, finish, o, added, hn::LoadU(d, sums + o)), d, y + o);
  }
  return o;
}

void finish_sums(const Finish& finish, const float* sums, std::int64_t positions,
                 std::int64_t width, std::int64_t outputs, std::int64_t stride, float* y) {
  for (std::int64_t p = 0; p < positions; ++p, sums += width, y += stride) {
    const float* added = finish.added == nullptr ? nullptr : finish.added + p * stride;
    std::int64_t o = finish_outputs(Lane(), finish, added, sums, 0, outputs, y);
    o = finish_outputs(Eight(), finish, added, sums, o, outputs, y);
    o = finish_outputs(Four(), finish, added, sums, o, outputs, y);
    finish_outputs(Single(), finish, added, sums, o, outputs, y);
  }
}

std::int64_t target() {
  return HWY_TARGET;
}

}  // namespace taut::infer::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace taut::infer {

HWY_EXPORT(count_nonzeros);
HWY_EXPORT(list_nonzeros);
HWY_EXPORT(sum_lists);
HWY_EXPORT(sum_channels);
HWY_EXPORT(finish_sums);
HWY_EXPORT(target);

std::string kernel_target() {
  return hwy::TargetName(HWY_DYNAMIC_DISPATCH(target)());
}

std::int64_t count_nonzeros(const float* x, std::int64_t positions, std::int64_t stride,
                            std::int64_t channels) {
  return HWY_DYNAMIC_DISPATCH(count_nonzeros)(x, positions, stride, channels);
}
void list_nonzeros(const float* x, std::int64_t stride, std::int64_t channels, std::int64_t words,
                   const ChannelLists& lists) {
  HWY_DYNAMIC_DISPATCH(list_nonzeros)(x, stride, channels, words, lists);
}
void sum_lists(const BlockSums& block, const ChannelLists& lists) {
  HWY_DYNAMIC_DISPATCH(sum_lists)(block, lists);
}
void sum_channels(const BlockSums& block, const float* x, const float* zeros) {
  HWY_DYNAMIC_DISPATCH(sum_channels)(block, x, zeros);
}
void finish_sums(const Finish& finish, const float* sums, std::int64_t positions,
                 std::int64_t width, std::int64_t outputs, std::int64_t stride, float* y) {
  HWY_DYNAMIC_DISPATCH(finish_sums)(finish, sums, positions, width, outputs, stride, y);
  if (finish.function != nullptr) apply_function(*finish.function, positions, outputs, stride, y);
}

namespace {

constexpr std::uint32_t kUpperHalf = 0xFFFF0000u;

}  // namespace

float nearest_bfloat16(float value) noexcept {
  constexpr std::uint32_t kQuiet = 0x00400000u;
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (value != value) return std::bit_cast<float>((bits | kQuiet) & kUpperHalf);
  return std::bit_cast<float>((bits + 0x7FFFu + (bits >> 16 & 1u)) & kUpperHalf);
}

void store_weight(Words words, std::int64_t unit, std::int64_t output, float value,
                  float* channel) noexcept {
  if (words == Words::kFloat32) {
    channel[output] = value;
    return;
  }
  if (words == Words::kInt8) {
    reinterpret_cast<std::int8_t*>(channel)[output] = static_cast<std::int8_t>(value);
    return;
  }
  const std::int64_t half = unit / 2;
  const auto rounded = std::bit_cast<std::uint32_t>(nearest_bfloat16(value));
  float& word = channel[output % half];
  const auto before = std::bit_cast<std::uint32_t>(word);
  word = std::bit_cast<float>(output < half ? (before & kUpperHalf) | rounded >> 16
                                            : rounded | (before & ~kUpperHalf));
}

float load_weight(Words words, std::int64_t unit, std::int64_t output,
                  const float* channel) noexcept {
  if (words == Words::kFloat32) return channel[output];
  if (words == Words::kInt8) return reinterpret_cast<const std::int8_t*>(channel)[output];
  const std::int64_t half = unit / 2;
  const auto word = std::bit_cast<std::uint32_t>(channel[output % half]);
  return std::bit_cast<float>(output < half ? word << 16 : word & kUpperHalf);
}

void sum_position_reference(const BlockSums& block, const float* x, std::int64_t row,
                            std::int64_t column, std::span<double> sums) {
  const ConvSizes& sizes = block.sizes;
  std::copy_n(block.bias, block.width, sums.begin());
  const std::int64_t taps = sizes.kernel * sizes.kernel;
  for (std::int64_t o = 0; o < block.width; ++o) {
    double& sum = sums[static_cast<std::size_t>(o)];
    const float* unit = block.weight + o / block.unit * block.unit_stride;
    for (std::int64_t i = 0; i < taps * sizes.inputs; ++i, unit += block.unit_words()) {
      // In the order of the weights: blocks of channels, taps, channels.
      const std::int64_t before = i / (taps * kInputBlock) * kInputBlock;
      const std::int64_t channels = std::min(kInputBlock, sizes.inputs - before);
      const std::int64_t tap = (i - before * taps) / channels;
      const std::int64_t in_row = row * sizes.stride - sizes.padding + tap / sizes.kernel;
      const std::int64_t in_column =
          column * sizes.stride_across - sizes.padding + tap % sizes.kernel;
      if (in_row < 0 || in_row >= sizes.in_height || in_column < 0 || in_column >= sizes.in_width) {
        continue;
      }
      const std::int64_t channel = before + (i - before * taps) % channels;
      float weight = load_weight(block.words, block.unit, o % block.unit, unit);
      if (block.words == Words::kInt8) weight *= block.scales[o];
      sum += static_cast<double>(weight) *
             x[(in_row * sizes.in_width + in_column) * sizes.in_stride + channel];
    }
  }
}

}  // namespace taut::infer
#endif  // HWY_ONCE
