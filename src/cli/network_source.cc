#include "cli/network_source.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include "cli/planning.h"
#include "cli/toml_kind.h"
#include "taut/core/error.h"
#include "taut/core/file.h"
#include "taut/core/text.h"
#include "taut/embedding/options.h"
#include "taut/graph/cost_graph.h"
#include "taut/graph/graph_json.h"
#include "taut/graph/network_json.h"
#include "taut/graph/onnx_network.h"
#include "taut/graph/zoo.h"
#include "taut/infer/package.h"

namespace taut::cli {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

ConfigReader& config_reader() {
  static ConfigReader reader;
  return reader;
}

graph::Network run_network(const std::string& run) {
  const std::string path = (fs::path(run) / graph::kNetworkFile).string();
  if (!fs::exists(path)) {
    throw Error(ErrorKind::kNotFound, concat("the run has no ", graph::kNetworkFile), run,
                "it is written when training begins; or give the run's config.toml");
  }
  return graph::parse_network_json(read_file(path), path);
}

graph::Network file_network(const std::string& path) {
  const SectionIdentity identity = identify_sections(path);
  if (identity.kind == infer::kPackageKind) {
    const SectionReader file(path, identity.kind, identity.version);
    if (file.has(graph::kNetworkSection)) {
      return graph::parse_network_json(file.text(graph::kNetworkSection), path);
    }
  }
  throw Error(ErrorKind::kUnsupported,
              concat("a file of kind ", identity.kind, " that describes no network"), path,
              "give a package (taut export), a run, a config or a model");
}

graph::Network toml_network(const std::string& path) {
  expect_toml(path, TomlKind::kModel);
  return graph::parse_model_toml(read_file(path), path);
}

graph::Network onnx_network(const std::string& path) {
  graph::Network network = graph::read_onnx_network(path).network;
  network.values.clear();  // they go with what was read
  return network;
}

double share_behind(const graph::Network& network, const graph::Layer& layer) {
  if (layer.winner_site < 0) return 1;
  const auto site = static_cast<std::size_t>(layer.winner_site);
  if (!network.densities.empty()) return network.densities.at(site);
  return network.winners.rates.empty() ? 1 : network.winners.rates.at(site);
}

std::int64_t table_bytes(const graph::Table& table) {
  return table.bytes > 0 ? table.bytes : embedding::full_bytes(table.rows, table.dim).count;
}

}  // namespace

Source source_of(const std::string& model) {
  const auto names = graph::network_names();
  if (std::find(names.begin(), names.end(), model) != names.end()) return Source::kName;
  const fs::path path(model);
  if (path.extension() == ".onnx") return Source::kOnnx;
  if (path.extension() == ".json") return Source::kGraph;
  const std::optional<TomlKind> kind = toml_kind(model);
  if (kind == TomlKind::kConfig) return Source::kConfig;
  if (kind || path.extension() == ".toml") return Source::kToml;
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    const bool run = fs::exists(path / "config.toml") || fs::exists(path / graph::kNetworkFile);
    return run ? Source::kRun : Source::kUnknown;
  }
  return fs::exists(path, ignored) ? Source::kFile : Source::kUnknown;
}

graph::Network source_network(const std::string& model, std::span<const std::string> settings) {
  switch (source_of(model)) {
    case Source::kRun:
      return run_network(model);
    case Source::kFile:
      return file_network(model);
    case Source::kConfig:
      TAUT_ASSERT(config_reader());
      return config_reader()(model, settings);
    case Source::kOnnx:
      return onnx_network(model);
    case Source::kToml:
      return toml_network(model);
    case Source::kGraph:
      throw Error(ErrorKind::kUnsupported, "a cost graph tells of no network", model,
                  "taut plan, simulate and info take it");
    case Source::kName:
    case Source::kUnknown:
      break;
  }
  return graph::load_network(model);
}

void add_dimension_option(CLI::App& app, std::vector<std::string>& dimensions) {
  app.add_option(
      "--dim", dimensions,
      "Size of a dimension that an ONNX file leaves open: NAME=SIZE, or INPUT.INDEX=SIZE");
}

graph::DimensionSizes dimension_sizes(const std::vector<std::string>& dimensions) {
  graph::DimensionSizes sizes;
  for (const std::string& dimension : dimensions) {
    const std::size_t equals = dimension.rfind('=');
    const char* digits = dimension.c_str() + (equals == std::string::npos ? 0 : equals + 1);
    char* end = nullptr;
    errno = 0;
    const long long size = std::strtoll(digits, &end, 10);
    if (equals == std::string::npos || equals == 0 || size < 1 || *end != '\0' || errno != 0) {
      throw Error(ErrorKind::kConfig, concat("--dim ", dimension, " is not NAME=SIZE"));
    }
    const std::string name = dimension.substr(0, equals);
    const auto [at, added] = sizes.try_emplace(name, size);
    if (!added && at->second != size) {
      throw Error(ErrorKind::kConfig,
                  concat("--dim gives ", name, " two sizes, ", at->second, " and ", size));
    }
  }
  return sizes;
}

void refuse_dimensions(const graph::DimensionSizes& sizes, const std::string& model) {
  if (sizes.empty()) return;
  throw Error(ErrorKind::kConfig, concat("--dim ", sizes.begin()->first, " is for ONNX files"),
              model, "leave it out");
}

graph::Graph source_graph(const std::string& model, std::span<const std::string> settings,
                          const graph::DimensionSizes& sizes) {
  if (source_of(model) == Source::kOnnx) return graph::summarize_onnx(model, sizes).graph;
  refuse_dimensions(sizes, model);
  if (source_of(model) == Source::kGraph) return graph::parse_graph_json(read_file(model), model);
  return graph::cost_graph(source_network(model, settings));
}

void set_config_reader(ConfigReader reader) {
  config_reader() = std::move(reader);
}

json network_info(const graph::Network& network) {
  json layers = json::array();
  double work = 0;
  for (const graph::Layer& layer : network.layers) {
    json entry = {{"name", layer.name},
                  {"op", to_string(layer.op)},
                  {"output", {layer.out.channels, layer.out.height, layer.out.width}},
                  {"parameters", graph::parameter_count(layer)},
                  {"multiply_adds", graph::multiply_adds(layer)}};
    if (layer.winner_site >= 0) entry["density"] = share_behind(network, layer);
    layers.push_back(std::move(entry));
    work += graph::multiply_adds(layer);
  }
  json tables = json::array();
  std::int64_t bytes = 0;
  for (const graph::Table& table : network.tables) {
    tables.push_back({{"name", table.name},
                      {"rows", table.rows},
                      {"dim", table.dim},
                      {"bytes", table_bytes(table)}});
    bytes += table_bytes(table);
  }
  const graph::Winners& winners = network.winners;
  return {{"name", network.name},
          {"winners",
           {{"unit", to_string(winners.unit)},
            {"score", to_string(winners.score)},
            {"block", winners.block},
            {"rates", winners.rates}}},
          {"layers", layers},
          {"parameters", graph::parameter_count(network)},
          {"multiply_adds", work},
          {"tables", tables},
          {"table_bytes", bytes},
          {"measured", !network.densities.empty()}};
}

std::string network_text(const graph::Network& network) {
  const json info = network_info(network);
  std::vector<std::vector<std::string>> rows = {
      {"layer", "op", "output", "parameters", "multiply-adds", "not zero"}};
  for (const json& layer : info["layers"]) {
    const json& out = layer["output"];
    rows.push_back(
        {layer["name"], layer["op"], concat(out[0], " x ", out[1], " x ", out[2]),
         layer["parameters"].dump(), fixed_text(layer["multiply_adds"].get<double>(), 0),
         layer.contains("density") ? fixed_text(layer["density"].get<double>(), 4) : ""});
  }
  std::string text =
      aligned_table(rows) + concat("\n", network.name, ": ", info["parameters"], kParameterWords,
                                   ", ", fixed_text(info["multiply_adds"].get<double>(), 0),
                                   " multiply-adds an example\n");
  if (network.tables.empty()) return text;
  rows = {{"table", "rows", "dim", "bytes"}};
  for (const json& table : info["tables"]) {
    rows.push_back({table["name"], table["rows"].dump(), table["dim"].dump(),
                    bytes_text(table["bytes"].get<double>())});
  }
  return text + "\n" + aligned_table(rows) +
         concat("\n", network.tables.size(), " tables of ",
                bytes_text(info["table_bytes"].get<double>()), "\n");
}

}  // namespace taut::cli
