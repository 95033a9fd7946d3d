#pragma once
// Which outputs of a convolution a tap reaches.

#include <algorithm>
#include <cstdint>

#include "infer/blocked_kernels.h"

namespace taut::infer {

/// Output positions whose tap (down, across) lies on the image.
struct TapRange {
  TapRange(const BlockSums& block, std::int64_t tap)
      : down(tap / block.sizes.kernel - block.sizes.padding),
        across(tap % block.sizes.kernel - block.sizes.padding) {
    const ConvSizes& s = block.sizes;
    row_begin = std::max(block.row_begin, first(down, s.stride));
    row_end = std::min(block.row_end, past(down, s.in_height, s.stride));
    begin = first(across, s.stride_across);
    end = std::min(s.out_width, past(across, s.in_width, s.stride_across));
  }
  // The least output whose input is 0 or more, and the one past the last whose input is below side.
  static std::int64_t first(std::int64_t offset, std::int64_t stride) {
    return offset >= 0 ? 0 : (-offset + stride - 1) / stride;
  }
  static std::int64_t past(std::int64_t offset, std::int64_t side, std::int64_t stride) {
    return side <= offset ? 0 : (side - offset + stride - 1) / stride;
  }
  std::int64_t down;    // input row of output row 0
  std::int64_t across;  // input column of output column 0
  std::int64_t row_begin;
  std::int64_t row_end;
  std::int64_t begin;  // columns
  std::int64_t end;
};

}  // namespace taut::infer
