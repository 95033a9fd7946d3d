#pragma once
// What a step under a plan costs: seconds with and without overlap, joules, bytes, memory.

#include <string>
#include <vector>

#include "taut/graph/graph.h"
#include "taut/parallel/cluster.h"
#include "taut/parallel/cost_model.h"
#include "taut/parallel/split.h"

namespace taut::parallel {

/// Seconds of a step (docs/parallel.md, "Objectives, time, energy, memory").
struct StepTime {
  double compute_seconds = 0;
  double communication_seconds = 0;  ///< all words and messages, one after another
  double gradient_seconds = 0;       ///< the part of it that is all-reduces of weight gradients
  double serial_seconds = 0;         ///< compute, then communication
  /// Features and errors exposed, weight gradients behind the backward pass:
  /// from the last layer to the first, t += c_l, b = max(0, b - 2 c_l / 3) + allreduce_l,
  /// t += exchange(l - 1, l); the result is t + b.
  double overlapped_seconds = 0;
};

/// Joules of a step, by part, as HyPar (arXiv 1901.02067) counts them.
struct StepEnergy {
  double mac_joules = 0;  ///< adders and multipliers
  double sram_joules = 0;
  double dram_joules = 0;  ///< local features, errors and weights
  double link_joules = 0;  ///< communicated words
  [[nodiscard]] double total() const noexcept {
    return mac_joules + sram_joules + dram_joules + link_joules;
  }
};

/// One layer of a plan's report.
struct LayerCost {
  int node = 0;
  double gradient_words = 0;  ///< all-reduces of its weight gradient (HyPar: inside the layer)
  double boundary_words = 0;  ///< features and errors between it and what it reads
  double communication_seconds = 0;
  double compute_seconds = 0;
  double memory_bytes = 0;  ///< of one accelerator
  std::vector<double> words_by_level;
};

/// Everything about a plan.
struct PlanReport {
  Traffic traffic;
  double words = 0;
  StepTime time;
  StepEnergy energy;
  double memory_bytes = 0;  ///< of one accelerator, without tables
  std::vector<LayerCost> layers;
  [[nodiscard]] double bytes() const noexcept { return 4 * words; }
};

/// Multiply-adds of a step, three passes over the whole batch, as the cluster counts them.
[[nodiscard]] double step_macs(const graph::Graph& graph, const Cluster& cluster,
                               std::int64_t batch);

/// Seconds that one node computes in a step (forward, both backward products, what is recomputed),
/// the work divided over all accelerators but for the levels at which the state leaves it whole.
[[nodiscard]] double compute_seconds(const CostModel& model, const Cluster& cluster, int node,
                                     const LayerState& state = {});

/// Errors: kInvalidArgument when plan, model and cluster do not fit together.
[[nodiscard]] StepTime step_time(const CostModel& model, const Cluster& cluster, const Plan& plan);
[[nodiscard]] StepEnergy step_energy(const CostModel& model, const Cluster& cluster,
                                     const Plan& plan);
[[nodiscard]] PlanReport report(const CostModel& model, const Cluster& cluster, const Plan& plan);

}  // namespace taut::parallel
