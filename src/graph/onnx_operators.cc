#include "graph/onnx_operators.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <map>

#include "graph/onnx_rules.h"
#include "taut/core/text.h"

namespace taut::graph {
namespace {

using Operators = std::map<std::string_view, OnnxOperator>;

Operators make_operators() {
  Operators known;
  const auto set = [&](OnnxRule rule, OnnxRole role,
                       std::initializer_list<std::string_view> names) {
    for (const std::string_view name : names) known[name] = {rule, role};
  };
  const auto fold = [&](OnnxRule rule, std::initializer_list<std::string_view> names) {
    set(rule, OnnxRole::kFolded, names);
  };
  fold(unary_rule, {"Abs",
                    "Acos",
                    "Acosh",
                    "Asin",
                    "Asinh",
                    "Atan",
                    "Atanh",
                    "Bernoulli",
                    "BitwiseNot",
                    "Ceil",
                    "Celu",
                    "Clip",
                    "Cos",
                    "Cosh",
                    "Dropout",
                    "Elu",
                    "Erf",
                    "Exp",
                    "Floor",
                    "Gelu",
                    "HardSigmoid",
                    "HardSwish",
                    "Hardmax",
                    "Identity",
                    "IsInf",
                    "IsNaN",
                    "LeakyRelu",
                    "Log",
                    "LogSoftmax",
                    "Mish",
                    "Neg",
                    "Not",
                    "PRelu",
                    "Reciprocal",
                    "Relu",
                    "ReverseSequence",
                    "RotaryEmbedding",
                    "Round",
                    "Scatter",
                    "ScatterElements",
                    "Selu",
                    "Shrink",
                    "Sigmoid",
                    "Sign",
                    "Sin",
                    "Sinh",
                    "Softmax",
                    "Softplus",
                    "Softsign",
                    "Sqrt",
                    "SwiGLU",
                    "Swish",
                    "Tan",
                    "Tanh",
                    "TensorScatter",
                    "ThresholdedRelu"});
  fold(triangle_rule, {"Trilu"});
  fold(broadcast_rule, {"Add",        "And",         "BitShift", "BitwiseAnd", "BitwiseOr",
                        "BitwiseXor", "Div",         "Equal",    "Greater",    "GreaterOrEqual",
                        "Less",       "LessOrEqual", "Max",      "Mean",       "Min",
                        "Mod",        "Mul",         "Or",       "Pow",        "Sub",
                        "Sum",        "Xor"});
  fold(where_rule, {"Where"});
  fold(cast_rule, {"BitCast", "Cast", "CastLike"});
  fold(normalization_rule,
       {"BatchNormalization", "GroupNormalization", "InstanceNormalization", "LRN",
        "LayerNormalization", "LpNormalization", "MeanVarianceNormalization", "RMSNormalization"});
  fold(quantize_rule, {"DequantizeLinear", "QuantizeLinear"});
  fold(dynamic_quantize_rule, {"DynamicQuantizeLinear"});
  fold(cumulative_rule, {"CumProd", "CumSum"});
  fold(top_k_rule, {"TopK"});
  fold(determinant_rule, {"Det"});
  fold(one_hot_rule, {"OneHot"});
  fold(reshape_rule, {"Reshape"});
  fold(flatten_rule, {"Flatten"});
  fold(squeeze_rule, {"Squeeze"});
  fold(unsqueeze_rule, {"Unsqueeze"});
  fold(transpose_rule, {"Transpose"});
  fold(expand_rule, {"Expand"});
  fold(tile_rule, {"Tile"});
  fold(pad_rule, {"Pad"});
  fold(depth_to_space_rule, {"DepthToSpace"});
  fold(space_to_depth_rule, {"SpaceToDepth"});
  fold(concat_rule, {"Concat"});
  fold(scatter_nd_rule, {"ScatterND"});
  fold(pool_rule, {"AveragePool", "LpPool", "MaxPool"});
  fold(unpool_rule, {"MaxUnpool"});
  fold(roi_rule, {"MaxRoiPool", "RoiAlign"});
  fold(resize_rule, {"Resize", "Upsample"});
  fold(grid_sample_rule, {"GridSample"});
  fold(affine_grid_rule, {"AffineGrid"});
  fold(column_to_image_rule, {"Col2Im"});
  fold(crop_pad_rule, {"CenterCropPad"});
  fold(conv_rule, {"Conv", "ConvInteger", "DeformConv", "QLinearConv"});
  fold(conv_transpose_rule, {"ConvTranspose"});
  fold(matmul_rule, {"MatMul", "MatMulInteger", "QLinearMatMul"});
  fold(gemm_rule, {"Gemm"});
  fold(einsum_rule, {"Einsum"});
  fold(recurrent_rule, {"GRU", "LSTM", "RNN"});
  fold(attention_rule, {"Attention"});
  fold(stft_rule, {"STFT"});
  fold(dft_rule, {"DFT"});
  fold(non_zero_rule, {"NonZero"});
  fold(value_dependent_rule, {"NonMaxSuppression", "Unique"});
  set(gather_rule, OnnxRole::kGather, {"Gather"});
  set(reduce_rule, OnnxRole::kGlobalPool,
      {"ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean",
       "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare"});
  set(arg_rule, OnnxRole::kGlobalPool, {"ArgMax", "ArgMin"});
  set(global_pool_rule, OnnxRole::kGlobalPool,
      {"GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool"});
  set(slice_rule, OnnxRole::kSelection, {"Slice"});
  set(split_rule, OnnxRole::kSelection, {"Split"});
  set(gather_elements_rule, OnnxRole::kSelection, {"GatherElements"});
  set(gather_nd_rule, OnnxRole::kSelection, {"GatherND"});
  set(compress_rule, OnnxRole::kSelection, {"Compress"});
  set(constant_rule, OnnxRole::kConstant, {"Constant"});
  set(constant_of_shape_rule, OnnxRole::kConstant, {"ConstantOfShape"});
  set(shape_rule, OnnxRole::kConstant, {"Shape"});
  set(size_rule, OnnxRole::kConstant, {"Size"});
  set(range_rule, OnnxRole::kConstant, {"Range"});
  set(random_rule, OnnxRole::kConstant,
      {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"});
  set(eye_rule, OnnxRole::kConstant, {"EyeLike"});
  set(window_rule, OnnxRole::kConstant,
      {"BlackmanWindow", "HammingWindow", "HannWindow", "MelWeightMatrix"});
  return known;
}

const Operators& operators() {
  static const Operators known = make_operators();
  return known;
}

}  // namespace

const OnnxOperator* onnx_operator(std::string_view op_type) {
  const auto found = operators().find(op_type);
  return found == operators().end() ? nullptr : &found->second;
}

std::string unknown_operator_advice(const OnnxNode& node) {
  static constexpr std::array<std::string_view, 3> kLoops = {"Loop", "Scan", "SequenceMap"};
  if (std::find(kLoops.begin(), kLoops.end(), node.op) != kLoops.end()) {
    return "control flow is not read: unroll it before export";
  }
  if (!node.domain.empty()) {
    return "operators of the default domain and functions of the model are read: export without "
           "an optimizer of a runtime, or give the model a function of this name";
  }
  std::vector<std::string> names;
  for (const auto& [name, operation] : operators()) names.emplace_back(name);
  const std::string near = nearest_name(std::string(node.op.substr(0, 64)), names);
  return near.empty() ? "docs/parallel.md lists the operators that are read"
                      : concat("did you mean ", near, "?");
}

}  // namespace taut::graph
