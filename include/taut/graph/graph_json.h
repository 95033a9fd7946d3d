#pragma once
// A cost graph as JSON text: what tools that trace models themselves hand to the planner.

#include <string>
#include <string_view>

#include "taut/graph/graph.h"

namespace taut::graph {

/// The largest count that a graph's description may hold (words, multiply-adds, rows): sums over
/// all nodes stay below 2^63.
inline constexpr std::int64_t kMostJsonCount = std::int64_t{1} << 47;
/// The most nodes and tables, and the most edges, of a description.
inline constexpr std::size_t kMostJsonNodes = std::size_t{1} << 15;

/// {"name": ..., "nodes": [...], "edges": [...], "tables": [...]}: members are those of Node, Edge
/// and GraphTable by name; "kind" is "weighted", "elementwise" or "batch only"; ends of edges and
/// nodes of tables are names. Members that have a default may be left out, except name and op;
/// so may tables.
[[nodiscard]] std::string graph_json(const Graph& graph);

/// Reads the same; source names the text in errors. Errors: kFormat for text that is no such
/// description (unknown members included), naming the node, edge or table; kInvalidArgument as
/// Graph has them.
[[nodiscard]] Graph parse_graph_json(std::string_view text, const std::string& source);

}  // namespace taut::graph
