#pragma once
// Which ONNX operators the reader knows and what they are to a planner.

#include <optional>
#include <string_view>

namespace taut::graph {

enum class OnnxRole {
  kProduct,     ///< convolution or matrix product: a layer with weights, or of two activations
  kGather,      ///< rows of a table, or a selection of an activation
  kGlobalPool,  ///< a reduction over positions: an element-wise node
  kFolded,      ///< belongs to the layer before it, or joins layers
  kSelection,   ///< gives a part of its input
  kConstant,    ///< depends on shapes or attributes only
};

/// The role of an operator of the default domain; nothing when the reader does not know it.
[[nodiscard]] std::optional<OnnxRole> onnx_operator_role(std::string_view op_type);

}  // namespace taut::graph
