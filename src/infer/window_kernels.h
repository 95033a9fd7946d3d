#pragma once
// Kernels of layers whose channels stay apart: depthwise convolutions, maxima and means of
// windows.
// Compiled once for each instruction set (Highway).

#include <cstdint>

#include "taut/graph/network.h"

namespace taut::infer {

/// Output row `row` of one example, x [height, width, channels] to y [out width, channels]:
/// the bias, then each tap's weight [kernel * kernel, channels] times the input where the tap lies
/// on the image, in order.
void depthwise_row(const graph::Layer& layer, const float* weight, const float* bias,
                   const float* x, std::int64_t row, float* y);

/// The same of maxima: -infinity where a window lies wholly beside the image; NaN wins.
void maxima_row(const graph::Layer& layer, const float* x, std::int64_t row, float* y);

/// The same of means of what of a window lies on the image, summed in order; no window may lie
/// wholly beside it.
void means_row(const graph::Layer& layer, const float* x, std::int64_t row, float* y);

/// Means y [channels] over all positions of x [positions, channels], summed in double in order.
void means_of_positions(const float* x, std::int64_t positions, std::int64_t channels, float* y);

}  // namespace taut::infer
