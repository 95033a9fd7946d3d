// What a step of an ONNX model reads: values of the network, and constants as numbers.
#include <algorithm>
#include <array>
#include <numeric>

#include "graph/onnx_network_maker.h"
#include "graph/onnx_rules.h"
#include "taut/core/text.h"

namespace taut::graph {

int OnnxNetworkMaker::input(const Node& node, std::size_t place) const {
  return place < node.step.inputs.size() ? node.step.inputs[place] : -1;
}

bool OnnxNetworkMaker::is_constant(int value) const {
  return value >= 0 && trace_.value(value).constant;
}

bool OnnxNetworkMaker::is_output(int value) const {
  return std::find(trace_.outputs.begin(), trace_.outputs.end(), value) != trace_.outputs.end();
}

bool OnnxNetworkMaker::is_last(int value) const {
  while (!is_output(value)) {
    const int reader = only_reader(value);
    if (reader < 0 || trace_.step(reader).node->op != "Identity" ||
        !trace_.step(reader).node->domain.empty()) {
      return false;
    }
    value = trace_.step(reader).outputs[0];
  }
  return readers(value) == 1;
}

int OnnxNetworkMaker::only_reader(int value) const {
  return readers(value) == 1 ? last_reader_[static_cast<std::size_t>(value)] : -1;
}

const OnnxOperand& OnnxNetworkMaker::operand(const Node& node, std::size_t place) const {
  const OnnxOperand& found = raw(node, place);
  if (found.turned || found.scores) refuse_turned(found);
  return found;
}

const OnnxOperand& OnnxNetworkMaker::raw(const Node& node, std::size_t place) const {
  const int value = input(node, place);
  if (value < 0) refuse(concat("its input ", place, " is missing"));
  const std::optional<OnnxOperand>& found = operands_[static_cast<std::size_t>(value)];
  if (!found) refuse(concat("its input ", place, " is a constant"));
  return *found;
}

const OnnxOperand& OnnxNetworkMaker::rows(const Node& node, std::size_t place) const {
  const OnnxOperand& found = raw(node, place);
  if (!found.turned) return operand(node, place);
  const Shape& shape = network_.shape_of(found.layer);
  const bool whole = element_count(found.turned->view.dimensions()) == batch_ * shape.size();
  if (!whole || found.turned->factor != 1 || !has_rows(found.turned->view, shape.channels)) {
    refuse_turned(found);
  }
  return found;
}

const OnnxOperand& OnnxNetworkMaker::plain(const Node& node, std::size_t place) const {
  const OnnxOperand& found = operand(node, place);
  if (!found.padding.empty()) refuse("it reads a Pad, which only convolutions and averages may");
  if (found.clipped || found.codes || found.rounding) {
    refuse("it reads values on their way through 8 bits, which only products with codes may");
  }
  return found;
}

std::optional<std::size_t> OnnxNetworkMaker::moving_place(const Node& node) const {
  std::optional<std::size_t> moving;
  for (std::size_t place = 0; place < node.step.inputs.size(); ++place) {
    if (node.step.inputs[place] < 0 || is_constant(node.step.inputs[place])) continue;
    if (moving) return std::nullopt;
    moving = place;
  }
  return moving;  // a step without one is a constant, and never run
}

std::optional<Number> OnnxNetworkMaker::one_number(int value) const {
  if (value < 0) return std::nullopt;
  const auto& numbers = trace_.value(value).numbers;
  if (numbers == nullptr || numbers->size() != 1) return std::nullopt;
  return numbers->front();
}

std::span<const float> OnnxNetworkMaker::constant(int value) {
  const auto found = constants_.find(value);
  if (found != constants_.end()) return found->second;
  const OnnxValue& of = trace_.value(value);
  const std::span<const float> read =
      of.tensor != nullptr ? values_.floats(*of.tensor) : computed_constant(value);
  if (static_cast<std::int64_t>(read.size()) != element_count(of.shape)) {
    refuse("a constant of another size than its shape says");
  }
  return constants_[value] = read;
}

// Constants that operators make of constants: as exporters write weights.
std::span<const float> OnnxNetworkMaker::computed_constant(int value) {
  static constexpr std::array<std::string_view, 7> kSame = {
      "Identity", "Dropout", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze"};
  const OnnxValue& of = trace_.value(value);
  const OnnxStep* step = trace_.made_by(value);
  const bool own = step != nullptr && step->node->domain.empty() && !step->inputs.empty() &&
                   step->inputs[0] >= 0 && is_constant(step->inputs[0]);
  const std::string_view op = step == nullptr ? std::string_view() : step->node->op;
  const bool real = of.type == kOnnxFloat || of.type == kOnnxDouble || of.type == kOnnxFloat16 ||
                    of.type == kOnnxBfloat16;
  if (of.numbers != nullptr) {
    const std::span<float> copy = values_.make(static_cast<std::int64_t>(of.numbers->size()),
                                               step == nullptr ? "a constant" : step->label);
    std::transform(of.numbers->begin(), of.numbers->end(), copy.begin(),
                   [](Number number) { return static_cast<float>(number); });
    return copy;
  }
  if (own && real && std::find(kSame.begin(), kSame.end(), op) != kSame.end()) {
    return constant(step->inputs[0]);
  }
  if (op == "ConstantOfShape" && real) {
    const auto given = step->attributes.find("value");
    const bool filled = given != step->attributes.end() && given->second->tensors.size() == 1;
    const std::span<const float> one =
        filled ? values_.floats(given->second->tensors[0]) : std::span<const float>();
    if (filled && one.size() != 1) refuse("its constant is filled with no single number");
    const std::span<float> made =
        values_.make(element_count(of.shape).value_or(0), concat("node ", step->label));
    if (filled && values_.reads(std::ssize(made))) std::fill(made.begin(), made.end(), one[0]);
    return made;
  }
  if (own && op == "Transpose") return transposed(*step, constant(step->inputs[0]));
  if (own && op == "Expand") return stretched(*step, constant(step->inputs[0]));
  if (own && op == "Slice") return cut(*step, constant(step->inputs[0]));
  if (own && op == "DequantizeLinear") return decoded(*step);
  refuse(step == nullptr ? std::string("its constant has no values")
                         : concat("its constant is computed by node ", step->label, " (", op, ")"));
}

std::span<const float> OnnxNetworkMaker::transposed(const OnnxStep& step,
                                                    std::span<const float> from) {
  const Dimensions& shape = trace_.value(step.inputs[0]).shape;
  const Dimensions& turned = trace_.value(step.outputs[0]).shape;
  std::vector<std::size_t> order(shape.size());
  std::iota(order.rbegin(), order.rend(), std::size_t{0});
  const auto perm = step.attributes.find("perm");
  if (perm != step.attributes.end()) {
    // The rule of Transpose has checked the numbers.
    order.assign(perm->second->numbers.begin(), perm->second->numbers.end());
  }
  std::vector<std::int64_t> strides(shape.size(), 1);
  for (std::size_t d = shape.size(); d-- > 1;) strides[d - 1] = strides[d] * shape[d];
  const std::span<float> to =
      values_.make(static_cast<std::int64_t>(from.size()), concat("node ", step.label));
  if (!values_.reads(std::ssize(to))) return to;
  Dimensions at(turned.size(), 0);
  std::int64_t source = 0;
  for (float& value : to) {
    value = from[static_cast<std::size_t>(source)];
    for (std::size_t d = turned.size(); d-- > 0;) {
      source += strides[order[d]];
      if (++at[d] < turned[d]) break;
      source -= turned[d] * strides[order[d]];
      at[d] = 0;
    }
  }
  return to;
}

// Of a smaller shape, by ONNX's rule for shapes that differ.
std::span<const float> OnnxNetworkMaker::stretched(const OnnxStep& step,
                                                   std::span<const float> from) {
  const Dimensions& shape = trace_.value(step.inputs[0]).shape;
  const Dimensions& wide = trace_.value(step.outputs[0]).shape;
  constexpr std::int64_t kMostStretched = std::int64_t{1} << 22;
  if (element_count(wide).value_or(kMostStretched + 1) > kMostStretched) {
    refuse("a constant that is stretched to more than 2^22 numbers");
  }
  const std::span<float> to =
      values_.make(element_count(wide).value_or(0), concat("node ", step.label));
  auto at = to.begin();
  for_each_index(wide, [&](std::span<const std::int64_t> index) {
    *at++ = from[static_cast<std::size_t>(element_at(shape, index))];
  });
  return to;
}

// Parts that lie side by side.
std::span<const float> OnnxNetworkMaker::cut(const OnnxStep& step, std::span<const float> from) {
  const Dimensions& shape = trace_.value(step.inputs[0]).shape;
  const Dimensions& part = trace_.value(step.outputs[0]).shape;
  const OnnxCall call = call_of(step);
  const std::optional<Dimensions> first = slice_begin(call, shape);
  if (!first) refuse("a constant whose entries are taken with steps");
  const std::span<float> to =
      values_.make(element_count(part).value_or(0), concat("node ", step.label));
  auto at = to.begin();
  for_each_index(part, [&](std::span<const std::int64_t> index) {
    Dimensions place(index.begin(), index.end());
    for (std::size_t d = 0; d < place.size(); ++d) place[d] += (*first)[d];
    *at++ = from[static_cast<std::size_t>(element_at(shape, place))];
  });
  return to;
}

// Codes of weights as the floats that they stand for.
std::span<const float> OnnxNetworkMaker::decoded(const OnnxStep& step) {
  const Dimensions& shape = trace_.value(step.inputs[0]).shape;
  const OnnxCall call = call_of(step);
  const std::span<const float> codes = constant(step.inputs[0]);
  if (step.inputs.size() < 2 || step.inputs[1] < 0 || !is_constant(step.inputs[1])) {
    refuse("codes without a scale that is constant");
  }
  const std::span<const float> scales = constant(step.inputs[1]);
  const bool shifted = step.inputs.size() > 2 && step.inputs[2] >= 0;
  const std::span<const float> zeros =
      shifted ? constant(step.inputs[2]) : std::span<const float>();
  std::size_t inner = codes.size();
  if (scales.size() != 1) {
    const std::size_t axis = call.axis(call.integer("axis", 1), shape.size());
    if (static_cast<std::int64_t>(scales.size()) != shape[axis] ||
        trace_.value(step.inputs[1]).shape.size() != 1) {
      refuse("codes whose scales are not one for each channel");
    }
    inner = 1;
    for (std::size_t d = axis + 1; d < shape.size(); ++d)
      inner *= static_cast<std::size_t>(shape[d]);
  }
  if (shifted && zeros.size() != scales.size()) refuse("other zero points than scales");
  const std::span<float> to =
      values_.make(static_cast<std::int64_t>(codes.size()), concat("node ", step.label));
  if (!values_.reads(std::ssize(to))) return to;
  for (std::size_t i = 0; i < to.size(); ++i) {
    const std::size_t channel = i / inner % scales.size();
    to[i] = (codes[i] - (shifted ? zeros[channel] : 0.0f)) * scales[channel];
  }
  return to;
}

std::optional<std::span<const float>> OnnxNetworkMaker::by_channel(int constant_value, int moving,
                                                                   std::int64_t channels) {
  const Dimensions& shape = trace_.value(constant_value).shape;
  const Dimensions& other = trace_.value(moving).shape;
  const std::size_t axis = operands_[static_cast<std::size_t>(moving)]->channel_axis;
  if (shape.size() > other.size()) return std::nullopt;
  const std::size_t skipped = other.size() - shape.size();
  for (std::size_t d = 0; d < shape.size(); ++d) {
    if (shape[d] != 1 && (d + skipped != axis || shape[d] != channels)) return std::nullopt;
  }
  const std::span<const float> numbers = constant(constant_value);
  if (static_cast<std::int64_t>(numbers.size()) == channels) return numbers;
  const std::span<float> each = values_.make(channels, "a constant for each channel");
  std::fill(each.begin(), each.end(), numbers.front());
  return each;
}

}  // namespace taut::graph
