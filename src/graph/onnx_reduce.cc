// Operators that reduce or order along axes.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "graph/onnx_rules.h"
#include "taut/core/text.h"

namespace taut::graph {
namespace {

/// The axes that are reduced: an attribute in older operator sets, an input in newer ones.
std::set<std::size_t> reduced_axes(const OnnxCall& call, std::size_t rank) {
  std::vector<std::int64_t> listed;
  if (const auto attribute = call.integers("axes")) {
    listed = *attribute;
  } else if (call.has(1)) {
    listed = call.whole(1, "list of axes");
  }
  std::set<std::size_t> axes;
  for (const std::int64_t axis : listed) axes.insert(call.axis(axis, rank));
  if (!listed.empty() || call.integer("noop_with_empty_axes", 0) != 0) return axes;
  for (std::size_t axis = 0; axis < rank; ++axis) axes.insert(axis);
  return axes;
}

Dimensions reduced_shape(const Dimensions& shape, const std::set<std::size_t>& axes, bool keep) {
  Dimensions out;
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    if (!axes.contains(axis)) {
      out.push_back(shape[axis]);
    } else if (keep) {
      out.push_back(1);
    }
  }
  return out;
}

using Fold = Number (*)(Number, Number);

const std::map<std::string_view, Fold>& folds() {
  static const std::map<std::string_view, Fold> functions = {
      {"ReduceSum", [](Number a, Number b) { return a + b; }},
      {"ReduceProd", [](Number a, Number b) { return a * b; }},
      {"ReduceMin", [](Number a, Number b) { return std::min(a, b); }},
      {"ReduceMax", [](Number a, Number b) { return std::max(a, b); }}};
  return functions;
}

}  // namespace

void reduce_rule(OnnxCall& call) {
  const OnnxValue& in = call.in(0);
  const std::set<std::size_t> axes = reduced_axes(call, in.shape.size());
  const Dimensions kept = reduced_shape(in.shape, axes, true);
  call.give(0, reduced_shape(in.shape, axes, call.integer("keepdims", 1) != 0), in.type);
  const auto fold = folds().find(call.op());
  if (fold == folds().end() || in.numbers == nullptr || in.numbers->empty()) return;
  if (!call.can_know(kept, {0})) return;
  std::vector<Number> numbers(static_cast<std::size_t>(*element_count(kept)));
  std::vector<bool> begun(numbers.size(), false);
  for_each_index(in.shape, [&](std::span<const std::int64_t> index) {
    const auto to = static_cast<std::size_t>(element_at(kept, index));
    const Number number = in.numbers->at(static_cast<std::size_t>(element_at(in.shape, index)));
    numbers[to] = begun[to] ? fold->second(numbers[to], number) : number;
    begun[to] = true;
  });
  call.give_numbers(0, std::move(numbers));
}

void arg_rule(OnnxCall& call) {
  const Dimensions& shape = call.shape(0, 1);
  const std::set<std::size_t> axes = {call.axis(call.integer("axis", 0), shape.size())};
  call.give(0, reduced_shape(shape, axes, call.integer("keepdims", 1) != 0), kOnnxInt64);
}

void top_k_rule(OnnxCall& call) {
  Dimensions shape = call.shape(0, 1);
  const std::size_t axis = call.axis(call.integer("axis", -1), shape.size());
  const std::int64_t count = call.has(1) ? call.whole_one(1, "k") : call.integer("k", 0);
  if (count < 0 || count > shape[axis]) {
    call.fail(ErrorKind::kFormat, concat("k is ", count, ", the axis has ", shape[axis]));
  }
  shape[axis] = count;
  call.give(0, shape, call.in(0).type);
  call.give(1, shape, kOnnxInt64);
}

void determinant_rule(OnnxCall& call) {
  const Dimensions& shape = call.shape(0, 2);
  call.give(0, {shape.begin(), shape.end() - 2}, call.in(0).type);
}

void cumulative_rule(OnnxCall& call) {
  const OnnxValue& in = call.in(0);
  call.give(0, in.shape, in.type);
  const bool plain = call.op() == "CumSum" && in.shape.size() == 1 &&
                     call.integer("exclusive", 0) == 0 && call.integer("reverse", 0) == 0;
  if (!plain || !call.can_know(in.shape, {0})) return;
  std::vector<Number> numbers = *in.numbers;
  for (std::size_t i = 1; i < numbers.size(); ++i) numbers[i] += numbers[i - 1];
  call.give_numbers(0, std::move(numbers));
}

}  // namespace taut::graph
