#pragma once
// An ONNX model made ready to be walked.

#include <string>
#include <string_view>

#include "graph/onnx_file.h"
#include "graph/onnx_inputs.h"
#include "taut/core/file.h"
#include "taut/graph/model_file.h"

namespace taut::graph {

/// Views of the file's bytes.
struct OnnxModel {
  OnnxFile file;
  OnnxInputs inputs;
  std::string name;
};

/// Reads and checks what concerns no single node. Errors: those of read_onnx().
[[nodiscard]] OnnxModel open_onnx(std::string_view bytes, const std::string& source,
                                  const DimensionSizes& sizes);

/// The bytes of a mapped file.
[[nodiscard]] std::string_view text_of(const MappedFile& file);

/// The folder of a model, where its external values lie.
[[nodiscard]] std::string onnx_folder(const std::string& path);

}  // namespace taut::graph
