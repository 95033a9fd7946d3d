#pragma once
// Known networks by name, and models from files.

#include <span>
#include <string>
#include <string_view>

#include "taut/graph/graph.h"
#include "taut/graph/model_file.h"

namespace taut::graph {

/// Names of all networks, in the order of docs: the ten of HyPar (arXiv 1901.02067, section 5 of
/// parallel.md), then classics, residual networks, transformers and a recommender.
[[nodiscard]] std::span<const std::string> zoo_names();

/// The ten networks of HyPar's figures, in their order.
[[nodiscard]] std::span<const std::string> hypar_names();

/// A network of the zoo. Errors: kNotFound with the nearest names.
[[nodiscard]] Graph zoo_model(std::string_view name);

/// What a user writes for MODEL: a name of the zoo, or the path of an .onnx or .toml file. sizes
/// are for symbolic dimensions of an ONNX file. Errors: kNotFound (neither a name nor a file of
/// these kinds), and those of the readers.
[[nodiscard]] Graph load_model(const std::string& name_or_path, const DimensionSizes& sizes = {});

}  // namespace taut::graph
