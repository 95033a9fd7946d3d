#include "graph/onnx_trace.h"

#include <algorithm>
#include <array>
#include <limits>
#include <string_view>
#include <utility>

#include "taut/core/checked.h"

namespace taut::graph {
namespace {

constexpr std::size_t kMostSteps = std::size_t{1} << 18;

bool is_real_type(std::int32_t type) {
  return type == kOnnxFloat || type == kOnnxDouble || type == kOnnxFloat16 || type == kOnnxBfloat16;
}

template <std::size_t N>
bool is_one_of(std::string_view op, const std::array<std::string_view, N>& names) {
  return std::find(names.begin(), names.end(), op) != names.end();
}

// Whether an operator reads a constant in this place as parameters.
bool reads_parameters(std::string_view op, std::size_t place, std::int32_t type) {
  static constexpr std::array<std::string_view, 3> kCodes = {"ConvInteger", "MatMulInteger",
                                                             "DequantizeLinear"};
  static constexpr std::array<std::string_view, 3> kRecurrent = {"LSTM", "GRU", "RNN"};
  static constexpr std::array<std::string_view, 12> kNone = {
      "Clip",      "Pad",   "Resize",         "Upsample",        "OneHot",
      "Where",     "Range", "QuantizeLinear", "ScatterElements", "GridSample",
      "ScatterND", "Pow"};
  if (op == "BatchNormalization") return place == 1 || place == 2;
  if (op == "QLinearConv") return place == 3 || place == 8;
  if (op == "QLinearMatMul") return place == 0 || place == 3;
  if (op == "DequantizeLinear") return place == 0;
  if (is_one_of(op, kRecurrent)) return (place >= 1 && place <= 3) || place == 7;  // no states
  if (is_one_of(op, kCodes)) return place <= 1;
  return is_real_type(type) && !is_one_of(op, kNone);
}

}  // namespace

bool is_op(const OnnxStep* step, std::string_view op) {
  return step != nullptr && step->trouble == nullptr && step->node->domain.empty() &&
         step->node->op == op;
}

void OnnxTrace::add_value(OnnxValue& value, int maker) {
  value.id = static_cast<int>(values.size());
  values.push_back(value);
  makers.push_back(maker);
}

void OnnxTrace::add_step(OnnxStep step, std::vector<OnnxValue>& outputs_of) {
  is_full = is_full || steps.size() >= kMostSteps;
  if (is_full) return;
  const auto number = static_cast<int>(steps.size());
  for (OnnxValue& output : outputs_of) {
    add_value(output, number);
    step.outputs.push_back(output.id);
  }
  steps.push_back(std::move(step));
}

void OnnxTrace::add_call(const OnnxNode& node, OnnxCall& call) {
  OnnxStep step{.node = &node,
                .attributes = call.attributes(),
                .operator_set = call.operator_set(),
                .label = call.label()};
  for (const OnnxValue* input : call.inputs()) {
    step.inputs.push_back(input == nullptr ? -1 : input->id);
    // Small values in another file are read when they are needed.
    if (input != nullptr && input->id >= 0 && input->numbers != nullptr) {
      values[static_cast<std::size_t>(input->id)].numbers = input->numbers;
    }
  }
  add_step(std::move(step), call.outputs());
}

std::vector<bool> OnnxTrace::needed() const {
  std::vector<bool> needed(steps.size(), false);
  std::vector<bool> read(values.size(), false);
  for (const int output : outputs) read[static_cast<std::size_t>(output)] = true;
  for (std::size_t s = steps.size(); s-- > 0;) {
    needed[s] = std::any_of(steps[s].outputs.begin(), steps[s].outputs.end(),
                            [&](int value) { return read[static_cast<std::size_t>(value)]; });
    if (!needed[s]) continue;
    for (const int input : steps[s].inputs) {
      if (input >= 0) read[static_cast<std::size_t>(input)] = true;
    }
  }
  return needed;
}

std::int64_t parameter_total(const OnnxTrace& trace) {
  const std::vector<bool> needed = trace.needed();
  std::vector<bool> counted(trace.values.size(), false);
  std::int64_t total = 0;
  for (std::size_t s = 0; s < trace.steps.size(); ++s) {
    if (!needed[s]) continue;
    const OnnxStep& step = trace.steps[s];
    for (std::size_t place = 0; place < step.inputs.size(); ++place) {
      const int input = step.inputs[place];
      if (input < 0) continue;
      const OnnxValue& value = trace.value(input);
      const OnnxStep* maker = trace.made_by(input);
      const bool stands =
          value.tensor != nullptr || (maker != nullptr && maker->node->op == "Constant");
      if (!stands || value.shape.empty() || counted[static_cast<std::size_t>(input)]) continue;
      if (!reads_parameters(step.node->op, place, value.type)) continue;
      counted[static_cast<std::size_t>(input)] = true;
      total = checked_sum({total, element_count(value.shape).value_or(0)})
                  .value_or(std::numeric_limits<std::int64_t>::max());
    }
  }
  return total;
}

}  // namespace taut::graph
