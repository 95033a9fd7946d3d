#pragma once
// Kernels of convolutions and linear layers: sums of a block of outputs at many positions, from all
// channels or from lists of those that are not zero. Compiled once for each instruction set
// (Highway).
//
// Order of every sum, in all of them: the bias, then blocks of kInputBlock channels in order; in a
// block, taps in order; in a tap, channels in order; each product added in one rounding where the
// instruction set can. A product with a zero adds nothing where weights are finite: so lists and
// all channels give the same bits (but for the sign of a zero), whatever is computed beside them.

#include <cstdint>
#include <functional>
#include <span>

#include "taut/graph/arithmetic.h"

namespace taut::infer {

/// Input channels that share a list.
inline constexpr std::int64_t kInputBlock = 64;
/// Units of outputs are multiples of this: whole vectors of any instruction set. Of words that
/// several weights share they are multiples of twice as many.
inline constexpr std::int64_t kOutputUnit = 16;

/// What a word of 4 bytes of packed weights holds.
enum class Words {
  kFloat32,   ///< one weight
  kBfloat16,  ///< two: the lower half is the bf16 of an output in the first half of the unit, the
              ///< upper half that of the output unit / 2 further
  kInt8,      ///< the codes of four outputs beside one another; a weight is code * scale
};

/// Weights in a word.
[[nodiscard]] constexpr std::int64_t weights_of_word(Words words) noexcept {
  return words == Words::kFloat32 ? 1 : words == Words::kBfloat16 ? 2 : 4;
}

/// The nearest bf16 as a float, ties to even, infinite from the middle between the largest and
/// infinity on; NaN stays NaN.
[[nodiscard]] float nearest_bfloat16(float value) noexcept;
/// Puts an output's weight into the words of a channel: a float, which bf16 rounds, or a code.
void store_weight(Words words, std::int64_t unit, std::int64_t output, float value,
                  float* channel) noexcept;
/// Reads what store_weight wrote.
[[nodiscard]] float load_weight(Words words, std::int64_t unit, std::int64_t output,
                                const float* channel) noexcept;

/// Sizes of a convolution of one example, channel-last; of one group, but for the strides. A linear
/// layer is one of kernel 1 over a column of rows.
struct ConvSizes {
  std::int64_t in_height = 1;
  std::int64_t in_width = 1;
  std::int64_t in_stride = 0;  ///< floats from one position to the next
  std::int64_t inputs = 0;     ///< channels that one output reads
  std::int64_t out_width = 1;
  std::int64_t kernel = 1;
  std::int64_t stride = 1;         ///< from row to row
  std::int64_t stride_across = 1;  ///< from column to column
  std::int64_t padding = 0;
};

/// Lists of the channels that are not zero: kInputBlock slots for each block of channels and each
/// position of some rows, [block][position][slot].
struct ChannelLists {
  std::int64_t first_row = 0;        ///< of the input
  std::int64_t positions = 0;        ///< of the listed rows
  float* values = nullptr;           ///< [blocks, positions, kInputBlock]
  std::uint32_t* offsets = nullptr;  ///< the same; the word where the channel's weights begin
  std::uint32_t* counts = nullptr;   ///< [blocks, positions]
};

/// Sums of one block of outputs at the positions of output rows [row_begin, row_end).
struct BlockSums {
  ConvSizes sizes;
  /// Words [unit of outputs][input block][tap][channel][unit / weights_of_word], 64-byte aligned.
  const float* weight = nullptr;
  Words words = Words::kFloat32;
  const float* scales = nullptr;  ///< [width] of codes
  const float* bias = nullptr;    ///< [width]
  std::int64_t width = 0;         ///< outputs of the block: some units
  std::int64_t unit = 0;          ///< outputs that lie together: a multiple of kOutputUnit
  std::int64_t unit_stride = 0;   ///< words from the weights of one unit to those of the next
  std::int64_t row_begin = 0;
  std::int64_t row_end = 0;
  float* sums = nullptr;  ///< [positions, width], 64-byte aligned
  /// Few positions, kernel 1: weights come from memory, and while a list is summed those of the
  /// next one are asked for.
  bool fetches_ahead = false;

  /// Words of one channel's weights in a unit.
  [[nodiscard]] std::int64_t unit_words() const noexcept { return unit / weights_of_word(words); }
};

/// Values that are not zero (NaN is none) of `channels` at `positions` each `stride` apart.
[[nodiscard]] std::int64_t count_nonzeros(const float* x, std::int64_t positions,
                                          std::int64_t stride, std::int64_t channels);

/// Fills the lists of `channels` at lists.positions, the first of which lies at x. words: of a
/// channel in the weights that they select from (BlockSums::unit_words).
void list_nonzeros(const float* x, std::int64_t stride, std::int64_t channels, std::int64_t words,
                   const ChannelLists& lists);

/// Sums over listed channels. The lists hold all input rows that the output rows read. Taps beside
/// the image add nothing.
void sum_lists(const BlockSums& block, const ChannelLists& lists);

/// Sums over all channels of x, the example's first position. zeros [kInputBlock]: what lies beside
/// the image is multiplied like all else, as weights that are not finite want it; null: it adds
/// nothing.
void sum_channels(const BlockSums& block, const float* x, const float* zeros);

/// What happens to sums on their way to the output.
struct Finish {
  const float* scale = nullptr;  ///< [outputs] of a normalization: sum * scale + shift; or null
  const float* shift = nullptr;
  const float* added = nullptr;  ///< of another layer, laid like the output; or null
  bool added_first = false;      ///< added + sum, not sum + added: NaN keeps its bits
  bool rectified = false;        ///< min(max(., 0), most), NaN stays
  float most = 0;
  const graph::Pointwise* function = nullptr;  ///< of what comes out then; or null
};

/// Called for positions [begin, end) of a batch as soon as they are written, each once, from
/// several threads at once; empty: nothing is.
using PositionsWritten = std::function<void(std::int64_t begin, std::int64_t end)>;

/// y[p * stride + o] of sums[p * width + o], o < outputs. `added` and y may be the same array.
void finish_sums(const Finish& finish, const float* sums, std::int64_t positions,
                 std::int64_t width, std::int64_t outputs, std::int64_t stride, float* y);

/// Plain form of sum_channels in double over one position's window, what tests compare with:
/// sums[o] for o < width at output (row, column).
void sum_position_reference(const BlockSums& block, const float* x, std::int64_t row,
                            std::int64_t column, std::span<double> sums);

}  // namespace taut::infer
