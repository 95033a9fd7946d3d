// Arrays too deep for a table of all states: the counts of level_groups.h instead.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <tuple>
#include <utility>

#include "parallel/level_groups.h"
#include "parallel/search.h"
#include "taut/core/error.h"

namespace taut::parallel {
namespace {

/// The least that some levels of a group can cost a copied weight's gradient: by their number, over
/// all choices of which they are.
class GradientBound {
 public:
  GradientBound(const LevelWeights& weights, const Group& group)
      : words_(group.levels + 1, std::numeric_limits<double>::infinity()) {
    std::vector<double> latencies;
    words_[0] = 0;
    for (int i = 0; i < group.levels; ++i) {
      const double per_word = weights.per_word[group.first + i];
      for (int k = i; k >= 0; --k) {
        words_[k + 1] = std::min(words_[k + 1],
                                 words_[k] + (group.ways - 1) * std::pow(group.ways, k) * per_word);
      }
      latencies.push_back(weights.per_message[group.first + i]);
    }
    std::sort(latencies.begin(), latencies.end());
    messages_.push_back(0);
    for (const double latency : latencies) messages_.push_back(messages_.back() + latency);
  }
  [[nodiscard]] double words(int count) const { return words_[count]; }
  [[nodiscard]] double messages(int count) const { return messages_[count]; }

 private:
  std::vector<double> words_;
  std::vector<double> messages_;
};

/// The relaxed problem: sorted states, each boundary aligned on its own.
class GroupProblem {
 public:
  GroupProblem(const CostModel& model, const LevelWeights& weights, const NodeExtra& extra)
      : model_(model),
        weights_(weights),
        groups_(group_levels(model, weights)),
        alignment_(model, groups_) {
    for (const Group& group : groups_) gradients_.emplace_back(weights, group);
    scales_with_words_ = std::all_of(groups_.begin(), groups_.end(),
                                     [](const Group& group) { return group.per_message == 0; });
    for (int v = 0; v < model.graph().size(); ++v) {
      kinds_.push_back(kind_of(v));
      problem_.domains.push_back(kinds_.back()->feasible);
      Costs costs;
      for (const LayerState& state : *problem_.domains.back()) {
        costs.push_back(gradient_cost(v, state) + replication_cost(model, weights, v, state) +
                        (extra ? extra(v, state) : 0));
      }
      problem_.costs.nodes.push_back(std::make_shared<const Costs>(std::move(costs)));
    }
    for (int e = 0; e < static_cast<int>(model.graph().edges().size()); ++e) add_edge(e);
  }

  /// The least choice, or one with a bound where the graph is too entangled.
  [[nodiscard]] BoundedChoice solve(double effort) const {
    if (!model_.graph().is_chain()) return solve_graph(effort);
    Choice choice = solve_chain();
    const double cost = choice.cost;
    return {std::move(choice), cost, true};
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
  /// The least cost of a node's weight gradient (volume has nothing else inside a node).
  [[nodiscard]] double gradient_cost(int v, const LayerState& state) const {
    const double passes = model_.gradient_passes(model_.options().memory.sharding);
    const double words = passes * model_.weight_words(v);
    if (words == 0) return 0;
    double copies = model_.copies(state);
    double cost = 0;
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      int count = 0;
      for (int i = 0; i < groups_[g].levels; ++i) {
        count += state.at(groups_[g].first + i) == Split::kBatch ? 1 : 0;
      }
      cost += copies * words * gradients_[g].words(count) + passes * gradients_[g].messages(count);
      copies *= std::pow(groups_[g].ways, count);
    }
    return weights_.gradient * cost;
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
    const double unit = scales_with_words_ && words.features > 0 ? words.features : 1;
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
    const ChoiceGraph& costs = problem_.costs;
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
    const ChoiceGraph::Edge& at = problem_.costs.edges[edge];
    return at.table->data() + static_cast<std::size_t>(state) * problem_.costs.states(at.b);
  }

  static void lower(double* __restrict least, const double* __restrict costs, double base,
                    double scale, int count) {
    for (int i = 0; i < count; ++i) least[i] = std::min(least[i], base + scale * costs[i]);
  }

  /// Other graphs: the tables scaled.
  [[nodiscard]] BoundedChoice solve_graph(double effort) const {
    ChoiceGraph scaled = problem_.costs;
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
    return BoundedSolver().solve(scaled, std::nullopt, effort);
  }

  const CostModel& model_;
  const LevelWeights& weights_;
  std::vector<Group> groups_;
  Alignment alignment_;
  std::vector<GradientBound> gradients_;  ///< by group
  bool scales_with_words_ = true;         ///< no message costs anything
  Problem problem_;
  std::vector<std::unique_ptr<Kind>> known_kinds_;
  std::vector<const Kind*> kinds_;  ///< by node
  std::vector<double> scales_;      ///< by edge: words of one unit of its table
  std::map<std::tuple<const Kind*, const Kind*, EdgeWords, bool>, SharedCosts> tables_;
  std::map<std::tuple<std::vector<Split>, std::vector<Split>, EdgeWords, bool>, Costs> bases_;
};

}  // namespace

Found deep_search(const CostModel& model, const LevelWeights& weights, const NodeExtra& extra,
                  double effort) {
  const auto total = [&](const Plan& plan) {
    double cost = plan_cost(model, weights, plan);
    for (int v = 0; extra && v < model.graph().size(); ++v) cost += extra(v, plan.states[v]);
    return cost;
  };
  Found found;
  const GroupProblem relaxed(model, weights, extra);
  const BoundedChoice choice = relaxed.solve(effort);
  found.plan = relaxed.realise(choice.choice.states);
  found.lower_bound = choice.lower_bound;
  found.cost = total(found.plan);
  const auto close = [&] { return found.cost <= found.lower_bound * (1 + 1e-12); };
  if (!close()) {
    Plan start = found.plan;
    if (effort >= 1) {  // it is the same for all extra costs: a repeated search has met it before
      std::optional<Plan> greedy = greedy_plan(model, weights);
      if (greedy && total(*greedy) < found.cost) start = *std::move(greedy);
    }
    found.plan = improve_by_levels(model, weights, extra, std::move(start), effort);
    found.cost = total(found.plan);
  }
  found.optimal = close();
  return found;
}

}  // namespace taut::parallel
