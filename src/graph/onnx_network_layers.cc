// Operators that have a layer of their own without weights, or none: activations, normalizations,
// sums, joins, reshapes.
#include <algorithm>
#include <cmath>

#include "graph/onnx_network_maker.h"
#include "taut/core/text.h"

namespace taut::graph {
namespace {

bool is_single(const Shape& shape) {
  return shape.height * shape.width == 1;
}

// The axis of a tensor that holds `channels`, where every other one but the first is 1; 0: none.
std::size_t channels_alone(const Dimensions& dims, std::int64_t channels) {
  for (std::size_t axis = 1; axis < dims.size(); ++axis) {
    if (dims[axis] != channels) continue;
    const auto others = [&] {
      for (std::size_t d = 1; d < dims.size(); ++d) {
        if (d != axis && dims[d] != 1) return false;
      }
      return true;
    };
    if (others()) return axis;
  }
  return 0;
}

}  // namespace

const std::map<std::string_view, OnnxNetworkMaker::Handler>& OnnxNetworkMaker::handlers() {
  using Maker = OnnxNetworkMaker;
  static const std::map<std::string_view, Handler> kHandlers = {
      {"Add", &Maker::sum},
      {"AveragePool", &Maker::average_pool},
      {"BatchNormalization", &Maker::batch_norm},
      {"Cast", &Maker::cast},
      {"Clip", &Maker::clip},
      {"Concat", &Maker::join},
      {"Conv", &Maker::convolution},
      {"DequantizeLinear", &Maker::dequantize},
      {"Div", &Maker::affine},
      {"ConvTranspose", &Maker::transposed_convolution},
      {"DepthToSpace", &Maker::depth_to_space},
      {"Dropout", &Maker::same},
      {"Erf", &Maker::function},
      {"Flatten", &Maker::reshape},
      {"Gather", &Maker::gather},
      {"Gelu", &Maker::function},
      {"Gemm", &Maker::gemm},
      {"GlobalAveragePool", &Maker::global_mean},
      {"HardSigmoid", &Maker::function},
      {"HardSwish", &Maker::function},
      {"Identity", &Maker::same},
      {"IsNaN", &Maker::is_nan},
      {"LayerNormalization", &Maker::layer_norm},
      {"LeakyRelu", &Maker::function},
      {"LogSoftmax", &Maker::probabilities},
      {"MatMul", &Maker::matmul},
      {"MaxPool", &Maker::max_pool},
      {"Mul", &Maker::affine},
      {"Pad", &Maker::pad},
      {"Pow", &Maker::power},
      {"QuantizeLinear", &Maker::quantize},
      {"ReduceMean", &Maker::reduce_mean},
      {"Relu", &Maker::relu},
      {"Reshape", &Maker::reshape},
      {"Resize", &Maker::resize},
      {"Sigmoid", &Maker::sigmoid},
      {"Slice", &Maker::slice},
      {"Softmax", &Maker::probabilities},
      {"Split", &Maker::split},
      {"Squeeze", &Maker::reshape},
      {"Sub", &Maker::affine},
      {"Sum", &Maker::sum},
      {"Swish", &Maker::function},
      {"Tanh", &Maker::function},
      {"Transpose", &Maker::transpose},
      {"Unsqueeze", &Maker::reshape},
      {"Upsample", &Maker::resize},
      {"Where", &Maker::winners}};
  return kHandlers;
}

void OnnxNetworkMaker::same(Node& node) {
  if (node.step.node->op == "Dropout") {
    const int training = input(node, 2);
    const std::optional<Number> on = one_number(training);
    if (training >= 0 && (!on || *on != 0)) refuse("it drops values, as in training");
  }
  pass(node);
}

void OnnxNetworkMaker::cast(Node& node) {
  const std::int32_t type = trace_.value(node.step.outputs[0]).type;
  if (is_whole_type(type) || type == kOnnxString) refuse("it casts to another type than a float");
  const OnnxOperand& from = raw(node, 0);
  if (!from.turned && !from.scores) static_cast<void>(plain(node, 0));
  pass(node);
}

void OnnxNetworkMaker::relu(Node& node) {
  const OnnxOperand from = plain(node, 0);
  const int layer = append(node, reading(Op::kRelu, {from.layer}));
  give(node, {.layer = layer, .channel_axis = from.channel_axis});
}

void OnnxNetworkMaker::clip(Node& node) {
  const OnnxOperand from = plain(node, 0);
  const auto bound = [&](std::size_t place, const char* name, Number fallback) -> Number {
    const OnnxAttribute* attribute = node.call.attribute(name);
    if (attribute != nullptr && !attribute->reals.empty()) return attribute->reals[0];
    if (input(node, place) < 0) return fallback;
    const std::optional<Number> known = one_number(input(node, place));
    if (!known) refuse("its bounds are not known");
    return *known;
  };
  constexpr Number kNone = 3.0e38;  // what exporters write for no bound is near the largest float
  const Number least = bound(1, "min", -INFINITY);
  const Number most = bound(2, "max", INFINITY);
  const int reader = only_reader(node.step.outputs[0]);
  if (most > 0 && least == -most && reader >= 0 &&
      trace_.step(reader).node->op == "QuantizeLinear") {
    OnnxOperand clipped = from;
    clipped.clipped = static_cast<float>(most);
    return give(node, std::move(clipped));
  }
  if (least != 0 || (most != 6 && most < kNone)) {
    const auto bound_of = [&](Number number) {
      return std::abs(number) < kNone ? static_cast<float>(number)
                                      : std::copysign(INFINITY, static_cast<float>(number));
    };
    return map(node,
               {.function = Function::kClip, .alpha = bound_of(least), .beta = bound_of(most)});
  }
  const int layer = append(node, reading(most == 6 ? Op::kRelu6 : Op::kRelu, {from.layer}));
  give(node, {.layer = layer, .channel_axis = from.channel_axis});
}

void OnnxNetworkMaker::batch_norm(Node& node) {
  const OnnxOperand from = plain(node, 0);
  if (from.channel_axis != 1) refuse("its axis 1 is not that of the channels");
  if (node.call.integer("training_mode", 0) != 0) refuse("it is in training mode");
  if (node.call.integer("spatial", 1) != 1) refuse("it normalizes each position by itself");
  const Layer layer = reading(Op::kBatchNorm, {from.layer});
  LayerValues values;
  for (const auto& [place, part] : {std::pair{1, &values.weight}, std::pair{2, &values.bias},
                                    std::pair{3, &values.mean}, std::pair{4, &values.variance}}) {
    const int value = input(node, static_cast<std::size_t>(place));
    if (!is_constant(value)) refuse(concat("its input ", place, " is no constant"));
    *part = constant(value);
    if (static_cast<std::int64_t>(part->size()) != layer.in.channels) {
      node.call.fail(ErrorKind::kFormat, concat("its input ", place, " is of ", part->size(),
                                                " values, its channels are ", layer.in.channels));
    }
  }
  const OnnxAttribute* given = node.call.attribute("epsilon");
  const double epsilon = given != nullptr && !given->reals.empty() ? given->reals[0] : 1e-5;
  if (static_cast<float>(epsilon) != static_cast<float>(kNormEpsilon)) {
    // A network adds its own to the variance.
    const std::span<float> moved = values_.make(layer.in.channels, node.step.label);
    std::transform(values.variance.begin(), values.variance.end(), moved.begin(), [&](float v) {
      return static_cast<float>(static_cast<double>(v) + epsilon - kNormEpsilon);
    });
    values.variance = moved;
  }
  const int number = append(node, layer, values);
  give(node, {.layer = number, .channel_axis = 1});
}

void OnnxNetworkMaker::sum(Node& node) {
  if (adds_mask(node)) return;
  std::vector<int> layers;
  std::size_t axis = 0;
  for (std::size_t place = 0; place < node.step.inputs.size(); ++place) {
    if (is_constant(input(node, place))) continue;
    const OnnxOperand& from = plain(node, place);
    const bool alike =
        layers.empty() || (from.channel_axis == axis &&
                           network_.shape_of(from.layer) == network_.shape_of(layers.front()));
    if (!alike && node.step.inputs.size() == 2) return combine(node);
    if (!alike) refuse("it adds several values of two shapes");
    axis = from.channel_axis;
    layers.push_back(from.layer);
  }
  if (layers.size() == 1) return affine(node);
  if (layers.size() != node.step.inputs.size()) refuse("it adds several values and constants");
  const int layer = append(node, reading(Op::kAdd, std::move(layers)));
  give(node, {.layer = layer, .channel_axis = axis});
}

// One value and constants for each channel: y = x * scale + shift. What else two values give is
// arithmetic of two layers.
void OnnxNetworkMaker::affine(Node& node) {
  const auto norm = norms_.find(node.number);
  if (norm != norms_.end()) return written_norm(node, norm->second);
  if (scales(node)) return;
  const std::string_view op = node.step.node->op;
  const std::optional<std::size_t> place = moving_place(node);
  if (!place) return joins_gate(node) ? void() : combine(node);
  const std::size_t moving = *place;
  if (op == "Sum" && node.step.inputs.size() == 1) return give(node, plain(node, 0));
  if (node.step.inputs.size() != 2) refuse("it does not read two values");
  const OnnxOperand from = plain(node, moving);
  const std::int64_t channels = network_.shape_of(from.layer).channels;
  const auto numbers = by_channel(node.step.inputs[1 - moving], node.step.inputs[moving], channels);
  if (!numbers || (op == "Div" && moving == 1)) return combine(node);
  const auto each = [&](auto&& value_of) -> std::span<const float> {
    const std::span<float> made = values_.make(channels, node.step.label);
    for (std::size_t c = 0; c < made.size(); ++c) made[c] = value_of((*numbers)[c]);
    return made;
  };
  const auto all = [&](float value) { return each([&](float) { return value; }); };
  if (op == "Mul") {
    if (keeps_maps(node, moving, *numbers)) return;
    return scaled(node, moving, *numbers, all(0));
  }
  if (op == "Div") return scaled(node, moving, each([](float x) { return 1 / x; }), all(0));
  if (op == "Sub" && moving == 0) return scaled(node, 0, all(1), each([](float x) { return -x; }));
  scaled(node, moving, all(op == "Sub" ? -1.0f : 1.0f), *numbers);
}

void OnnxNetworkMaker::scaled(const Node& node, std::size_t moving, std::span<const float> scale,
                              std::span<const float> shift) {
  if (scales_norm(node, moving, scale, shift)) return;
  const OnnxOperand from = plain(node, moving);
  const std::int64_t channels = network_.shape_of(from.layer).channels;
  const std::span<float> variance = values_.make(channels, node.step.label);
  std::fill(variance.begin(), variance.end(), static_cast<float>(1 - kNormEpsilon));
  LayerValues values;
  values.weight = scale;
  values.bias = shift;
  values.mean = values_.make(channels, node.step.label);
  values.variance = variance;
  const int layer = append(node, reading(Op::kBatchNorm, {from.layer}), values);
  give(node, {.layer = layer, .channel_axis = from.channel_axis});
}

// Channels times 1 or 0 behind an activation or its pool: maps that are pruned for all inputs.
bool OnnxNetworkMaker::keeps_maps(const Node& node, std::size_t moving,
                                  std::span<const float> factor) {
  const int value = node.step.inputs[moving];
  const OnnxOperand from = plain(node, moving);
  if (from.layer == kNetworkInput) return false;
  const auto number = static_cast<std::size_t>(from.layer);
  const Op op = network_.layers[number].op;
  const bool mask =
      std::all_of(factor.begin(), factor.end(), [](float x) { return x == 0 || x == 1; });
  const bool site =
      op == Op::kRelu || op == Op::kRelu6 || op == Op::kMaxPool || sites_.contains(from.layer);
  if (!mask || !site || latest_[number] != value || readers(value) != 1 ||
      !network_.values[number].kept_maps.empty()) {
    return false;
  }
  network_.values[number].kept_maps = factor;
  latest_[number] = node.step.outputs[0];
  give(node, from);
  return true;
}

// Channels, or tokens, which may be constants.
void OnnxNetworkMaker::join(Node& node) {
  std::size_t moving = 0;
  while (moving + 1 < node.step.inputs.size() && is_constant(input(node, moving))) ++moving;
  const std::size_t channel_axis = plain(node, moving).channel_axis;
  const std::size_t rank = trace_.value(input(node, moving)).shape.size();
  const std::size_t axis = node.call.axis(node.call.integer("axis", 1), rank);
  const bool tokens =
      axis == row_axis(channel_axis) && network_.shape_of(plain(node, moving).layer).width == 1;
  std::vector<int> layers;
  for (std::size_t place = 0; place < node.step.inputs.size(); ++place) {
    const bool constant = is_constant(input(node, place));
    if (constant && !tokens) refuse("it joins constants");
    if (!tokens && axis != plain(node, place).channel_axis) {
      refuse("it joins along another axis than the channels'");
    }
    layers.push_back(operand_layer(node, place, rank, channel_axis));
  }
  const int layer = append(node, reading(tokens ? Op::kStack : Op::kConcat, std::move(layers)));
  give(node, {.layer = layer, .channel_axis = channel_axis});
}

// The same values in another shape: the same features, maps as features, or axes that attention
// may take.
void OnnxNetworkMaker::reshape(Node& node) {
  const OnnxOperand from = raw(node, 0);
  const Dimensions& before = trace_.value(input(node, 0)).shape;
  const OnnxValue& made = trace_.value(node.step.outputs[0]);
  const auto split_up = [&](const std::string& why) {
    turn(node, reshaped(view_at(node, 0), made.shape), why);
  };
  const std::string moves =
      concat("it makes ", dimensions_text(made.shape), " of ", dimensions_text(before));
  if (from.scores) return turn_scores(node, reshaped(from.scores->view, made.shape));
  if (from.turned) return split_up(moves);
  static_cast<void>(plain(node, 0));
  const Shape shape = network_.shape_of(from.layer);
  const auto flattened = [&] {
    const int layer = append(node, reading(Op::kFlatten, {from.layer}));
    give(node, {.layer = layer, .channel_axis = 1});
  };
  if (made.shape.size() < 2 || made.shape[0] != batch_) return split_up("it mixes examples");
  if (is_single(shape)) {
    const std::size_t axis = channels_alone(made.shape, shape.channels);
    if (axis == 0) return split_up("it splits channels");
    // As the last one it says that the model gives features, which only a mean does by itself.
    if (node.step.node->op == "Flatten" && is_output(made.id) && !from.averaged) {
      return flattened();
    }
    return give(node, {.layer = from.layer, .channel_axis = axis});
  }
  if (made.shape == before) return give(node, from);
  if (made.shape.size() == 2 && from.channel_axis == 1) return flattened();
  split_up(moves);
}

void OnnxNetworkMaker::transpose(Node& node) {
  const OnnxOperand from = raw(node, 0);
  const Dimensions& shape = trace_.value(input(node, 0)).shape;
  std::vector<std::int64_t> order;
  for (std::size_t d = shape.size(); d-- > 0;) order.push_back(static_cast<std::int64_t>(d));
  if (const auto given = node.call.integers("perm")) order = *given;
  const auto turned_by = [&](const std::string& why) {
    turn(node, graph::transposed(view_at(node, 0), order), why);
  };
  if (from.scores) return turn_scores(node, graph::transposed(from.scores->view, order));
  if (from.turned) return turned_by("it turns values that nothing takes so");
  static_cast<void>(plain(node, 0));
  if (order[0] != 0) return turned_by("it moves the examples");
  const auto at =
      std::find(order.begin(), order.end(), static_cast<std::int64_t>(from.channel_axis));
  const auto axis = static_cast<std::size_t>(at - order.begin());
  std::vector<std::int64_t> positions;
  for (const std::int64_t d : order) {
    if (d != 0 && d != static_cast<std::int64_t>(from.channel_axis)) positions.push_back(d);
  }
  if (!is_single(network_.shape_of(from.layer)) &&
      !std::is_sorted(positions.begin(), positions.end())) {
    return turned_by("it turns images");
  }
  give(node, {.layer = from.layer, .channel_axis = axis});
}

// What makes probabilities of the network's outputs is left out: they are logits. Elsewhere a
// Softmax is a layer.
void OnnxNetworkMaker::probabilities(Node& node) {
  const std::string_view op = node.step.node->op;
  if (op == "Softmax" && raw(node, 0).scores) return soften(node);
  const OnnxOperand from = plain(node, 0);
  const Shape& shape = network_.shape_of(from.layer);
  const Dimensions& dims = trace_.value(input(node, 0)).shape;
  const bool is_ending = is_last(node.step.outputs[0]) && is_single(shape);
  if (op == "LogSoftmax" && !is_ending) {
    refuse(is_single(shape) ? "it is not the last operator" : "it is taken of maps");
  }
  if (op != "Sigmoid") {
    const bool old = node.step.operator_set < 13;  // then over all axes from this one on
    const std::size_t axis = node.call.axis(node.call.integer("axis", old ? 1 : -1), dims.size());
    if (is_ending && shape.channels < 2) refuse("of one output it is always 1");
    const bool features = old && is_single(shape) && axis == 1;
    const bool channels = axis == from.channel_axis && (!old || axis + 1 == dims.size());
    if (!features && !channels) refuse("it is not over the channels");
  }
  if (op == "Softmax" && !is_ending) {
    const int layer = append(node, reading(Op::kSoftmax, {from.layer}));
    return give(node, {.layer = layer, .channel_axis = from.channel_axis});
  }
  ending_ = op == "Softmax"      ? OnnxEnding::kSoftmax
            : op == "LogSoftmax" ? OnnxEnding::kLogSoftmax
                                 : OnnxEnding::kSigmoid;
  give(node, from);
}

}  // namespace taut::graph
