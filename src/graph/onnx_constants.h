#pragma once
// Constants of ONNX files: their checks and their values.

#include <memory>
#include <string>
#include <vector>

#include "graph/onnx_file.h"
#include "graph/onnx_value.h"

namespace taut::graph {

/// Checks sizes (0 to 2^40, at most 2^50 elements, rank at most 32) and that the values in the file
/// are as many as the shape says; floating-point constants may have none (a model without its
/// weights). Errors: kData, kFormat, naming the constant by `owner` and source.
void check_constant(const OnnxTensor& tensor, const std::string& owner, const std::string& source);

/// The values of a checked constant of at most kMostKnown elements; nothing for larger ones, texts,
/// types that are not known and constants without values. External values are read from the file
/// beside the model: folder is the model's, empty where there is none.
/// Errors: kFormat for a place outside of the folder, whatever lies there, and numbers that are
/// none; kNotFound and kIo for a file that cannot be read, kFormat for one that is too short.
[[nodiscard]] std::shared_ptr<const std::vector<Number>> constant_numbers(
    const OnnxTensor& tensor, const std::string& owner, const std::string& folder,
    const std::string& source);

}  // namespace taut::graph
