#pragma once
// Training a network under a plan: every layer split over the levels of an array of workers by its
// batch, its input channels or its output channels (types I, II, III of docs/parallel.md).

#include <torch/optim/optimizer.h>
#include <torch/types.h>

#include <memory>
#include <span>
#include <vector>

#include "nn/program.h"
#include "taut/dist/redistribution.h"
#include "taut/parallel/split.h"

namespace taut::nn {

[[nodiscard]] std::span<const float> numbers_of(const torch::Tensor& contiguous);
[[nodiscard]] torch::Tensor tensor_of(const std::vector<float>& numbers, at::IntArrayRef shape);

/// Convolutions, linear layers, sums and means of maps, with what lies between them (ReLU, pools,
/// normalization, flattening), over 2^H workers. Each worker has its piece of each weight and of
/// the optimizer's state. Features and their gradients move as dist::WorkerArray moves them,
/// partial sums before the activation and so before the pool (CostOptions::raw_sums); weight
/// gradients are summed over the workers that have the same piece. Words sent are the exact cost
/// model's where 2^H divides batch and channels, with two exceptions: where type II is followed by
/// a pool, errors are gathered behind it, whole; where it is read by several, its sums are added,
/// and their errors gathered, once. A sum adds what it reads in its own layout. Normalization works
/// on pieces of the program's slice_size examples, as one process does. Biases and normalizations
/// are no part of the model: their gradients and statistics are counted as dist::Cause::kControl.
/// Threads: one call at a time, on all workers alike.
class PlannedNetwork {
 public:
  /// program: the whole network, the same on all workers: its values and the state of its optimizer
  /// are copied. splits: one state for each convolution, linear layer, sum and mean, in order:
  /// types I, II and III of the first two, I and C of the others. optimizer: the program's.
  /// weight_decay: of weights; biases and normalizations have none. Errors: kUnsupported naming a
  /// layer that is none of the above, is grouped, or chooses winners; kInvalidArgument for splits
  /// that do not fit; those of dist::ProcessGroup.
  PlannedNetwork(const Program& program, const std::vector<parallel::LayerState>& splits,
                 const OptimizerChoice& optimizer, double weight_decay,
                 std::shared_ptr<dist::WorkerArray> array);
  ~PlannedNetwork();
  PlannedNetwork(const PlannedNetwork&) = delete;
  PlannedNetwork& operator=(const PlannedNetwork&) = delete;

  /// One step on the mean cross-entropy of a whole batch, which every worker is given: images
  /// [batch, channels, height, width] or features [batch, features], labels [batch]. Returns sums
  /// before the step, the same on all workers. Errors: kData for a loss that is not finite (no
  /// parameter has changed); kConfig for a batch that leaves a worker a part of a piece to
  /// normalize.
  ImageLoss step(const torch::Tensor& input, const torch::Tensor& labels, double learning_rate);

  /// Writes the whole network's weights, biases and statistics and the state of its optimizer to
  /// `program`, on all workers.
  void give_to(Program& program);

 private:
  struct Part;
  struct Norm;
  struct Passed;

  void find_parts();
  void lay_out(const std::vector<parallel::LayerState>& splits);
  void take_values(std::size_t index, const NetworkValues& values,
                   const parallel::LayerState& split);
  [[nodiscard]] torch::Tensor joined(const torch::Tensor& piece, const dist::TensorShape& shape,
                                     const dist::Layout& layout, at::IntArrayRef sizes);
  template <typename Body>
  void each_parameter(const NetworkValues& values, Body&& body);
  template <typename Body>
  void each_statistic(const NetworkValues& values, Body&& body);
  [[nodiscard]] dist::Layout by_batch() const {
    return dist::Layout(static_cast<std::size_t>(array_->levels()), parallel::Held::kBatch);
  }
  void check_pieces(std::int64_t batch) const;
  [[nodiscard]] torch::Tensor move(const torch::Tensor& held, const dist::TensorShape& shape,
                                   const dist::Layout& made, const dist::Layout& wanted,
                                   dist::Cause cause);
  [[nodiscard]] torch::Tensor read_input(const Part& part, const torch::Tensor& input) const;
  [[nodiscard]] torch::Tensor given(const Part& part,
                                    const std::vector<torch::Tensor>& inputs) const;
  [[nodiscard]] torch::Tensor normalized(const Norm& norm, const torch::Tensor& x,
                                         std::vector<torch::Tensor>& statistics) const;
  [[nodiscard]] torch::Tensor activated(const Part& part, Passed& now) const;
  void follow_statistics(const std::vector<Passed>& passed, std::int64_t batch);
  [[nodiscard]] static dist::TensorShape shape_of(const Shape& shape, std::int64_t batch);
  [[nodiscard]] ImageLoss compare(const torch::Tensor& logits, const torch::Tensor& labels,
                                  std::int64_t batch, torch::Tensor& slope);
  void backward(std::vector<Passed>& passed, torch::Tensor slope, std::int64_t batch);
  [[nodiscard]] torch::Tensor behind_tail(const Part& part, const Passed& was,
                                          const torch::Tensor& slope, std::int64_t batch);

  Network network_;
  std::shared_ptr<dist::WorkerArray> array_;
  int rank_ = 0;
  std::int64_t piece_ = 0;  ///< examples that are normalized together
  std::vector<std::shared_ptr<Part>> parts_;
  std::string optimizer_name_;
  std::unique_ptr<torch::optim::Optimizer> optimizer_;
};

}  // namespace taut::nn
