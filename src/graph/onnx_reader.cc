// ONNX in: the file is read by our own eyes (onnx_wire, onnx_file), shapes are worked out by our
// own rules (onnx_operators and what it names), so that no newer file and no forged one needs more
// of a library than it has.
#include <filesystem>
#include <string>

#include "graph/onnx_evaluator.h"
#include "graph/onnx_file.h"
#include "graph/onnx_inputs.h"
#include "taut/core/error.h"
#include "taut/core/file.h"
#include "taut/core/text.h"
#include "taut/graph/model_file.h"

namespace taut::graph {
namespace {

constexpr std::size_t kLargestFile = std::size_t{1} << 30;

void check_operator_set(const OnnxFile& file, const std::string& source) {
  const auto found = file.sets.find(std::string_view());
  if (found == file.sets.end()) {
    throw Error(ErrorKind::kFormat, "the ONNX model names no operator set", source);
  }
  if (found->second > kNewestOperatorSet) {
    throw Error(
        ErrorKind::kUnsupported,
        concat("operator set ", found->second, ", this build reads up to ", kNewestOperatorSet),
        source, concat("export with opset_version=", kNewestOperatorSet));
  }
  if (found->second < 1) {
    throw Error(ErrorKind::kFormat, concat("operator set ", found->second), source);
  }
}

/// The graph of a model whose external constants lie in folder; empty: nowhere.
Graph read_model(std::string_view bytes, const std::string& source, const DimensionSizes& sizes,
                 const std::string& folder) {
  if (bytes.size() > kLargestFile) {
    throw Error(ErrorKind::kFormat, concat("the model is ", bytes.size(), " bytes, above 1 GiB"),
                source, "save the weights as external data");
  }
  const OnnxFile file = parse_onnx_file(bytes, source);
  if (file.graph.nodes.empty()) {
    throw Error(ErrorKind::kFormat, "the ONNX model has no nodes", source);
  }
  check_operator_set(file, source);
  const std::string name =
      file.graph.name.empty() ? source : std::string(file.graph.name.substr(0, 256));
  return OnnxEvaluator(file, size_inputs(file.graph, sizes, source), source, folder).run(name);
}

}  // namespace

Graph parse_onnx(std::string_view bytes, const std::string& source, const DimensionSizes& sizes) {
  return read_model(bytes, source, sizes, {});
}

Graph read_onnx(const std::string& path, const DimensionSizes& sizes) {
  const MappedFile file(path);
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return read_model({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()}, path,
                    sizes, folder.empty() ? "." : folder);
}

}  // namespace taut::graph
