#pragma once
// Small networks with values of their own. What they give: plain_pass.h.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <deque>
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
  int pool(graph::Window window, int from = kLast, Op op = Op::kMaxPool) {
    Layer layer = reading(op, {from});
    layer.window = window;
    layer.out = windowed(layer, layer.in.channels);
    return add(layer);
  }
  /// kUpsample or kDepthToSpace.
  int enlarge(Op op, std::int64_t factor) {
    Layer layer = reading(op, {kLast});
    layer.factor = factor;
    const std::int64_t parts = op == Op::kUpsample ? 1 : factor * factor;
    layer.out = {layer.in.channels / parts, layer.in.height * factor, layer.in.width * factor};
    return add(layer);
  }
  int layer_norm(float epsilon, int from = kLast) {
    Layer layer = reading(Op::kLayerNorm, {from});
    layer.epsilon = epsilon;
    return add(layer);
  }
  int function(const graph::Pointwise& of, int from = kLast) {
    Layer layer = reading(Op::kPointwise, {from});
    layer.pointwise = of;
    return add(layer);
  }
  /// Of two layers whose sizes are alike or 1.
  int combine(graph::Arithmetic how, int first, int second) {
    Layer layer = reading(Op::kArithmetic, {first, second});
    layer.arithmetic = how;
    const Shape& other = network.shape_of(layer.inputs[1]);
    layer.out = {std::max(layer.in.channels, other.channels),
                 std::max(layer.in.height, other.height), std::max(layer.in.width, other.width)};
    return add(layer);
  }
  /// Of one layer or three. mask: [masks, queries, keys].
  int attention(std::int64_t heads, const std::vector<int>& from = {kLast},
                const std::vector<float>& mask = {}, bool replaces = false) {
    Layer layer = reading(Op::kAttention, from);
    layer.heads = heads;
    const graph::AttentionShapes read = graph::attention_shapes(network, layer);
    layer.out = {read.value.channels, read.query.height, read.query.width};
    const std::int64_t scores =
        read.query.height * read.query.width * read.key.height * read.key.width;
    layer.masks = static_cast<std::int64_t>(mask.size()) / scores;
    layer.mask_replaces = replaces;
    const int number = add(layer);
    network.values.back().weight = store(mask);
    return number;
  }
  int stack(const std::vector<int>& from) {
    Layer layer = reading(Op::kStack, from);
    layer.out.height = 0;
    for (const int input : layer.inputs) layer.out.height += network.shape_of(input).height;
    return add(layer);
  }
  int rows(std::int64_t first, std::int64_t count, int from = kLast) {
    Layer layer = reading(Op::kRows, {from});
    layer.first = first;
    layer.out.height = count;
    return add(layer);
  }
  int constant(const Shape& shape) {
    Layer layer;
    layer.op = Op::kConstant;
    layer.in = layer.out = shape;
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
    return graph::windowed_shape(layer.in, layer.window, channels);
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
    if (layer.op == Op::kLayerNorm) {
      values.weight = store(numbers(outputs));
      values.bias = store(numbers(outputs));
    }
    if (layer.op == Op::kConstant) {
      values.weight = store(numbers(static_cast<std::size_t>(layer.out.size())));
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

}  // namespace taut::infer::test_support
