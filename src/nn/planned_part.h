#pragma once
// What the source files of PlannedNetwork share: a network cut into the nodes of its cost graph.

#include <torch/types.h>

#include <vector>

#include "nn/planned_network.h"

namespace taut::nn {

/// A normalization by one worker: of the channels that Part::held gives it.
struct PlannedNetwork::Norm {
  std::size_t layer = 0;
  torch::Tensor weight;
  torch::Tensor bias;
  torch::Tensor mean;  ///< running
  torch::Tensor variance;
};

/// A convolution, a linear layer, a sum or a mean of maps, with what follows it up to what others
/// read.
struct PlannedNetwork::Part {
  std::size_t layer = 0;
  std::vector<std::size_t> tail;  ///< layers behind it
  std::vector<int> inputs;        ///< parts that it reads; kNetworkInput: what the network reads
  dist::Layout wanted;            ///< features that it reads
  dist::Layout made;              ///< what it gives, before the tail
  dist::Layout held;              ///< the same with partial sums added, and so what others read
  dist::Layout error_wanted;      ///< the gradient of what it gives
  dist::Layout error_made;        ///< the gradients of what it reads
  dist::Layout weight_layout;
  dist::TensorShape weight_shape;  ///< the whole weight
  torch::Tensor weight;            ///< this worker's piece; undefined: no weighted layer
  torch::Tensor bias;              ///< of the channels that `held` gives it; undefined: none
  std::vector<Norm> norms;         ///< of the tail
  Shape raw;                       ///< of what it gives, one example
  Shape pooled;                    ///< of what others read

  /// The layer whose values others read.
  [[nodiscard]] std::size_t last() const { return tail.empty() ? layer : tail.back(); }
};

/// What a pass leaves for the pass back.
struct PlannedNetwork::Passed {
  std::vector<torch::Tensor> inputs;  ///< what it reads, leaves
  torch::Tensor product;              ///< of this worker's piece
  torch::Tensor sums;                 ///< partial sums added, a leaf
  torch::Tensor activated;            ///< what the next are given
  /// By normalization: means and variances [2, channels], summed over the pieces that are here.
  std::vector<torch::Tensor> statistics;
};

}  // namespace taut::nn
