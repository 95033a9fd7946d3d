#include "parallel/star_search.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace taut::parallel {
namespace {

class StarSearch {
 public:
  StarSearch(const OrientedGraph& graph, std::vector<int> states)
      : graph_(graph), states_(std::move(states)), inside_(graph.size(), 0) {}

  [[nodiscard]] const std::vector<int>& states() const { return states_; }
  [[nodiscard]] double additions() const { return additions_; }

  /// Chooses the star around a node anew. Whether it became cheaper.
  bool improve(int centre) {
    const std::vector<OrientedGraph::Link> rays = rays_of(centre);
    mark(centre, rays, 1);
    Costs total = outside_costs(centre);
    double now = total[states_[centre]];
    std::vector<Costs> tips;
    for (const OrientedGraph::Link& ray : rays) {
      const Costs& tip = tips.emplace_back(outside_costs(ray.other));
      const int state = states_[ray.other];
      now += tip[state] + graph_.row(ray.edge, ray.other, state)[states_[centre]];
      const Costs through = graph_.least_through(ray.edge, ray.other, tip);
      for (std::size_t s = 0; s < total.size(); ++s) total[s] += through[s];
      additions_ += static_cast<double>(tip.size() * total.size());
    }
    mark(centre, rays, 0);
    const auto best = std::min_element(total.begin(), total.end());
    if (*best >= now - 1e-12 * std::abs(now)) return false;
    states_[centre] = static_cast<int>(best - total.begin());
    for (std::size_t r = 0; r < rays.size(); ++r) {
      const double* row = graph_.row(rays[r].edge, centre, states_[centre]);
      int& state = states_[rays[r].other];
      for (int s = 0; s < static_cast<int>(tips[r].size()); ++s) {
        if (tips[r][s] + row[s] < tips[r][state] + row[state]) state = s;
      }
    }
    return true;
  }

 private:
  void mark(int centre, const std::vector<OrientedGraph::Link>& rays, char inside) {
    inside_[centre] = inside;
    for (const OrientedGraph::Link& ray : rays) inside_[ray.other] = inside;
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

  /// A node's costs by state while all nodes outside the star stay as they are.
  Costs outside_costs(int node) {
    Costs sum = graph_.costs(node);
    for (const OrientedGraph::Link& link : graph_.links(node)) {
      if (inside_[link.other] != 0) continue;
      const double* row = graph_.row(link.edge, link.other, states_[link.other]);
      for (std::size_t s = 0; s < sum.size(); ++s) sum[s] += row[s];
      additions_ += static_cast<double>(sum.size());
    }
    return sum;
  }

  const OrientedGraph& graph_;
  std::vector<int> states_;
  std::vector<char> inside_;  ///< by node: in the star at hand
  double additions_ = 0;
};

}  // namespace

Choice improve_by_stars(const OrientedGraph& graph, std::vector<int> states, double& additions) {
  StarSearch search(graph, std::move(states));
  // A round ends where it began without a gain since.
  int since = 0;
  for (int v = 0; since < graph.size() && search.additions() < additions;
       v = (v + 1) % graph.size()) {
    since = search.improve(v) ? 0 : since + 1;
  }
  additions -= search.additions();
  return {cost_of(graph.graph(), search.states()), search.states()};
}

}  // namespace taut::parallel
