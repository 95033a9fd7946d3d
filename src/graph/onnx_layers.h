#pragma once
// From operators to the layers of a planner: what is a layer of its own, what belongs to the layer
// before it, what is read by whom.

#include <cstdint>
#include <string>
#include <vector>

#include "graph/onnx_call.h"
#include "graph/onnx_operators.h"
#include "graph/unique_names.h"
#include "taut/graph/graph.h"

namespace taut::graph {

class OnnxLayers {
 public:
  /// batch: samples in the tensors, whose counts become those of one sample.
  OnnxLayers(std::int64_t batch, const std::string& source) : batch_(batch), source_(source) {}

  /// Says of the outputs of an operator, whose rule has run, which layer they come from; adds one
  /// where the operator is one. Errors: kFormat, kData (empty weights), kUnsupported above 65,536
  /// layers, naming the node; nothing is added then.
  void add(OnnxCall& call, const OnnxRole& role);

  /// The graph of the layers that the outputs depend on, with a loss behind them.
  /// Errors: kFormat, if no layer is left.
  [[nodiscard]] Graph finish(const std::string& name, const std::vector<OnnxValue>& outputs);

 private:
  std::int64_t words(const OnnxValue& value) const;
  std::int64_t of_sample(std::int64_t count) const;
  void pass(OnnxCall& call, const OnnxValue& from, bool selection);
  void weighted(OnnxCall& call, const std::vector<int>& moving);
  void embedding(OnnxCall& call, const std::vector<int>& moving);
  void joined(OnnxCall& call, const std::vector<int>& moving);
  void append(OnnxCall& call, Node node, const std::vector<int>& inputs);
  void connect(int reader, const OnnxValue& value);
  void drop_unread();

  std::int64_t batch_;
  const std::string& source_;
  std::vector<Node> nodes_;
  std::vector<Edge> edges_;
  std::vector<GraphTable> tables_;
  UniqueNames names_;
};

}  // namespace taut::graph
