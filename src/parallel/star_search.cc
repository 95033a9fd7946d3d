#include "parallel/star_search.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace taut::parallel {
namespace {

class StarSearch {
 public:
  StarSearch(const OrientedGraph& graph, std::vector<int> states)
      : graph_(graph), states_(std::move(states)) {
    for (int v = 0; v < graph.size(); ++v) {
      Costs& sum = sums_.emplace_back(graph.costs(v));
      for (const OrientedGraph::Link& link : graph.links(v)) {
        add_row(sum, link.edge, link.other, states_[link.other], 1);
      }
    }
  }

  [[nodiscard]] const std::vector<int>& states() const { return states_; }
  [[nodiscard]] double additions() const { return additions_; }

  /// Chooses one node anew. Whether it became cheaper.
  bool improve_node(int node) {
    const Costs& sum = sums_[node];
    const auto best = std::min_element(sum.begin(), sum.end());
    additions_ += static_cast<double>(sum.size());
    if (!is_less(*best, sum[states_[node]])) return false;
    move(node, static_cast<int>(best - sum.begin()));
    return true;
  }

  /// Chooses the star around a node anew. Whether it became cheaper.
  bool improve_star(int centre) {
    const std::vector<OrientedGraph::Link> rays = rays_of(centre);
    Costs total = sums_[centre];
    for (const OrientedGraph::Link& ray : rays) {
      add_row(total, ray.edge, ray.other, states_[ray.other], -1);
    }
    double now = total[states_[centre]];
    std::vector<Costs> tips;
    for (const OrientedGraph::Link& ray : rays) {
      Costs& tip = tips.emplace_back(sums_[ray.other]);
      now += tip[states_[ray.other]];
      add_row(tip, ray.edge, centre, states_[centre], -1);
      const Costs through = graph_.least_through(ray.edge, ray.other, tip);
      for (std::size_t s = 0; s < total.size(); ++s) total[s] += through[s];
      additions_ += static_cast<double>(tip.size() * total.size());
    }
    const auto best = std::min_element(total.begin(), total.end());
    if (!is_less(*best, now)) return false;
    const int state = static_cast<int>(best - total.begin());
    move(centre, state);
    for (std::size_t r = 0; r < rays.size(); ++r) {
      const double* row = graph_.row(rays[r].edge, centre, state);
      int least = states_[rays[r].other];
      for (int s = 0; s < static_cast<int>(tips[r].size()); ++s) {
        if (tips[r][s] + row[s] < tips[r][least] + row[least]) least = s;
      }
      move(rays[r].other, least);
    }
    return true;
  }

 private:
  static bool is_less(double cost, double now) { return cost < now - 1e-11 * std::abs(now); }

  /// Adds what a node's state costs its neighbour on an edge, or takes it away.
  void add_row(Costs& sum, int edge, int node, int state, double sign) {
    const double* row = graph_.row(edge, node, state);
    for (std::size_t s = 0; s < sum.size(); ++s) sum[s] += sign * row[s];
    additions_ += static_cast<double>(sum.size());
  }

  void move(int node, int state) {
    if (states_[node] == state) return;
    for (const OrientedGraph::Link& link : graph_.links(node)) {
      add_row(sums_[link.other], link.edge, node, states_[node], -1);
      add_row(sums_[link.other], link.edge, node, state, 1);
    }
    states_[node] = state;
  }

  /// Neighbours of a node that are no neighbours of each other, the first ones first.
  [[nodiscard]] std::vector<OrientedGraph::Link> rays_of(int centre) const {
    std::vector<OrientedGraph::Link> rays;
    std::vector<char> barred(graph_.size(), 0);
    for (const OrientedGraph::Link& link : graph_.links(centre)) {
      if (barred[link.other] != 0) continue;
      rays.push_back(link);
      barred[link.other] = 1;
      for (const OrientedGraph::Link& next : graph_.links(link.other)) barred[next.other] = 1;
    }
    return rays;
  }

  const OrientedGraph& graph_;
  std::vector<int> states_;
  std::vector<Costs> sums_;  ///< by node and state: its costs while all others stay as they are
  double additions_ = 0;
};

/// Calls improve with node after node until none of them gains, or the additions are spent.
template <typename Improve>
void rounds(const OrientedGraph& graph, const StarSearch& search, double additions,
            Improve improve) {
  int since = 0;
  for (int v = 0; since < graph.size() && search.additions() < additions;
       v = (v + 1) % graph.size()) {
    since = improve(v) ? 0 : since + 1;
  }
}

}  // namespace

Choice improve_by_stars(const OrientedGraph& graph, std::vector<int> states, double& additions) {
  const double before = cost_of(graph.graph(), states);
  StarSearch search(graph, states);
  rounds(graph, search, additions, [&](int v) { return search.improve_node(v); });
  rounds(graph, search, additions, [&](int v) { return search.improve_star(v); });
  additions -= search.additions();
  const double after = cost_of(graph.graph(), search.states());
  if (after < before) return {after, search.states()};
  return {before, std::move(states)};
}

}  // namespace taut::parallel
