#include "graph/onnx_evaluator.h"

#include <algorithm>

#include "graph/onnx_constants.h"
#include "graph/onnx_operators.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::graph {
namespace {

constexpr std::int64_t kMostSteps = std::int64_t{1} << 22;
constexpr int kDeepestBody = 64;
constexpr std::size_t kLongestLabel = 512;
constexpr int kMostAdvice = 1000;  // looking for the nearest name takes time
/// Constants of reals are looked at up to here: scales of Resize, bounds of Range.
constexpr std::int64_t kMostReals = 64;

std::vector<OnnxValue> in_trouble(const OnnxNode& node, std::shared_ptr<const Error> trouble) {
  OnnxValue value;
  value.trouble = std::move(trouble);
  return std::vector<OnnxValue>(node.outputs.size(), value);
}

std::string inner_label(const std::string& prefix, const OnnxNode& node) {
  std::string label = prefix + onnx_label(node);
  if (label.size() > kLongestLabel) label = "..." + label.substr(label.size() - kLongestLabel);
  return label;
}

}  // namespace

OnnxEvaluator::OnnxEvaluator(const OnnxFile& file, OnnxInputs inputs, const std::string& source,
                             const std::string& folder, OnnxTrace* trace)
    : file_(file),
      inputs_(std::move(inputs)),
      source_(source),
      folder_(folder),
      trace_(trace),
      layers_(inputs_.batch, source),
      steps_left_(kMostSteps) {
  for (const OnnxFunction& function : file.functions) {
    functions_.try_emplace({function.domain, function.name, function.overload}, &function);
  }
}

Error OnnxEvaluator::node_error(ErrorKind kind, const std::string& label, const OnnxNode& node,
                                const std::string& what, const std::string& mend) const {
  return Error(kind, concat("node ", label, " (", node.op, "): ", what), source_, mend);
}

void OnnxEvaluator::step(const OnnxNode& node) {
  std::size_t cost = 1 + node.inputs.size() + node.outputs.size() + node.name.size() / 64;
  for (const OnnxAttribute& attribute : node.attributes) {
    cost += 1 + attribute.numbers.size() + attribute.reals.size() + attribute.texts.size();
  }
  for (const std::string_view name : node.inputs) cost += name.size() / 64;
  for (const std::string_view name : node.outputs) cost += name.size() / 64;
  steps_left_ -= static_cast<std::int64_t>(cost);
  if (steps_left_ >= 0) return;
  throw Error(ErrorKind::kUnsupported,
              concat("the model takes more than ", kMostSteps, " steps to read"), source_,
              "functions that call functions multiply: inline fewer");
}

void OnnxEvaluator::add_constants(const OnnxGraphBody& graph, OnnxScope& scope) {
  for (const OnnxTensor& tensor : graph.constants) {
    const std::string owner = concat("constant ", tensor.name);
    check_constant(tensor, owner, source_);
    OnnxValue value{.shape = tensor.dims, .type = tensor.type, .constant = true, .tensor = &tensor};
    const std::int64_t count = *element_count(tensor.dims);
    const bool small = count <= (is_whole_type(tensor.type) ? kMostKnown : kMostReals);
    if (small && tensor.external) value.external = &tensor;
    if (small && !tensor.external && budget_.left > count) {
      budget_.left -= count;
      value.numbers = constant_numbers(tensor, owner, folder_, source_);
    }
    if (trace_ != nullptr) trace_->add_value(value);
    if (!scope.add(tensor.name, std::move(value))) {
      throw Error(ErrorKind::kFormat, concat(owner, " stands twice"), source_);
    }
  }
}

/// Reads a small constant beside the model if it is there; planning does without it.
void OnnxEvaluator::load_external(OnnxValue& value) {
  const OnnxTensor& tensor = *value.external;
  value.external = nullptr;
  try {
    value.numbers = constant_numbers(tensor, concat("constant ", tensor.name), folder_, source_);
  } catch (const Error& error) {
    const bool absent = folder_.empty() || error.kind() == ErrorKind::kNotFound;
    if (!absent) throw;
  }
}

OnnxAttributes OnnxEvaluator::attributes_of(const OnnxNode& node, const Body& body) const {
  OnnxAttributes attributes;
  for (const OnnxAttribute& attribute : node.attributes) {
    const OnnxAttribute* value = &attribute;
    if (!attribute.reference.empty()) {
      const auto given = body.attributes->find(attribute.reference);
      if (given == body.attributes->end()) continue;
      value = given->second;
    }
    attributes[attribute.name] = value;
  }
  return attributes;
}

const OnnxFunction* OnnxEvaluator::function_of(const OnnxNode& node) const {
  const auto found = functions_.find({node.domain, node.op, node.overload});
  return found == functions_.end() ? nullptr : found->second;
}

void OnnxEvaluator::run_nodes(const std::vector<OnnxNode>& nodes, OnnxScope& scope,
                              const Body& body) {
  for (const OnnxNode& node : nodes) run_node(node, scope, body);
}

void OnnxEvaluator::run_node(const OnnxNode& node, OnnxScope& scope, const Body& body) {
  step(node);
  const std::string label = inner_label(body.prefix, node);
  std::vector<OnnxValue> made = evaluate(node, label, scope, body);
  if (trace_ != nullptr) trace_trouble(node, label, scope, made);
  for (std::size_t i = 0; i < node.outputs.size(); ++i) {
    if (node.outputs[i].empty()) continue;
    if (!scope.add(node.outputs[i], std::move(made[i]))) {
      throw node_error(ErrorKind::kFormat, label, node, concat(node.outputs[i], " is made twice"));
    }
  }
}

/// What evaluate() wrote down nothing of: nodes whose outputs are not known.
void OnnxEvaluator::trace_trouble(const OnnxNode& node, const std::string& label,
                                  const OnnxScope& scope, std::vector<OnnxValue>& made) {
  if (made.empty() || made[0].id >= 0 || made[0].trouble == nullptr) return;
  OnnxStep step{.node = &node, .label = label, .trouble = made[0].trouble};
  for (const std::string_view input : node.inputs) {
    const OnnxValue* value = input.empty() ? nullptr : scope.find(input);
    step.inputs.push_back(value == nullptr ? -1 : value->id);
    if (value != nullptr && value->trouble == step.trouble) step.inherited = true;
  }
  trace_->add_step(std::move(step), made);
}

std::vector<OnnxValue> OnnxEvaluator::evaluate(const OnnxNode& node, const std::string& label,
                                               const OnnxScope& scope, const Body& body) {
  for (const std::string_view input : node.inputs) {
    if (input.empty()) continue;
    const OnnxValue* value = scope.find(input);
    if (value == nullptr) {
      return in_trouble(
          node,
          std::make_shared<const Error>(
              ErrorKind::kFormat,
              concat("node ", label, " reads ", input, ", which nothing before it makes"), source_,
              "nodes must stand in the order in which they run, without "
              "cycles"));
    }
    if (value->trouble != nullptr) return in_trouble(node, value->trouble);
  }
  try {
    OnnxAttributes attributes = attributes_of(node, body);
    if (const OnnxFunction* function = function_of(node)) {
      return call_function(*function, node, attributes, label, scope, body);
    }
    const OnnxOperator* known = node.domain.empty() ? onnx_operator(node.op) : nullptr;
    if (known != nullptr) return apply(node, *known, std::move(attributes), label, scope, body);
    if (node.domain.empty() && node.op == "If") {
      return branch(node, attributes, label, scope, body);
    }
    const std::string advice = ++unknown_ < kMostAdvice ? unknown_operator_advice(node) : "";
    throw node_error(
        ErrorKind::kUnsupported, label, node,
        concat("unknown operator ", node.domain, node.domain.empty() ? "" : ".", node.op), advice);
  } catch (const Error& error) {
    if (steps_left_ < 0) throw;
    return in_trouble(node, std::make_shared<const Error>(error));
  }
}

std::vector<OnnxValue> OnnxEvaluator::apply(const OnnxNode& node, const OnnxOperator& known,
                                            OnnxAttributes attributes, const std::string& label,
                                            const OnnxScope& scope, const Body& body) {
  std::vector<const OnnxValue*> inputs;
  std::vector<std::unique_ptr<OnnxValue>> loaded;
  for (const std::string_view input : node.inputs) {
    const OnnxValue* value = input.empty() ? nullptr : scope.find(input);
    if (value != nullptr && value->external != nullptr) {
      loaded.push_back(std::make_unique<OnnxValue>(*value));
      load_external(*loaded.back());
      value = loaded.back().get();
    }
    inputs.push_back(value);
  }
  const auto set = body.sets->find(std::string_view());
  if (node.outputs.empty()) {
    throw node_error(ErrorKind::kFormat, label, node, "it has no output");
  }
  OnnxCall call(node, std::move(attributes), std::move(inputs),
                set == body.sets->end() ? kNewestOperatorSet : set->second, label, source_, folder_,
                budget_);
  known.rule(call);
  layers_.add(call, known.role);
  if (trace_ != nullptr) trace_->add_call(node, call);
  return std::move(call.outputs());
}

std::vector<OnnxValue> OnnxEvaluator::branch(const OnnxNode& node, const OnnxAttributes& attributes,
                                             const std::string& label, const OnnxScope& scope,
                                             const Body& body) {
  const OnnxValue* condition = node.inputs.empty() ? nullptr : scope.find(node.inputs[0]);
  if (condition == nullptr || condition->numbers == nullptr || condition->numbers->size() != 1) {
    throw node_error(ErrorKind::kUnsupported, label, node,
                     "control flow whose condition depends on values that are not known",
                     "export with fixed sizes, or without the branch");
  }
  const bool chosen = condition->numbers->front() != 0;
  const auto found = attributes.find(chosen ? "then_branch" : "else_branch");
  if (found == attributes.end() || found->second->graphs.size() != 1) {
    throw node_error(ErrorKind::kFormat, label, node, "it has no such branch");
  }
  const OnnxGraphBody& graph = found->second->graphs[0];
  if (graph.outputs.size() != node.outputs.size()) {
    throw node_error(ErrorKind::kFormat, label, node,
                     concat("its branch gives ", graph.outputs.size(), " values, the node ",
                            node.outputs.size()));
  }
  if (body.depth >= kDeepestBody) {
    throw node_error(ErrorKind::kUnsupported, label, node, "branches deeper than 64");
  }
  OnnxScope inner(&scope);
  steps_left_ -= static_cast<std::int64_t>(graph.constants.size());
  add_constants(graph, inner);
  run_nodes(graph.nodes, inner,
            {body.sets, body.attributes, inner_label(body.prefix, node) + "/", body.depth + 1});
  std::vector<OnnxValue> made;
  for (const OnnxInfo& output : graph.outputs) {
    const OnnxValue* value = inner.find(output.name);
    if (value == nullptr) {
      throw node_error(ErrorKind::kFormat, label, node,
                       concat("its branch does not make ", output.name));
    }
    made.push_back(*value);
  }
  return made;
}

std::vector<OnnxValue> OnnxEvaluator::call_function(const OnnxFunction& function,
                                                    const OnnxNode& node,
                                                    const OnnxAttributes& attributes,
                                                    const std::string& label,
                                                    const OnnxScope& scope, const Body& body) {
  if (body.depth >= kDeepestBody) {
    throw node_error(ErrorKind::kUnsupported, label, node, "functions deeper than 64");
  }
  if (node.inputs.size() > function.inputs.size() ||
      node.outputs.size() > function.outputs.size()) {
    throw node_error(ErrorKind::kFormat, label, node,
                     concat(node.inputs.size(), " inputs and ", node.outputs.size(),
                            " outputs for a function of ", function.inputs.size(), " and ",
                            function.outputs.size()));
  }
  OnnxAttributes given;
  for (const OnnxAttribute& attribute : function.defaults) given[attribute.name] = &attribute;
  for (const auto& [name, value] : attributes) given[name] = value;
  steps_left_ -= static_cast<std::int64_t>(function.defaults.size() + function.inputs.size());
  OnnxScope inner;
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    const OnnxValue* value = node.inputs[i].empty() ? nullptr : scope.find(node.inputs[i]);
    if (value != nullptr) inner.add(function.inputs[i], OnnxValue(*value));
  }
  run_nodes(function.nodes, inner,
            {function.sets.contains(std::string_view()) ? &function.sets : body.sets, &given,
             label + "/", body.depth + 1});
  std::vector<OnnxValue> made;
  for (std::size_t i = 0; i < node.outputs.size(); ++i) {
    const OnnxValue* value = inner.find(function.outputs[i]);
    if (value == nullptr) {
      throw node_error(ErrorKind::kFormat, label, node,
                       concat("the function does not make ", function.outputs[i]));
    }
    made.push_back(*value);
  }
  return made;
}

void OnnxEvaluator::walk() {
  add_constants(file_.graph, scope_);
  for (auto& [input, value] : inputs_.values) {
    if (trace_ != nullptr) {
      trace_->add_value(value);
      trace_->inputs[input] = value.id;
    }
    scope_.add(input, std::move(value));
  }
  const OnnxAttributes none;
  run_nodes(file_.graph.nodes, scope_, {&file_.sets, &none, {}, 0});
  if (trace_ == nullptr || trace_->is_full) return;
  for (const OnnxValue* output : outputs()) trace_->outputs.push_back(output->id);
}

std::vector<const OnnxValue*> OnnxEvaluator::outputs() const {
  std::vector<const OnnxValue*> values;
  for (const OnnxInfo& output : file_.graph.outputs) {
    const OnnxValue* value = scope_.find(output.name);
    if (value == nullptr) {
      throw Error(ErrorKind::kFormat, concat("no node makes the output ", output.name), source_);
    }
    values.push_back(value);
  }
  return values;
}

Graph OnnxEvaluator::run(const std::string& name) {
  walk();
  std::vector<OnnxValue> made;
  for (const OnnxValue* value : outputs()) {
    if (value->trouble != nullptr) throw Error(*value->trouble);
    made.push_back(*value);
  }
  return layers_.finish(name, made);
}

}  // namespace taut::graph
