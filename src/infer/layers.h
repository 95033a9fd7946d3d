#pragma once
// What each kind of layer computes: rows of examples, channel-last [rows, height, width, channels].

#include <cstdint>
#include <span>
#include <vector>

#include "taut/graph/network.h"

namespace taut::infer {

/// A convolution's or linear layer's numbers as the kernels read them.
struct PackedWeights {
  /// For each group [kernel * kernel * channels / groups, outputs / groups]; of a depthwise
  /// convolution [kernel * kernel, channels].
  std::vector<float> weight;
  std::vector<float> bias;  ///< [outputs], zeros where the layer has none
};

/// Whether each output channel of a convolution reads the one input channel of its number.
[[nodiscard]] bool is_depthwise(const graph::Layer& layer) noexcept;

/// Decodes 8-bit weights. Sizes must fit (check_model).
[[nodiscard]] PackedWeights pack_weights(const graph::Layer& layer,
                                         const graph::LayerValues& values);

/// y = x * scale + shift for each channel.
struct ChannelScale {
  std::vector<float> scale;
  std::vector<float> shift;
};
[[nodiscard]] ChannelScale pack_norm(const graph::LayerValues& values);

/// Floats that convolve() wants as columns.
[[nodiscard]] std::int64_t column_floats(const graph::Layer& layer) noexcept;

void convolve(const graph::Layer& layer, const PackedWeights& weights, const float* x,
              std::int64_t rows, float* y, float* columns);
void apply_linear(const graph::Layer& layer, const PackedWeights& weights, const float* x,
                  std::int64_t rows, float* y);
/// x and y may be the same array.
void apply_norm(const ChannelScale& norm, const float* x, std::int64_t positions, float* y);
/// min(max(x, 0), most); NaN stays. x and y may be the same array.
void rectify(const float* x, std::int64_t count, float most, float* y);
void pool_maxima(const graph::Layer& layer, const float* x, std::int64_t rows, float* y);
void average_positions(const graph::Layer& layer, const float* x, std::int64_t rows, float* y);
/// To features in the order [channels, height, width].
void flatten(const graph::Shape& shape, const float* x, std::int64_t rows, float* y);
/// y may be one of xs.
void add(std::span<const float* const> xs, std::int64_t count, float* y);
/// Rows of widths[i] values of each input beside one another: channels of positions, or vectors.
void put_side_by_side(std::span<const float* const> xs, std::span<const std::int64_t> widths,
                      std::int64_t rows, float* y);
/// x [rows, vectors, dim]: the sum of the vectors' first coordinates.
void sum_first_values(const graph::Shape& shape, const float* x, std::int64_t rows, float* y);

}  // namespace taut::infer
