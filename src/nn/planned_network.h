#pragma once
// Training a network under a plan: every layer split over the levels of an array of workers by its
// batch, its input channels or its output channels (types I, II, III of docs/parallel.md).

#include <torch/optim/optimizer.h>
#include <torch/types.h>

#include <memory>
#include <vector>

#include "nn/program.h"
#include "taut/dist/redistribution.h"
#include "taut/parallel/split.h"

namespace taut::nn {

/// A chain of convolutions and linear layers with what lies between them (ReLU, pools, flattening)
/// over 2^H workers. Each worker has its piece of each weight and of the optimizer's state.
/// Features and their gradients move as dist::WorkerArray moves them, partial sums before the
/// activation and so before the pool (CostOptions::raw_sums); weight gradients are summed over the
/// workers that have the same piece. Words sent are the exact cost model's where 2^H divides batch
/// and channels, with one exception: where type II is followed by a pool, errors are gathered
/// behind it, whole. Biases are no part of the model: their gradients are counted as
/// dist::Cause::kControl. Threads: one call at a time, on all workers alike.
class PlannedNetwork {
 public:
  /// program: the whole network, the same on all workers: its values and the state of its optimizer
  /// are copied. splits: one state for each convolution and linear layer, in order. optimizer: the
  /// program's. weight_decay: of weights; biases have none. Errors: kUnsupported naming a layer
  /// that is none of the above, is grouped, or chooses winners; kInvalidArgument for splits that do
  /// not fit; those of dist::ProcessGroup.
  PlannedNetwork(const Program& program, const std::vector<parallel::LayerState>& splits,
                 const OptimizerChoice& optimizer, double weight_decay,
                 std::shared_ptr<dist::WorkerArray> array);
  ~PlannedNetwork();
  PlannedNetwork(const PlannedNetwork&) = delete;
  PlannedNetwork& operator=(const PlannedNetwork&) = delete;

  /// One step on the mean cross-entropy of a whole batch, which every worker is given: images
  /// [batch, channels, height, width] or features [batch, features], labels [batch]. Returns sums
  /// before the step, the same on all workers. Errors: kData for a loss that is not finite (nothing
  /// has changed).
  ImageLoss step(const torch::Tensor& input, const torch::Tensor& labels, double learning_rate);

  /// Writes the whole network's weights and biases and the state of its optimizer to `program`, on
  /// all workers.
  void give_to(Program& program);

 private:
  struct Part;  // a weighted layer and what follows it up to the next one
  struct Passed;

  void add_part(std::size_t index, const NetworkValues& values, const parallel::LayerState& split);
  [[nodiscard]] torch::Tensor joined(const torch::Tensor& piece, const dist::TensorShape& shape,
                                     const dist::Layout& layout, at::IntArrayRef sizes);
  template <typename Body>
  void each_parameter(const NetworkValues& values, Body&& body);
  [[nodiscard]] torch::Tensor move(const torch::Tensor& held, const dist::TensorShape& shape,
                                   const dist::Layout& made, const dist::Layout& wanted,
                                   dist::Cause cause);
  [[nodiscard]] torch::Tensor multiplied(const Part& part, const torch::Tensor& x) const;
  [[nodiscard]] torch::Tensor activated(const Part& part, const torch::Tensor& sums) const;
  [[nodiscard]] dist::TensorShape shape_of(const Shape& shape, std::int64_t batch) const;
  [[nodiscard]] ImageLoss compare(const torch::Tensor& logits, const torch::Tensor& labels,
                                  std::int64_t batch, torch::Tensor& slope);
  void backward(std::vector<Passed>& passed, torch::Tensor slope, std::int64_t batch);

  Network network_;
  std::shared_ptr<dist::WorkerArray> array_;
  int rank_ = 0;
  std::vector<std::shared_ptr<Part>> parts_;
  std::string optimizer_name_;
  std::unique_ptr<torch::optim::Optimizer> optimizer_;
};

}  // namespace taut::nn
