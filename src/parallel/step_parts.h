#pragma once
// Parts of a step's time, shared by the closed form, the search for overlap and the simulator.

#include "taut/parallel/cluster.h"
#include "taut/parallel/cost_model.h"

namespace taut::parallel {

/// The backward pass is two of a layer's three products.
inline constexpr double kBackwardShare = 2.0 / 3;

/// A node's own traffic: what may hide behind the backward pass, and what may not.
struct NodeTraffic {
  Traffic gradients;
  Traffic exposed;
};

[[nodiscard]] NodeTraffic split_node_traffic(const CostModel& model, int node,
                                             const LayerState& state);

/// Words that one accelerator's shards of a weighted layer have: input, output and weights.
[[nodiscard]] double local_dram_words(const CostModel& model, int node, const LayerState& state);

/// Seconds of words and messages, one after another.
[[nodiscard]] double seconds_of(const Traffic& traffic, const Cluster& cluster);

}  // namespace taut::parallel
