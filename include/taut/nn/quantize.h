#pragma once
// Training with 8-bit weights and activations: rounding forward, straight-through backward
// (Bengio et al. 2013; Jacob et al. 2018, section 3).

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include "taut/sparsity/quantize.h"

namespace taut::nn {

/// sparsity::fake_quantize on a tensor, float32 or bfloat16 (rounded in float32): the gradient
/// passes where the code is inside its range. Throws kInvalidArgument for a scale that is not
/// finite and above 0.
[[nodiscard]] at::Tensor fake_quantize(const at::Tensor& x, double scale, sparsity::Codes codes);

/// A weight [outputs, ...] with signed codes and a scale for each output (max |w| / 127 of what it
/// is now). Gradients pass: no code is outside its range.
[[nodiscard]] at::Tensor fake_quantize_weight(const at::Tensor& weight);

/// Activations of one place in a network. Observing: passes x on and counts it; calibrated:
/// fake-quantizes; neither: passes x on. Not to be called from several threads at once.
class ActivationQuantizerImpl : public torch::nn::Module {
 public:
  /// Throws what sparsity::ActivationCalibrator throws.
  explicit ActivationQuantizerImpl(
      sparsity::Calibration calibration = sparsity::Calibration::kMeanSquaredError,
      sparsity::Codes codes = sparsity::Codes::kSigned, double percentile = 99.99);

  torch::Tensor forward(const torch::Tensor& x);
  void pretty_print(std::ostream& stream) const override;

  /// Counts what passes from now on, from zero.
  void observe();
  /// Sets the scale from what was observed and ends observing. Throws kInvalidArgument if nothing
  /// was.
  void calibrate();
  /// 0 until calibrated. A buffer named "scale", so that it is saved with the network.
  [[nodiscard]] double scale() const;

 private:
  sparsity::Calibration calibration_;
  sparsity::Codes codes_;
  double percentile_;
  std::unique_ptr<sparsity::ActivationCalibrator> seen_;
  torch::Tensor scale_;
};
TORCH_MODULE(ActivationQuantizer);

}  // namespace taut::nn
