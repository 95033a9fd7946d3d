#include "graph/onnx_operators.h"

#include <map>

namespace taut::graph {

std::optional<OnnxRole> onnx_operator_role(std::string_view op_type) {
  static const std::map<std::string_view, OnnxRole> known_roles = [] {
    std::map<std::string_view, OnnxRole> roles;
    const auto set = [&](OnnxRole role, std::initializer_list<std::string_view> names) {
      for (const std::string_view name : names) roles[name] = role;
    };
    set(OnnxRole::kProduct, {"Conv", "ConvTranspose", "Gemm", "MatMul"});
    set(OnnxRole::kGather, {"Gather"});
    set(OnnxRole::kGlobalPool,
        {"GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "ReduceMax", "ReduceSum"});
    set(OnnxRole::kSelection, {"Slice", "Split"});
    set(OnnxRole::kConstant, {"Constant", "ConstantOfShape", "Shape", "Size", "Range"});
    set(OnnxRole::kFolded, {"Abs",
                            "Add",
                            "And",
                            "AveragePool",
                            "BatchNormalization",
                            "Cast",
                            "Ceil",
                            "Celu",
                            "Clip",
                            "Concat",
                            "Cos",
                            "CumSum",
                            "DequantizeLinear",
                            "Div",
                            "Dropout",
                            "Elu",
                            "Equal",
                            "Erf",
                            "Exp",
                            "Expand",
                            "Flatten",
                            "Floor",
                            "Gelu",
                            "Greater",
                            "GreaterOrEqual",
                            "GroupNormalization",
                            "HardSigmoid",
                            "HardSwish",
                            "Identity",
                            "InstanceNormalization",
                            "LRN",
                            "LayerNormalization",
                            "LeakyRelu",
                            "Less",
                            "LessOrEqual",
                            "Log",
                            "LogSoftmax",
                            "LpNormalization",
                            "Max",
                            "MaxPool",
                            "Mean",
                            "Min",
                            "Mish",
                            "Mod",
                            "Mul",
                            "Neg",
                            "Not",
                            "Or",
                            "PRelu",
                            "Pad",
                            "Pow",
                            "QuantizeLinear",
                            "Reciprocal",
                            "Relu",
                            "Reshape",
                            "Resize",
                            "Round",
                            "ScatterElements",
                            "Selu",
                            "Sigmoid",
                            "Sign",
                            "Sin",
                            "Softmax",
                            "Softplus",
                            "Softsign",
                            "Sqrt",
                            "Squeeze",
                            "Sub",
                            "Sum",
                            "Tanh",
                            "ThresholdedRelu",
                            "Tile",
                            "TopK",
                            "Transpose",
                            "Trilu",
                            "Unsqueeze",
                            "Upsample",
                            "Where"});
    return roles;
  }();
  const auto found = known_roles.find(op_type);
  if (found == known_roles.end()) return std::nullopt;
  return found->second;
}

}  // namespace taut::graph
