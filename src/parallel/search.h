#pragma once
// Searches for the cheapest plan under additive costs: exact where the state space allows, else
// with a lower bound.

#include <memory>
#include <optional>
#include <vector>

#include "parallel/bounded_solver.h"
#include "parallel/problem.h"

namespace taut::parallel {

/// A plan found, its cost (extra costs included) and what no plan can go below.
struct Found {
  Plan plan;
  double cost = 0;
  double lower_bound = 0;
  bool optimal = false;
};

/// Joint search over all levels at once (docs/parallel.md, "Searches"). Up to some hundred states a
/// layer, all of them are in the tables and the answer is exact for any graph that elimination can
/// afford; others get BoundedSolver's plan and bound. Deeper arrays: neighbouring levels of equal
/// cost are interchangeable, so a layer's state is how many levels of each such group have each
/// type, and a boundary costs what its cheapest alignment costs. On a chain every boundary can have
/// its cheapest alignment, so that is exact too; on other graphs it is a lower bound, and local
/// search improves the plan that it suggests.
class JointSearch {
 public:
  /// keep: which states a node may take; empty: all feasible ones. The deep search ignores it, so
  /// it may be given only where all states fit the tables. Errors: kUnsupported for HyPar's tables
  /// on arrays that are too deep for all states. limits: of elimination.
  JointSearch(const CostModel& model, LevelWeights weights,
              const std::function<bool(int, const LayerState&)>& keep = {},
              const SearchLimits& limits = {});

  /// The cheapest plan; extra is added to the nodes' costs. effort: the share of what one search
  /// may spend where it is not exact; later calls go on where earlier ones ended. Nothing when keep
  /// left a node no state.
  [[nodiscard]] std::optional<Found> run(const NodeExtra& extra = {}, double effort = 1);

  /// All states fit the tables.
  [[nodiscard]] bool has_tables() const noexcept { return tables_; }
  /// The tables for one extra; requires has_tables().
  [[nodiscard]] Problem problem(const NodeExtra& extra = {});
  [[nodiscard]] const CostModel& model() const noexcept { return model_; }
  [[nodiscard]] const LevelWeights& weights() const noexcept { return weights_; }

 private:
  const CostModel& model_;
  LevelWeights weights_;
  ProblemBuilder builder_;
  std::vector<SharedDomain> domains_;
  BoundedSolver solver_;
  bool tables_ = true;
  bool deep_first_ = false;  ///< the deep search may prove its answer with less work
};

/// The top-down search of HyPar's Algorithm 2: level by level, each level's best given those above.
/// Ties go to the lower type. Words of a level weighted by its weights. exact, where asked for:
/// whether each level's best is proven. Nothing where constraints leave a layer no split that fits
/// behind what was chosen above.
[[nodiscard]] std::optional<Plan> greedy_plan(const CostModel& model, const LevelWeights& weights,
                                              bool* exact = nullptr);

/// The deep search of JointSearch. weights may differ from level to level.
[[nodiscard]] Found deep_search(const CostModel& model, const LevelWeights& weights,
                                const NodeExtra& extra, double effort = 1);

/// Improves a plan until no change of the splits of two levels, over all layers at once, makes it
/// cheaper, or some tenths of a second of work, times the effort, are done. Never worse than the
/// plan it starts from.
[[nodiscard]] Plan improve_by_levels(const CostModel& model, const LevelWeights& weights,
                                     const NodeExtra& extra, Plan plan, double effort = 1);

}  // namespace taut::parallel
