#pragma once
// Shape inference by the onnx library, kept away from us. Needs ONNX_ML and ONNX_NAMESPACE.

#include <onnx/onnx_pb.h>
#include <string>

namespace taut::graph {

/// Fills in the shapes of all tensors. The library trusts its input (a window of another rank than
/// its image makes it read past its arrays), so it runs in a child process, at most a minute: what
/// kills the child is an error here. Errors: kFormat (shapes that do not agree, a child that died),
/// kIo (no child could be started).
void infer_onnx_shapes(onnx::ModelProto& model, const std::string& source);

}  // namespace taut::graph
