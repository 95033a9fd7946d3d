#include "cli/model_info.h"

#include <algorithm>
#include <iostream>
#include <string>

#include "cli/network_source.h"
#include "cli/planning.h"
#include "taut/core/text.h"

namespace taut::cli {
namespace {

using nlohmann::json;

constexpr std::size_t kMostSources = 32;

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

void print(const graph::Graph& graph) {
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
            << graph.weights() << " weights, " << graph.macs() << " multiply-adds a sample";
  if (graph.table_words() > 0) {
    std::cout << ", " << graph.tables().size() << " tables of " << graph.table_words() << " words";
  }
  std::cout << std::endl;
}

}  // namespace

Outcome model_info(const std::string& name, const Globals& globals,
                   const graph::DimensionSizes& sizes) {
  const graph::Graph graph = source_graph(name, globals.sets, sizes);
  json result = {{"model", graph.name()},
                 {"weights", graph.weights()},
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
  if (!globals.json) print(graph);
  return {result, 0};
}

}  // namespace taut::cli
