// Operators that compute value by value: functions of one value, arithmetic of two; and the norm of
// channels.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "graph/onnx_network_maker.h"
#include "taut/core/text.h"

namespace taut::graph {
namespace {

Arithmetic arithmetic_of(std::string_view op) {
  if (op == "Sub") return Arithmetic::kSubtract;
  if (op == "Mul") return Arithmetic::kMultiply;
  return op == "Div" ? Arithmetic::kDivide : Arithmetic::kAdd;
}

}  // namespace

void OnnxNetworkMaker::map(const Node& node, const Pointwise& of) {
  const OnnxOperand from = plain(node, 0);
  Layer layer = reading(Op::kPointwise, {from.layer});
  layer.pointwise = of;
  const int number = append(node, std::move(layer));
  give(node, {.layer = number, .channel_axis = from.channel_axis});
}

void OnnxNetworkMaker::function(Node& node) {
  const std::string_view op = node.step.node->op;
  const auto real = [&](const char* name, float fallback) {
    const OnnxAttribute* given = node.call.attribute(name);
    return given == nullptr || given->reals.empty() ? fallback
                                                    : static_cast<float>(given->reals[0]);
  };
  if (op == "Tanh") return map(node, {.function = Function::kTanh});
  if (op == "Erf") return map(node, {.function = Function::kErf});
  if (op == "LeakyRelu") {
    return map(node, {.function = Function::kLeakyRelu, .alpha = real("alpha", 0.01f)});
  }
  if (op == "HardSigmoid") {
    return map(node, {.function = Function::kHardSigmoid,
                      .alpha = real("alpha", 0.2f),
                      .beta = real("beta", 0.5f)});
  }
  if (op == "HardSwish") {
    return map(node, {.function = Function::kHardSwish, .alpha = 1.0f / 6, .beta = 0.5f});
  }
  if (op == "Swish") return map(node, {.function = Function::kSilu, .alpha = real("alpha", 1)});
  const bool by_tanh = node.call.text("approximate", "none") == "tanh";
  map(node, {.function = by_tanh ? Function::kGeluTanh : Function::kGelu});
}

void OnnxNetworkMaker::layer_norm(Node& node) {
  const OnnxOperand from = plain(node, 0);
  const std::size_t rank = trace_.value(input(node, 0)).shape.size();
  const std::size_t axis = node.call.axis(node.call.integer("axis", -1), rank);
  if (axis + 1 != rank || from.channel_axis != axis) refuse("it is not over the channels alone");
  Layer layer = reading(Op::kLayerNorm, {from.layer});
  const OnnxAttribute* given = node.call.attribute("epsilon");
  const double epsilon = given != nullptr && !given->reals.empty() ? given->reals[0] : 1e-5;
  layer.epsilon = static_cast<float>(epsilon);
  LayerValues values;
  for (const auto& [place, part] :
       {std::pair{std::size_t{1}, &values.weight}, std::pair{std::size_t{2}, &values.bias}}) {
    const int value = input(node, place);
    if (place == 2 && value < 0) {
      *part = values_.make(layer.in.channels, node.step.label);
      continue;
    }
    if (!is_constant(value)) refuse(concat("its input ", place, " is no constant"));
    *part = constant(value);
    if (static_cast<std::int64_t>(part->size()) != layer.in.channels) {
      refuse(concat("its input ", place, " is not of a number for each channel"));
    }
  }
  const int number = append(node, std::move(layer), values);
  give(node, {.layer = number, .channel_axis = axis});
}

// The network's one output as a probability, or a function as all others.
void OnnxNetworkMaker::sigmoid(Node& node) {
  const OnnxOperand from = plain(node, 0);
  const bool is_ending = is_last(node.step.outputs[0]) && from.layer != kNetworkInput &&
                         network_.shape_of(from.layer).size() == 1;
  if (is_ending) return probabilities(node);
  map(node, {.function = Function::kSigmoid});
}

// Two values, or one and a constant, spread to one shape.
void OnnxNetworkMaker::combine(const Node& node) {
  const std::size_t moving = is_constant(input(node, 0)) ? 1 : 0;
  const std::size_t axis = plain(node, moving).channel_axis;
  const std::size_t rank = trace_.value(input(node, moving)).shape.size();
  const int first = operand_layer(node, 0, rank, axis);
  const int second = operand_layer(node, 1, rank, axis);
  Layer layer = reading(Op::kArithmetic, {first, second});
  layer.arithmetic = arithmetic_of(node.step.node->op);
  const int number = append(node, std::move(layer));
  give(node, {.layer = number, .channel_axis = axis});
}

int OnnxNetworkMaker::operand_layer(const Node& node, std::size_t place, std::size_t rank,
                                    std::size_t axis) {
  const int value = input(node, place);
  if (is_constant(value)) return constant_layer(node, value, rank, axis);
  const OnnxOperand& from = plain(node, place);
  if (from.channel_axis != axis || trace_.value(value).shape.size() != rank) {
    refuse("the channels of its two values lie along different axes");
  }
  return from.layer;
}

// A layer that gives a constant, for values of this rank whose channels lie along this axis.
int OnnxNetworkMaker::constant_layer(const Node& node, int value, std::size_t rank,
                                     std::size_t axis) {
  const Dimensions& given = trace_.value(value).shape;
  if (given.size() > rank) refuse("its constant has more axes than its value");
  Dimensions dims(rank - given.size(), 1);
  dims.insert(dims.end(), given.begin(), given.end());
  std::span<const float> from = constant(value);
  if (dims[0] == batch_ && batch_ > 1) {
    const std::size_t one = from.size() / static_cast<std::size_t>(batch_);
    const auto differs = [&](std::size_t i) { return from[i] != from[i % one]; };
    for (std::size_t i = one; i < from.size(); ++i) {
      if (differs(i)) refuse("its constant differs by the example");
    }
    from = from.first(one);
    dims[0] = 1;
  }
  if (dims[0] != 1) refuse("its constant differs by the example");
  const std::optional<Shape> shape = shape_of(dims, axis);
  if (!shape) refuse("its constant is of no layer's shape");
  const std::span<float> to = values_.make(static_cast<std::int64_t>(from.size()), node.step.label);
  // [before, channels, behind] to [before, behind, channels]; what lies before are positions too.
  const auto product = [&](std::size_t begin, std::size_t end) {
    return std::accumulate(
        dims.begin() + static_cast<std::ptrdiff_t>(begin),
        dims.begin() + static_cast<std::ptrdiff_t>(end), std::size_t{1},
        [](std::size_t all, std::int64_t one) { return all * static_cast<std::size_t>(one); });
  };
  const std::size_t channels = product(axis, axis + 1);
  const std::size_t behind = product(axis + 1, rank);
  const std::size_t moved = values_.reads(std::ssize(from)) ? from.size() : 0;
  for (std::size_t i = 0; i < moved; ++i) {
    const std::size_t before = i / (channels * behind);
    const std::size_t channel = i / behind % channels;
    to[(before * behind + i % behind) * channels + channel] = from[i];
  }
  Layer layer;
  layer.op = Op::kConstant;
  layer.in = layer.out = *shape;
  LayerValues values;
  values.weight = to;
  return append(node, std::move(layer), values);
}

// x times a sigmoid of x that nobody else reads is one function: SiLU, or its hard form.
bool OnnxNetworkMaker::joins_gate(const Node& node) {
  if (node.step.node->op != "Mul" || node.step.inputs.size() != 2) return false;
  for (const std::size_t place : {0u, 1u}) {
    const OnnxOperand gate = plain(node, place);
    const OnnxOperand x = plain(node, 1 - place);
    if (gate.layer == kNetworkInput) continue;
    const auto number = static_cast<std::size_t>(gate.layer);
    Layer& layer = network_.layers[number];
    const bool alone = readers(input(node, place)) == 1 && latest_[number] == input(node, place);
    if (layer.op != Op::kPointwise || layer.inputs[0] != x.layer || !alone ||
        gate.channel_axis != x.channel_axis) {
      continue;
    }
    if (layer.pointwise.function == Function::kSigmoid) {
      layer.pointwise = {.function = Function::kSilu, .alpha = 1};
    } else if (layer.pointwise.function == Function::kHardSigmoid) {
      layer.pointwise.function = Function::kHardSwish;
    } else {
      continue;
    }
    latest_[number] = node.step.outputs[0];
    give(node, gate);
    return true;
  }
  return false;
}

}  // namespace taut::graph
