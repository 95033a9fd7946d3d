#include "taut/parallel/unequal.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "parallel/search.h"
#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/parallel/step_time.h"

namespace taut::parallel {
namespace {

constexpr double kMostStates = 1024;
constexpr double kLaterEffort = 1.0 / 16;  // of a search that is not exact, behind the first

/// What an unequal array makes of levels' words.
struct Factors {
  double top_change;
  double below;
};

Factors factors(const UnequalOptions& unequal, double slow_share) {
  return {4 * slow_share * (1 - slow_share),
          std::max(2 * slow_share, 2 * (1 - slow_share) / unequal.link_ratio)};
}

void check(const CostModel& model, const UnequalOptions& unequal) {
  if (model.options().table != CostTable::kVolume) {
    throw_invalid_argument("cost table", "volume", to_string(model.options().table));
  }
  if (model.options().replicate) {
    throw Error(ErrorKind::kUnsupported, "layers that stay whole on an unequal array",
                "model " + model.graph().name(), "plan without --replicate");
  }
  if (!model.halves()) {
    throw_invalid_argument("levels of an unequal array", "of two groups each", "others");
  }
  if (!(unequal.compute_ratio > 0) || !(unequal.link_ratio > 0)) {
    throw_invalid_argument("compute and link ratios", "above 0",
                           concat(unequal.compute_ratio, " and ", unequal.link_ratio));
  }
}

double compute_part(const CostModel& model, const Cluster& slow, const UnequalOptions& unequal,
                    double slow_share) {
  const double half = slow.accelerators() / 2.0;
  const double macs = step_macs(model.graph(), slow, model.options().batch) / half;
  const double rate = slow.accelerator.macs_per_second;
  return macs * std::max(slow_share / rate, (1 - slow_share) / (rate * unequal.compute_ratio));
}

/// Levels' weights without the top level's changes, and how much those weigh less.
LevelWeights level_weights(const Cluster& slow, const Factors& factors) {
  LevelWeights weights = LevelWeights::words(slow.depth());
  for (int level = 0; level < slow.depth(); ++level) {
    weights.per_word[level] = slow.seconds_per_word(level) * (level == 0 ? 1 : factors.below);
    weights.per_message[level] = slow.levels[level].latency_seconds;
  }
  return weights;
}

/// Seconds of a top-level change of split that an unequal share saves on an edge.
double saved(const CostModel& model, const Cluster& slow, const Factors& factors, int edge,
             Split from, Split to) {
  const EdgeWords words = model.edge_words(edge);
  const MoveUnits features =
      MoveCounter().step(layouts_of(from).feature_made, layouts_of(to).feature_wanted);
  const MoveUnits errors =
      MoveCounter().step(layouts_of(to).error_made, layouts_of(from).error_wanted);
  return (1 - factors.top_change) * slow.seconds_per_word(0) *
         (features.change * words.features + errors.change * words.errors);
}

}  // namespace

double unequal_seconds(const CostModel& model, const Cluster& slow, const UnequalOptions& unequal,
                       const Plan& plan, double slow_share) {
  check(model, unequal);
  if (!(slow_share > 0 && slow_share < 1)) {
    throw_invalid_argument("slow_share", "above 0 and below 1", concat(slow_share));
  }
  model.check(plan);
  const Factors parts = factors(unequal, slow_share);
  double seconds = compute_part(model, slow, unequal, slow_share) +
                   plan_cost(model, level_weights(slow, parts), plan);
  for (int e = 0; e < static_cast<int>(model.graph().edges().size()); ++e) {
    const graph::Edge& edge = model.graph().edges()[e];
    seconds -=
        saved(model, slow, parts, e, plan.states[edge.from].at(0), plan.states[edge.to].at(0));
  }
  return seconds;
}

UnequalPlan plan_unequal(const graph::Graph& graph, const Cluster& slow,
                         const UnequalOptions& unequal, const PlanOptions& options) {
  const CostModel model(graph, cost_options(slow, options));
  check(model, unequal);
  if (!(unequal.first_share > 0 && unequal.last_share < 1 && unequal.share_step > 0)) {
    throw_invalid_argument(
        "shares", "inside (0, 1) with a step above 0",
        concat(unequal.first_share, "..", unequal.last_share, " by ", unequal.share_step));
  }
  UnequalPlan best;
  best.seconds = std::numeric_limits<double>::infinity();
  const int steps = static_cast<int>(
      std::floor((unequal.last_share - unequal.first_share) / unequal.share_step + 1e-9));
  if (std::pow(model.options().types, slow.depth()) > kMostStates) {
    throw Error(ErrorKind::kUnsupported,
                concat("the joint search over an unequal array of ", slow.accelerators()),
                "model " + graph.name(), "use fewer accelerators");
  }
  const std::vector<SharedDomain> domains = full_domains(model);
  for (int v = 0; v < graph.size(); ++v) {
    if (!domains[v]->empty()) continue;
    throw_invalid_argument("constraints", "a split for each layer", graph.node(v).name);
  }
  BoundedSolver solver;
  double least = best.seconds;
  for (int i = 0; i <= steps; ++i) {
    const double share = unequal.first_share + i * unequal.share_step;
    const Factors parts = factors(unequal, share);
    ProblemBuilder builder(model, level_weights(slow, parts));
    Problem problem = builder.build(domains);
    for (std::size_t e = 0; e < problem.costs.edges.size(); ++e) {
      ChoiceGraph::Edge& edge = problem.costs.edges[e];
      Costs table = *edge.table;
      std::size_t entry = 0;
      for (const LayerState& from : *problem.domains[edge.a]) {
        for (const LayerState& to : *problem.domains[edge.b]) {
          table[entry++] -= saved(model, slow, parts, static_cast<int>(e), from.at(0), to.at(0));
        }
      }
      edge.table = std::make_shared<const Costs>(std::move(table));
    }
    const double effort = i == 0 ? 1 : kLaterEffort;
    const BoundedChoice choice = solver.solve(problem.costs, std::nullopt, effort);
    const Plan plan = problem.plan(choice.choice.states, slow.depth());
    const double seconds = unequal_seconds(model, slow, unequal, plan, share);
    const double bound =
        choice.optimal ? seconds : choice.lower_bound + compute_part(model, slow, unequal, share);
    least = std::min(least, bound);
    if (seconds < best.seconds) best = {plan, share, seconds, 0};
  }
  best.lower_bound = std::min(least, best.seconds);
  return best;
}

}  // namespace taut::parallel
