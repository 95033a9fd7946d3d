// ONNX in: the file is read by our own eyes (onnx_wire, onnx_file), shapes are worked out by our
// own rules (onnx_operators and what it names), so that no newer file and no forged one needs more
// of a library than it has.
#include <filesystem>
#include <string>

#include "graph/onnx_reader.h"

#include "graph/onnx_evaluator.h"
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

}  // namespace

std::string_view text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

OnnxModel open_onnx(std::string_view bytes, const std::string& source,
                    const DimensionSizes& sizes) {
  if (bytes.size() > kLargestFile) {
    throw Error(ErrorKind::kFormat, concat("the model is ", bytes.size(), " bytes, above 1 GiB"),
                source, "save the weights as external data");
  }
  OnnxModel model{.file = parse_onnx_file(bytes, source), .inputs = {}, .name = {}};
  const OnnxGraphBody& graph = model.file.graph;
  if (graph.nodes.empty()) {
    throw Error(ErrorKind::kFormat, "the ONNX model has no nodes", source);
  }
  check_operator_set(model.file, source);
  model.inputs = size_inputs(graph, sizes, source);
  model.name = graph.name.empty() ? source : std::string(graph.name.substr(0, 256));
  return model;
}

std::string onnx_folder(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

Graph parse_onnx(std::string_view bytes, const std::string& source, const DimensionSizes& sizes) {
  OnnxModel model = open_onnx(bytes, source, sizes);
  return OnnxEvaluator(model.file, std::move(model.inputs), source, {}).run(model.name);
}

Graph read_onnx(const std::string& path, const DimensionSizes& sizes) {
  const MappedFile file(path);
  OnnxModel model = open_onnx(text_of(file), path, sizes);
  const std::string folder = onnx_folder(path);
  return OnnxEvaluator(model.file, std::move(model.inputs), path, folder).run(model.name);
}

}  // namespace taut::graph
