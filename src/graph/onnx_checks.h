#pragma once
// What must hold before a model goes to the onnx library's shape inference, which trusts its input.
// Needs ONNX_ML and ONNX_NAMESPACE to be defined.

#include <onnx/onnx_pb.h>
#include <string>

namespace taut::graph {

/// The name of a node, else of its first output.
[[nodiscard]] std::string onnx_label(const onnx::NodeProto& node);

/// Checks operators (known, with the inputs and attributes of their schema), attributes (strides,
/// windows and groups of at least 1, all numbers of sane size) and constants (sizes that agree with
/// their data). Errors: kUnsupported and kFormat, naming node, operator or tensor.
void check_onnx(const onnx::ModelProto& model, const std::string& source);

}  // namespace taut::graph
