#pragma once
// Trained networks as ONNX files whose winners are chosen by standard operators.

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

/// Writes the model as ONNX, operator set 17, default domain alone. Of images: input "image" [N,
/// channels, height, width] float, normalized; output "logits" [N, classes]. Of a recommender:
/// inputs "dense" [N, columns], scaled (where it has dense columns), and for each embedding layer
/// the pooled rows [N, tables, dim] under the layer's name ("embedding"): the tables are not part
/// of the file; output "logits" [N, 1]. Nodes have the names of their layers. Batch normalizations
/// stay nodes of their own. Winners: Abs (and the score's reduction), TopK of winner_count units, a
/// mask of those above zero, Where. TopK of ONNX lets the lower index win among equals, as ours
/// does. What passes through 8 bits goes through QuantizeLinear and DequantizeLinear; weights are
/// kept as codes with a scale for each output. The meaning of the input, winner policy, measured
/// densities and facts are metadata of the model.
/// Errors: kInvalidArgument (check_model), kUnsupported above 2 GiB, kIo.
OnnxContents write_onnx(const std::string& path, const Model& model);

}  // namespace taut::infer
