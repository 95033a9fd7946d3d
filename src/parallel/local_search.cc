#include <limits>
#include <utility>

#include "parallel/search.h"
#include "taut/core/error.h"

namespace taut::parallel {
namespace {

/// The current state of each node and those that differ from it at the given levels only.
std::vector<SharedDomain> around(const CostModel& model, const Plan& plan,
                                 const std::vector<int>& levels) {
  std::vector<SharedDomain> domains;
  for (int v = 0; v < model.graph().size(); ++v) {
    Domain states = {plan.states[v]};  // first, so that ties keep the plan
    const std::vector<Split> known = model.splits(v);
    Domain varied = {plan.states[v]};
    for (const int level : levels) {
      Domain longer;
      for (const LayerState& state : varied) {
        for (const Split split : known) {
          longer.push_back(state);
          longer.back().set(level, split);
        }
      }
      varied = std::move(longer);
    }
    for (const LayerState& state : varied) {
      if (state != plan.states[v] && !model.infeasible_reason(v, state)) states.push_back(state);
    }
    domains.push_back(std::make_shared<const Domain>(std::move(states)));
  }
  return domains;
}

}  // namespace

Plan improve_by_levels(const CostModel& model, const LevelWeights& weights, const NodeExtra& extra,
                       Plan plan, double effort) {
  const double most_steps = 1.5e7 * effort;  // of edge counters: some tenths of a second
  constexpr SearchLimits kOneChange{.additions = 1e8, .entries = 4'194'304};
  constexpr double kOneWalk = 2e7;
  double cost = std::numeric_limits<double>::infinity();
  double steps = 0;
  const auto improve = [&](const std::vector<int>& levels) {
    std::vector<SharedDomain> domains = around(model, plan, levels);
    for (const graph::Edge& edge : model.graph().edges()) {
      steps += static_cast<double>(domains[edge.from]->size() * domains[edge.to]->size()) *
               model.levels();
    }
    ProblemBuilder builder(model, weights);
    const Problem problem = builder.build(std::move(domains), extra);
    // The plan at hand is state 0 of every node.
    const Choice choice = BoundedSolver(kOneChange, kOneWalk).solve(problem.costs).choice;
    if (choice.cost >= cost * (1 - 1e-12)) return false;
    cost = choice.cost;
    plan = problem.plan(choice.states, model.levels());
    return true;
  };
  bool improved = true;
  while (improved && steps < most_steps) {
    improved = false;
    for (int level = 0; level < model.levels(); ++level) improved |= improve({level});
    if (improved) continue;
    for (int a = 0; a < model.levels(); ++a) {
      for (int b = a + 1; b < model.levels() && steps < most_steps; ++b) {
        improved |= improve({a, b});
      }
    }
  }
  return plan;
}

}  // namespace taut::parallel
