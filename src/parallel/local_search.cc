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
  const double most_additions = 3e8 * effort;  // some tenths of a second
  constexpr double kAdditionsOfAStep = 20;     // of an edge counter
  constexpr SearchLimits kOneChange{.additions = 1e7, .entries = 4'194'304};
  constexpr double kOneWalk = 5e6;
  double cost = std::numeric_limits<double>::infinity();
  double additions = 0;
  const auto improve = [&](const std::vector<int>& levels) {
    std::vector<SharedDomain> domains = around(model, plan, levels);
    for (const graph::Edge& edge : model.graph().edges()) {
      additions += static_cast<double>(domains[edge.from]->size() * domains[edge.to]->size()) *
                   model.levels() * kAdditionsOfAStep;
    }
    ProblemBuilder builder(model, weights);
    const Problem problem = builder.build(std::move(domains), extra);
    // The plan at hand is state 0 of every node.
    BoundedSolver solver(kOneChange, kOneWalk);
    const Choice choice = solver.solve(problem.costs).choice;
    additions += solver.additions();
    if (choice.cost >= cost * (1 - 1e-12)) return false;
    cost = choice.cost;
    plan = problem.plan(choice.states, model.levels());
    return true;
  };
  const auto may_go_on = [&] { return additions < most_additions; };
  bool improved = true;
  while (improved && may_go_on()) {
    improved = false;
    for (int level = 0; level < model.levels() && may_go_on(); ++level)
      improved |= improve({level});
    if (improved) continue;
    for (int a = 0; a < model.levels(); ++a) {
      for (int b = a + 1; b < model.levels() && may_go_on(); ++b) improved |= improve({a, b});
    }
  }
  return plan;
}

}  // namespace taut::parallel
