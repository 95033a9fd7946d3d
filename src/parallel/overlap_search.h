#pragma once

#include "parallel/search.h"
#include "taut/parallel/planner.h"

namespace taut::parallel {

/// The plan of least step time when weight gradients travel behind the backward pass
/// (docs/parallel.md). Chains whose tables hold all states: exact, by labels (time, waiting
/// gradients) with dominance. Other graphs: the best of a sweep that counts gradients at a share of
/// their time, and the bound that the sweep proves. weights: seconds.
[[nodiscard]] Planned overlap_plan(const CostModel& model, const Cluster& cluster,
                                   const LevelWeights& weights);

}  // namespace taut::parallel
