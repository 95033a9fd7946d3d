#pragma once
// Constants of ONNX files: their checks and their values.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graph/onnx_file.h"
#include "graph/onnx_value.h"
#include "taut/core/file.h"

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

/// Where the values of an external constant lie.
struct ExternalValues {
  std::string path;
  std::string location;  ///< as the model names it
  std::uint64_t offset = 0;
  std::uint64_t length = 0;  ///< as the model says it; 0: it does not
};

/// Errors: those of constant_numbers() for a file that is not there, or not in the folder.
[[nodiscard]] ExternalValues external_values(const OnnxTensor& tensor, const std::string& owner,
                                             const std::string& folder, const std::string& source);

/// The bytes of `count` values in the mapped file. Errors: kFormat for a file that is too short.
[[nodiscard]] std::string_view external_bytes(const ExternalValues& values, const MappedFile& file,
                                              const OnnxTensor& tensor, std::int64_t count,
                                              const std::string& owner, const std::string& source);

/// The bytes in which a constant of the file keeps its values; nothing where they are listed.
[[nodiscard]] std::optional<std::string_view> raw_bytes(const OnnxTensor& tensor);

/// Little-endian values of the type as floats; false where they are another number, or no numbers.
[[nodiscard]] bool decode_raw(std::string_view raw, std::int32_t type, std::span<float> out);

/// The same of a constant whose values are listed.
[[nodiscard]] bool decode_listed(const OnnxTensor& tensor, std::span<float> out);

}  // namespace taut::graph
