#pragma once
// Walks an ONNX model once, in the order of its nodes: functions and the chosen branches of If are
// entered, shapes worked out, layers collected.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "graph/onnx_call.h"
#include "graph/onnx_file.h"
#include "graph/onnx_inputs.h"
#include "graph/onnx_layers.h"
#include "graph/onnx_trace.h"

namespace taut::graph {

/// Values by name: those of a graph, with those of the graph around it behind them.
class OnnxScope {
 public:
  explicit OnnxScope(const OnnxScope* around = nullptr) : around_(around) {}

  [[nodiscard]] const OnnxValue* find(std::string_view name) const {
    const auto found = values_.find(name);
    if (found != values_.end()) return &found->second;
    return around_ == nullptr ? nullptr : around_->find(name);
  }
  /// False, if this graph has a value of the name.
  bool add(std::string_view name, OnnxValue&& value) {
    return values_.try_emplace(name, std::move(value)).second;
  }

 private:
  std::map<std::string_view, OnnxValue> values_;
  const OnnxScope* around_;
};

/// A node whose shape cannot be worked out gives values that carry the reason; it is an error only
/// where an output of the model depends on one, so that dead branches do no harm.
class OnnxEvaluator {
 public:
  /// folder: where external constants lie; empty: nowhere. trace: where what is walked is written
  /// down, if anybody reads it.
  OnnxEvaluator(const OnnxFile& file, OnnxInputs inputs, const std::string& source,
                const std::string& folder, OnnxTrace* trace = nullptr);

  /// Errors: those of rules and layers; kFormat (a node reads what no earlier one makes, a value
  /// made twice); kUnsupported (operators that are not known, control flow that depends on the
  /// input, functions deeper than 64, more than 2^22 steps).
  [[nodiscard]] Graph run(const std::string& name);
  /// Fills the trace alone: operators that are not known are values in trouble there. Errors: those
  /// that concern no single node; kFormat for an output that nothing makes.
  void walk();

 private:
  /// What holds for the nodes of one graph or function.
  struct Body {
    const OnnxSets* sets;
    const OnnxAttributes* attributes;  ///< of the function's call
    std::string prefix;                ///< of labels
    int depth = 0;
  };

  void add_constants(const OnnxGraphBody& graph, OnnxScope& scope);
  void run_nodes(const std::vector<OnnxNode>& nodes, OnnxScope& scope, const Body& body);
  void run_node(const OnnxNode& node, OnnxScope& scope, const Body& body);
  void trace_trouble(const OnnxNode& node, const std::string& label, const OnnxScope& scope,
                     std::vector<OnnxValue>& made);
  std::vector<OnnxValue> evaluate(const OnnxNode& node, const std::string& label,
                                  const OnnxScope& scope, const Body& body);
  std::vector<OnnxValue> apply(const OnnxNode& node, const OnnxOperator& known,
                               OnnxAttributes attributes, const std::string& label,
                               const OnnxScope& scope, const Body& body);
  std::vector<OnnxValue> branch(const OnnxNode& node, const OnnxAttributes& attributes,
                                const std::string& label, const OnnxScope& scope, const Body& body);
  std::vector<OnnxValue> call_function(const OnnxFunction& function, const OnnxNode& node,
                                       const OnnxAttributes& attributes, const std::string& label,
                                       const OnnxScope& scope, const Body& body);
  std::vector<const OnnxValue*> outputs() const;
  const OnnxFunction* function_of(const OnnxNode& node) const;
  OnnxAttributes attributes_of(const OnnxNode& node, const Body& body) const;
  void load_external(OnnxValue& value);
  void step(const OnnxNode& node);
  Error node_error(ErrorKind kind, const std::string& label, const OnnxNode& node,
                   const std::string& what, const std::string& mend = {}) const;

  const OnnxFile& file_;
  OnnxInputs inputs_;
  const std::string& source_;
  const std::string& folder_;
  OnnxTrace* trace_;
  OnnxScope scope_;
  OnnxLayers layers_;
  NumberBudget budget_;
  std::int64_t steps_left_;
  int unknown_ = 0;  ///< operators that were not known
  std::map<std::tuple<std::string_view, std::string_view, std::string_view>, const OnnxFunction*>
      functions_;
};

}  // namespace taut::graph
