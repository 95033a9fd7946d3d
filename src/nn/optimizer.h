#pragma once
// LibTorch's optimizers by name, and what they keep for each parameter as plain tensors.

#include <torch/torch.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace taut::nn {

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

}  // namespace taut::nn
