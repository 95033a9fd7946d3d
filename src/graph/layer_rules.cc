#include "graph/layer_rules.h"

#include <algorithm>

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::graph {
namespace {

constexpr std::int64_t kLargestSize = std::int64_t{1} << 40;
constexpr std::int64_t kLargestProduct = std::int64_t{1} << 50;
constexpr std::int64_t kLargestFactor = 1 << 10;
constexpr std::int64_t kMostVectors = 1 << 20;

// What an interaction gives; nothing when it has fewer vectors than it copies.
std::optional<Shape> interaction_shape(const Network& network, const Layer& layer) {
  std::int64_t vectors = 0;
  for (const int input : layer.inputs)
    vectors += network.shape_of(input).size() / layer.in.channels;
  if (vectors > kMostVectors || layer.copied < 0 || layer.copied > vectors) return std::nullopt;
  return Shape{.channels = vectors * (vectors - 1) / 2 + layer.copied * layer.in.channels};
}

// What two layers give together, each of whose sizes is as large as the other's or 1; nothing where
// one is neither.
std::optional<Shape> joint_shape(const Shape& a, const Shape& b) {
  const auto fits = [](std::int64_t x, std::int64_t y) { return x == y || x == 1 || y == 1; };
  if (!fits(a.channels, b.channels) || !fits(a.height, b.height) || !fits(a.width, b.width)) {
    return std::nullopt;
  }
  return Shape{std::max(a.channels, b.channels), std::max(a.height, b.height),
               std::max(a.width, b.width)};
}

// Of a layer that makes more positions; nothing where they are too many, or channels do not divide.
std::optional<Shape> enlarged_shape(const Layer& layer) {
  const std::int64_t f = layer.factor;
  if (f < 1 || f > kLargestFactor) return std::nullopt;
  const bool moves = layer.op == Op::kDepthToSpace;
  if (moves && layer.in.channels % (f * f) != 0) return std::nullopt;
  return Shape{layer.in.channels / (moves ? f * f : 1), layer.in.height * f, layer.in.width * f};
}

}  // namespace

std::int64_t checked_size(const std::string& layer, std::string_view what, std::int64_t value,
                          std::int64_t least) {
  if (value < least || value > kLargestSize) {
    throw_invalid_argument(concat("layer ", layer, ": ", what),
                           concat("in ", least, "..", kLargestSize), concat(value));
  }
  return value;
}

std::int64_t checked_product(const std::string& layer,
                             std::initializer_list<std::int64_t> factors) {
  std::int64_t result = 1;
  for (const std::int64_t factor : factors) {
    if (__builtin_mul_overflow(result, factor, &result) || result > kLargestProduct) {
      throw_invalid_argument("layer " + layer + ": size", "below 2^50 words or operations",
                             "a larger one");
    }
  }
  return result;
}

std::int64_t checked_window(const std::string& layer, std::int64_t side, const Window& window) {
  checked_size(layer, "kernel", window.kernel, 1);
  checked_size(layer, "stride", window.stride, 1);
  checked_size(layer, "pad", window.padding, 0);
  checked_size(layer, "after", window.after, 0);
  checked_size(layer, "across", window.across, 0);
  const std::int64_t padded = side + 2 * window.padding + window.after;
  if (padded < window.kernel) {
    throw_invalid_argument(concat("layer ", layer, ": kernel"),
                           concat("at most the padded input of ", padded), concat(window.kernel));
  }
  return windowed_side(side, window);
}

std::string shape_text(const Shape& shape) {
  return concat("[", shape.channels, ", ", shape.height, ", ", shape.width, "]");
}

std::optional<Shape> output_shape(const Network& network, const Layer& layer) {
  switch (layer.op) {
    case Op::kConv:
      return windowed_shape(layer.in, layer.window, layer.out.channels);
    case Op::kMaxPool:
    case Op::kMeanPool:
      return windowed_shape(layer.in, layer.window, layer.in.channels);
    case Op::kUpsample:
    case Op::kDepthToSpace:
      return enlarged_shape(layer);
    case Op::kLinear:
      return Shape{layer.out.channels, layer.in.height, layer.in.width};
    case Op::kGlobalMean:
      return Shape{.channels = layer.in.channels};
    case Op::kFlatten:
      return Shape{.channels = layer.in.size()};
    case Op::kAttention: {
      const AttentionShapes read = attention_shapes(network, layer);
      return Shape{read.value.channels, read.query.height, read.query.width};
    }
    case Op::kStack: {
      Shape out = layer.in;
      out.height = 0;
      for (const int input : layer.inputs) out.height += network.shape_of(input).height;
      return out;
    }
    case Op::kRows:
      return Shape{layer.in.channels, layer.out.height, layer.in.width};
    case Op::kReshape:
      if (layer.in.height * layer.in.width != layer.out.height * layer.out.width) {
        return std::nullopt;
      }
      return Shape{layer.in.channels, layer.out.height, layer.out.width};
    case Op::kFirstValues:
      return Shape{.channels = 1};
    case Op::kInteraction:
      return interaction_shape(network, layer);
    case Op::kArithmetic:
      return joint_shape(layer.in, network.shape_of(layer.inputs.back()));
    case Op::kConcat: {
      Shape out = layer.in;
      out.channels = 0;
      for (const int input : layer.inputs) out.channels += network.shape_of(input).channels;
      return out;
    }
    case Op::kBatchNorm:
    case Op::kLayerNorm:
    case Op::kSoftmax:
    case Op::kRelu:
    case Op::kRelu6:
    case Op::kPointwise:
    case Op::kAdd:
    case Op::kConstant:
    case Op::kEmbedding:
      return layer.in;
  }
  return std::nullopt;
}

}  // namespace taut::graph
