#pragma once
// The least choice of any graph within a cap on work and memory: exact where elimination can
// afford it, else a choice and what none can go below.

#include <optional>
#include <vector>

#include "parallel/message_passing.h"

namespace taut::parallel {

/// A choice found and what is known of it.
struct BoundedChoice {
  Choice choice;
  double lower_bound = 0;  ///< no choice costs less
  bool optimal = false;    ///< choice.cost is the least, to rounding
};

/// Eliminates where the limits allow it. Else walks: messages raise the lower bound, each walk
/// suggests a choice that is improved by stars, states that the bound proves too dear are dropped,
/// and as soon as the rest can be eliminated it is, which is exact again. Keeps the messages of its
/// last graph, so that a graph of the same shape and other costs starts where that ended.
/// Deterministic: work is counted, not timed. Threads: not for sharing.
class BoundedSolver {
 public:
  /// Limits of elimination, and additions that the walks may take when it does not apply.
  explicit BoundedSolver(const SearchLimits& limits = {}, double walk_additions = 4e8)
      : limits_(limits), walk_additions_(walk_additions) {}

  /// The least choice known; start: one to begin with. effort: the share of the walks' additions
  /// that this call may spend.
  [[nodiscard]] BoundedChoice solve(const ChoiceGraph& graph,
                                    const std::optional<std::vector<int>>& start = std::nullopt,
                                    double effort = 1);

  /// Additions that all calls took, eliminations included.
  [[nodiscard]] double additions() const noexcept { return additions_; }

 private:
  [[nodiscard]] bool has_shape_of_last(const ChoiceGraph& graph) const;

  SearchLimits limits_;
  double walk_additions_;
  double additions_ = 0;
  std::vector<ChoiceGraph::Edge> last_edges_;
  MessagePassing::Messages last_messages_;
  std::vector<int> last_states_;
};

}  // namespace taut::parallel
