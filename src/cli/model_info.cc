#include "cli/model_info.h"

#include <algorithm>
#include <cstdint>
#include <iostream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/network_source.h"
#include "cli/planning.h"
#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/graph/cost_graph.h"
#include "taut/graph/onnx_network.h"

namespace taut::cli {
namespace {

using nlohmann::json;

constexpr std::size_t kMostSources = 32;

// A model as a planner sees it, and what else is known of it.
struct Described {
  graph::Graph graph;
  std::optional<std::int64_t> parameters;
  std::optional<graph::Network> network = {};  // nothing of a cost graph, and of what is none
  json engine = nullptr;  // of an ONNX file: whether the engine computes it, and why not
};

// Whether the engine computes an ONNX file, and if not, every node that stands in the way.
json engine_json(const std::string& path, const graph::DimensionSizes& sizes) {
  json refused = json::array();
  try {
    static_cast<void>(graph::read_onnx_network(path, sizes));
    return {{"runs", true}, {"refused", refused}};
  } catch (const graph::OnnxNotExpressed& error) {
    for (const graph::OnnxRefusal& one : error.refused()) {
      refused.push_back({{"node", one.node}, {"op", one.op}, {"why", one.why}});
    }
    return {{"runs", false}, {"why", error.bare()}, {"refused", refused}};
  } catch (const Error& error) {
    return {{"runs", false}, {"why", error.what()}, {"refused", refused}};
  }
}

Described describe(const std::string& name, const Globals& globals,
                   const graph::DimensionSizes& sizes) {
  if (source_of(name) == Source::kOnnx) {
    graph::OnnxSummary summary = graph::summarize_onnx(name, sizes);
    return {std::move(summary.graph), summary.parameters, std::move(summary.network),
            engine_json(name, sizes)};
  }
  if (!sizes.empty() || source_of(name) == Source::kGraph) {  // sizes: an error
    return {source_graph(name, globals.sets, sizes), std::nullopt};
  }
  graph::Network network = source_network(name, globals.sets);
  graph::Graph graph = graph::cost_graph(network);
  return {std::move(graph), graph::parameter_count(network), std::move(network)};
}

json layer_json(const graph::Node& node) {
  return {{"name", node.name},
          {"op", node.op},
          {"kind", to_string(node.kind)},
          {"in_channels", node.in_channels},
          {"out_channels", node.out_channels},
          {"kernel", node.kernel},
          {"weights", node.weights},
          {"in_words", node.in_words},
          {"out_words", node.out_words},
          {"raw_words", node.raw_words},
          {"macs", node.macs},
          {"input_macs", node.input_macs}};
}

// What a planner sees, of a model that is no network.
void print_graph(const graph::Graph& graph, const std::optional<std::int64_t>& parameters) {
  std::vector<std::vector<std::string>> rows = {
      {"layer", "op", "channels", "weights", "input", "output", "before pool", "MACs", "reads"}};
  for (int v = 0; v < graph.size(); ++v) {
    const graph::Node& node = graph.node(v);
    // The table is as wide as its longest row: of many sources the first ones are named.
    std::vector<std::string> sources;
    for (const int e : graph.inputs(v).first(std::min(graph.inputs(v).size(), kMostSources))) {
      sources.push_back(graph.node(graph.edges()[e].from).name);
    }
    if (graph.inputs(v).size() > kMostSources) {
      sources.push_back(concat("and ", graph.inputs(v).size() - kMostSources, " more"));
    }
    rows.push_back({node.name, node.op, concat(node.in_channels, "-", node.out_channels),
                    std::to_string(node.weights), std::to_string(node.in_words),
                    std::to_string(node.out_words), std::to_string(node.raw_words),
                    std::to_string(node.macs), sources.empty() ? "input" : join(sources, " ")});
  }
  std::cout << graph.name() << ": words of one sample, weights and multiply-adds\n\n"
            << aligned_table(rows) << "\n"
            << graph.weights() << " weights, "
            << (parameters ? concat(*parameters, kParameterWords, ", ") : "") << graph.macs()
            << " multiply-adds a sample";
  if (graph.table_words() > 0) {
    std::cout << ", " << graph.tables().size() << " tables of " << graph.table_words() << " words";
  }
  std::cout << std::endl;
}

}  // namespace

Outcome model_info(const std::string& name, const Globals& globals,
                   const graph::DimensionSizes& sizes) {
  const Described described = describe(name, globals, sizes);
  const graph::Graph& graph = described.graph;
  json result = {{"model", graph.name()},
                 {"weights", graph.weights()},
                 {"parameters", described.parameters ? json(*described.parameters) : json(nullptr)},
                 {"macs", graph.macs()},
                 {"input_macs", graph.input_macs()},
                 {"table_words", graph.table_words()},
                 {"layers", json::array()},
                 {"edges", json::array()},
                 {"tables", json::array()}};
  for (const graph::Node& node : graph.nodes()) result["layers"].push_back(layer_json(node));
  for (const graph::Edge& edge : graph.edges()) {
    result["edges"].push_back({{"from", graph.node(edge.from).name},
                               {"to", graph.node(edge.to).name},
                               {"words", edge.words},
                               {"raw_words", edge.raw_words}});
    if (edge.density) result["edges"].back()["density"] = *edge.density;
  }
  for (const graph::GraphTable& table : graph.tables()) {
    result["tables"].push_back(
        {{"name", table.name}, {"rows", table.rows}, {"dim", table.dim}, {"bytes", table.bytes}});
  }
  if (described.network) result["network"] = network_info(*described.network);
  if (!described.engine.is_null()) result["engine"] = described.engine;
  if (!globals.json) {
    if (described.network) {
      std::cout << network_text(*described.network);
    } else {
      print_graph(graph, described.parameters);
    }
    if (!described.engine.is_null()) {
      const bool runs = described.engine["runs"];
      std::cout << "runs in the engine: "
                << (runs ? "yes" : "no, " + one_line(described.engine["why"].get<std::string>()))
                << std::endl;
    }
  }
  return {result, 0};
}

}  // namespace taut::cli
