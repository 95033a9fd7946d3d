#pragma once
// Two kinds of accelerators: the top level separates slow from fast, and the slow group takes a
// share of every layer (AccPar, HPCA 2020).

#include <cstdint>

#include "taut/graph/graph.h"
#include "taut/parallel/cluster.h"
#include "taut/parallel/planner.h"

namespace taut::parallel {

/// How the fast group exceeds the slow one, which the cluster describes.
struct UnequalOptions {
  double compute_ratio = 420.0 / 180.0;  ///< speed of a fast accelerator over a slow one
  double link_ratio = 2;                 ///< bandwidth inside the fast group over the slow one's
  /// Shares of the slow group that are tried: first, first + step, ... up to last.
  double first_share = 0.10;
  double last_share = 0.70;
  double share_step = 0.02;
};

/// A plan with the share of work that the slow half of the array takes.
struct UnequalPlan {
  Plan plan;
  double slow_share = 0.5;
  double seconds = 0;      ///< of a step, compute then communication
  double lower_bound = 0;  ///< no plan with one of the shares tried takes less
};

/// Seconds of a step under a plan with a share: compute ends when the slower group is done; changes
/// of split at the top level carry 4 a (1 - a) of their words, levels below wait for the group with
/// more words per bandwidth, max(2 a, 2 (1 - a) / link_ratio). Needs the volume table.
/// Errors: kInvalidArgument for a share outside (0, 1) or a table that is not volume.
[[nodiscard]] double unequal_seconds(const CostModel& model, const Cluster& slow,
                                     const UnequalOptions& unequal, const Plan& plan,
                                     double slow_share);

/// The best plan and share: for each share the joint search over all levels, types as in options.
/// Errors: as unequal_seconds(), and kUnsupported for arrays too deep for a table of all states.
[[nodiscard]] UnequalPlan plan_unequal(const graph::Graph& graph, const Cluster& slow,
                                       const UnequalOptions& unequal, const PlanOptions& options);

}  // namespace taut::parallel
