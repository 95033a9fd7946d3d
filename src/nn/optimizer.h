#pragma once
// LibTorch's optimizers by name, and what they keep for each parameter as plain tensors.

#include <torch/optim/optimizer.h>
#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "nn/dense_kernels.h"
#include "taut/core/spelling.h"

namespace taut::nn {

/// Optimizers of the dense half.
enum class DenseOptimizer { kSgd, kAdam, kAdamW, kAdagrad };
constexpr auto spellings(std::type_identity<DenseOptimizer>) {
  return std::to_array<Spelling<DenseOptimizer>>({{"sgd", DenseOptimizer::kSgd},
                                                  {"adam", DenseOptimizer::kAdam},
                                                  {"adamw", DenseOptimizer::kAdamW},
                                                  {"adagrad", DenseOptimizer::kAdagrad}});
}

/// Which optimizer, and how it steps.
struct OptimizerChoice {
  std::string name;
  std::vector<std::string> offered;  ///< names that the caller takes: of sgd, adam, adamw, adagrad
  double learning_rate = 1e-3;
  double momentum = 0.9;  ///< of sgd
  bool nesterov = false;  ///< of sgd
};

/// Parameters that decay alike.
struct ParameterGroup {
  std::vector<torch::Tensor> parameters;
  double weight_decay = 0;
};

/// Errors: kConfig for a name that is not offered, with the nearest that is.
[[nodiscard]] std::unique_ptr<torch::optim::Optimizer> make_optimizer(
    const OptimizerChoice& choice, const std::vector<ParameterGroup>& groups);

/// What an optimizer keeps for one parameter. No tensors: nothing yet (it has taken no step).
struct OptimizerState {
  std::int64_t steps = 0;              ///< always 0 for sgd, which does not count
  std::vector<torch::Tensor> tensors;  ///< as optimizer_tensors() names them
};

/// Names of the tensors that an optimizer keeps: sgd momentum_buffer; adam and adamw exp_avg,
/// exp_avg_sq; adagrad sum. Errors: kConfig for another name.
[[nodiscard]] std::span<const std::string_view> optimizer_tensors(std::string_view name);

/// The state of a parameter, by reference.
[[nodiscard]] OptimizerState state_of(const torch::optim::Optimizer& optimizer,
                                      const torch::Tensor& parameter);
/// Replaces it. state.tensors: none, or one for each of optimizer_tensors().
void set_state(torch::optim::Optimizer& optimizer, std::string_view name,
               const torch::Tensor& parameter, OptimizerState state);

/// A step of the optimizer on one parameter in plain memory, in one pass and in any parts: the same
/// state, and the same step to rounding, as the optimizer's own step().
class FusedStep {
 public:
  /// Counts the step and makes the parameter's state where there is none. The parameter is
  /// float32 without gaps, places are counted as it lies in memory; its gradient will be given
  /// times 1 / scale.
  FusedStep(torch::optim::Optimizer& optimizer, const OptimizerChoice& choice, double weight_decay,
            const torch::Tensor& parameter, double scale);
  /// Steps values [begin, begin + count) by their gradient. Threads: any, on parts of their own.
  void operator()(std::int64_t begin, std::int64_t count, const float* gradient) const;

 private:
  float* values_;
  std::vector<torch::Tensor> state_;
  std::variant<AdamStep, AdagradStep, SgdStep> step_;
};

}  // namespace taut::nn
