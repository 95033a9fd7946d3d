#pragma once
// What the engine does with a network, in order: layers that are computed in one go, and where
// their results lie.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "taut/graph/network.h"

namespace taut::infer {

/// Layers that are computed together: one of any kind; or a convolution or linear layer, and what
/// follows it with no other reader in between: a normalization, a sum with another layer, a ReLU or
/// function.
struct Step {
  std::size_t layer = 0;                 ///< the first, which reads
  std::size_t last = 0;                  ///< the one whose output is written
  std::vector<std::size_t> layers = {};  ///< all of them, in order
  int slot = -1;                         ///< where that output goes

  // What follows a convolution or linear layer; kNone where it does not.
  int norm = kNone;          ///< a layer
  int sum = kNone;           ///< a layer, of two inputs
  int added = kNone;         ///< the other of them, or graph::kNetworkInput
  bool added_first = false;  ///< it is the first of them
  int activation = kNone;    ///< a layer: a ReLU or a function

  static constexpr int kNone = -2;
};

/// Threads: reading is free.
struct Plan {
  std::vector<Step> steps;   ///< in the order in which they are computed
  std::vector<int> step_of;  ///< by layer: the step that writes its output; -1: nobody does
  /// Values of one example in each slot. A slot is used again as soon as nobody reads what it
  /// holds.
  std::vector<std::int64_t> slots;
};

/// Plans a network that graph::wrong_layer() finds nothing wrong with.
[[nodiscard]] Plan make_plan(const graph::Network& network);

}  // namespace taut::infer
