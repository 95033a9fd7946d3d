#pragma once
// Winners-take-all on tensors: the differentiable operation and the module over it.

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include <optional>

#include "taut/sparsity/winners.h"

namespace taut::nn {

/// x on winners, 0 elsewhere (sparsity/winners.h). x: [batch, features] for neuron, element and
/// block; [batch, channels, height, width] for channel, position, element and block; float32,
/// bfloat16, or float64 (a plain path, for gradient checks), on the CPU. The result has x's dtype
/// and memory format (a tensor that is neither contiguous nor channels-last is made contiguous).
/// Gradients pass winners only. Exact selection at rate 1 returns x itself.
/// Works on PyTorch's threads; same bits for any number of them.
/// Throws taut::Error (kInvalidArgument) naming the argument, what is wanted and what was given.
[[nodiscard]] at::Tensor winners(const at::Tensor& x, const sparsity::WinnersOptions& options);

/// Winners as a layer of a network, with a rate that can change while training and, on request,
/// statistics of who wins. Not to be called from several threads at once.
class WinnersTakeAllImpl : public torch::nn::Module {
 public:
  /// Throws kInvalidArgument for a rate outside (0, 1] or a threshold below 0.
  explicit WinnersTakeAllImpl(const sparsity::WinnersOptions& options);

  /// See winners(). Rate 1 (exact) passes x on.
  torch::Tensor forward(const torch::Tensor& x);
  void pretty_print(std::ostream& stream) const override;

  [[nodiscard]] const sparsity::WinnersOptions& options() const noexcept { return options_; }
  /// Throws kInvalidArgument for a rate outside (0, 1].
  void set_rate(double rate);
  /// Chooses by a threshold from now on; throws kInvalidArgument below 0.
  void set_threshold(float threshold);

  /// Counts winners in every forward from now on, from zero; false stops and keeps what is there.
  void track(bool on);
  /// Sums over the forwards that were tracked.
  [[nodiscard]] const sparsity::WinnerStatistics& statistics() const noexcept {
    return statistics_;
  }

  /// While on, forwards pass x on and remember the scores of its units; off: forgets them. What
  /// they remember sets the threshold that reaches the rate on average over what was seen.
  void observe(bool on);
  /// Sets the threshold from what was observed and ends observing. Throws kInvalidArgument if
  /// nothing was.
  void calibrate();

 private:
  sparsity::WinnersOptions options_;
  sparsity::WinnerStatistics statistics_;
  std::vector<float> scores_;
  bool tracking_ = false;
  bool observing_ = false;
};
TORCH_MODULE(WinnersTakeAll);

}  // namespace taut::nn
