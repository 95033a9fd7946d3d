#pragma once
// What the source files of ImageNetwork share.

#include <torch/types.h>
#include <torch/utils.h>

#include <memory>
#include <string>
#include <vector>

#include "nn/gradient_exchange.h"
#include "nn/planned_network.h"
#include "nn/program.h"
#include "taut/nn/image_network.h"

namespace taut::nn {

struct ImageNetwork::Impl : Program {
  Impl(const ImageNetworkOptions& o, std::shared_ptr<ThreadPool> threads);

  /// [size, channels, height, width] of a slice, channel-last in memory.
  [[nodiscard]] NetworkInputs images_of(const ImageInput& input, const Slice& slice) const;
  [[nodiscard]] torch::Tensor labels_of(const ImageInput& input, const Slice& slice) const;
  void check_input(const ImageInput& input, bool labelled) const;
  /// The same of one that is trained on, as this worker's share of a batch.
  void check_step(const ImageInput& input, std::int64_t batch) const;

  /// One pass for what the hooks of the options see, slice after slice.
  void pass_over(const ImageInput& images, const ForwardOptions& forward_options) const;
  [[nodiscard]] ForwardOptions forward_options(bool training) const;
  [[nodiscard]] torch::Tensor loss_of(const torch::Tensor& logits, const NetworkInputs& images,
                                      const torch::Tensor& labels) const;
  [[nodiscard]] NormStatistics empty_statistics() const;
  /// The values as a slice's pass reads them, and as `leaves`, of which it wants the gradients, the
  /// parameters in order: themselves where this process is alone, else views whose gradients go to
  /// the exchange as the pass back comes to them.
  [[nodiscard]] NetworkValues leaves_of(std::size_t slice,
                                        std::vector<torch::Tensor>& leaves) const;
  void set_policy(const WinnerPolicy& policy);
  void apply_masks();
  /// What slices of this worker gave becomes what all slices of the batch gave, in their order.
  void share_slices(std::vector<ImageLoss>& losses, std::vector<NormStatistics>& statistics,
                    std::int64_t batch) const;
  /// How this network steps, whatever steps it.
  [[nodiscard]] OptimizerChoice optimizer_choice() const;
  /// Throws kUnsupported for what no plan runs.
  void check_planned() const;
  ImageLoss planned_step(const ImageInput& input, double learning_rate);
  /// running += momentum * (mean over the slices of a batch - running).
  void follow_statistics(const std::vector<NormStatistics>& of_slices, std::int64_t batch,
                         double momentum);
  void follow_average();
  /// What predicts: the average, or the parameters themselves.
  [[nodiscard]] const NetworkValues& predicting() const {
    return options.ema > 0 ? average : values;
  }

  ImageNetworkOptions options;
  NetworkValues average;
  std::vector<torch::Tensor> masks;  ///< by layer, undefined where nothing is pruned
  std::vector<torch::Tensor> maps;   ///< by layer, undefined where all maps are kept
  std::vector<InputCodes> codes;
  bool quantized = false;
  std::shared_ptr<const ImageNetwork> teacher;
  std::shared_ptr<dist::WorkerArray> array;  ///< null: no plan
  std::vector<parallel::LayerState> splits;
  std::unique_ptr<PlannedNetwork> planned;     ///< once it has stepped; newer than the values
  std::unique_ptr<GradientExchange> exchange;  ///< null: alone
  double teacher_weight = 0;
  double temperature = 1;
};

}  // namespace taut::nn
