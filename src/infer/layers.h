#pragma once
// What each kind of layer computes: rows of examples, channel-last [rows, height, width, channels].

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "infer/blocked_kernels.h"
#include "taut/core/thread_pool.h"
#include "taut/graph/network.h"

namespace taut::infer {

/// Whether each output channel of a convolution reads the one input channel of its number.
[[nodiscard]] bool is_depthwise(const graph::Layer& layer) noexcept;

/// The weights of a convolution or linear layer, decoded where they are in 8 bits.
[[nodiscard]] std::vector<float> decoded_weight(const graph::LayerValues& values);

/// A depthwise convolution's numbers as its kernel reads them.
struct DepthwiseWeights {
  std::vector<float> weight;  ///< [kernel * kernel, channels]
  std::vector<float> bias;    ///< [channels], zeros where the layer has none
};
/// Sizes must fit (check_model).
[[nodiscard]] DepthwiseWeights pack_depthwise(const graph::Layer& layer,
                                              const graph::LayerValues& values);

/// y = x * scale + shift for each channel.
struct ChannelScale {
  std::vector<float> scale;
  std::vector<float> shift;
};
[[nodiscard]] ChannelScale pack_norm(const graph::LayerValues& values);

/// The window of one output position and one group as a column [kernel * kernel, channels /
/// groups], zeros for what lies beside the image. x: of the example.
void gather_window(const graph::Layer& layer, const float* x, std::int64_t position,
                   std::int64_t group, float* column);

/// Rows of the output are spread over the pool. What the finish adds is laid like y.
/// written: called for each row.
void convolve_depthwise(const graph::Layer& layer, const DepthwiseWeights& weights, const float* x,
                        std::int64_t rows, const Finish& finish, float* y, ThreadPool& pool,
                        const PositionsWritten& written = {});
/// x and y may be the same array.
void apply_norm(const ChannelScale& norm, const float* x, std::int64_t positions, float* y);
/// min(max(x, 0), most); NaN stays. x and y may be the same array.
void rectify(const float* x, std::int64_t count, float most, float* y);
/// Rows of the output are spread over the pool.
void pool_maxima(const graph::Layer& layer, const float* x, std::int64_t rows, float* y,
                 ThreadPool& pool);
/// The same. Each mean is of what of the window lies on the image.
void pool_means(const graph::Layer& layer, const float* x, std::int64_t rows, float* y,
                ThreadPool& pool);
/// Layer::pointwise of each value. x and y may be the same array.
void map_values(const graph::Layer& layer, const float* x, std::int64_t rows, float* y,
                ThreadPool& pool);
/// Layer::arithmetic of two inputs of these shapes. Rows of the output are spread over the pool. y
/// may be the first of xs where the output has its shape.
void combine(const graph::Layer& layer, const std::array<graph::Shape, 2>& shapes,
             std::span<const float* const> xs, std::int64_t rows, float* y, ThreadPool& pool);
/// A layer norm. Rows of the output are spread over the pool. x and y may be the same array.
void normalize_channels(const graph::Layer& layer, const graph::LayerValues& values, const float* x,
                        std::int64_t rows, float* y, ThreadPool& pool);
/// Softmax over channels, the same.
void soften_channels(const graph::Layer& layer, const float* x, std::int64_t rows, float* y,
                     ThreadPool& pool);
/// Rows of the output are spread over the pool.
void upsample(const graph::Layer& layer, const float* x, std::int64_t rows, float* y,
              ThreadPool& pool);
/// The same.
void move_depth_to_space(const graph::Layer& layer, const float* x, std::int64_t rows, float* y,
                         ThreadPool& pool);
/// Rows of the input from Layer::first on.
void take_rows(const graph::Layer& layer, const float* x, std::int64_t rows, float* y);
/// The values for each of the examples.
void repeat(std::span<const float> values, std::int64_t rows, float* y);
/// Means of whole maps. Examples are spread over the pool.
void average_positions(const graph::Layer& layer, const float* x, std::int64_t rows, float* y,
                       ThreadPool& pool);
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
