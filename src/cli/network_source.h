#pragma once
// What plan, simulate and info take for MODEL, and the network in it.

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/command.h"
#include "taut/graph/graph.h"
#include "taut/graph/model_file.h"
#include "taut/graph/network.h"

namespace taut::cli {

enum class Source {
  kName,     ///< of the zoo
  kToml,     ///< a model: TOML with layers, or another .toml file
  kConfig,   ///< a training config: TOML with a table of data, whatever the file is called
  kOnnx,     ///< .onnx
  kGraph,    ///< a cost graph: .json
  kRun,      ///< a folder with config.toml or network.json
  kFile,     ///< another file that is there: a package, if it can be planned
  kUnknown,  ///< none of these
};

/// Looks at names, extensions and what is on disk; names of the zoo come first.
[[nodiscard]] Source source_of(const std::string& model);

/// The network of a name, model, config, ONNX file, run or package, without values; of a run, a
/// package and an ONNX file of ours with the measured densities, of the first two with the real
/// bytes of their tables. Settings lie over a config.
/// Errors: kNotFound (naming what is missing and the nearest name), kUnsupported (an ONNX file that
/// is no network, a cost graph, a file of ours that holds no network), kConfig (a cluster), those
/// of the readers.
[[nodiscard]] graph::Network source_network(const std::string& model,
                                            std::span<const std::string> settings);

/// Declares --dim NAME=SIZE, which sizes dimensions of an ONNX file.
void add_dimension_option(CLI::App& app, std::vector<std::string>& dimensions);

/// What --dim says. Errors: kConfig, naming the text that is not NAME=SIZE with a size from 1 on,
/// or the name that is given two sizes.
[[nodiscard]] graph::DimensionSizes dimension_sizes(const std::vector<std::string>& dimensions);

/// Throws kConfig, naming a dimension, where a model that is no ONNX file is given sizes.
void refuse_dimensions(const graph::DimensionSizes& sizes, const std::string& model);

/// The cost graph of any source. sizes: for an ONNX file. Errors: kConfig for sizes of another one.
[[nodiscard]] graph::Graph source_graph(const std::string& model,
                                        std::span<const std::string> settings,
                                        const graph::DimensionSizes& sizes);

/// Reads the network of a training config: (path, settings).
using ConfigReader =
    std::function<graph::Network(const std::string&, std::span<const std::string>)>;

/// Who reads training configs in this program: it takes LibTorch. Called once, before commands run.
void set_config_reader(ConfigReader reader);

/// What counts of parameters are of.
inline constexpr std::string_view kParameterWords = " parameters with biases and scales";

/// The network as an object: layers with outputs, parameters, multiply-adds and densities, tables.
[[nodiscard]] nlohmann::json network_info(const graph::Network& network);

/// The same as an aligned table with sums below.
[[nodiscard]] std::string network_text(const graph::Network& network);

}  // namespace taut::cli
