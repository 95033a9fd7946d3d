#pragma once
// The sizes of an ONNX model's inputs: those of the file, those that the caller gives, the batch.

#include <map>
#include <string>
#include <string_view>

#include "graph/onnx_file.h"
#include "graph/onnx_value.h"
#include "taut/graph/model_file.h"

namespace taut::graph {

struct OnnxInputs {
  std::map<std::string_view, OnnxValue> values;  ///< of inputs that are not constants
  std::int64_t batch = 1;                        ///< samples in the tensors
};

/// Sizes every dimension. One without a size in the file takes it from sizes, by its name or as
/// INPUT.INDEX. A first one that nobody sizes is the batch, 1, and so are all of its name; not so
/// where its name is that of an inner dimension and another name is the batch's (a mask [seq,
/// seq]). The batch is the first dimension of the first input that leaves it open, else of the
/// first input; the second one of a sequence that a recurrent layer reads as it is. Errors: kData,
/// naming input and dimension (no size, above 2^40), kConfig for a name in sizes that no dimension
/// has.
[[nodiscard]] OnnxInputs size_inputs(const OnnxGraphBody& graph, const DimensionSizes& sizes,
                                     const std::string& source);

}  // namespace taut::graph
