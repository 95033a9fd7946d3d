#pragma once
// A training step of a recommender's dense half without autograd: the layers are known, so their
// passes are a fixed list of products and fused passes over memory that is kept between steps.

#include <span>
#include <vector>

#include "nn/dense_plan.h"

namespace taut::nn {

/// Steps a Program whose network is a recommender_network(). Sums have one order: a slice's are
/// made by one thread, a weight's over some slices are one product for each tile of fixed size. So
/// bits do not depend on the number of threads.
class DenseStep {
 public:
  /// program and options outlive it. With options.bf16 activations and products are bf16, and
  /// parameters, sums of their gradients, the interaction and the logit fp32.
  DenseStep(Program& program, const RecommenderOptions& options, OptimizerChoice choice);

  /// Recommender::train_step, of arguments that were checked.
  double run(const RecommenderInput& input, std::span<const float> labels, std::span<float> logits,
             std::span<float> vectors_gradient);

 private:
  template <typename Body>
  void for_tasks(std::int64_t tasks, const Body& body) const;
  [[nodiscard]] double step_together(double own_loss, const RecommenderInput& input);
  [[nodiscard]] std::vector<FusedStep> begin_steps(double loss, std::int64_t batch);
  void refresh_weights();
  void sum_weight(const WeightTile& tile, const at::Tensor& input, std::int64_t rows, bool first);
  void sum_vectors(const WeightTile& tile, std::int64_t slices, bool first);
  void step_parameters(const WeightTile& tile, const std::vector<FusedStep>& steps) const;

  Program& program_;
  DensePlan plan_;
  OptimizerChoice choice_;
  double weight_decay_;
  std::vector<at::Tensor>
      sums_;  ///< by parameter, laid out as it is: its gradient over the batch so far
  GroupMemory memory_;
};

}  // namespace taut::nn
