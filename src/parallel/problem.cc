#include "parallel/problem.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

#include "taut/core/error.h"
#include "taut/core/hash.h"

namespace taut::parallel {
namespace {

/// One object for each distinct domain.
class DomainInterner {
 public:
  SharedDomain intern(Domain domain) {
    for (const SharedDomain& known : known_) {
      if (*known == domain) return known;
    }
    known_.push_back(std::make_shared<const Domain>(std::move(domain)));
    return known_.back();
  }

 private:
  std::vector<SharedDomain> known_;
};

}  // namespace

Plan Problem::plan(const std::vector<int>& states, int levels) const {
  Plan plan{levels, {}};
  plan.states.reserve(states.size());
  for (std::size_t v = 0; v < states.size(); ++v) plan.states.push_back((*domains[v])[states[v]]);
  return plan;
}

std::vector<int> Problem::states(const Plan& plan) const {
  std::vector<int> states;
  for (std::size_t v = 0; v < domains.size(); ++v) {
    const auto at = std::lower_bound(domains[v]->begin(), domains[v]->end(), plan.states[v]);
    TAUT_ASSERT(at != domains[v]->end() && *at == plan.states[v]);
    states.push_back(static_cast<int>(at - domains[v]->begin()));
  }
  return states;
}

std::vector<SharedDomain> full_domains(const CostModel& model) {
  // Few kinds of nodes: by what decides the states, so that they are listed once.
  struct Kind {
    std::vector<Split> splits;
    int most_batch, most_input, most_output, most_channels;
    std::vector<std::uint8_t> allowed;
    bool has_weights;
    auto operator<=>(const Kind&) const = default;
  };
  const int levels = model.levels();
  std::map<Kind, SharedDomain> known;
  std::vector<SharedDomain> domains;
  if (!model.halves()) {
    DomainInterner interner;
    for (int v = 0; v < model.graph().size(); ++v) {
      domains.push_back(interner.intern(model.states(v)));
    }
    return domains;
  }
  for (int v = 0; v < model.graph().size(); ++v) {
    const auto most = [&](Split split) {
      int count = 0;
      for (int n = 1; n <= levels; ++n) {
        LayerState state(n, split);
        if (!model.size_reason(v, state)) count = n;
      }
      return count;
    };
    const Kind kind{model.splits(v),
                    most(Split::kBatch),
                    most(Split::kInput),
                    most(Split::kOutput),
                    most(Split::kChannels),
                    model.allowed(v),
                    model.graph().node(v).weights > 0};
    SharedDomain& domain = known[kind];
    if (!domain) domain = std::make_shared<const Domain>(model.states(v));
    domains.push_back(domain);
  }
  return domains;
}

std::vector<SharedDomain> filtered_domains(
    const CostModel& model, const std::function<bool(int node, const LayerState&)>& keep) {
  DomainInterner interner;
  std::vector<SharedDomain> domains = full_domains(model);
  for (std::size_t v = 0; v < domains.size(); ++v) {
    Domain kept;
    for (const LayerState& state : *domains[v]) {
      if (keep(static_cast<int>(v), state)) kept.push_back(state);
    }
    domains[v] = interner.intern(std::move(kept));
  }
  return domains;
}

double replication_cost(const CostModel& model, const LevelWeights& weights, int node,
                        const LayerState& state) {
  return weights.compute.empty() ? 0 : weights.compute[node] * (model.copies(state) - 1);
}

double node_cost(const CostModel& model, const LevelWeights& weights, int node,
                 const LayerState& state) {
  NodeCounter counter(model, node, state);
  double cost = replication_cost(model, weights, node, state);
  for (int level = 0; level < model.levels(); ++level) {
    const NodeCounter::Step step = counter.step(state.at(level), model.groups(level));
    const double one =
        step.words * weights.per_word[level] + step.messages * weights.per_message[level];
    cost += step.gradient ? one * weights.gradient : one;
  }
  return cost;
}

double edge_cost(const CostModel& model, const LevelWeights& weights, int edge,
                 const LayerState& from, const LayerState& to) {
  const Traffic traffic = model.edge_traffic(edge, from, to);
  double cost = 0;
  for (int level = 0; level < model.levels(); ++level) {
    cost += traffic.words[level] * weights.per_word[level] +
            traffic.messages[level] * weights.per_message[level];
  }
  return cost;
}

double cost_around(const CostModel& model, const LevelWeights& weights, const Plan& plan, int node,
                   const LayerState& state) {
  const graph::Graph& graph = model.graph();
  double cost = node_cost(model, weights, node, state);
  for (const int e : graph.inputs(node)) {
    cost += edge_cost(model, weights, e, plan.states[graph.edges()[e].from], state);
  }
  for (const int e : graph.outputs(node)) {
    cost += edge_cost(model, weights, e, state, plan.states[graph.edges()[e].to]);
  }
  return cost;
}

std::vector<LayerState> states_around(const CostModel& model, int node, const LayerState& state) {
  constexpr double kFew = 256;
  const std::vector<Split> known = model.splits(node);
  if (std::pow(known.size(), model.levels()) <= kFew) return model.states(node);
  std::vector<LayerState> states;
  for (int level = 0; level < model.levels(); ++level) {
    for (const Split split : known) {
      LayerState other = state;
      other.set(level, split);
      if (!model.infeasible_reason(node, other)) states.push_back(other);
    }
  }
  return states;
}

namespace {

/// Where levels differ, by constraints or by how many groups they join: one state for each way to
/// cut by its splits, found level by level.
std::vector<LayerState> counted_one_by_one(const CostModel& model, int node) {
  const std::vector<Split> known = model.splits(node);
  using Parts = std::array<std::int64_t, 5>;
  std::map<Parts, LayerState> states = {{Parts{1, 1, 1, 1, 1}, LayerState()}};
  for (int level = 0; level < model.levels(); ++level) {
    std::map<Parts, LayerState> longer;
    for (const auto& [parts, state] : states) {
      for (const Split split : known) {
        LayerState next(level + 1, split);
        for (int above = 0; above < level; ++above) next.set(above, state.at(above));
        if (model.infeasible_reason(node, next)) continue;
        Parts more = parts;
        more[static_cast<std::size_t>(split)] *= model.groups(level);
        longer.try_emplace(more, next);
      }
    }
    states = std::move(longer);
  }
  std::vector<LayerState> found;
  for (const auto& [parts, state] : states) found.push_back(state);
  return found;
}

}  // namespace

std::vector<LayerState> counted_states(const CostModel& model, int node) {
  const std::vector<std::uint8_t>& allowed = model.allowed(node);
  const bool same =
      std::adjacent_find(allowed.begin(), allowed.end(), std::not_equal_to<>()) == allowed.end();
  if (!same || !model.halves()) {
    std::vector<LayerState> states = counted_one_by_one(model, node);
    model.add_gathering(node, states);
    return states;
  }
  const std::vector<Split> known = model.splits(node);
  if (known.empty()) return {};
  std::vector<LayerState> states = {LayerState(model.levels(), known[0])};
  for (int level = 0; level < model.levels(); ++level) {
    std::vector<LayerState> longer;
    for (const LayerState& state : states) {
      for (const Split split : known) {
        if (level > 0 && split < state.at(level - 1)) continue;
        longer.push_back(state);
        longer.back().set(level, split);
      }
    }
    states = std::move(longer);
  }
  std::erase_if(states, [&](const LayerState& state) {
    return model.infeasible_reason(node, state).has_value();
  });
  model.add_gathering(node, states);
  return states;
}

double plan_cost(const CostModel& model, const LevelWeights& weights, const Plan& plan) {
  double cost = 0;
  for (int v = 0; v < model.graph().size(); ++v) {
    cost += node_cost(model, weights, v, plan.states[v]);
  }
  for (int e = 0; e < static_cast<int>(model.graph().edges().size()); ++e) {
    const graph::Edge& edge = model.graph().edges()[e];
    cost += edge_cost(model, weights, e, plan.states[edge.from], plan.states[edge.to]);
  }
  return cost;
}

Problem ProblemBuilder::build(std::vector<SharedDomain> domains, const NodeExtra& extra) {
  Problem problem;
  for (int v = 0; v < model_.graph().size(); ++v) {
    TAUT_ASSERT(!domains[v]->empty());
    Costs costs;
    costs.reserve(domains[v]->size());
    for (const LayerState& state : *domains[v]) {
      costs.push_back(node_cost(model_, weights_, v, state) + (extra ? extra(v, state) : 0));
    }
    problem.costs.nodes.push_back(intern(std::move(costs)));
  }
  for (int e = 0; e < static_cast<int>(model_.graph().edges().size()); ++e) {
    const graph::Edge& edge = model_.graph().edges()[e];
    problem.costs.edges.push_back(
        {edge.from, edge.to, edge_table(e, {domains[edge.from], domains[edge.to]})});
  }
  problem.domains = std::move(domains);
  return problem;
}

const ProblemBuilder::Units& ProblemBuilder::units(const DomainPair& domains) {
  const auto [at, added] = units_.try_emplace(domains);
  Units& units = at->second;
  if (!added) return units;
  const std::size_t size = domains.first->size() * domains.second->size();
  for (Costs* costs : {&units.feature_sums, &units.features, &units.error_sums, &units.errors,
                       &units.messages, &units.all}) {
    costs->assign(size, 0);
  }
  const double parts = static_cast<double>(model_.options().memory.accumulate);
  std::size_t i = 0;
  for (const LayerState& from : *domains.first) {
    for (const LayerState& to : *domains.second) {
      EdgeCounter counter(model_.options().table, model_.edge_copies(from, to));
      for (int level = 0; level < model_.levels(); ++level) {
        const EdgeUnits step = counter.step(from.at(level), to.at(level), model_.groups(level));
        const double weight = weights_.per_word[level];
        units.feature_sums[i] += weight * step.feature_sums;
        units.features[i] += weight * step.features;
        units.error_sums[i] += weight * step.error_sums;
        units.errors[i] += weight * step.errors;
        units.messages[i] += parts * weights_.per_message[level] * step.messages;
      }
      units.all[i] =
          units.feature_sums[i] + units.features[i] + units.error_sums[i] + units.errors[i];
      ++i;
    }
  }
  return units;
}

SharedCosts ProblemBuilder::edge_table(int edge, const DomainPair& domains) {
  const EdgeWords words = model_.edge_words(edge);
  const bool messages = !model_.free_edge(edge);
  SharedCosts& table = tables_[{domains, {words, messages}}];
  if (table) return table;
  const Units& unit = units(domains);
  Costs costs(unit.all.size());
  const bool alike = words.feature_sums == words.features && words.features == words.errors &&
                     words.errors == words.error_sums;
  for (std::size_t i = 0; i < costs.size(); ++i) {
    costs[i] = alike
                   ? words.features * unit.all[i]
                   : words.feature_sums * unit.feature_sums[i] + words.features * unit.features[i] +
                         words.error_sums * unit.error_sums[i] + words.errors * unit.errors[i];
    if (messages) costs[i] += unit.messages[i];
  }
  table = std::make_shared<const Costs>(std::move(costs));
  return table;
}

SharedCosts ProblemBuilder::intern(Costs costs) {
  const std::uint64_t hash = hash_bytes(costs.data(), costs.size() * sizeof(double));
  const auto [begin, end] = interned_.equal_range(hash);
  for (auto it = begin; it != end; ++it) {
    if (*it->second == costs) return it->second;
  }
  return interned_.emplace(hash, std::make_shared<const Costs>(std::move(costs)))->second;
}

}  // namespace taut::parallel
