#include "parallel/elimination.h"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <set>
#include <utility>

#include "taut/core/error.h"

namespace taut::parallel {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// The order of removal, from the structure alone. Ends where a limit is passed.
class EliminationOrder {
 public:
  EliminationOrder(const ChoiceGraph& graph, const SearchLimits& limits)
      : graph_(graph), neighbours_(graph.nodes.size()) {
    for (const ChoiceGraph::Edge& edge : graph.edges) {
      neighbours_[edge.a].insert(edge.b);
      neighbours_[edge.b].insert(edge.a);
    }
    std::set<int> left;
    for (std::size_t v = 0; v < graph.nodes.size(); ++v) left.insert(static_cast<int>(v));
    while (!left.empty() && within_) {
      const int v = next(left);
      left.erase(v);
      additions_ += additions(v);
      if (neighbours_[v].size() > 1) entries_ += table_size(v);
      within_ = additions_ <= limits.additions && entries_ <= limits.entries;
      if (within_) remove(v);
      order_.push_back(v);
    }
  }

  [[nodiscard]] bool within() const { return within_; }
  [[nodiscard]] double additions() const { return additions_; }
  [[nodiscard]] const std::vector<int>& order() const { return order_; }

 private:
  double table_size(int v) const {
    double size = 1;
    for (const int u : neighbours_[v]) size *= graph_.states(u);
    return size;
  }
  /// A table over more than two nodes reads one factor or so of each at every entry.
  double additions(int v) const {
    const double factors =
        neighbours_[v].size() > 2 ? static_cast<double>(neighbours_[v].size()) : 1;
    return table_size(v) * graph_.states(v) * factors;
  }

  int next(const std::set<int>& left) const {
    int best = *left.begin();
    double least = kInfinity;
    for (const int v : left) {
      if (neighbours_[v].size() <= 1) return v;
      if (const double cost = table_size(v) * graph_.states(v); cost < least) {
        best = v;
        least = cost;
      }
    }
    return best;
  }

  void remove(int v) {
    for (const int u : neighbours_[v]) {
      neighbours_[u].erase(v);
      for (const int w : neighbours_[v]) {
        if (u != w) neighbours_[u].insert(w);
      }
    }
  }

  const ChoiceGraph& graph_;
  std::vector<std::set<int>> neighbours_;
  std::vector<int> order_;
  double additions_ = 0;
  double entries_ = 0;
  bool within_ = true;
};

/// A table over several nodes, in ascending order of their indices, the last one's states adjacent.
struct Factor {
  std::vector<int> scope;
  SharedCosts values;
};

class Eliminator {
 public:
  Eliminator(const ChoiceGraph& graph, std::vector<int> order)
      : graph_(graph), nodes_(graph.nodes), order_(std::move(order)) {
    for (const ChoiceGraph::Edge& edge : graph.edges) add_factor({{edge.a, edge.b}, edge.table});
  }

  Choice run() {
    for (const int v : order_) remove(v);
    Choice choice;
    choice.states.assign(graph_.nodes.size(), -1);
    for (auto it = removed_.rbegin(); it != removed_.rend(); ++it) recover(*it, choice.states);
    choice.cost = cost_of(graph_, choice.states);
    return choice;
  }

 private:
  /// What stood around a node when it was removed: enough to find its best state afterwards.
  struct Removed {
    int node;
    SharedCosts costs;
    std::vector<Factor> factors;
  };

  using Key = std::array<const void*, 4>;

  int states(int v) const { return graph_.states(v); }

  /// Adds a factor, summed into the one of the same scope if there is one.
  void add_factor(Factor factor) {
    SharedCosts& slot = factors_[factor.scope];
    if (!slot) {
      slot = std::move(factor.values);
      return;
    }
    slot = once({slot.get(), factor.values.get(), nullptr, nullptr}, [&] {
      Costs sum = *slot;
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += (*factor.values)[i];
      return sum;
    });
  }

  /// The result of a computation on tables, done once for the same tables.
  template <typename Compute>
  SharedCosts once(const Key& key, Compute compute) {
    SharedCosts& result = results_[key];
    if (!result) result = std::make_shared<const Costs>(compute());
    return result;
  }

  void remove(int v) {
    Removed removed{v, nodes_[v], {}};
    std::set<int> around;
    for (auto it = factors_.begin(); it != factors_.end();) {
      const std::vector<int>& scope = it->first;
      if (std::find(scope.begin(), scope.end(), v) == scope.end()) {
        ++it;
        continue;
      }
      around.insert(scope.begin(), scope.end());
      removed.factors.push_back({scope, it->second});
      it = factors_.erase(it);
    }
    around.erase(v);
    const std::vector<int> neighbours(around.begin(), around.end());
    const bool pairs = std::all_of(removed.factors.begin(), removed.factors.end(),
                                   [](const Factor& factor) { return factor.scope.size() == 2; });
    if (neighbours.size() == 1) {
      fold(removed, neighbours[0]);
    } else if (neighbours.size() == 2 && pairs) {
      product(removed, neighbours[0], neighbours[1]);
    } else if (!neighbours.empty()) {
      bucket(removed, neighbours);
    }
    removed_.push_back(std::move(removed));
  }

  /// The table of a two-node factor with `row` as its rows.
  SharedCosts oriented(const Factor& factor, int row) {
    if (factor.scope[0] == row) return factor.values;
    const int rows = states(row);
    const int columns = states(factor.scope[0]);
    return once({factor.values.get(), &kTransposed, nullptr, nullptr}, [&] {
      Costs table(factor.values->size());
      for (int c = 0; c < columns; ++c) {
        for (int r = 0; r < rows; ++r) table[r * columns + c] = (*factor.values)[c * rows + r];
      }
      return table;
    });
  }

  static void lower(double* __restrict least, const double* __restrict costs, double base,
                    int count) {
    for (int i = 0; i < count; ++i) least[i] = std::min(least[i], base + costs[i]);
  }

  void fold(const Removed& removed, int u) {
    const SharedCosts table = oriented(removed.factors[0], removed.node);
    nodes_[u] = once({table.get(), removed.costs.get(), nodes_[u].get(), &kFolded}, [&] {
      const int columns = states(u);
      Costs least(columns, kInfinity);
      for (int s = 0; s < states(removed.node); ++s) {
        lower(least.data(), table->data() + static_cast<std::size_t>(s) * columns,
              (*removed.costs)[s], columns);
      }
      for (int c = 0; c < columns; ++c) least[c] += (*nodes_[u])[c];
      return least;
    });
  }

  void product(const Removed& removed, int u, int w) {
    const bool first_is_u = removed.factors[0].scope != sorted_pair(removed.node, w);
    const SharedCosts left = oriented(removed.factors[first_is_u ? 0 : 1], u);
    const SharedCosts right = oriented(removed.factors[first_is_u ? 1 : 0], removed.node);
    const SharedCosts result = once({left.get(), removed.costs.get(), right.get(), &kProduct}, [&] {
      const int middle = states(removed.node);
      const int columns = states(w);
      Costs least(static_cast<std::size_t>(states(u)) * columns, kInfinity);
      for (int r = 0; r < states(u); ++r) {
        for (int s = 0; s < middle; ++s) {
          lower(least.data() + static_cast<std::size_t>(r) * columns,
                right->data() + static_cast<std::size_t>(s) * columns,
                (*left)[static_cast<std::size_t>(r) * middle + s] + (*removed.costs)[s], columns);
        }
      }
      return least;
    });
    add_factor({{u, w}, result});
  }

  static std::vector<int> sorted_pair(int a, int b) { return {std::min(a, b), std::max(a, b)}; }

  /// How far a factor's index moves when a node's state grows by one; 0 if it is not in its scope.
  std::size_t stride(const Factor& factor, int node) const {
    std::size_t stride = 1;
    for (std::size_t i = factor.scope.size(); i-- > 0;) {
      if (factor.scope[i] == node) return stride;
      stride *= static_cast<std::size_t>(states(factor.scope[i]));
    }
    return 0;
  }

  /// Where the factors around a removed node are read: by how much each one's index moves when the
  /// state of the node, or of one of its neighbours, grows by one.
  struct Strides {
    std::vector<std::size_t> own;                  ///< by factor
    std::vector<std::vector<std::size_t>> around;  ///< by neighbour, factor
  };

  Strides strides(const Removed& removed, const std::vector<int>& around) const {
    Strides strides;
    for (const Factor& factor : removed.factors) {
      strides.own.push_back(stride(factor, removed.node));
    }
    for (const int u : around) {
      strides.around.emplace_back();
      for (const Factor& factor : removed.factors) {
        strides.around.back().push_back(stride(factor, u));
      }
    }
    return strides;
  }

  void bucket(const Removed& removed, const std::vector<int>& around) {
    std::size_t size = 1;
    for (const int u : around) size *= static_cast<std::size_t>(states(u));
    const Strides steps = strides(removed, around);
    std::vector<std::size_t> offsets(removed.factors.size(), 0);
    std::vector<int> counter(around.size(), 0);
    Costs least(size);
    for (double& value : least) {
      value = least_state(removed, offsets, steps.own).first;
      for (std::size_t i = around.size(); i-- > 0;) {
        const bool wraps = ++counter[i] == states(around[i]);
        if (wraps) counter[i] = 0;
        for (std::size_t f = 0; f < offsets.size(); ++f) {
          const std::size_t step = steps.around[i][f];
          if (wraps) {
            offsets[f] -= step * static_cast<std::size_t>(states(around[i]) - 1);
          } else {
            offsets[f] += step;
          }
        }
        if (!wraps) break;
      }
    }
    add_factor({around, std::make_shared<const Costs>(std::move(least))});
  }

  /// The least cost of the removed node's states, and the lowest state that has it; offsets: where
  /// its factors stand for the states of the nodes around it.
  std::pair<double, int> least_state(const Removed& removed,
                                     const std::vector<std::size_t>& offsets,
                                     const std::vector<std::size_t>& own) const {
    std::pair<double, int> best{kInfinity, 0};
    const std::size_t factors = offsets.size();
    for (int s = 0; s < states(removed.node); ++s) {
      double cost = (*removed.costs)[s];
      for (std::size_t f = 0; f < factors; ++f) {
        cost += (*removed.factors[f].values)[offsets[f] + own[f] * s];
      }
      if (cost < best.first) best = {cost, s};
    }
    return best;
  }

  void recover(const Removed& removed, std::vector<int>& chosen) const {
    std::vector<std::size_t> offsets;
    for (const Factor& factor : removed.factors) {
      std::size_t offset = 0;
      for (const int u : factor.scope) {
        if (u != removed.node) offset += stride(factor, u) * chosen[u];
      }
      offsets.push_back(offset);
    }
    chosen[removed.node] = least_state(removed, offsets, strides(removed, {}).own).second;
  }

  static constexpr char kTransposed = 0;
  static constexpr char kFolded = 0;
  static constexpr char kProduct = 0;

  const ChoiceGraph& graph_;
  std::vector<SharedCosts> nodes_;
  std::vector<int> order_;
  std::map<std::vector<int>, SharedCosts> factors_;
  std::map<Key, SharedCosts> results_;
  std::vector<Removed> removed_;
};

}  // namespace

bool can_solve(const ChoiceGraph& graph, const SearchLimits& limits) {
  return EliminationOrder(graph, limits).within();
}

std::optional<Choice> solve(const ChoiceGraph& graph, const SearchLimits& limits,
                            double* additions) {
  const EliminationOrder order(graph, limits);
  if (!order.within()) return std::nullopt;
  if (additions != nullptr) *additions += order.additions();
  return Eliminator(graph, order.order()).run();
}

double cost_of(const ChoiceGraph& graph, const std::vector<int>& states) {
  TAUT_ASSERT(states.size() == graph.nodes.size());
  double cost = 0;
  for (std::size_t v = 0; v < states.size(); ++v) cost += (*graph.nodes[v])[states[v]];
  for (const ChoiceGraph::Edge& edge : graph.edges) {
    cost += (*edge.table)[static_cast<std::size_t>(states[edge.a]) * graph.states(edge.b) +
                          states[edge.b]];
  }
  return cost;
}

}  // namespace taut::parallel
