#pragma once
// Which layer is split how, of a network that workers train: chosen by name, by the planner or read
// from a file.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "taut/graph/network.h"
#include "taut/parallel/split.h"
#include "taut/train/task.h"

namespace taut::train {

/// How a network is split.
struct ChosenPlan {
  std::string name;
  int levels = 0;
  std::vector<parallel::LayerState> splits;  ///< as nn::ImageNetwork::set_plan takes them
  nlohmann::json layers;                     ///< of all of its cost graph, as a plan's file has it
  /// That all workers send for features, errors and gradients of weights.
  double words_per_step = 0;
  /// What the cost model expects of a step on choice.cluster, exchanges after computing; nothing
  /// where no cluster is given.
  std::optional<double> predicted_seconds = {};
};

/// choice.plan: mp, owt, auto (the exact search for the cluster of choice.cluster) or the path of a
/// plan's file (parallel/plan_file.h): of a run, of taut plan --json or of taut.Plan;
/// choice.cluster may be given for any of them. Partial sums are added before pools, as they are
/// when it is run. Errors: kConfig for an auto without a cluster, or with one of another number of
/// accelerators, for workers that are no power of two, and where no such plan is possible, with the
/// reason; those of parallel::read_plan for a file, kData where it does not fit network or workers.
[[nodiscard]] ChosenPlan choose_plan(const graph::Network& network, const PlanChoice& choice,
                                     std::int64_t batch, int workers);

/// {"plan", "levels", "words_per_step", "predicted_seconds_per_step" where known, "layers":
/// [{"name", "splits": ["I", ...]}]}.
[[nodiscard]] nlohmann::json plan_json(const ChosenPlan& plan);

}  // namespace taut::train
