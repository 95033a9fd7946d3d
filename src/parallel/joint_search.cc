#include <algorithm>
#include <cmath>
#include <utility>

#include "parallel/search.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::parallel {
namespace {

constexpr double kMostTableStates = 1024;
constexpr double kMostMessageEntries = 2e7;  // of all boundaries together
constexpr double kMostTableEntries = 1e8;    // where there is no deep search
constexpr double kFewTableStates = 81;       // below, tables cost less than the deep search

/// Whether all states of all nodes may be listed and their tables eliminated.
double most_states(const CostModel& model) {
  std::size_t most = 1;
  for (int v = 0; v < model.graph().size(); ++v) most = std::max(most, model.splits(v).size());
  return std::pow(static_cast<double>(most), model.levels());
}

/// Whether a search can afford the tables of these states: their elimination, or messages along
/// them.
bool affords_tables(const CostModel& model, const std::vector<SharedDomain>& domains) {
  ChoiceGraph sizes;
  for (const SharedDomain& domain : domains) {
    sizes.nodes.push_back(std::make_shared<const Costs>(domain->size()));
  }
  double entries = 0;
  for (const graph::Edge& edge : model.graph().edges()) {
    entries += static_cast<double>(domains[edge.from]->size() * domains[edge.to]->size());
    sizes.edges.push_back({edge.from, edge.to, nullptr});
  }
  const bool only_tables = model.options().table != CostTable::kVolume;
  return entries <= (only_tables ? kMostTableEntries : kMostMessageEntries) || can_solve(sizes, {});
}

}  // namespace

JointSearch::JointSearch(const CostModel& model, LevelWeights weights,
                         const std::function<bool(int, const LayerState&)>& keep,
                         const SearchLimits& limits)
    : model_(model), weights_(std::move(weights)), builder_(model, weights_), solver_(limits) {
  const bool few = most_states(model) <= kMostTableStates;
  if (keep) {
    domains_ = filtered_domains(model, keep);
  } else if (few) {
    domains_ = full_domains(model);
  }
  tables_ = keep || (few && affords_tables(model, domains_));
  const bool by_layer = model.options().memory.sharding == Sharding::kByLayer;
  if (!tables_ && by_layer) {
    throw Error(ErrorKind::kUnsupported,
                concat("sharding by layer over ", model.levels(), " levels"), "method exact",
                "use fewer accelerators, or one stage for all layers");
  }
  deep_first_ = !keep && !by_layer && model.options().table == CostTable::kVolume &&
                most_states(model) > kFewTableStates;
  if (!tables_ && model.options().table != CostTable::kVolume) {
    throw Error(ErrorKind::kUnsupported,
                concat("joint search over ", model.levels(), " levels with the table ",
                       to_string(model.options().table)),
                "method exact", "use fewer accelerators, volume, or the methods hypar or greedy");
  }
}

Problem JointSearch::problem(const NodeExtra& extra) {
  TAUT_ASSERT(tables_);
  return builder_.build(domains_, extra);
}

std::optional<Found> JointSearch::run(const NodeExtra& extra, double effort) {
  std::optional<Found> deep;
  if (deep_first_ || !tables_) {
    deep = deep_search(model_, weights_, extra, effort);
    if (deep->optimal || !tables_) return deep;
  }
  for (const SharedDomain& domain : domains_) {
    if (domain->empty()) return std::nullopt;
  }
  const Problem tables = problem(extra);
  const BoundedChoice best = deep ? solver_.solve(tables.costs, tables.states(deep->plan), effort)
                                  : solver_.solve(tables.costs, std::nullopt, effort);
  const double bound = deep ? std::max(deep->lower_bound, best.lower_bound) : best.lower_bound;
  return Found{tables.plan(best.choice.states, model_.levels()), best.choice.cost, bound,
               best.optimal};
}

std::optional<Plan> greedy_plan(const CostModel& model, const LevelWeights& weights, bool* exact) {
  constexpr SearchLimits kOneLevel{.additions = 1e8, .entries = 4'194'304};
  constexpr double kOneLevelWalk = 2e7;
  if (exact != nullptr) *exact = true;
  const graph::Graph& graph = model.graph();
  const auto parts = static_cast<double>(model.options().memory.accumulate);
  std::vector<NodeCounter> nodes;
  for (int v = 0; v < graph.size(); ++v) nodes.emplace_back(model, v);
  std::vector<EdgeCounter> edges(graph.edges().size(), EdgeCounter(model.options().table));
  std::vector<LayerState> states(graph.size());
  for (int level = 0; level < model.levels(); ++level) {
    const double per_word = weights.per_word[level];
    const double per_message = weights.per_message[level];
    ChoiceGraph costs;
    std::vector<std::vector<Split>> choices(graph.size());
    for (int v = 0; v < graph.size(); ++v) {
      Costs of_node;
      for (const Split split : model.splits(v)) {
        // Type R multiplies what the levels above move, which a choice level by level does not see.
        if (split == Split::kReplicate) continue;
        LayerState longer(level + 1, split);
        for (int above = 0; above < level; ++above) longer.set(above, states[v].at(above));
        if (model.infeasible_reason(v, longer)) continue;
        const NodeCounter::Step step = NodeCounter(nodes[v]).step(split, model.groups(level));
        choices[v].push_back(split);
        of_node.push_back(step.words * per_word + step.messages * per_message);
      }
      if (of_node.empty()) return std::nullopt;
      costs.nodes.push_back(std::make_shared<const Costs>(std::move(of_node)));
    }
    for (std::size_t e = 0; e < edges.size(); ++e) {
      const graph::Edge& edge = graph.edges()[e];
      const EdgeWords words = model.edge_words(static_cast<int>(e));
      const bool free = model.free_edge(static_cast<int>(e));
      Costs table;
      for (const Split from : choices[edge.from]) {
        for (const Split to : choices[edge.to]) {
          const EdgeUnits units = EdgeCounter(edges[e]).step(from, to, model.groups(level));
          const double moved = units.feature_sums * words.feature_sums +
                               units.features * words.features +
                               units.error_sums * words.error_sums + units.errors * words.errors;
          table.push_back(moved * per_word + (free ? 0 : parts * units.messages * per_message));
        }
      }
      costs.edges.push_back({edge.from, edge.to, std::make_shared<const Costs>(std::move(table))});
    }
    const BoundedChoice best = BoundedSolver(kOneLevel, kOneLevelWalk).solve(costs);
    if (exact != nullptr) *exact = *exact && best.optimal;
    for (int v = 0; v < graph.size(); ++v) {
      const Split chosen = choices[v][best.choice.states[v]];
      LayerState longer(level + 1, chosen);
      for (int above = 0; above < level; ++above) longer.set(above, states[v].at(above));
      states[v] = longer;
      nodes[v].step(chosen, model.groups(level));
    }
    for (std::size_t e = 0; e < edges.size(); ++e) {
      const graph::Edge& edge = graph.edges()[e];
      edges[e].step(states[edge.from].at(level), states[edge.to].at(level), model.groups(level));
    }
  }
  return Plan{model.levels(), std::move(states)};
}

}  // namespace taut::parallel
