// Norms of channels that are written out as means, squares and roots; powers.
#include <algorithm>
#include <cmath>

#include "graph/onnx_network_maker.h"

namespace taut::graph {

// A mean over the last axis, which stays.
bool OnnxNetworkMaker::is_mean_of_channels(const OnnxStep* step) const {
  if (!is_op(step, "ReduceMean")) return false;
  const auto rank = static_cast<std::int64_t>(trace_.value(step->inputs[0]).shape.size());
  const auto keeps = step->attributes.find("keepdims");
  if (keeps != step->attributes.end() && keeps->second->numbers != std::vector<std::int64_t>{1}) {
    return false;
  }
  std::optional<Number> axis;
  const auto axes = step->attributes.find("axes");
  if (axes != step->attributes.end() && axes->second->numbers.size() == 1) {
    axis = axes->second->numbers[0];
  } else if (step->inputs.size() > 1) {
    axis = one_number(step->inputs[1]);
  }
  return axis == Number{-1} || axis == static_cast<Number>(rank - 1);
}

// (x - mean) / sqrt(mean of (x - mean)^2 + epsilon), none of whose parts is read by others.
std::optional<OnnxNorm> OnnxNetworkMaker::match_norm(const OnnxStep& divides,
                                                     std::vector<int>& within) const {
  if (!is_op(&divides, "Div") || divides.inputs.size() != 2) return std::nullopt;
  const auto made_by = [&](int value) {
    const OnnxStep* step = trace_.made_by(value);
    if (step != nullptr) within.push_back(trace_.maker(value));
    return step;
  };
  const auto of_two = [](const OnnxStep* step, std::string_view op) {
    return is_op(step, op) && step->inputs.size() == 2;
  };
  const OnnxStep* root = made_by(divides.inputs[1]);
  if (!is_op(root, "Sqrt") || readers(divides.inputs[1]) != 1) return std::nullopt;
  const OnnxStep* sum = made_by(root->inputs[0]);
  if (!of_two(sum, "Add") || readers(root->inputs[0]) != 1) {
    return std::nullopt;
  }
  const std::size_t place = is_constant(sum->inputs[0]) ? 1 : 0;
  const std::optional<Number> epsilon = one_number(sum->inputs[1 - place]);
  const OnnxStep* variance = made_by(sum->inputs[place]);
  if (!epsilon || !is_mean_of_channels(variance) || readers(sum->inputs[place]) != 1) {
    return std::nullopt;
  }
  const OnnxStep* square = made_by(variance->inputs[0]);
  const bool times = of_two(square, "Mul") && square->inputs[0] == square->inputs[1];
  const bool squares =
      times || (of_two(square, "Pow") && one_number(square->inputs[1]) == Number{2});
  if (!squares || readers(variance->inputs[0]) != 1) return std::nullopt;
  // Some exporters take the mean off twice.
  const int first = divides.inputs[0];
  const int second = square->inputs[0];
  const OnnxStep* centred = made_by(first);
  const OnnxStep* again = first == second ? centred : made_by(second);
  if (!of_two(centred, "Sub") || !of_two(again, "Sub") || centred->inputs != again->inputs) {
    return std::nullopt;
  }
  const int squared = times ? 2 : 1;
  const bool alone = first == second ? readers(first) == squared + 1
                                     : readers(first) == 1 && readers(second) == squared;
  const int mean = centred->inputs[1];
  const OnnxStep* mean_step = made_by(mean);
  if (!alone || !is_mean_of_channels(mean_step) || mean_step->inputs[0] != centred->inputs[0] ||
      readers(mean) != (first == second ? 1 : 2)) {
    return std::nullopt;
  }
  return OnnxNorm{.input = centred->inputs[0], .epsilon = static_cast<float>(*epsilon)};
}

void OnnxNetworkMaker::find_norms(const std::vector<bool>& needed) {
  for (std::size_t s = 0; s < trace_.steps.size(); ++s) {
    if (!needed[s]) continue;
    std::vector<int> within;
    const std::optional<OnnxNorm> norm = match_norm(trace_.steps[s], within);
    if (!norm || is_constant(norm->input)) continue;
    norms_[static_cast<int>(s)] = *norm;
    absorbed_.insert(within.begin(), within.end());
  }
}

void OnnxNetworkMaker::written_norm(const Node& node, const OnnxNorm& norm) {
  const OnnxOperand& from = *operands_[static_cast<std::size_t>(norm.input)];
  if (from.turned || from.scores) refuse_turned(from);
  const bool whole = from.padding.empty() && !from.clipped && !from.codes && !from.rounding;
  if (!whole || from.channel_axis + 1 != trace_.value(norm.input).shape.size()) {
    refuse("it is not a norm over the channels alone");
  }
  Layer layer = reading(Op::kLayerNorm, {from.layer});
  layer.epsilon = norm.epsilon;
  const std::span<float> scale = values_.make(layer.in.channels, node.step.label);
  std::fill(scale.begin(), scale.end(), 1.0f);
  LayerValues values;
  values.weight = scale;
  values.bias = values_.make(layer.in.channels, node.step.label);
  const std::size_t axis = from.channel_axis;
  give(node, {.layer = append(node, std::move(layer), values), .channel_axis = axis});
}

// A number for each channel behind a norm that nobody else reads becomes part of it.
bool OnnxNetworkMaker::scales_norm(const Node& node, std::size_t moving,
                                   std::span<const float> scale, std::span<const float> shift) {
  const int value = input(node, moving);
  const OnnxOperand from = plain(node, moving);
  if (from.layer == kNetworkInput) return false;
  const auto number = static_cast<std::size_t>(from.layer);
  if (network_.layers[number].op != Op::kLayerNorm || latest_[number] != value ||
      readers(value) != 1) {
    return false;
  }
  LayerValues& values = network_.values[number];
  const auto channels = static_cast<std::int64_t>(scale.size());
  const std::span<float> weight = values_.make(channels, node.step.label);
  const std::span<float> bias = values_.make(channels, node.step.label);
  for (std::size_t c = 0; c < weight.size(); ++c) {
    weight[c] = values.weight[c] * scale[c];
    bias[c] = values.bias[c] * scale[c] + shift[c];
  }
  values.weight = weight;
  values.bias = bias;
  latest_[number] = node.step.outputs[0];
  give(node, from);
  return true;
}

// Squares and cubes are products.
void OnnxNetworkMaker::power(Node& node) {
  const std::optional<Number> exponent = one_number(input(node, 1));
  if (!exponent || (*exponent != 2 && *exponent != 3)) refuse("its exponent is not 2 or 3");
  const OnnxOperand from = plain(node, 0);
  int number = from.layer;
  for (int power = 1; power < static_cast<int>(*exponent); ++power) {
    Layer layer = reading(Op::kArithmetic, {number, from.layer});
    layer.arithmetic = Arithmetic::kMultiply;
    number = append(node, std::move(layer));
  }
  give(node, {.layer = number, .channel_axis = from.channel_axis});
}

}  // namespace taut::graph
