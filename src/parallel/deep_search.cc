// Arrays too deep for a table of all states. Levels of equal cost next to each other form a group;
// the words of a layer or boundary depend on how many levels of a group have which (pair of) types,
// not on their order (the powers of two of MoveCounter and NodeCounter are handed out one a level).
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <utility>

#include "parallel/search.h"
#include "taut/core/error.h"

namespace taut::parallel {
namespace {

constexpr double kMostGroupStates = 700;

struct Group {
  int first = 0;
  int levels = 0;
  double per_word = 0;  ///< the least of its levels
  double per_message = 0;
};

double states_of_group(int levels) {
  return (levels + 1.0) * (levels + 2.0) / 2;
}

/// Groups of equal levels; neighbours of the nearest cost are joined until the states are few
/// enough.
std::vector<Group> group_levels(const LevelWeights& weights) {
  std::vector<Group> groups;
  for (int level = 0; level < static_cast<int>(weights.per_word.size()); ++level) {
    groups.push_back({level, 1, weights.per_word[level], weights.per_message[level]});
  }
  const auto difference = [](const Group& a, const Group& b) {
    const auto ratio = [](double x, double y) {
      if (x == y) return 0.0;
      return x > 0 && y > 0 ? std::abs(std::log(x / y)) : 1e3;
    };
    return ratio(a.per_word, b.per_word) + ratio(a.per_message, b.per_message);
  };
  const auto join_nearest = [&] {
    std::size_t best = 0;
    for (std::size_t g = 1; g + 1 < groups.size(); ++g) {
      if (difference(groups[g], groups[g + 1]) < difference(groups[best], groups[best + 1])) {
        best = g;
      }
    }
    Group& a = groups[best];
    const Group& b = groups[best + 1];
    a = {a.first, a.levels + b.levels, std::min(a.per_word, b.per_word),
         std::min(a.per_message, b.per_message)};
    groups.erase(groups.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  };
  const auto nearest = [&] {
    double least = std::numeric_limits<double>::infinity();
    for (std::size_t g = 0; g + 1 < groups.size(); ++g) {
      least = std::min(least, difference(groups[g], groups[g + 1]));
    }
    return least;
  };
  const auto states = [&] {
    double product = 1;
    for (const Group& group : groups) product *= states_of_group(group.levels);
    return product;
  };
  while (groups.size() > 1 && (nearest() == 0 || states() > kMostGroupStates)) join_nearest();
  return groups;
}

/// Boundaries between states that stand for all orders of their levels within groups.
class Alignment {
 public:
  Alignment(const CostModel& model, std::vector<Group> groups)
      : model_(model), groups_(std::move(groups)) {}

  /// Within each group the lower types first.
  [[nodiscard]] LayerState sorted(LayerState state) const {
    for (const Group& group : groups_) {
      std::vector<Split> splits;
      for (int i = 0; i < group.levels; ++i) splits.push_back(state.at(group.first + i));
      std::sort(splits.begin(), splits.end());
      for (int i = 0; i < group.levels; ++i) state.set(group.first + i, splits[i]);
    }
    return state;
  }

  /// All sorted feasible states of a node, ascending.
  [[nodiscard]] Domain states(int node) const {
    const std::vector<Split> known = model_.splits(node);
    Domain all = {LayerState(model_.levels(), known[0])};
    for (const Group& group : groups_) {
      for (int i = 0; i < group.levels; ++i) {
        Domain longer;
        const int level = group.first + i;
        for (const LayerState& state : all) {
          for (const Split split : known) {
            if (i > 0 && split < state.at(level - 1)) continue;
            longer.push_back(state);
            longer.back().set(level, split);
          }
        }
        all = std::move(longer);
      }
    }
    std::erase_if(all, [&](const LayerState& s) { return model_.infeasible_reason(node, s); });
    std::sort(all.begin(), all.end());
    return all;
  }

  /// Cost of a boundary's cheapest alignment for all pairs of sorted states, [from, to].
  [[nodiscard]] Costs table(int edge, const Domain& from, const Domain& to) const {
    Walk walk(*this, edge, from, to, nullptr);
    return walk.run();
  }

  /// The states of `to` in the order of levels that suits `from` best; `from` in any order, `to`
  /// sorted.
  [[nodiscard]] LayerState aligned(int edge, const LayerState& from, const LayerState& to) const {
    const Domain one_from = {sorted(from)};
    const Domain one_to = {to};
    std::vector<Pair> pairs;  // of each level, as if `from` were sorted
    Walk(*this, edge, one_from, one_to, &pairs).run();
    LayerState result = to;
    std::vector<bool> used(pairs.size(), false);
    for (const Group& group : groups_) {
      for (int level = group.first; level < group.first + group.levels; ++level) {
        for (int p = group.first; p < group.first + group.levels; ++p) {
          if (used[p] || pairs[p].first != from.at(level)) continue;
          used[p] = true;
          result.set(level, pairs[p].second);
          break;
        }
      }
    }
    return result;
  }

 private:
  using Pair = std::pair<Split, Split>;

  /// Tries all ways of pairing types group by group. Only pairings whose sides are (parts of)
  /// listed states reach the end.
  class Walk {
   public:
    /// best_pairs: where to leave the pairing of the one pair of states, if wanted.
    Walk(const Alignment& alignment, int edge, const Domain& from, const Domain& to,
         std::vector<Pair>* best_pairs)
        : groups_(alignment.groups_),
          alignment_(alignment),
          table_(alignment.model_.options().table),
          levels_(alignment.model_.levels()),
          words_(alignment.model_.edge_words(edge)),
          charge_messages_(!alignment.model_.free_edge(edge)),
          columns_(to.size()),
          least_(from.size() * to.size(), std::numeric_limits<double>::infinity()),
          from_splits_(splits_of(from)),
          to_splits_(splits_of(to)),
          best_pairs_(best_pairs) {
      for (std::size_t i = 0; i < from.size(); ++i) from_index_[from[i]] = i;
      for (std::size_t i = 0; i < to.size(); ++i) to_index_[to[i]] = i;
    }

    /// [from, to].
    Costs run() {
      const LayerState none(levels_, Split::kBatch);
      group(0, 0, 0, EdgeCounter(table_), 0, none, none);
      return std::move(least_);
    }

   private:
    static std::vector<Split> splits_of(const Domain& states) {
      std::set<Split> splits;
      for (const LayerState& state : states) {
        for (int level = 0; level < state.levels(); ++level) splits.insert(state.at(level));
      }
      return {splits.begin(), splits.end()};
    }

    /// Level `done` of group g takes pair number `pair` or a later one.
    void group(std::size_t g, int done, std::size_t pair, EdgeCounter counter, double cost,
               LayerState left, LayerState right) {
      if (g == groups_.size()) {
        finish(cost, left, right);
        return;
      }
      const Group& at = groups_[g];
      if (done == at.levels) {
        group(g + 1, 0, 0, counter, cost, alignment_.sorted(left), alignment_.sorted(right));
        return;
      }
      const std::size_t pairs = from_splits_.size() * to_splits_.size();
      for (std::size_t p = pair; p < pairs; ++p) {
        const Split f = from_splits_[p / to_splits_.size()];
        const Split t = to_splits_[p % to_splits_.size()];
        EdgeCounter next = counter;
        const EdgeUnits units = next.step(f, t);
        const double moved = units.feature_sums * words_.feature_sums +
                             units.features * words_.features +
                             units.error_sums * words_.error_sums + units.errors * words_.errors;
        LayerState next_left = left;
        LayerState next_right = right;
        next_left.set(at.first + done, f);
        next_right.set(at.first + done, t);
        if (best_pairs_ != nullptr) chosen_.push_back({f, t});
        group(g, done + 1, p, next,
              cost + moved * at.per_word + (charge_messages_ ? units.messages * at.per_message : 0),
              next_left, next_right);
        if (best_pairs_ != nullptr) chosen_.pop_back();
      }
    }

    void finish(double cost, const LayerState& left, const LayerState& right) {
      const auto f = from_index_.find(left);
      const auto t = to_index_.find(right);
      if (f == from_index_.end() || t == to_index_.end()) return;
      double& best = least_[f->second * columns_ + t->second];
      if (cost >= best) return;
      best = cost;
      if (best_pairs_ != nullptr) *best_pairs_ = chosen_;
    }

    const std::vector<Group>& groups_;
    const Alignment& alignment_;
    CostTable table_;
    int levels_;
    EdgeWords words_;
    bool charge_messages_;
    std::size_t columns_;
    Costs least_;
    std::vector<Split> from_splits_;
    std::vector<Split> to_splits_;
    std::vector<Pair>* best_pairs_;
    std::vector<Pair> chosen_;
    std::map<LayerState, std::size_t> from_index_;
    std::map<LayerState, std::size_t> to_index_;
  };

  const CostModel& model_;
  std::vector<Group> groups_;
};

/// The relaxed problem: sorted states, each boundary aligned on its own.
class GroupProblem {
 public:
  GroupProblem(const CostModel& model, const std::vector<Group>& groups, const NodeExtra& extra)
      : model_(model), alignment_(model, groups), weights_(least_weights(model, groups)) {
    std::map<std::vector<LayerState>, SharedDomain> known;
    for (int v = 0; v < model.graph().size(); ++v) {
      Domain states = alignment_.states(v);
      SharedDomain& domain = known[states];
      if (!domain) domain = std::make_shared<const Domain>(std::move(states));
      problem_.domains.push_back(domain);
      Costs costs;
      for (const LayerState& state : *domain) {
        costs.push_back(node_cost(model, weights_, v, state) + (extra ? extra(v, state) : 0));
      }
      problem_.costs.nodes.push_back(std::make_shared<const Costs>(std::move(costs)));
    }
    for (int e = 0; e < static_cast<int>(model.graph().edges().size()); ++e) add_edge(e);
  }

  [[nodiscard]] const Problem& problem() const { return problem_; }

  /// A real plan: each node's levels in the order that suits the first node it reads.
  [[nodiscard]] Plan realise(const std::vector<int>& states) const {
    Plan plan = problem_.plan(states, model_.levels());
    for (int v = 0; v < model_.graph().size(); ++v) {
      const auto inputs = model_.graph().inputs(v);
      if (inputs.empty()) continue;
      const int from = model_.graph().edges()[inputs[0]].from;
      plan.states[v] = alignment_.aligned(inputs[0], plan.states[from], plan.states[v]);
    }
    return plan;
  }

 private:
  static LevelWeights least_weights(const CostModel& model, const std::vector<Group>& groups) {
    LevelWeights weights = LevelWeights::words(model.levels());
    for (const Group& group : groups) {
      for (int level = group.first; level < group.first + group.levels; ++level) {
        weights.per_word[level] = group.per_word;
        weights.per_message[level] = group.per_message;
      }
    }
    return weights;
  }

  /// Edges that move the same words between the same kinds of nodes share a table; without messages
  /// so do those whose words differ by a factor.
  void add_edge(int e) {
    const graph::Edge& edge = model_.graph().edges()[e];
    const SharedDomain& from = problem_.domains[edge.from];
    const SharedDomain& to = problem_.domains[edge.to];
    const EdgeWords words = model_.edge_words(e);
    SharedCosts& table = tables_[{from, to, words, model_.free_edge(e)}];
    if (!table) {
      const bool scales = std::all_of(weights_.per_message.begin(), weights_.per_message.end(),
                                      [](double seconds) { return seconds == 0; });
      const double unit = scales && words.features > 0 ? words.features : 1;
      const EdgeWords ratio{words.feature_sums / unit, words.features / unit,
                            words.error_sums / unit, words.errors / unit};
      auto& [base, base_unit] = bases_[{from, to, ratio, model_.free_edge(e)}];
      if (!base) {
        base = std::make_shared<const Costs>(alignment_.table(e, *from, *to));
        base_unit = unit;
      }
      Costs costs = *base;
      for (double& cost : costs) cost = cost / base_unit * unit;
      table = std::make_shared<const Costs>(std::move(costs));
    }
    problem_.costs.edges.push_back({edge.from, edge.to, table});
  }

  using TableKey = std::tuple<SharedDomain, SharedDomain, EdgeWords, bool>;

  const CostModel& model_;
  Alignment alignment_;
  LevelWeights weights_;
  Problem problem_;
  std::map<TableKey, SharedCosts> tables_;
  std::map<TableKey, std::pair<SharedCosts, double>> bases_;
};

}  // namespace

Found deep_search(const CostModel& model, const LevelWeights& weights, const NodeExtra& extra) {
  const auto total = [&](const Plan& plan) {
    double cost = plan_cost(model, weights, plan);
    for (int v = 0; extra && v < model.graph().size(); ++v) cost += extra(v, plan.states[v]);
    return cost;
  };
  Found found;
  const GroupProblem relaxed(model, group_levels(weights), extra);
  if (const std::optional<Choice> choice = solve(relaxed.problem().costs, 4 * kWorkLimit)) {
    found.plan = relaxed.realise(choice->states);
    found.lower_bound = choice->cost;
  } else {
    found.plan = greedy_plan(model, weights);
  }
  found.cost = total(found.plan);
  const auto close = [&] { return found.cost <= found.lower_bound * (1 + 1e-12); };
  if (!close()) {
    for (const Plan& start : {found.plan, greedy_plan(model, weights)}) {
      const Plan better = improve_by_levels(model, weights, extra, start);
      if (const double cost = total(better); cost < found.cost) {
        found.plan = better;
        found.cost = cost;
      }
    }
  }
  found.optimal = close();
  return found;
}

}  // namespace taut::parallel
