// Arrays too deep for a table of all states. Levels of equal cost next to each other form a group;
// the words of a layer or boundary depend on how many levels of a group have which (pair of) types,
// not on their order (the powers of two of MoveCounter and NodeCounter are handed out one a level).
#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <tuple>
#include <utility>

#include "parallel/search.h"
#include "taut/core/error.h"

namespace taut::parallel {
namespace {

constexpr double kMostGroupStates = 450;

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

/// Counts of each split among the levels of each group: what a state is to the deep search.
class GroupCounts {
 public:
  static constexpr int kSplits = 4;

  explicit GroupCounts(const std::vector<Group>& groups) : groups_(&groups) {
    for (const Group& group : groups) size_ *= cell(group);
  }

  /// A number for the counts of a state, below size().
  [[nodiscard]] std::size_t code(const LayerState& state) const {
    std::size_t code = 0;
    for (const Group& group : *groups_) {
      std::array<int, kSplits> counts{};
      for (int i = 0; i < group.levels; ++i) {
        ++counts[static_cast<int>(state.at(group.first + i))];
      }
      code = code * cell(group) + group_code(group, counts);
    }
    return code;
  }
  [[nodiscard]] std::size_t size() const { return size_; }

  static std::size_t cell(const Group& group) {
    const auto side = static_cast<std::size_t>(group.levels) + 1;
    return side * side * side;
  }
  static std::size_t group_code(const Group& group, const std::array<int, kSplits>& counts) {
    const auto side = static_cast<std::size_t>(group.levels) + 1;
    return (counts[1] * side + counts[2]) * side + counts[3];
  }

 private:
  const std::vector<Group>* groups_;
  std::size_t size_ = 1;
};

using Pair = std::pair<Split, Split>;

/// Tries all ways of pairing the splits of two states, group by group, and gives the cost of each.
class Pairings {
 public:
  /// What one pairing costs: codes of both states' counts, cost, and the pair of each level in
  /// turn.
  using Visit = std::function<void(std::size_t from, std::size_t to, double cost,
                                   const std::vector<Pair>& pairs)>;

  Pairings(const std::vector<Group>& groups, CostTable table, const EdgeWords& words,
           bool charge_messages, Visit visit)
      : groups_(groups),
        table_(table),
        words_(words),
        charge_messages_(charge_messages),
        visit_(std::move(visit)) {}

  /// All pairings of the given splits.
  void all(const std::vector<Split>& from, const std::vector<Split>& to) {
    from_ = from;
    to_ = to;
    group(0, EdgeCounter(table_), 0, 0, 0);
  }

  /// Those of two states, in any order of their levels.
  void between(const LayerState& from, const LayerState& to) {
    fixed_from_ = &from;
    fixed_to_ = &to;
    constexpr std::array kAll = {Split::kBatch, Split::kInput, Split::kOutput, Split::kChannels};
    all({kAll.begin(), kAll.end()}, {kAll.begin(), kAll.end()});
  }

 private:
  using Counts = std::array<int, GroupCounts::kSplits>;

  /// The levels of a group that may still take each split.
  Counts allowance(const Group& group, const LayerState* fixed) const {
    Counts counts;
    counts.fill(fixed == nullptr ? group.levels : 0);
    for (int i = 0; fixed != nullptr && i < group.levels; ++i) {
      ++counts[static_cast<int>(fixed->at(group.first + i))];
    }
    return counts;
  }

  void group(std::size_t g, const EdgeCounter& counter, double cost, std::size_t from_code,
             std::size_t to_code) {
    if (g == groups_.size()) {
      visit_(from_code, to_code, cost, pairs_);
      return;
    }
    Place place{g,
                from_code,
                to_code,
                {},
                {},
                allowance(groups_[g], fixed_from_),
                allowance(groups_[g], fixed_to_)};
    levels(place, 0, 0, counter, cost);
  }

  /// Where a walk stands inside one group.
  struct Place {
    std::size_t group;
    std::size_t from_code;  ///< of the groups above
    std::size_t to_code;
    Counts from_counts;
    Counts to_counts;
    Counts from_left;
    Counts to_left;
  };

  /// Level `done` of the group takes pair number `first` or a later one.
  void levels(Place& at, int done, std::size_t first, const EdgeCounter& counter, double cost) {
    const Group& levels_group = groups_[at.group];
    if (done == levels_group.levels) {
      group(at.group + 1, counter, cost,
            at.from_code * GroupCounts::cell(levels_group) +
                GroupCounts::group_code(levels_group, at.from_counts),
            at.to_code * GroupCounts::cell(levels_group) +
                GroupCounts::group_code(levels_group, at.to_counts));
      return;
    }
    for (std::size_t p = first; p < from_.size() * to_.size(); ++p) {
      const Split from = from_[p / to_.size()];
      const Split to = to_[p % to_.size()];
      const int f = static_cast<int>(from);
      const int t = static_cast<int>(to);
      if (at.from_left[f] == 0 || at.to_left[t] == 0) continue;
      EdgeCounter next = counter;
      const EdgeUnits units = next.step(from, to);
      const double moved = units.feature_sums * words_.feature_sums +
                           units.features * words_.features + units.error_sums * words_.error_sums +
                           units.errors * words_.errors;
      const double messages = charge_messages_ ? units.messages * levels_group.per_message : 0;
      take(at, f, t, 1);
      pairs_.emplace_back(from, to);
      levels(at, done + 1, p, next, cost + moved * levels_group.per_word + messages);
      pairs_.pop_back();
      take(at, f, t, -1);
    }
  }

  static void take(Place& at, int f, int t, int count) {
    at.from_counts[f] += count;
    at.to_counts[t] += count;
    at.from_left[f] -= count;
    at.to_left[t] -= count;
  }

  const std::vector<Group>& groups_;
  CostTable table_;
  EdgeWords words_;
  bool charge_messages_;
  Visit visit_;
  std::vector<Split> from_;
  std::vector<Split> to_;
  const LayerState* fixed_from_ = nullptr;
  const LayerState* fixed_to_ = nullptr;
  std::vector<Pair> pairs_;
};

/// Boundaries between states that stand for all orders of their levels within groups.
class Alignment {
 public:
  Alignment(const CostModel& model, std::vector<Group> groups)
      : model_(model), groups_(std::move(groups)), counts_(groups_) {}

  /// All states of some splits with the levels of each group in ascending order, ascending.
  [[nodiscard]] Domain states(const std::vector<Split>& splits) const {
    Domain all = {LayerState(model_.levels(), splits[0])};
    for (const Group& group : groups_) {
      for (int i = 0; i < group.levels; ++i) {
        Domain longer;
        const int level = group.first + i;
        for (const LayerState& state : all) {
          for (const Split split : splits) {
            if (i > 0 && split < state.at(level - 1)) continue;
            longer.push_back(state);
            longer.back().set(level, split);
          }
        }
        all = std::move(longer);
      }
    }
    std::sort(all.begin(), all.end());
    return all;
  }

  /// Cost of a boundary's cheapest alignment for all pairs of states of two sets of splits,
  /// [from, to]; words per unit of movement, and whether messages cost.
  [[nodiscard]] Costs table(const EdgeWords& words, bool charge_messages,
                            const std::vector<Split>& from, const std::vector<Split>& to) const {
    const std::vector<int> rows = places(states(from));
    const std::vector<int> columns = places(states(to));
    const std::size_t width = states(to).size();
    Costs least(states(from).size() * width, std::numeric_limits<double>::infinity());
    Pairings(groups_, model_.options().table, words, charge_messages,
             [&](std::size_t f, std::size_t t, double cost, const std::vector<Pair>&) {
               double& entry = least[static_cast<std::size_t>(rows[f]) * width + columns[t]];
               entry = std::min(entry, cost);
             })
        .all(from, to);
    return least;
  }

  /// The levels of `to` put in the order that suits `from` best; `from` stays as it is.
  [[nodiscard]] LayerState aligned(int edge, const LayerState& from, const LayerState& to) const {
    double best = std::numeric_limits<double>::infinity();
    std::vector<Pair> pairs;
    Pairings(groups_, model_.options().table, model_.edge_words(edge), !model_.free_edge(edge),
             [&](std::size_t, std::size_t, double cost, const std::vector<Pair>& tried) {
               if (cost >= best) return;
               best = cost;
               pairs = tried;
             })
        .between(from, to);
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
  /// Index of a state in a domain, by the code of its counts; -1 where there is none.
  [[nodiscard]] std::vector<int> places(const Domain& domain) const {
    std::vector<int> places(counts_.size(), -1);
    for (std::size_t i = 0; i < domain.size(); ++i) {
      places[counts_.code(domain[i])] = static_cast<int>(i);
    }
    return places;
  }

  const CostModel& model_;
  std::vector<Group> groups_;
  GroupCounts counts_;
};

/// The relaxed problem: sorted states, each boundary aligned on its own.
class GroupProblem {
 public:
  GroupProblem(const CostModel& model, const std::vector<Group>& groups, const NodeExtra& extra)
      : model_(model), alignment_(model, groups), weights_(least_weights(model, groups)) {
    for (int v = 0; v < model.graph().size(); ++v) {
      kinds_.push_back(kind_of(v));
      problem_.domains.push_back(kinds_.back()->feasible);
      Costs costs;
      for (const LayerState& state : *problem_.domains.back()) {
        costs.push_back(node_cost(model, weights_, v, state) + (extra ? extra(v, state) : 0));
      }
      problem_.costs.nodes.push_back(std::make_shared<const Costs>(std::move(costs)));
    }
    for (int e = 0; e < static_cast<int>(model.graph().edges().size()); ++e) add_edge(e);
  }

  /// The least choice. Nothing when the graph is too entangled.
  [[nodiscard]] std::optional<Choice> solve() const {
    if (model_.graph().is_chain()) return solve_chain();
    return solve_graph();
  }

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

  /// Nodes that may take the same states.
  struct Kind {
    std::vector<Split> splits;
    std::vector<int> kept;  ///< which of alignment_.states(splits) are feasible
    SharedDomain feasible;
  };

  const Kind* kind_of(int v) {
    const std::vector<Split> splits = model_.splits(v);
    const Domain all = alignment_.states(splits);
    std::vector<int> kept;
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (!model_.infeasible_reason(v, all[i])) kept.push_back(static_cast<int>(i));
    }
    for (const std::unique_ptr<Kind>& known : known_kinds_) {
      if (known->splits == splits && known->kept == kept) return known.get();
    }
    Domain feasible;
    for (const int i : kept) feasible.push_back(all[i]);
    known_kinds_.push_back(std::make_unique<Kind>(
        Kind{splits, std::move(kept), std::make_shared<const Domain>(std::move(feasible))}));
    return known_kinds_.back().get();
  }

  /// The table of an edge for one word per unit: rows and columns of the table of all states.
  /// Without messages, edges whose words differ by a factor share it.
  void add_edge(int e) {
    const graph::Edge& edge = model_.graph().edges()[e];
    const Kind& from = *kinds_[edge.from];
    const Kind& to = *kinds_[edge.to];
    const EdgeWords words = model_.edge_words(e);
    const bool charge = !model_.free_edge(e);
    const bool scales = std::all_of(weights_.per_message.begin(), weights_.per_message.end(),
                                    [](double seconds) { return seconds == 0; });
    const double unit = scales && words.features > 0 ? words.features : 1;
    const EdgeWords ratio{words.feature_sums / unit, words.features / unit, words.error_sums / unit,
                          words.errors / unit};
    SharedCosts& table = tables_[{&from, &to, ratio, charge}];
    if (!table) {
      Costs& base = bases_[{from.splits, to.splits, ratio, charge}];
      if (base.empty()) base = alignment_.table(ratio, charge, from.splits, to.splits);
      const std::size_t width = alignment_.states(to.splits).size();
      Costs costs;
      costs.reserve(from.kept.size() * to.kept.size());
      for (const int f : from.kept) {
        for (const int t : to.kept) costs.push_back(base[f * width + t]);
      }
      table = std::make_shared<const Costs>(std::move(costs));
    }
    problem_.costs.edges.push_back({edge.from, edge.to, table});
    scales_.push_back(unit);
  }

  /// On a chain: node by node, the least cost of each state; tables are scaled as they are read.
  [[nodiscard]] Choice solve_chain() const {
    const CostGraph& costs = problem_.costs;
    const int count = static_cast<int>(costs.nodes.size());
    std::vector<Costs> least(count);
    least[0] = *costs.nodes[0];
    for (int v = 1; v < count; ++v) {
      const int columns = costs.states(v);
      least[v].assign(columns, std::numeric_limits<double>::infinity());
      for (int s = 0; s < costs.states(v - 1); ++s) {
        lower(least[v].data(), row(v - 1, s), least[v - 1][s], scales_[v - 1], columns);
      }
      for (int t = 0; t < columns; ++t) least[v][t] += (*costs.nodes[v])[t];
    }
    Choice choice;
    choice.states.resize(count);
    const auto last = std::min_element(least.back().begin(), least.back().end());
    choice.cost = *last;
    choice.states.back() = static_cast<int>(last - least.back().begin());
    for (int v = count - 1; v > 0; --v) {
      const int t = choice.states[v];
      const auto from = [&](int s) { return least[v - 1][s] + scales_[v - 1] * row(v - 1, s)[t]; };
      int best = 0;
      for (int s = 1; s < costs.states(v - 1); ++s) {
        if (from(s) < from(best)) best = s;
      }
      choice.states[v - 1] = best;
    }
    return choice;
  }

  [[nodiscard]] const double* row(int edge, int state) const {
    const CostGraph::Edge& at = problem_.costs.edges[edge];
    return at.table->data() + static_cast<std::size_t>(state) * problem_.costs.states(at.b);
  }

  static void lower(double* __restrict least, const double* __restrict costs, double base,
                    double scale, int count) {
    for (int i = 0; i < count; ++i) least[i] = std::min(least[i], base + scale * costs[i]);
  }

  /// Other graphs: the tables scaled, then eliminated. Nothing when that is too much work.
  [[nodiscard]] std::optional<Choice> solve_graph() const {
    CostGraph scaled = problem_.costs;
    std::map<std::pair<SharedCosts, double>, SharedCosts> known;
    for (std::size_t e = 0; e < scaled.edges.size(); ++e) {
      SharedCosts& table = known[{scaled.edges[e].table, scales_[e]}];
      if (!table) {
        Costs costs = *scaled.edges[e].table;
        for (double& cost : costs) cost *= scales_[e];
        table = std::make_shared<const Costs>(std::move(costs));
      }
      scaled.edges[e].table = table;
    }
    return parallel::solve(scaled, 4 * kWorkLimit);
  }

  const CostModel& model_;
  Alignment alignment_;
  LevelWeights weights_;
  Problem problem_;
  std::vector<std::unique_ptr<Kind>> known_kinds_;
  std::vector<const Kind*> kinds_;  ///< by node
  std::vector<double> scales_;      ///< by edge: words of one unit of its table
  std::map<std::tuple<const Kind*, const Kind*, EdgeWords, bool>, SharedCosts> tables_;
  std::map<std::tuple<std::vector<Split>, std::vector<Split>, EdgeWords, bool>, Costs> bases_;
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
  if (const std::optional<Choice> choice = relaxed.solve()) {
    found.plan = relaxed.realise(choice->states);
    found.lower_bound = choice->cost;
  } else {
    found.plan = greedy_plan(model, weights);
  }
  found.cost = total(found.plan);
  const auto close = [&] { return found.cost <= found.lower_bound * (1 + 1e-12); };
  if (!close()) {
    const Plan greedy = greedy_plan(model, weights);
    const Plan& start = total(greedy) < found.cost ? greedy : found.plan;
    found.plan = improve_by_levels(model, weights, extra, start);
    found.cost = total(found.plan);
  }
  found.optimal = close();
  return found;
}

}  // namespace taut::parallel
