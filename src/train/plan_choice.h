#pragma once
// Which layer is split how, of a network that workers train: chosen by name, by the planner or read
// from a file.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "taut/graph/network.h"
#include "taut/parallel/split.h"
#include "taut/train/task.h"

namespace taut::train {

/// The splits of a network's convolutions and linear layers, in order.
struct ChosenPlan {
  std::string name;
  std::vector<std::string> layers;
  std::vector<parallel::LayerState> splits;
  double words_per_step =
      0;  ///< that all workers send for features, errors and gradients of weights
};

/// choice.plan: mp, owt, auto (the exact search for the cluster of choice.cluster) or the path of a
/// file that plan_json() wrote. Partial sums are added before pools, as they are when it is run.
/// Errors: kConfig for an auto without a cluster, or with one of another number of accelerators,
/// for workers that are no power of two, and where no such plan is possible, with the reason;
/// kFormat for a plan file that does not fit the network.
[[nodiscard]] ChosenPlan choose_plan(const graph::Network& network, const PlanChoice& choice,
                                     std::int64_t batch, int workers);

/// {"plan", "levels", "words_per_step", "layers": [{"layer", "splits": ["I", ...]}]}.
[[nodiscard]] nlohmann::json plan_json(const ChosenPlan& plan);

}  // namespace taut::train
