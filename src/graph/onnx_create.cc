// Operators that make tensors from attributes and sizes.
#include <algorithm>
#include <array>
#include <cmath>

#include "graph/onnx_constants.h"
#include "graph/onnx_rules.h"
#include "taut/core/text.h"

namespace taut::graph {
namespace {

/// Checks a tensor of an attribute and gives its numbers to output 0.
void give_tensor(OnnxCall& call, const OnnxTensor& tensor) {
  const std::string owner = concat("node ", call.label(), ": its constant");
  check_constant(tensor, owner, call.source());
  call.give(0, tensor.dims, tensor.type);
  call.outputs()[0].tensor = &tensor;
  if (!call.can_know(tensor.dims, {})) return;
  if (const auto numbers = constant_numbers(tensor, owner, call.folder(), call.source())) {
    call.give_numbers(0, *numbers);
  }
}

void give_list(OnnxCall& call, std::vector<Number> numbers, bool is_list, std::int32_t type) {
  const Dimensions shape =
      is_list ? Dimensions{static_cast<std::int64_t>(numbers.size())} : Dimensions{};
  call.give(0, shape, type);
  if (call.can_know(shape, {})) call.give_numbers(0, std::move(numbers));
}

/// A shape given as an attribute or as the first input.
Dimensions wanted_shape(const OnnxCall& call) {
  if (const auto attribute = call.integers("shape")) return *attribute;
  return call.whole(0, "shape");
}

std::int32_t type_or(const OnnxCall& call, std::int32_t fallback) {
  return static_cast<std::int32_t>(call.integer("dtype", fallback));
}

}  // namespace

void constant_rule(OnnxCall& call) {
  for (const char* name : {"value", "sparse_value"}) {
    const OnnxAttribute* value = call.attribute(name);
    if (value != nullptr && value->tensors.size() == 1) return give_tensor(call, value->tensors[0]);
  }
  for (const char* name : {"value_int", "value_ints"}) {
    if (const OnnxAttribute* value = call.attribute(name)) {
      return give_list(call, {value->numbers.begin(), value->numbers.end()},
                       name == std::string_view("value_ints"), kOnnxInt64);
    }
  }
  for (const char* name : {"value_float", "value_floats"}) {
    if (const OnnxAttribute* value = call.attribute(name)) {
      return give_list(call, {value->reals.begin(), value->reals.end()},
                       name == std::string_view("value_floats"), kOnnxFloat);
    }
  }
  if (call.attribute("value_string") != nullptr) return call.give(0, {}, kOnnxString);
  if (const OnnxAttribute* texts = call.attribute("value_strings")) {
    return call.give(0, {static_cast<std::int64_t>(texts->texts.size())}, kOnnxString);
  }
  call.fail(ErrorKind::kFormat, "it has no value");
}

void constant_of_shape_rule(OnnxCall& call) {
  const Dimensions shape = call.shape(0) == Dimensions{0} ? Dimensions{} : call.whole(0, "shape");
  std::int32_t type = kOnnxFloat;
  Number number = 0;
  bool known = true;
  const OnnxAttribute* value = call.attribute("value");
  if (value != nullptr && value->tensors.size() == 1) {
    const std::string owner = concat("node ", call.label(), ": its value");
    check_constant(value->tensors[0], owner, call.source());
    type = value->tensors[0].type;
    const auto numbers = constant_numbers(value->tensors[0], owner, call.folder(), call.source());
    known = numbers && numbers->size() == 1;
    if (known) number = numbers->front();
  }
  call.give(0, shape, type);
  if (!known || !call.can_know(shape, {})) return;
  call.give_numbers(0,
                    std::vector<Number>(static_cast<std::size_t>(*element_count(shape)), number));
}

void shape_rule(OnnxCall& call) {
  const Dimensions& shape = call.shape(0);
  const auto rank = static_cast<std::int64_t>(shape.size());
  const auto bound = [&](const char* name, std::int64_t fallback) {
    const std::int64_t at = call.integer(name, fallback);
    return std::clamp<std::int64_t>(at < 0 ? at + rank : at, 0, rank);
  };
  const std::int64_t start = bound("start", 0);
  const std::int64_t end = std::max(start, bound("end", rank));
  give_list(call, {shape.begin() + start, shape.begin() + end}, true, kOnnxInt64);
}

void size_rule(OnnxCall& call) {
  give_list(call, {static_cast<Number>(*element_count(call.shape(0)))}, false, kOnnxInt64);
}

void range_rule(OnnxCall& call) {
  std::array<Number, 3> bounds{};
  for (int i = 0; i < 3; ++i) {
    const std::vector<Number> one = call.numbers(i, "length");
    if (one.size() != 1) call.fail(ErrorKind::kFormat, "start, limit or delta is not one number");
    bounds.at(i) = one[0];
  }
  const auto [start, limit, delta] = bounds;
  const Number count = delta == 0 ? -1 : std::max<Number>(0, std::ceil((limit - start) / delta));
  if (!(count >= 0 && count < 0x1p40L)) {
    call.fail(ErrorKind::kFormat,
              concat("from ", static_cast<double>(start), " to ", static_cast<double>(limit),
                     " by ", static_cast<double>(delta)));
  }
  const Dimensions shape = {static_cast<std::int64_t>(count)};
  call.give(0, shape, call.in(0).type);
  if (!call.can_know(shape, {})) return;
  std::vector<Number> numbers;
  for (std::int64_t i = 0; i < shape[0]; ++i) {
    numbers.push_back(start + static_cast<Number>(i) * delta);
  }
  call.give_numbers(0, std::move(numbers));
}

void one_hot_rule(OnnxCall& call) {
  Dimensions shape = call.shape(0);
  const std::size_t axis = call.axis(call.integer("axis", -1), shape.size() + 1);
  shape.insert(shape.begin() + static_cast<std::ptrdiff_t>(axis), call.whole_one(1, "depth"));
  call.give(0, std::move(shape), call.in(2).type);
}

void random_rule(OnnxCall& call) {
  const bool like = call.op().ends_with("Like");
  call.give(0, like ? call.shape(0) : wanted_shape(call), type_or(call, kOnnxFloat));
}

void eye_rule(OnnxCall& call) {
  call.give(0, call.shape(0, 2), type_or(call, call.in(0).type));
}

void window_rule(OnnxCall& call) {
  if (call.op() == "MelWeightMatrix") {
    const std::int64_t bins = call.whole_one(1, "length") / 2 + 1;
    return call.give(0, {bins, call.whole_one(0, "number of bins")}, kOnnxFloat);
  }
  call.give(0, {call.whole_one(0, "length")}, kOnnxFloat);
}

void non_zero_rule(OnnxCall& call) {
  const OnnxValue& in = call.in(0);
  if (in.numbers == nullptr || in.shape.empty()) return value_dependent_rule(call);
  std::vector<std::vector<Number>> places(in.shape.size());
  if (!call.can_know(in.shape, {0})) return value_dependent_rule(call);
  for_each_index(in.shape, [&](std::span<const std::int64_t> index) {
    if (in.numbers->at(static_cast<std::size_t>(element_at(in.shape, index))) == 0) return;
    for (std::size_t d = 0; d < index.size(); ++d) {
      places[d].push_back(static_cast<Number>(index[d]));
    }
  });
  std::vector<Number> numbers;
  for (const std::vector<Number>& axis : places) {
    numbers.insert(numbers.end(), axis.begin(), axis.end());
  }
  const Dimensions shape = {static_cast<std::int64_t>(in.shape.size()),
                            static_cast<std::int64_t>(places[0].size())};
  call.give(0, shape, kOnnxInt64);
  if (call.can_know(shape, {})) call.give_numbers(0, std::move(numbers));
}

void value_dependent_rule(OnnxCall& call) {
  call.fail(ErrorKind::kUnsupported, "the shape of its output depends on values",
            "cut the model before it");
}

}  // namespace taut::graph
