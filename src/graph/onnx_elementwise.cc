// Operators that act on each element: shapes, and numbers where they are known.
#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "graph/onnx_rules.h"
#include "taut/core/text.h"

namespace taut::graph {
namespace {

using Unary = Number (*)(Number);
using Binary = Number (*)(Number, Number);

Number rounded_to_even(Number x) {
  return std::nearbyint(x);
}

const std::map<std::string_view, Unary>& unary_functions() {
  static const std::map<std::string_view, Unary> functions = {
      {"Identity", [](Number x) { return x; }},
      {"Abs", [](Number x) { return std::abs(x); }},
      {"Neg", [](Number x) { return -x; }},
      {"Floor", [](Number x) { return std::floor(x); }},
      {"Ceil", [](Number x) { return std::ceil(x); }},
      {"Round", rounded_to_even},
      {"Sqrt", [](Number x) { return std::sqrt(x); }},
      {"Exp", [](Number x) { return std::exp(x); }},
      {"Log", [](Number x) { return std::log(x); }},
      {"Reciprocal", [](Number x) { return 1 / x; }},
      {"Sign", [](Number x) { return Number(x > 0) - Number(x < 0); }},
      {"Relu", [](Number x) { return std::max<Number>(x, 0); }},
      {"Not", [](Number x) { return Number(x == 0); }},
  };
  return functions;
}

const std::map<std::string_view, Binary>& binary_functions() {
  static const std::map<std::string_view, Binary> functions = {
      {"Add", [](Number a, Number b) { return a + b; }},
      {"Sum", [](Number a, Number b) { return a + b; }},
      {"Sub", [](Number a, Number b) { return a - b; }},
      {"Mul", [](Number a, Number b) { return a * b; }},
      {"Div", [](Number a, Number b) { return a / b; }},
      {"Pow", [](Number a, Number b) { return std::pow(a, b); }},
      {"Min", [](Number a, Number b) { return std::min(a, b); }},
      {"Max", [](Number a, Number b) { return std::max(a, b); }},
      {"Equal", [](Number a, Number b) { return Number(a == b); }},
      {"Less", [](Number a, Number b) { return Number(a < b); }},
      {"LessOrEqual", [](Number a, Number b) { return Number(a <= b); }},
      {"Greater", [](Number a, Number b) { return Number(a > b); }},
      {"GreaterOrEqual", [](Number a, Number b) { return Number(a >= b); }},
      {"And", [](Number a, Number b) { return Number(a != 0 && b != 0); }},
      {"Or", [](Number a, Number b) { return Number(a != 0 || b != 0); }},
      {"Xor", [](Number a, Number b) { return Number((a != 0) != (b != 0)); }},
  };
  return functions;
}

bool gives_bool(std::string_view op) {
  static constexpr std::array<std::string_view, 11> kOps = {
      "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "And",
      "Or",    "Xor",  "Not",         "IsNaN",   "IsInf"};
  return std::find(kOps.begin(), kOps.end(), op) != kOps.end();
}

/// One step of an operator that takes two numbers or folds many; NaN where there is no result.
Number combined(const OnnxCall& call, Number a, Number b) {
  const bool whole = is_whole_type(call.in(0).type);
  if (call.op() == "Mod") {
    if (b == 0) return NAN;
    const Number rest = std::fmod(a, b);
    const bool other_sign = rest != 0 && (rest < 0) != (b < 0);
    return call.integer("fmod", 0) == 0 && other_sign ? rest + b : rest;
  }
  if (call.op() == "Div" && whole) return b == 0 ? NAN : std::trunc(a / b);
  return binary_functions().at(call.op())(a, b);
}

Dimensions stretched(const OnnxCall& call) {
  Dimensions shape = call.shape(0);
  for (int i = 1; i < call.input_count(); ++i) {
    std::optional<Dimensions> both = broadcast_shape(shape, call.shape(i));
    if (!both) {
      call.fail(ErrorKind::kFormat, concat("shapes do not agree: ", dimensions_text(shape), " and ",
                                           dimensions_text(call.shape(i))));
    }
    shape = std::move(*both);
  }
  return shape;
}

/// The number of an input that stands at an index of the stretched shape.
Number stretched_number(const OnnxCall& call, int input, std::span<const std::int64_t> index) {
  const OnnxValue& value = call.in(input);
  return value.numbers->at(static_cast<std::size_t>(element_at(value.shape, index)));
}

}  // namespace

void unary_rule(OnnxCall& call) {
  const OnnxValue& in = call.in(0);
  const auto function = unary_functions().find(call.op());
  call.give(0, in.shape, gives_bool(call.op()) ? kOnnxBool : in.type);
  for (int i = 1; i < call.output_count(); ++i) call.give(i, in.shape, kOnnxBool);
  if (function == unary_functions().end() || !call.can_know(in.shape, {0})) return;
  std::vector<Number> numbers = *in.numbers;
  for (Number& number : numbers) number = function->second(number);
  call.give_numbers(0, std::move(numbers));
}

void broadcast_rule(OnnxCall& call) {
  // Before operator set 7 the second operand was stretched to the first.
  const Dimensions shape = call.operator_set() < 7 ? call.shape(0) : stretched(call);
  call.give(0, shape, gives_bool(call.op()) ? kOnnxBool : call.in(0).type);
  const bool known_operator = call.op() == "Mod" || binary_functions().contains(call.op());
  if (!known_operator || call.operator_set() < 7 || !call.can_know(shape, {0})) return;
  for (int i = 1; i < call.input_count(); ++i) {
    if (!call.can_know(shape, {i})) return;
  }
  std::vector<Number> numbers;
  for_each_index(shape, [&](std::span<const std::int64_t> index) {
    Number number = stretched_number(call, 0, index);
    for (int i = 1; i < call.input_count(); ++i) {
      number = combined(call, number, stretched_number(call, i, index));
    }
    numbers.push_back(number);
  });
  call.give_numbers(0, std::move(numbers));
}

void where_rule(OnnxCall& call) {
  (void)call.in(2);
  const Dimensions shape = stretched(call);
  call.give(0, shape, call.in(1).type);
  if (!call.can_know(shape, {0, 1, 2})) return;
  std::vector<Number> numbers;
  for_each_index(shape, [&](std::span<const std::int64_t> index) {
    const int chosen = stretched_number(call, 0, index) != 0 ? 1 : 2;
    numbers.push_back(stretched_number(call, chosen, index));
  });
  call.give_numbers(0, std::move(numbers));
}

// Zeros above or below a diagonal of matrices.
void triangle_rule(OnnxCall& call) {
  const OnnxValue& in = call.in(0);
  call.give(0, call.shape(0, 2), in.type);
  if (!call.can_know(in.shape, {0}) || (call.has(1) && call.in(1).numbers == nullptr)) return;
  const Number diagonal = call.has(1) ? call.whole_one(1, "diagonal") : 0;
  const bool upper = call.integer("upper", 1) != 0;
  std::vector<Number> numbers = *in.numbers;
  const auto columns = static_cast<std::size_t>(in.shape.back());
  const auto rows = static_cast<std::size_t>(in.shape[in.shape.size() - 2]);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const auto above = static_cast<Number>(i % columns) - static_cast<Number>(i / columns % rows);
    if (upper ? above < diagonal : above > diagonal) numbers[i] = 0;
  }
  call.give_numbers(0, std::move(numbers));
}

void cast_rule(OnnxCall& call) {
  const OnnxValue& in = call.in(0);
  const auto type =
      static_cast<std::int32_t>(call.op() == "CastLike" ? call.in(1).type : call.integer("to", 0));
  call.give(0, in.shape, type);
  if (call.op() != "BitCast" && call.can_know(in.shape, {0})) call.give_numbers(0, *in.numbers);
}

void normalization_rule(OnnxCall& call) {
  const OnnxValue& in = call.in(0);
  call.give(0, in.shape, in.type);
  if (call.op() == "LayerNormalization") {
    Dimensions statistics = in.shape;
    const std::size_t from = call.axis(call.integer("axis", -1), statistics.size());
    std::fill(statistics.begin() + static_cast<std::ptrdiff_t>(from), statistics.end(), 1);
    for (int i = 1; i < call.output_count(); ++i) call.give(i, statistics, in.type);
    return;
  }
  const Dimensions channels = {in.shape.size() > 1 ? in.shape[1] : 1};
  for (int i = 1; i < call.output_count(); ++i) call.give(i, channels, in.type);
}

void quantize_rule(OnnxCall& call) {
  const OnnxValue& in = call.in(0);
  const bool to_reals = call.op() == "DequantizeLinear";
  const std::int32_t type = to_reals ? call.in(1).type : call.has(2) ? call.in(2).type : kOnnxUint8;
  call.give(0, in.shape, static_cast<std::int32_t>(call.integer("output_dtype", type)));
}

void dynamic_quantize_rule(OnnxCall& call) {
  call.give(0, call.shape(0), kOnnxUint8);
  call.give(1, {}, call.in(0).type);
  call.give(2, {}, kOnnxUint8);
}

}  // namespace taut::graph
