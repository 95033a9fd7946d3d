#include "infer/layers.h"

#include <algorithm>
#include <cmath>

#include "infer/attention_kernels.h"
#include "infer/grain.h"
#include "infer/value_kernels.h"
#include "infer/window_kernels.h"

namespace taut::infer {
namespace {

using graph::Layer;
using graph::LayerValues;
using graph::Shape;

std::int64_t positions_of(const Shape& shape) {
  return shape.height * shape.width;
}

std::int64_t group_inputs(const Layer& layer) {
  return layer.in.channels / layer.groups;
}

// The range of kernel rows (or columns) that meet the input, where the window begins at `first`.
struct Reach {
  Reach(std::int64_t first, std::int64_t kernel, std::int64_t side)
      : begin(std::max<std::int64_t>(0, -first)), end(std::min(kernel, side - first)) {}
  std::int64_t begin;
  std::int64_t end;
};

// Calls visit(example, row of its output) for all rows of a batch, spread over the pool.
template <typename Visit>
void spread_rows(const Layer& layer, std::int64_t rows, ThreadPool& pool, const Visit& visit) {
  const std::int64_t height = layer.out.height;
  const double row = static_cast<double>(layer.out.width * layer.out.channels) *
                     static_cast<double>(layer.window.kernel * layer.window.kernel);
  pool.parallel_for(rows * height, grain_of(row, kTaskWindows),
                    [&](std::int64_t begin, std::int64_t end) {
                      for (std::int64_t i = begin; i < end; ++i) visit(i / height, i % height);
                    });
}

}  // namespace

bool is_depthwise(const Layer& layer) noexcept {
  return layer.op == graph::Op::kConv && layer.groups > 1 && layer.groups == layer.in.channels &&
         layer.groups == layer.out.channels;
}

std::vector<float> decoded_weight(const LayerValues& values) {
  if (values.codes.empty()) return {values.weight.begin(), values.weight.end()};
  std::vector<float> weight(values.codes.size());
  const std::size_t width = weight.size() / values.code_scales.size();
  for (std::size_t i = 0; i < weight.size(); ++i) {
    weight[i] = static_cast<float>(values.codes[i]) * values.code_scales[i / width];
  }
  return weight;
}

DepthwiseWeights pack_depthwise(const Layer& layer, const LayerValues& values) {
  const std::vector<float> weight = decoded_weight(values);
  const std::int64_t channels = layer.out.channels;
  const std::int64_t taps = layer.window.kernel * layer.window.kernel;
  DepthwiseWeights packed;
  packed.weight.resize(weight.size());
  packed.bias.assign(values.bias.begin(), values.bias.end());
  packed.bias.resize(static_cast<std::size_t>(channels), 0.0f);
  const float* from = weight.data();
  for (std::int64_t c = 0; c < channels; ++c) {
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      packed.weight[static_cast<std::size_t>(tap * channels + c)] = *from++;
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

void gather_window(const Layer& layer, const float* x, std::int64_t position, std::int64_t group,
                   float* column) {
  const std::int64_t kernel = layer.window.kernel;
  const std::int64_t width = group_inputs(layer);
  const std::int64_t top = position / layer.out.width * layer.window.stride - layer.window.padding;
  const graph::Window along = graph::along_width(layer.window);
  const std::int64_t left = position % layer.out.width * along.stride - along.padding;
  const Reach down(top, kernel, layer.in.height);
  const Reach across(left, kernel, layer.in.width);
  const bool whole =
      down.begin == 0 && across.begin == 0 && down.end == kernel && across.end == kernel;
  if (!whole) std::fill_n(column, kernel * kernel * width, 0.0f);
  for (std::int64_t ky = down.begin; ky < down.end; ++ky) {
    const float* from = x + ((top + ky) * layer.in.width + left) * layer.in.channels;
    float* to = column + ky * kernel * width;
    if (layer.groups == 1 && across.begin < across.end) {
      std::copy(from + across.begin * width, from + across.end * width, to + across.begin * width);
      continue;
    }
    for (std::int64_t kx = across.begin; kx < across.end; ++kx) {
      std::copy_n(from + kx * layer.in.channels + group * width, width, to + kx * width);
    }
  }
}

void convolve_depthwise(const Layer& layer, const DepthwiseWeights& weights, const float* x,
                        std::int64_t rows, const Finish& finish, float* y, ThreadPool& pool,
                        const PositionsWritten& written) {
  const std::int64_t channels = layer.out.channels;
  const std::int64_t width = layer.out.width;
  spread_rows(layer, rows, pool, [&](std::int64_t example, std::int64_t row) {
    const std::int64_t at = example * layer.out.size() + row * width * channels;
    depthwise_row(layer, weights.weight.data(), weights.bias.data(), x + example * layer.in.size(),
                  row, y + at);
    Finish own = finish;
    if (own.added != nullptr) own.added += at;
    finish_sums(own, y + at, width, channels, channels, channels, y + at);
    if (written) written(at / channels, at / channels + width);
  });
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

void pool_maxima(const Layer& layer, const float* x, std::int64_t rows, float* y,
                 ThreadPool& pool) {
  const std::int64_t width = layer.out.width * layer.out.channels;
  spread_rows(layer, rows, pool, [&](std::int64_t example, std::int64_t row) {
    maxima_row(layer, x + example * layer.in.size(), row,
               y + example * layer.out.size() + row * width);
  });
}

void pool_means(const Layer& layer, const float* x, std::int64_t rows, float* y, ThreadPool& pool) {
  const std::int64_t width = layer.out.width * layer.out.channels;
  spread_rows(layer, rows, pool, [&](std::int64_t example, std::int64_t row) {
    means_row(layer, x + example * layer.in.size(), row,
              y + example * layer.out.size() + row * width);
  });
}

void map_values(const Layer& layer, const float* x, std::int64_t rows, float* y, ThreadPool& pool) {
  const std::int64_t width = layer.out.width * layer.out.channels;
  spread_rows(layer, rows, pool, [&](std::int64_t example, std::int64_t row) {
    const std::int64_t at = example * layer.out.size() + row * width;
    if (y != x) std::copy_n(x + at, width, y + at);
    apply_function(layer.pointwise, 1, width, width, y + at);
  });
}

void combine(const Layer& layer, const std::array<Shape, 2>& shapes,
             std::span<const float* const> xs, std::int64_t rows, float* y, ThreadPool& pool) {
  const Shape& out = layer.out;
  spread_rows(layer, rows, pool, [&](std::int64_t example, std::int64_t row) {
    const auto operand = [&](std::size_t which) {
      const Shape& shape = shapes[which];
      const std::int64_t line = shape.height == 1 ? 0 : row;
      return RowOperand{
          .values = xs[which] + example * shape.size() + line * shape.width * shape.channels,
          .position = shape.width == 1 ? 0 : shape.channels,
          .channel = shape.channels == 1 ? 0 : 1};
    };
    combine_row(layer.arithmetic, operand(0), operand(1), out.width, out.channels,
                y + example * out.size() + row * out.width * out.channels);
  });
}

void normalize_channels(const Layer& layer, const LayerValues& values, const float* x,
                        std::int64_t rows, float* y, ThreadPool& pool) {
  spread_rows(layer, rows, pool, [&](std::int64_t example, std::int64_t row) {
    const std::int64_t at = example * layer.out.size() + row * layer.out.width * layer.out.channels;
    normalize_rows({.scale = values.weight.data(),
                    .shift = values.bias.data(),
                    .epsilon = layer.epsilon,
                    .columns = layer.out.channels},
                   x + at, layer.out.width, y + at);
  });
}

void soften_channels(const Layer& layer, const float* x, std::int64_t rows, float* y,
                     ThreadPool& pool) {
  const std::int64_t width = layer.out.width * layer.out.channels;
  spread_rows(layer, rows, pool, [&](std::int64_t example, std::int64_t row) {
    const std::int64_t at = example * layer.out.size() + row * width;
    if (y != x) std::copy_n(x + at, width, y + at);
    softmax_rows({}, layer.out.width, layer.out.channels, y + at);
  });
}

void upsample(const Layer& layer, const float* x, std::int64_t rows, float* y, ThreadPool& pool) {
  const std::int64_t channels = layer.in.channels;
  const std::int64_t width = layer.in.width * channels;
  spread_rows(layer, rows, pool, [&](std::int64_t example, std::int64_t row) {
    const float* from = x + example * layer.in.size() + row / layer.factor * width;
    float* to = y + example * layer.out.size() + row * layer.out.width * channels;
    for (std::int64_t p = 0; p < layer.in.width; ++p, from += channels) {
      for (std::int64_t copy = 0; copy < layer.factor; ++copy) {
        to = std::copy_n(from, channels, to);
      }
    }
  });
}

void move_depth_to_space(const Layer& layer, const float* x, std::int64_t rows, float* y,
                         ThreadPool& pool) {
  const std::int64_t width = layer.in.width * layer.in.channels;
  const std::int64_t part = layer.factor * layer.out.channels;  // of a position, for one row
  spread_rows(layer, rows, pool, [&](std::int64_t example, std::int64_t row) {
    const float* from =
        x + example * layer.in.size() + row / layer.factor * width + row % layer.factor * part;
    float* to = y + example * layer.out.size() + row * layer.out.width * layer.out.channels;
    for (std::int64_t p = 0; p < layer.in.width; ++p, from += layer.in.channels) {
      to = std::copy_n(from, part, to);
    }
  });
}

void take_rows(const Layer& layer, const float* x, std::int64_t rows, float* y) {
  const std::int64_t skipped = layer.first * layer.in.width * layer.in.channels;
  for (std::int64_t row = 0; row < rows; ++row, x += layer.in.size()) {
    y = std::copy_n(x + skipped, layer.out.size(), y);
  }
}

void repeat(std::span<const float> values, std::int64_t rows, float* y) {
  for (std::int64_t row = 0; row < rows; ++row) y = std::copy(values.begin(), values.end(), y);
}

void average_positions(const Layer& layer, const float* x, std::int64_t rows, float* y,
                       ThreadPool& pool) {
  const auto values = static_cast<double>(layer.in.size());
  pool.parallel_for(rows, grain_of(values, kTaskWindows),
                    [&](std::int64_t begin, std::int64_t end) {
                      for (std::int64_t row = begin; row < end; ++row) {
                        means_of_positions(x + row * layer.in.size(), positions_of(layer.in),
                                           layer.in.channels, y + row * layer.in.channels);
                      }
                    });
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
