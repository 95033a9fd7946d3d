#pragma once
// Which ONNX operators the reader knows: how their shapes follow, and what they are to a planner.

#include <string>
#include <string_view>

#include "graph/onnx_call.h"

namespace taut::graph {

enum class OnnxRole {
  kFolded,      ///< belongs to the layer before it, or joins layers; a layer if it is a product
  kGather,      ///< rows of a table, or a selection of an activation
  kGlobalPool,  ///< a reduction over positions: an element-wise node
  kSelection,   ///< gives a part of its input
  kConstant,    ///< depends on shapes or attributes only
};

struct OnnxOperator {
  OnnxRule rule = nullptr;
  OnnxRole role = OnnxRole::kFolded;
};

/// The operator of the default domain; null when the reader does not know it.
[[nodiscard]] const OnnxOperator* onnx_operator(std::string_view op_type);

/// Why an operator cannot be read and what to do, for errors: control flow, sequences, other
/// domains, the nearest known name.
[[nodiscard]] std::string unknown_operator_advice(const OnnxNode& node);

}  // namespace taut::graph
