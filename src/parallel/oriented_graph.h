#pragma once
// A ChoiceGraph read from either end of its edges: what the searches that walk from node to
// neighbour share.

#include <limits>
#include <span>
#include <vector>

#include "parallel/elimination.h"

namespace taut::parallel {

/// Threads: reading is free.
class OrientedGraph {
 public:
  /// An edge of a node.
  struct Link {
    int edge;
    int other;  ///< the node at its other end
  };

  explicit OrientedGraph(ChoiceGraph graph);

  [[nodiscard]] const ChoiceGraph& graph() const noexcept { return graph_; }
  [[nodiscard]] int size() const noexcept { return static_cast<int>(graph_.nodes.size()); }
  [[nodiscard]] int states(int node) const { return graph_.states(node); }
  [[nodiscard]] const Costs& costs(int node) const { return *graph_.nodes[node]; }
  [[nodiscard]] std::span<const Link> links(int node) const { return links_[node]; }

  /// Costs of an edge with one of its nodes in a state, by the states of its other node.
  [[nodiscard]] const double* row(int edge, int node, int state) const {
    const ChoiceGraph::Edge& at = graph_.edges[edge];
    const bool first = at.a == node;
    const Costs& table = first ? *at.table : *transposed_[edge];
    return table.data() + static_cast<std::size_t>(state) * states(first ? at.b : at.a);
  }

  /// For each state of the other node of an edge, the least of from[s] + cost over the states s of
  /// `node`.
  [[nodiscard]] Costs least_through(int edge, int node, const Costs& from) const;

  /// Entries of all edges' tables: the additions of one message along each.
  [[nodiscard]] double entries() const noexcept { return entries_; }

  /// Replaces the nodes' costs; their numbers of states stay.
  void set_nodes(std::vector<SharedCosts> nodes) { graph_.nodes = std::move(nodes); }

 private:
  ChoiceGraph graph_;
  std::vector<SharedCosts> transposed_;  ///< by edge
  std::vector<std::vector<Link>> links_;
  double entries_ = 0;
};

/// The graph with only some states of each node, kept[node] ascending and not empty.
[[nodiscard]] ChoiceGraph restricted(const ChoiceGraph& graph,
                                     const std::vector<std::vector<int>>& kept);

}  // namespace taut::parallel
