#pragma once
// Networks for images as ONNX files whose winners are chosen by standard operators.

#include <map>
#include <string>

#include "taut/core/units.h"
#include "taut/infer/model.h"

namespace taut::infer {

/// What an ONNX file of ours holds.
struct OnnxContents {
  Bytes size;
  int operator_set = 0;
  std::map<std::string, int> operators;  ///< how often each is used
};

/// Writes the model as ONNX, operator set 17, default domain alone. Input "image" [N, channels,
/// height, width] float, normalized; output "logits" [N, classes]. Batch normalizations stay nodes
/// of their own. Winners: Abs (and the score's reduction), TopK of winner_count units, a mask of
/// those above zero, Where. TopK of ONNX lets the lower index win among equals, as ours does. What
/// passes through 8 bits goes through QuantizeLinear and DequantizeLinear; weights are kept as
/// codes with a scale for each output. The normalization, class names, winner policy and facts are
/// metadata of the model.
/// Errors: kInvalidArgument (check_model), kUnsupported for recommenders and above 2 GiB, kIo.
OnnxContents write_onnx(const std::string& path, const Model& model);

}  // namespace taut::infer
