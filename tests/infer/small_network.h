#pragma once
// Small networks with values of their own, and what they give, computed plainly in double.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <deque>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "taut/core/random.h"
#include "taut/graph/network.h"
#include "taut/sparsity/quantize.h"

namespace taut::infer::test_support {

using graph::kNetworkInput;
using graph::Layer;
using graph::LayerValues;
using graph::Network;
using graph::Op;
using graph::Shape;

template <typename T>
std::vector<T> copied(std::span<const T> values) {
  return {values.begin(), values.end()};
}

/// All values of a layer are the same.
inline void expect_same_values(const LayerValues& got, const LayerValues& wanted) {
  EXPECT_EQ(copied(got.weight), copied(wanted.weight));
  EXPECT_EQ(copied(got.codes), copied(wanted.codes));
  EXPECT_EQ(copied(got.code_scales), copied(wanted.code_scales));
  EXPECT_EQ(copied(got.bias), copied(wanted.bias));
  EXPECT_EQ(copied(got.mean), copied(wanted.mean));
  EXPECT_EQ(copied(got.variance), copied(wanted.variance));
  EXPECT_EQ(got.input_scale, wanted.input_scale);
  EXPECT_EQ(got.input_unsigned, wanted.input_unsigned);
  EXPECT_EQ(copied(got.kept_maps), copied(wanted.kept_maps));
}

/// Builds a network layer by layer and owns its values.
class SmallNetwork {
 public:
  explicit SmallNetwork(const Shape& input, std::uint64_t seed = 1) : random_(seed) {
    network.name = "small";
    network.input = input;
  }
  SmallNetwork(const SmallNetwork&) = delete;
  SmallNetwork& operator=(const SmallNetwork&) = delete;

  /// Values are whole numbers from -3 to 3 from now on, so that sums are exact in float.
  void use_whole_numbers() { whole_ = true; }

  int conv(std::int64_t channels, graph::Window window, std::int64_t groups = 1, bool bias = true,
           int from = kLast) {
    Layer layer = reading(Op::kConv, {from});
    layer.window = window;
    layer.groups = groups;
    layer.bias = bias;
    layer.out = windowed(layer, channels);
    return add(layer);
  }
  int linear(std::int64_t outputs, bool bias = true, int from = kLast) {
    Layer layer = reading(Op::kLinear, {from});
    layer.bias = bias;
    layer.out.channels = outputs;
    return add(layer);
  }
  int pool(graph::Window window, int from = kLast) {
    Layer layer = reading(Op::kMaxPool, {from});
    layer.window = window;
    layer.out = windowed(layer, layer.in.channels);
    return add(layer);
  }
  /// An op whose output has the size of its first input.
  int same(Op op, const std::vector<int>& from = {kLast}) { return add(reading(op, from)); }
  int to(Op op, const Shape& out, const std::vector<int>& from = {kLast}) {
    Layer layer = reading(op, from);
    layer.out = out;
    return add(layer);
  }
  int flatten(int from = kLast) {
    Layer layer = reading(Op::kFlatten, {from});
    layer.out = {.channels = layer.in.size()};
    return add(layer);
  }
  /// Tables of one dimension, and a layer that reads them all.
  int embedding(std::int64_t tables, std::int64_t dim) {
    Layer layer;
    layer.op = Op::kEmbedding;
    layer.in = layer.out = {.channels = dim, .height = tables};
    for (int t = 0; t < static_cast<int>(tables); ++t) {
      network.tables.push_back({.name = "t" + std::to_string(t), .rows = 9, .dim = dim});
      layer.tables.push_back(t);
    }
    return add(layer);
  }
  int interaction(const std::vector<int>& from, std::int64_t copied) {
    Layer layer = reading(Op::kInteraction, from);
    std::int64_t vectors = 0;
    for (const int input : from) vectors += network.shape_of(input).size() / layer.in.channels;
    layer.copied = copied;
    layer.out = {.channels = vectors * (vectors - 1) / 2 + copied * layer.in.channels};
    return add(layer);
  }
  /// Winners are chosen behind the last layer.
  void choose_winners(double rate) {
    network.layers.back().winner_site = static_cast<int>(network.winners.rates.size());
    network.winners.rates.push_back(rate);
  }
  /// Only channels with a true entry stay behind the last layer.
  void keep_maps(std::vector<float> kept) { network.values.back().kept_maps = store(kept); }
  /// The last layer computes in 8 bits.
  void quantize(float input_scale, bool is_unsigned) {
    LayerValues& values = network.values.back();
    coded_.push_back(sparsity::quantize_weight(values.weight, network.layers.back().out.channels));
    values.weight = {};
    values.codes = coded_.back().codes;
    values.code_scales = coded_.back().scales;
    values.input_scale = input_scale;
    values.input_unsigned = is_unsigned;
  }

  [[nodiscard]] std::vector<float> random_input(std::int64_t batch) {
    return numbers(static_cast<std::size_t>(batch * network.input.size()));
  }
  [[nodiscard]] std::vector<float> numbers(std::size_t count) {
    std::vector<float> values(count);
    for (float& value : values) {
      value = whole_ ? static_cast<float>(random_.below(counter_++, 7)) - 3.0f
                     : static_cast<float>(random_.normal(counter_++));
    }
    return values;
  }

  static constexpr int kLast = -2;
  static constexpr int kNetworkInputLayer = kNetworkInput;
  Network network;

 private:
  [[nodiscard]] Layer reading(Op op, std::vector<int> from) const {
    Layer layer;
    layer.op = op;
    for (int& input : from) {
      if (input == kLast) input = static_cast<int>(network.layers.size()) - 1;
    }
    layer.inputs = std::move(from);
    layer.in = layer.out = network.shape_of(layer.inputs.front());
    return layer;
  }
  static Shape windowed(const Layer& layer, std::int64_t channels) {
    return {channels, graph::windowed_side(layer.in.height, layer.window),
            graph::windowed_side(layer.in.width, layer.window)};
  }

  std::span<const float> store(std::vector<float> values) {
    return floats_.emplace_back(std::move(values));
  }

  int add(Layer layer) {
    const auto number = static_cast<int>(network.layers.size());
    layer.name = std::string(to_string(layer.op)) + std::to_string(number);
    LayerValues values;
    const auto outputs = static_cast<std::size_t>(layer.out.channels);
    const std::vector<std::int64_t> shape = graph::weight_shape(layer);
    if (!shape.empty()) {
      std::int64_t count = 1;
      for (const std::int64_t size : shape) count *= size;
      values.weight = store(numbers(static_cast<std::size_t>(count)));
      if (layer.bias) values.bias = store(numbers(outputs));
    }
    if (layer.op == Op::kBatchNorm) {
      values.weight = store(numbers(outputs));
      values.bias = store(numbers(outputs));
      values.mean = store(numbers(outputs));
      std::vector<float> variance = numbers(outputs);
      for (float& value : variance) value = std::abs(value) + 0.1f;
      values.variance = store(std::move(variance));
    }
    network.layers.push_back(std::move(layer));
    network.values.push_back(values);
    return number;
  }

  CounterRandom random_;
  std::uint64_t counter_ = 0;
  bool whole_ = false;
  std::deque<std::vector<float>> floats_;  // a deque: views of its elements stay valid
  std::deque<sparsity::QuantizedWeight> coded_;
};

/// One example through a network, in double and with indices written out: [channel][position].
class PlainPass {
 public:
  PlainPass(const Network& network, const float* values, const float* embedded)
      : network_(network), embedded_(embedded) {
    input_.resize(static_cast<std::size_t>(network.input.size()));
    const std::int64_t positions = network.input.height * network.input.width;
    for (std::int64_t p = 0; p < positions; ++p) {
      for (std::int64_t c = 0; c < network.input.channels; ++c) {
        input_[index(c * positions + p)] = values[p * network.input.channels + c];
      }
    }
  }

  std::vector<double> run() {
    for (std::size_t i = 0; i < network_.layers.size(); ++i) {
      const Layer& layer = network_.layers[i];
      std::vector<double> y(index(layer.out.size()));
      apply(layer, network_.values[i], y);
      if (layer.winner_site >= 0) choose(layer, network_.values[i], y);
      results_.push_back(std::move(y));
    }
    return results_.back();
  }

 private:
  static std::size_t index(std::int64_t at) { return static_cast<std::size_t>(at); }
  [[nodiscard]] const std::vector<double>& of(int layer) const {
    return layer == kNetworkInput ? input_ : results_[index(layer)];
  }

  void apply(const Layer& layer, const LayerValues& values, std::vector<double>& y) {
    static const std::vector<double> kNothing;
    const std::vector<double>& x = layer.inputs.empty() ? kNothing : of(layer.inputs.front());
    const std::int64_t positions = layer.in.height * layer.in.width;
    switch (layer.op) {
      case Op::kConv:
        return convolve(layer, values, x, y);
      case Op::kLinear:
        for (std::int64_t o = 0; o < layer.out.channels; ++o) {
          for (std::int64_t p = 0; p < positions; ++p) {
            double sum = layer.bias ? values.bias[index(o)] : 0.0;
            for (std::int64_t i = 0; i < layer.in.channels; ++i) {
              sum +=
                  weight(layer, values, o, i) * through_bits(values, x[index(i * positions + p)]);
            }
            y[index(o * positions + p)] = sum;
          }
        }
        return;
      case Op::kBatchNorm:
        for (std::size_t i = 0; i < y.size(); ++i) {
          const std::size_t c = i / index(positions);
          y[i] = (x[i] - values.mean[c]) / std::sqrt(values.variance[c] + graph::kNormEpsilon) *
                     values.weight[c] +
                 values.bias[c];
        }
        return;
      case Op::kRelu:
      case Op::kRelu6:
        for (std::size_t i = 0; i < y.size(); ++i) {
          y[i] = std::min(std::max(x[i], 0.0), layer.op == Op::kRelu ? 1e300 : 6.0);
        }
        return;
      case Op::kMaxPool:
        return pool(layer, x, y);
      case Op::kGlobalMean:
        for (std::size_t i = 0; i < x.size(); ++i) {
          y[i / index(positions)] += x[i] / static_cast<double>(positions);
        }
        return;
      case Op::kFlatten:
        y = x;
        return;
      case Op::kAdd:
        for (const int input : layer.inputs) {
          for (std::size_t i = 0; i < y.size(); ++i) y[i] += of(input)[i];
        }
        return;
      case Op::kConcat: {
        auto to = y.begin();
        for (const int input : layer.inputs) to = std::copy(of(input).begin(), of(input).end(), to);
        return;
      }
      case Op::kEmbedding:
        for (std::int64_t t = 0; t < positions; ++t) {
          for (std::int64_t k = 0; k < layer.out.channels; ++k) {
            y[index(k * positions + t)] =
                embedded_[layer.tables[index(t)] * layer.out.channels + k];
          }
        }
        return;
      case Op::kInteraction:
        return interact(layer, y);
      case Op::kFirstValues:
        for (std::int64_t p = 0; p < positions; ++p) y[0] += x[index(p)];
        return;
      case Op::kAttention:
        return;
    }
  }

  static double weight(const Layer& layer, const LayerValues& values, std::int64_t o,
                       std::int64_t i) {
    const std::int64_t width =
        layer.in.channels / layer.groups * layer.window.kernel * layer.window.kernel;
    if (values.codes.empty()) return values.weight[index(o * width + i)];
    return static_cast<double>(values.codes[index(o * width + i)]) * values.code_scales[index(o)];
  }

  // To the nearest code, halves to even, then back.
  static double through_bits(const LayerValues& values, double x) {
    if (values.input_scale == 0) return x;
    const auto scaled = static_cast<float>(x) * (1.0f / values.input_scale);
    const double code = std::nearbyint(static_cast<double>(scaled));
    const double least = values.input_unsigned ? 0 : -127;
    return std::min(std::max(code, least), values.input_unsigned ? 255.0 : 127.0) *
           values.input_scale;
  }

  // Calls body(place in the input, or -1 outside of it, and number of the tap) for each tap.
  template <typename Body>
  static void each_tap(const Layer& layer, std::int64_t oy, std::int64_t ox, Body&& body) {
    const graph::Window& w = layer.window;
    for (std::int64_t ky = 0; ky < w.kernel; ++ky) {
      for (std::int64_t kx = 0; kx < w.kernel; ++kx) {
        const std::int64_t iy = oy * w.stride - w.padding + ky;
        const std::int64_t ix = ox * w.stride - w.padding + kx;
        const bool inside = iy >= 0 && iy < layer.in.height && ix >= 0 && ix < layer.in.width;
        if (inside) body(iy * layer.in.width + ix, ky * w.kernel + kx);
      }
    }
  }

  static void convolve(const Layer& layer, const LayerValues& values, const std::vector<double>& x,
                       std::vector<double>& y) {
    const std::int64_t inputs = layer.in.channels / layer.groups;
    const std::int64_t outputs = layer.out.channels / layer.groups;
    const std::int64_t taps = layer.window.kernel * layer.window.kernel;
    std::size_t at = 0;
    for (std::int64_t o = 0; o < layer.out.channels; ++o) {
      for (std::int64_t oy = 0; oy < layer.out.height; ++oy) {
        for (std::int64_t ox = 0; ox < layer.out.width; ++ox) {
          double sum = layer.bias ? values.bias[index(o)] : 0.0;
          for (std::int64_t i = 0; i < inputs; ++i) {
            const std::int64_t channel = o / outputs * inputs + i;
            each_tap(layer, oy, ox, [&](std::int64_t from, std::int64_t tap) {
              const double value = x[index(channel * layer.in.height * layer.in.width + from)];
              sum += weight(layer, values, o, i * taps + tap) * through_bits(values, value);
            });
          }
          y[at++] = sum;
        }
      }
    }
  }

  static void pool(const Layer& layer, const std::vector<double>& x, std::vector<double>& y) {
    std::size_t at = 0;
    for (std::int64_t c = 0; c < layer.out.channels; ++c) {
      for (std::int64_t oy = 0; oy < layer.out.height; ++oy) {
        for (std::int64_t ox = 0; ox < layer.out.width; ++ox) {
          double most = -INFINITY;
          each_tap(layer, oy, ox, [&](std::int64_t from, std::int64_t) {
            most = std::max(most, x[index(c * layer.in.height * layer.in.width + from)]);
          });
          y[at++] = most;
        }
      }
    }
  }

  void interact(const Layer& layer, std::vector<double>& y) const {
    std::vector<std::vector<double>> vectors;
    for (const int input : layer.inputs) {
      const std::vector<double>& x = of(input);
      const std::size_t count = x.size() / index(layer.in.channels);
      for (std::size_t v = 0; v < count; ++v) {
        std::vector<double>& vector = vectors.emplace_back();
        for (std::int64_t k = 0; k < layer.in.channels; ++k) {
          vector.push_back(x[index(k) * count + v]);
        }
      }
    }
    std::size_t at = 0;
    for (std::size_t i = 0; i < vectors.size(); ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        y[at++] = std::inner_product(vectors[i].begin(), vectors[i].end(), vectors[j].begin(), 0.0);
      }
    }
    for (std::size_t v = 0; v < index(layer.copied); ++v) {
      for (const double value : vectors[v]) y[at++] = value;
    }
  }

  // All but the units of largest score become zero; among equal ones the lower index stays.
  void choose(const Layer& layer, const LayerValues& values, std::vector<double>& y) const {
    const sparsity::WinnersOptions options = graph::winners_at(network_, layer);
    const std::int64_t positions = layer.out.height * layer.out.width;
    const auto keep = [&](const std::vector<std::vector<std::size_t>>& units) {
      std::vector<std::pair<double, std::size_t>> ranked;
      for (std::size_t u = 0; u < units.size(); ++u)
        ranked.push_back({-score(options, units[u], y), u});
      std::sort(ranked.begin(), ranked.end());
      const auto count = std::max<std::size_t>(
          1, static_cast<std::size_t>(
                 std::ceil(options.rate * static_cast<double>(units.size()) - 1e-9)));
      for (std::size_t r = count; r < ranked.size(); ++r) {
        for (const std::size_t i : units[ranked[r].second]) y[i] = 0;
      }
    };
    const auto place = [&](std::int64_t c, std::int64_t p) { return index(c * positions + p); };
    const std::int64_t width = options.unit == sparsity::Unit::kBlock ? options.block : 1;
    std::vector<std::vector<std::size_t>> units;
    switch (options.unit) {
      case sparsity::Unit::kElement:
        for (std::size_t i = 0; i < y.size(); ++i) units.push_back({i});
        keep(units);
        break;
      case sparsity::Unit::kChannel:
        for (std::int64_t c = 0; c < layer.out.channels; ++c) {
          units.emplace_back();
          for (std::int64_t p = 0; p < positions; ++p) units.back().push_back(place(c, p));
        }
        keep(units);
        break;
      default:
        for (std::int64_t p = 0; p < positions; ++p) {
          units.clear();
          for (std::int64_t c = 0; c < layer.out.channels; ++c) {
            if (c % width == 0) units.emplace_back();
            units.back().push_back(place(c, p));
          }
          keep(units);
        }
    }
    for (std::size_t i = 0; i < y.size() && !values.kept_maps.empty(); ++i) {
      y[i] *= values.kept_maps[i / index(positions)];
    }
  }

  static double score(const sparsity::WinnersOptions& options, const std::vector<std::size_t>& unit,
                      const std::vector<double>& y) {
    double most = 0;
    double sum = 0;
    double squares = 0;
    for (const std::size_t i : unit) {
      most = std::max(most, std::abs(y[i]));
      sum += std::abs(y[i]);
      squares += y[i] * y[i];
    }
    if (unit.size() == 1 || options.score == sparsity::Score::kMaxMagnitude) return most;
    return options.score == sparsity::Score::kMeanSquare ? squares : sum;
  }

  const Network& network_;
  const float* embedded_;
  std::vector<double> input_;
  std::vector<std::vector<double>> results_;
};

}  // namespace taut::infer::test_support
