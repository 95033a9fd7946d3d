#pragma once
// Pruned weights of a network: masks that hold through training.

#include <torch/types.h>

#include <string>
#include <utility>
#include <vector>

#include "taut/sparsity/prune.h"

namespace taut::nn {

/// The weights of a network that are pruned together, and their masks. After every step of the
/// optimizer apply() makes the pruned values zero again. Not to be called from several threads at
/// once.
class PrunedWeights {
 public:
  /// weights: name and parameter [outputs, inputs, ...], float32, contiguous or channels-last; they
  /// are kept by reference. Throws kInvalidArgument naming the weight.
  explicit PrunedWeights(std::vector<std::pair<std::string, torch::Tensor>> weights);

  /// Finds new masks by magnitude and applies them. Throws what sparsity::prune_masks throws.
  void prune(const sparsity::PruneOptions& options);
  /// Makes pruned values zero; nothing before the first prune().
  void apply();
  /// Share of all values that is pruned.
  [[nodiscard]] double share() const;
  /// Masks by weight: float32 tensors of 0 and 1 in the weights' shapes; empty before prune(). To
  /// be saved with a checkpoint.
  [[nodiscard]] const std::vector<torch::Tensor>& masks() const noexcept { return masks_; }
  /// Takes saved masks and applies them. Throws kInvalidArgument when their number or shapes
  /// differ.
  void set_masks(std::vector<torch::Tensor> masks);

 private:
  std::vector<std::pair<std::string, torch::Tensor>> weights_;
  std::vector<torch::Tensor> masks_;
};

}  // namespace taut::nn
