#include "infer/layers.h"

#include <algorithm>
#include <cmath>

#include "infer/kernels.h"

namespace taut::infer {
namespace {

using graph::Layer;
using graph::LayerValues;
using graph::Shape;
using graph::Window;

// Positions of a convolution's output that are computed together, at most.
constexpr std::int64_t kMostPositions = 64;
// Floats that their columns may take, beyond those of a few positions.
constexpr std::int64_t kColumnFloats = std::int64_t{1} << 16;
constexpr std::int64_t kLeastPositions = 8;

std::int64_t positions_of(const Shape& shape) {
  return shape.height * shape.width;
}

std::int64_t group_inputs(const Layer& layer) {
  return layer.in.channels / layer.groups;
}

// Values that one output of a convolution is summed over.
std::int64_t window_values(const Layer& layer) {
  return layer.window.kernel * layer.window.kernel * group_inputs(layer);
}

std::int64_t block_positions(const Layer& layer) {
  return std::clamp(kColumnFloats / window_values(layer), kLeastPositions, kMostPositions);
}

// Whether a convolution reads each position by itself, so that its input serves as columns.
bool reads_single_positions(const Layer& layer) {
  return layer.window == graph::Window{} && layer.groups == 1;
}

std::vector<float> decoded(const LayerValues& values) {
  if (values.codes.empty()) return {values.weight.begin(), values.weight.end()};
  std::vector<float> weight(values.codes.size());
  const std::size_t width = weight.size() / values.code_scales.size();
  for (std::size_t i = 0; i < weight.size(); ++i) {
    weight[i] = static_cast<float>(values.codes[i]) * values.code_scales[i / width];
  }
  return weight;
}

// The range of kernel rows (or columns) that meet the input, where the window begins at `first`.
struct Reach {
  Reach(std::int64_t first, std::int64_t kernel, std::int64_t side)
      : begin(std::max<std::int64_t>(0, -first)), end(std::min(kernel, side - first)) {}
  std::int64_t begin;
  std::int64_t end;
};

// Columns [window_values] of one output position for one group.
void gather_window(const Layer& layer, const float* x, std::int64_t position, std::int64_t group,
                   float* columns) {
  const std::int64_t kernel = layer.window.kernel;
  const std::int64_t width = group_inputs(layer);
  const std::int64_t top = position / layer.out.width * layer.window.stride - layer.window.padding;
  const std::int64_t left = position % layer.out.width * layer.window.stride - layer.window.padding;
  const Reach down(top, kernel, layer.in.height);
  const Reach across(left, kernel, layer.in.width);
  std::fill_n(columns, window_values(layer), 0.0f);
  for (std::int64_t ky = down.begin; ky < down.end; ++ky) {
    for (std::int64_t kx = across.begin; kx < across.end; ++kx) {
      const std::int64_t from = (top + ky) * layer.in.width + left + kx;
      std::copy_n(x + from * layer.in.channels + group * width, width,
                  columns + (ky * kernel + kx) * width);
    }
  }
}

// Walks the windows of one example whose channels stay apart: begin(y) at each output position,
// then visit(y, from, tap) for each input position in its window, in order.
template <typename Begin, typename Visit>
void walk_windows(const Layer& layer, const float* x, float* y, Begin&& begin, Visit&& visit) {
  const Window& window = layer.window;
  const std::int64_t channels = layer.out.channels;
  for (std::int64_t oy = 0; oy < layer.out.height; ++oy) {
    const std::int64_t top = oy * window.stride - window.padding;
    const Reach down(top, window.kernel, layer.in.height);
    for (std::int64_t ox = 0; ox < layer.out.width; ++ox, y += channels) {
      const std::int64_t left = ox * window.stride - window.padding;
      const Reach across(left, window.kernel, layer.in.width);
      begin(y);
      for (std::int64_t ky = down.begin; ky < down.end; ++ky) {
        for (std::int64_t kx = across.begin; kx < across.end; ++kx) {
          const std::int64_t position = (top + ky) * layer.in.width + left + kx;
          visit(y, x + position * channels, ky * window.kernel + kx);
        }
      }
    }
  }
}

// One example, each output channel from the input channel of its number.
void convolve_depthwise(const Layer& layer, const PackedWeights& weights, const float* x,
                        float* y) {
  const std::int64_t channels = layer.out.channels;
  walk_windows(
      layer, x, y, [&](float* out) { std::copy(weights.bias.begin(), weights.bias.end(), out); },
      [&](float* out, const float* from, std::int64_t tap) {
        const float* w = weights.weight.data() + tap * channels;
        for (std::int64_t c = 0; c < channels; ++c) out[c] += w[c] * from[c];
      });
}

LinearMap map_of(const PackedWeights& weights, std::int64_t inputs, std::int64_t outputs,
                 std::int64_t group) {
  const auto size = static_cast<std::size_t>(inputs * outputs);
  const auto which = static_cast<std::size_t>(group);
  const auto count = static_cast<std::size_t>(outputs);
  return {.inputs = inputs,
          .outputs = outputs,
          .weight = std::span(weights.weight).subspan(which * size, size),
          .bias = std::span(weights.bias).subspan(which * count, count)};
}

}  // namespace

bool is_depthwise(const Layer& layer) noexcept {
  return layer.op == graph::Op::kConv && layer.groups > 1 && layer.groups == layer.in.channels &&
         layer.groups == layer.out.channels;
}

PackedWeights pack_weights(const Layer& layer, const LayerValues& values) {
  const std::vector<float> weight = decoded(values);
  PackedWeights packed;
  packed.weight.resize(weight.size());
  packed.bias.assign(values.bias.begin(), values.bias.end());
  packed.bias.resize(static_cast<std::size_t>(layer.out.channels), 0.0f);
  // A depthwise weight [channels, 1, k, k] is turned as that of one group would be.
  const std::int64_t groups = is_depthwise(layer) ? 1 : layer.groups;
  const std::int64_t inputs = group_inputs(layer);
  const std::int64_t outputs = layer.out.channels / groups;
  const std::int64_t taps = layer.window.kernel * layer.window.kernel;
  const float* from = weight.data();
  for (std::int64_t group = 0; group < groups; ++group) {
    float* to = packed.weight.data() + group * taps * inputs * outputs;
    for (std::int64_t o = 0; o < outputs; ++o) {
      for (std::int64_t i = 0; i < inputs; ++i) {
        for (std::int64_t tap = 0; tap < taps; ++tap)
          to[(tap * inputs + i) * outputs + o] = *from++;
      }
    }
  }
  return packed;
}

ChannelScale pack_norm(const LayerValues& values) {
  ChannelScale norm;
  for (std::size_t c = 0; c < values.weight.size(); ++c) {
    const double scale =
        values.weight[c] / std::sqrt(static_cast<double>(values.variance[c]) + graph::kNormEpsilon);
    norm.scale.push_back(static_cast<float>(scale));
    norm.shift.push_back(static_cast<float>(values.bias[c] - values.mean[c] * scale));
  }
  return norm;
}

std::int64_t column_floats(const Layer& layer) noexcept {
  if (layer.op != graph::Op::kConv || is_depthwise(layer) || reads_single_positions(layer))
    return 0;
  return block_positions(layer) * window_values(layer);
}

void convolve(const Layer& layer, const PackedWeights& weights, const float* x, std::int64_t rows,
              float* y, float* columns) {
  const std::int64_t positions = positions_of(layer.out);
  const std::int64_t outputs = layer.out.channels / layer.groups;
  if (reads_single_positions(layer)) {
    linear(map_of(weights, layer.in.channels, outputs, 0), x, rows * positions, y, outputs);
    return;
  }
  const bool depthwise = is_depthwise(layer);
  const std::int64_t block = block_positions(layer);
  const std::int64_t width = window_values(layer);
  for (std::int64_t row = 0; row < rows; ++row, x += layer.in.size(), y += layer.out.size()) {
    if (depthwise) {
      convolve_depthwise(layer, weights, x, y);
      continue;
    }
    for (std::int64_t group = 0; group < layer.groups; ++group) {
      const LinearMap map = map_of(weights, width, outputs, group);
      for (std::int64_t begin = 0; begin < positions; begin += block) {
        const std::int64_t count = std::min(block, positions - begin);
        for (std::int64_t p = 0; p < count; ++p) {
          gather_window(layer, x, begin + p, group, columns + p * width);
        }
        linear(map, columns, count, y + begin * layer.out.channels + group * outputs,
               layer.out.channels);
      }
    }
  }
}

void apply_linear(const Layer& layer, const PackedWeights& weights, const float* x,
                  std::int64_t rows, float* y) {
  linear(map_of(weights, layer.in.channels, layer.out.channels, 0), x,
         rows * positions_of(layer.in), y, layer.out.channels);
}

void apply_norm(const ChannelScale& norm, const float* x, std::int64_t positions, float* y) {
  const std::size_t channels = norm.scale.size();
  for (std::int64_t p = 0; p < positions; ++p, x += channels, y += channels) {
    for (std::size_t c = 0; c < channels; ++c) y[c] = x[c] * norm.scale[c] + norm.shift[c];
  }
}

void rectify(const float* x, std::int64_t count, float most, float* y) {
  for (std::int64_t i = 0; i < count; ++i) {
    const float value = x[i] < 0 ? 0.0f : x[i];
    y[i] = value > most ? most : value;
  }
}

void pool_maxima(const Layer& layer, const float* x, std::int64_t rows, float* y) {
  const std::int64_t channels = layer.out.channels;
  for (std::int64_t row = 0; row < rows; ++row) {
    walk_windows(
        layer, x + row * layer.in.size(), y + row * layer.out.size(),
        [&](float* out) { std::fill_n(out, channels, -INFINITY); },
        [&](float* out, const float* from, std::int64_t /*tap*/) {
          for (std::int64_t c = 0; c < channels; ++c) {
            out[c] = out[c] >= from[c] || std::isnan(out[c]) ? out[c] : from[c];
          }
        });
  }
}

void average_positions(const Layer& layer, const float* x, std::int64_t rows, float* y) {
  const auto channels = static_cast<std::size_t>(layer.in.channels);
  const std::int64_t positions = positions_of(layer.in);
  std::vector<double> sums(channels);
  for (std::int64_t row = 0; row < rows; ++row, y += channels) {
    std::fill(sums.begin(), sums.end(), 0.0);
    for (std::int64_t p = 0; p < positions; ++p, x += channels) {
      for (std::size_t c = 0; c < channels; ++c) sums[c] += x[c];
    }
    for (std::size_t c = 0; c < channels; ++c) {
      y[c] = static_cast<float>(sums[c] / static_cast<double>(positions));
    }
  }
}

void flatten(const Shape& shape, const float* x, std::int64_t rows, float* y) {
  const std::int64_t positions = positions_of(shape);
  for (std::int64_t row = 0; row < rows; ++row, x += shape.size(), y += shape.size()) {
    for (std::int64_t p = 0; p < positions; ++p) {
      for (std::int64_t c = 0; c < shape.channels; ++c) {
        y[c * positions + p] = x[p * shape.channels + c];
      }
    }
  }
}

void add(std::span<const float* const> xs, std::int64_t count, float* y) {
  for (std::int64_t i = 0; i < count; ++i) {
    float sum = xs[0][i];
    for (std::size_t input = 1; input < xs.size(); ++input) sum += xs[input][i];
    y[i] = sum;
  }
}

void put_side_by_side(std::span<const float* const> xs, std::span<const std::int64_t> widths,
                      std::int64_t rows, float* y) {
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::size_t i = 0; i < xs.size(); ++i) {
      y = std::copy_n(xs[i] + row * widths[i], widths[i], y);
    }
  }
}

void sum_first_values(const Shape& shape, const float* x, std::int64_t rows, float* y) {
  const std::int64_t vectors = positions_of(shape);
  for (std::int64_t row = 0; row < rows; ++row) {
    float sum = 0;
    for (std::int64_t v = 0; v < vectors; ++v, x += shape.channels) sum += *x;
    y[row] = sum;
  }
}

}  // namespace taut::infer
