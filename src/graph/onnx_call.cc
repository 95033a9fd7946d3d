#include "graph/onnx_call.h"

#include <algorithm>
#include <cmath>

#include "taut/core/text.h"

namespace taut::graph {
namespace {

constexpr std::int64_t kLargestAttribute = std::int64_t{1} << 40;

/// The number as the type holds it; nothing where it does not fit.
std::optional<Number> fitted(Number number, std::int32_t type) {
  if (type == kOnnxBool) return number != 0 ? 1 : 0;
  if (is_whole_type(type)) {
    const bool fits = number >= -0x1p63L && number < 0x1p64L;
    return fits ? std::optional(std::trunc(number)) : std::nullopt;
  }
  if (type == kOnnxDouble) return static_cast<double>(number);
  return static_cast<float>(number);
}

}  // namespace

OnnxCall::OnnxCall(const OnnxNode& node, OnnxAttributes attributes,
                   std::vector<const OnnxValue*> inputs, std::int64_t operator_set,
                   std::string label, const std::string& source, const std::string& folder,
                   NumberBudget& budget)
    : node_(&node),
      attributes_(std::move(attributes)),
      inputs_(std::move(inputs)),
      operator_set_(operator_set),
      label_(std::move(label)),
      source_(source),
      folder_(folder),
      budget_(budget),
      outputs_(node.outputs.size()) {}

void OnnxCall::fail(ErrorKind kind, const std::string& what, const std::string& mend) const {
  throw Error(kind, concat("node ", label_, " (", op(), "): ", what), source_, mend);
}

const OnnxValue& OnnxCall::in(int input) const {
  if (!has(input)) fail(ErrorKind::kFormat, concat("input ", input, " is missing"));
  return *inputs_[input];
}

const Dimensions& OnnxCall::shape(int input, std::size_t least_rank) const {
  const Dimensions& dims = shape(input);
  if (dims.size() < least_rank) {
    fail(ErrorKind::kFormat, concat("input ", input, " has shape ", dimensions_text(dims),
                                    ", needs at least ", least_rank, " axes"));
  }
  return dims;
}

std::vector<Number> OnnxCall::numbers(int input, std::string_view what) const {
  if (in(input).numbers == nullptr) {
    fail(ErrorKind::kUnsupported, concat("its ", what, " depends on values that are not known"),
         "export with fixed sizes");
  }
  if (!charge(static_cast<std::int64_t>(in(input).numbers->size()))) {
    fail(ErrorKind::kUnsupported, "the computation of shapes takes more than 8 million numbers");
  }
  return *in(input).numbers;
}

std::vector<std::int64_t> OnnxCall::whole(int input, std::string_view what) const {
  std::vector<std::int64_t> list;
  for (const Number number : numbers(input, what)) {
    if (!(std::trunc(number) == number && number >= -0x1p63L && number < 0x1p63L)) {
      fail(ErrorKind::kFormat, concat("its ", what, " holds ", static_cast<double>(number)));
    }
    list.push_back(static_cast<std::int64_t>(number));
  }
  return list;
}

std::int64_t OnnxCall::whole_one(int input, std::string_view what) const {
  const std::vector<std::int64_t> list = whole(input, what);
  if (list.size() != 1) {
    fail(ErrorKind::kFormat, concat("its ", what, " is ", list.size(), " numbers, must be one"));
  }
  return list[0];
}

const OnnxAttribute* OnnxCall::attribute(std::string_view name) const noexcept {
  const auto found = attributes_.find(name);
  return found == attributes_.end() ? nullptr : found->second;
}

std::int64_t OnnxCall::integer(std::string_view name, std::int64_t fallback) const {
  const OnnxAttribute* found = attribute(name);
  if (found == nullptr) return fallback;
  if (found->numbers.size() != 1) fail(ErrorKind::kFormat, concat(name, " is not one integer"));
  if (std::abs(found->numbers[0] / 2) > kLargestAttribute) {
    fail(ErrorKind::kFormat, concat(name, " is ", found->numbers[0]));
  }
  return found->numbers[0];
}

std::optional<std::vector<std::int64_t>> OnnxCall::integers(std::string_view name) const {
  const OnnxAttribute* found = attribute(name);
  if (found == nullptr) return std::nullopt;
  return found->numbers;
}

std::string_view OnnxCall::text(std::string_view name, std::string_view fallback) const {
  const OnnxAttribute* found = attribute(name);
  return found == nullptr ? fallback : found->text;
}

std::vector<std::int64_t> OnnxCall::sizes(std::string_view name, std::size_t count,
                                          std::int64_t fallback, std::int64_t least) const {
  const auto found = integers(name);
  if (!found) return std::vector<std::int64_t>(count, fallback);
  if (found->size() != count) {
    fail(ErrorKind::kFormat, concat(name, " has ", found->size(), " numbers, must have ", count));
  }
  for (const std::int64_t size : *found) {
    if (size < least || size > kLargestAttribute) {
      fail(ErrorKind::kFormat, concat(name, " holds ", size, ", must be at least ", least));
    }
  }
  return *found;
}

std::int64_t OnnxCall::counted(std::span<const std::int64_t> factors) const {
  const std::optional<std::int64_t> count = element_count(factors);
  if (!count) fail(ErrorKind::kData, "more than 2^50 multiply-adds");
  return *count;
}

std::size_t OnnxCall::axis(std::int64_t axis, std::size_t rank) const {
  const auto axes = static_cast<std::int64_t>(rank);
  if (axis < -axes || axis >= axes) {
    fail(ErrorKind::kFormat, concat("axis ", axis, " of a tensor of rank ", rank));
  }
  return static_cast<std::size_t>(axis < 0 ? axis + axes : axis);
}

void OnnxCall::give(int output, Dimensions shape, std::int32_t type) {
  if (output >= output_count()) return;
  if (shape.size() > kMostRank) {
    fail(ErrorKind::kData, concat("a tensor of rank ", shape.size(), ", above ", kMostRank));
  }
  for (const std::int64_t size : shape) {
    if (size < 0) fail(ErrorKind::kData, "a tensor of shape " + dimensions_text(shape));
  }
  if (!element_count(shape)) {
    fail(ErrorKind::kData, "a tensor of more than 2^50 words, " + dimensions_text(shape));
  }
  outputs_[output].shape = std::move(shape);
  outputs_[output].type = type;
}

void OnnxCall::give_numbers(int output, std::vector<Number> numbers) {
  if (output >= output_count()) return;
  for (Number& number : numbers) {
    const std::optional<Number> fits = fitted(number, outputs_[output].type);
    if (!fits) return;
    number = *fits;
  }
  outputs_[output].numbers = std::make_shared<const std::vector<Number>>(std::move(numbers));
}

bool OnnxCall::charge(std::int64_t count) const {
  budget_.left -= std::min(budget_.left, count);
  return budget_.left > 0;
}

bool OnnxCall::can_know(std::span<const std::int64_t> shape,
                        std::initializer_list<int> inputs) const {
  std::int64_t count = element_count(shape).value_or(kMostKnown + 1);
  if (count > kMostKnown) return false;
  for (const int input : inputs) {
    if (in(input).numbers == nullptr) return false;
    count += static_cast<std::int64_t>(in(input).numbers->size());
  }
  return charge(count + 1);
}

void OnnxCall::give_reshaped(Dimensions shape) {
  const bool fits = element_count(shape) == element_count(in(0).shape);
  if (!fits) {
    fail(ErrorKind::kFormat, concat("shapes do not agree: ", dimensions_text(in(0).shape), " as ",
                                    dimensions_text(shape)));
  }
  give(0, std::move(shape), in(0).type);
  if (can_know(outputs_[0].shape, {0})) give_numbers(0, *in(0).numbers);
}

}  // namespace taut::graph
