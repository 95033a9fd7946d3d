#pragma once
// Picks one state for each node of a graph so that the sum of node costs and of edge costs is
// least. Knows nothing of layers: states are indices, costs are tables.

#include <memory>
#include <optional>
#include <vector>

#include "taut/parallel/planner.h"

namespace taut::parallel {

using Costs = std::vector<double>;
using SharedCosts = std::shared_ptr<const Costs>;

/// Costs of nodes and edges. Equal tables should be one object: work on them is then done once.
struct ChoiceGraph {
  struct Edge {
    int a = 0;  ///< a < b
    int b = 0;
    SharedCosts table;  ///< [states of a, states of b]
  };
  std::vector<SharedCosts> nodes;  ///< [states], at least one state each
  std::vector<Edge> edges;

  [[nodiscard]] int states(int node) const { return static_cast<int>(nodes[node]->size()); }
};

struct Choice {
  double cost = 0;
  std::vector<int> states;
};

/// What an elimination may spend: additions (about a nanosecond each) and entries of the tables
/// that it keeps (8 bytes each).
struct SearchLimits {
  double additions = kSearchAdditions;
  double entries = kSearchTableBytes / 8;
};

/// Whether solve() stays within the limits, from the structure and the numbers of states alone.
[[nodiscard]] bool can_solve(const ChoiceGraph& graph, const SearchLimits& limits);

/// The least choice, by removing node after node: one with a single neighbour is folded into it
/// (min over its states), one with two becomes a table between them (min-plus product), others a
/// table over all neighbours (bucket elimination, as in OptCNN and PaSE). Exact for every graph.
/// Nodes of at most one neighbour go first, the lowest index first; then the cheapest. Ties go to
/// the lowest state. Nothing when that would pass the limits. additions, where asked for: grows by
/// what was spent.
[[nodiscard]] std::optional<Choice> solve(const ChoiceGraph& graph, const SearchLimits& limits,
                                          double* additions = nullptr);

/// The cost of given states.
[[nodiscard]] double cost_of(const ChoiceGraph& graph, const std::vector<int>& states);

}  // namespace taut::parallel
