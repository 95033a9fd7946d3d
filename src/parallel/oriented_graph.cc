#include "parallel/oriented_graph.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

namespace taut::parallel {
namespace {

SharedCosts transpose(const Costs& table, int rows, int columns) {
  Costs turned(table.size());
  for (int r = 0; r < rows; ++r) {
    for (int c = 0; c < columns; ++c) {
      turned[static_cast<std::size_t>(c) * rows + r] =
          table[static_cast<std::size_t>(r) * columns + c];
    }
  }
  return std::make_shared<const Costs>(std::move(turned));
}

void lower(double* __restrict least, const double* __restrict costs, double base, int count) {
  for (int i = 0; i < count; ++i) least[i] = std::min(least[i], base + costs[i]);
}

}  // namespace

OrientedGraph::OrientedGraph(ChoiceGraph graph)
    : graph_(std::move(graph)), links_(graph_.nodes.size()) {
  std::map<const Costs*, SharedCosts> known;
  for (std::size_t e = 0; e < graph_.edges.size(); ++e) {
    const ChoiceGraph::Edge& edge = graph_.edges[e];
    links_[edge.a].push_back({static_cast<int>(e), edge.b});
    links_[edge.b].push_back({static_cast<int>(e), edge.a});
    SharedCosts& turned = known[edge.table.get()];
    if (!turned) turned = transpose(*edge.table, states(edge.a), states(edge.b));
    transposed_.push_back(turned);
    entries_ += static_cast<double>(edge.table->size());
  }
}

Costs OrientedGraph::least_through(int edge, int node, const Costs& from) const {
  const ChoiceGraph::Edge& at = graph_.edges[edge];
  const int columns = states(at.a == node ? at.b : at.a);
  Costs least(columns, std::numeric_limits<double>::infinity());
  for (int s = 0; s < states(node); ++s) {
    lower(least.data(), row(edge, node, s), from[s], columns);
  }
  return least;
}

ChoiceGraph restricted(const ChoiceGraph& graph, const std::vector<std::vector<int>>& kept) {
  using Key = std::tuple<const Costs*, std::vector<int>, std::vector<int>>;
  std::map<Key, SharedCosts> known;
  ChoiceGraph smaller;
  for (std::size_t v = 0; v < graph.nodes.size(); ++v) {
    SharedCosts& costs = known[{graph.nodes[v].get(), kept[v], {}}];
    if (!costs) {
      Costs some;
      for (const int s : kept[v]) some.push_back((*graph.nodes[v])[s]);
      costs = std::make_shared<const Costs>(std::move(some));
    }
    smaller.nodes.push_back(costs);
  }
  for (const ChoiceGraph::Edge& edge : graph.edges) {
    SharedCosts& table = known[{edge.table.get(), kept[edge.a], kept[edge.b]}];
    if (!table) {
      const int columns = graph.states(edge.b);
      Costs some;
      some.reserve(kept[edge.a].size() * kept[edge.b].size());
      for (const int s : kept[edge.a]) {
        const double* row = edge.table->data() + static_cast<std::size_t>(s) * columns;
        for (const int t : kept[edge.b]) some.push_back(row[t]);
      }
      table = std::make_shared<const Costs>(std::move(some));
    }
    smaller.edges.push_back({edge.a, edge.b, table});
  }
  return smaller;
}

}  // namespace taut::parallel
