// Products with constant weights: Gemm and MatMul, and what products have in common.
#include <algorithm>
#include <utility>

#include "graph/onnx_network_maker.h"
#include "taut/core/text.h"

namespace taut::graph {

// A bias of one number for each output, or one for all, times scale.
std::span<const float> OnnxNetworkMaker::bias(const Node& node, std::size_t place,
                                              std::int64_t outputs, float scale) {
  const int value = input(node, place);
  if (value < 0) return {};
  if (!is_constant(value)) refuse(concat("its input ", place, " is no constant"));
  const Dimensions& shape = trace_.value(value).shape;
  const std::int64_t count = element_count(shape).value_or(0);
  const bool fits = count == 1 || (count == outputs && !shape.empty() && shape.back() == outputs);
  if (!fits) refuse(concat("a bias of ", dimensions_text(shape), " for ", outputs, " outputs"));
  const std::span<const float> numbers = constant(value);
  if (count == outputs && scale == 1) return numbers;
  const std::span<float> made = values_.make(outputs, node.step.label);
  for (std::size_t o = 0; o < made.size(); ++o) {
    made[o] = numbers[count == 1 ? 0 : o] * scale;
  }
  return made;
}

OnnxNetworkMaker::LaterBias OnnxNetworkMaker::later_bias(const Node& node, std::int64_t outputs,
                                                         std::size_t channel_axis) {
  const int made = node.step.outputs[0];
  const int reader = only_reader(made);
  if (reader < 0) return {};
  const OnnxStep& step = trace_.step(reader);
  const bool add = step.node->domain.empty() && step.node->op == "Add" && step.inputs.size() == 2 &&
                   step.trouble == nullptr;
  if (!add) return {};
  const int other = step.inputs[step.inputs[0] == made ? 1 : 0];
  if (!is_constant(other) || element_count(trace_.value(other).shape) != outputs) return {};
  const Dimensions& shape = trace_.value(other).shape;
  const Dimensions& out = trace_.value(made).shape;
  if (trace_.value(step.outputs[0]).shape != out || shape.size() > out.size()) return {};
  const std::size_t skipped = out.size() - shape.size();
  for (std::size_t d = 0; d < shape.size(); ++d) {
    if (shape[d] != 1 && d + skipped != channel_axis) return {};
  }
  return {reader, constant(other)};
}

// Adds the layer of a product and gives what it makes, with the bias that is added later.
void OnnxNetworkMaker::give_product(const Node& node, Layer layer, LayerValues values,
                                    std::size_t channel_axis, const LaterBias& later) {
  if (later.step >= 0) values.bias = later.values;
  layer.bias = !values.bias.empty();
  const std::int64_t outputs = layer.out.channels;
  const int number = append(node, std::move(layer), values);
  if (const OnnxOperand& from = raw(node, 0); from.turned) {
    OnnxTurned made = *from.turned;
    made.view = with_last(made.view, outputs);
    give_view(node, number, std::move(made));
  } else {
    give(node, {.layer = number, .channel_axis = channel_axis});
  }
  if (later.step < 0) return;
  const int result = trace_.step(later.step).outputs[0];
  operands_[static_cast<std::size_t>(result)] =
      operands_[static_cast<std::size_t>(node.step.outputs[0])];
  latest_[static_cast<std::size_t>(number)] = result;
  absorbed_.insert(later.step);
}

// Takes weights that are kept as codes, where the input passes through 8 bits; false where it does
// not. Weights stand as a network has them, outputs first.
bool OnnxNetworkMaker::takes_codes(const Node& node, std::int64_t outputs, LayerValues& values) {
  const OnnxOperand& from = raw(node, 0);
  if (from.clipped || from.codes) refuse("it reads values on their way through 8 bits");
  if (!from.rounding) return false;
  const int weights = input(node, 1);
  const OnnxStep* step = trace_.made_by(weights);
  if (step == nullptr || step->node->op != "DequantizeLinear" || !is_constant(weights)) {
    refuse("its input passes through 8 bits, its weights do not");
  }
  const OnnxCall call = call_of(*step);
  const OnnxTensor* codes = trace_.value(step->inputs[0]).tensor;
  if (codes == nullptr || codes->type != kOnnxInt8) refuse("its weights are no signed 8-bit codes");
  const std::span<const float> scales = constant(step->inputs[1]);
  const bool by_output = static_cast<std::int64_t>(scales.size()) == outputs;
  const bool first_axis =
      scales.size() == 1 || call.axis(call.integer("axis", 1), codes->dims.size()) == 0;
  if ((!by_output && scales.size() != 1) || !first_axis || call.integer("block_size", 0) != 0) {
    refuse("its weights have no scale for each output");
  }
  if (step->inputs.size() > 2 && step->inputs[2] >= 0) {
    const std::span<const float> zeros = constant(step->inputs[2]);
    if (std::any_of(zeros.begin(), zeros.end(), [](float zero) { return zero != 0; })) {
      refuse("the codes of its weights have zero points");
    }
  }
  values.codes = values_.codes(*codes);
  values.code_scales = scales;
  if (!by_output) {
    const std::span<float> each = values_.make(outputs, node.step.label);
    std::fill(each.begin(), each.end(), scales[0]);
    values.code_scales = each;
  }
  values.input_scale = from.rounding->scale;
  values.input_unsigned = from.rounding->is_unsigned;
  return true;
}

// A product over the last axis. turned: the weights stand [inputs, outputs].
void OnnxNetworkMaker::product(Node& node, std::size_t channel_axis, bool turned, float scale,
                               std::span<const float> bias_values) {
  const OnnxOperand from = rows(node, 0);
  if (!from.padding.empty()) refuse("it reads a Pad, which only convolutions and averages may");
  const int weights = input(node, 1);
  const Dimensions shape = trace_.value(weights).shape;
  Layer layer = reading(Op::kLinear, {from.layer});
  layer.out.channels = turned ? shape[1] : shape[0];
  LayerValues values;
  values.bias = bias_values;
  if (takes_codes(node, layer.out.channels, values)) {
    if (turned || scale != 1) refuse("codes of weights that are turned or scaled");
  } else if (const std::span<const float> stored = constant(weights); turned || scale != 1) {
    const std::span<float> made =
        values_.make(static_cast<std::int64_t>(stored.size()), node.step.label);
    const auto outputs = static_cast<std::size_t>(layer.out.channels);
    const bool moves = outputs > 0 && values_.reads(std::ssize(stored));
    const std::size_t inputs = moves ? stored.size() / outputs : 0;
    for (std::size_t o = 0; o < (moves ? outputs : 0); ++o) {
      for (std::size_t i = 0; i < inputs; ++i) {
        made[o * inputs + i] = stored[turned ? i * outputs + o : o * inputs + i] * scale;
      }
    }
    values.weight = made;
  } else {
    values.weight = stored;
  }
  const LaterBias later =
      values.bias.empty() ? later_bias(node, layer.out.channels, channel_axis) : LaterBias{};
  give_product(node, std::move(layer), values, channel_axis, later);
}

void OnnxNetworkMaker::gemm(Node& node) {
  const OnnxOperand& from = rows(node, 0);
  if (!is_constant(input(node, 1))) refuse("its weights are no constant");
  if (node.call.integer("transA", 0) != 0 || (!from.turned && from.channel_axis != 1)) {
    refuse("its first operand is turned");
  }
  const auto factor = [&](const char* name) {
    const OnnxAttribute* given = node.call.attribute(name);
    return given != nullptr && !given->reals.empty() ? static_cast<float>(given->reals[0]) : 1.0f;
  };
  const bool turned = node.call.integer("transB", 0) == 0;
  const Dimensions& shape = trace_.value(input(node, 1)).shape;
  product(node, 1, turned, factor("alpha"),
          bias(node, 2, turned ? shape[1] : shape[0], factor("beta")));
}

void OnnxNetworkMaker::matmul(Node& node) {
  if (!is_constant(input(node, 1))) {
    if (is_constant(input(node, 0))) refuse("its weights are the first operand");
    return attention_product(node);
  }
  const OnnxOperand& from = rows(node, 0);
  const Dimensions& shape = trace_.value(input(node, 0)).shape;
  if (trace_.value(input(node, 1)).shape.size() != 2) refuse("its weights are no matrix");
  if (!from.turned && from.channel_axis + 1 != shape.size()) {
    refuse("its last axis is not that of the channels");
  }
  product(node, shape.size() - 1, true, 1, {});
}

}  // namespace taut::graph
