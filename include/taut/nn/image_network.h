#pragma once
// Trains a network of images on LibTorch: winners-take-all, pruning masks and 8-bit weights and
// activations, each alone or all together.

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "taut/core/file.h"
#include "taut/core/thread_pool.h"
#include "taut/graph/network.h"
#include "taut/nn/named_tensor.h"
#include "taut/parallel/split.h"
#include "taut/sparsity/prune.h"
#include "taut/sparsity/quantize.h"
#include "taut/sparsity/winners.h"

namespace taut::dist {
class ProcessGroup;
class WorkerArray;
}  // namespace taut::dist

namespace taut::nn {

using graph::kNetworkInput;
using graph::Layer;
using graph::multiply_adds;
using graph::Network;
using graph::Op;
using graph::Shape;
using graph::weight_shape;

/// How winners are chosen; rates: empty for a dense network, one for all sites, or one for each.
using WinnerPolicy = graph::Winners;

/// Shape, optimizer and loss of an image network.
struct ImageNetworkOptions {
  std::string kind = "vgg-small";  ///< see graph::image_network_names()
  double width = 1.0;
  Shape input;
  std::int64_t classes = 10;
  WinnerPolicy winners;
  std::string optimizer = "sgd";  ///< sgd (Nesterov momentum) | adam | adamw
  double momentum = 0.9;
  double weight_decay = 5e-4;  ///< of weights; biases and normalization have none
  double label_smoothing = 0;  ///< in [0, 1)
  double ema = 0;              ///< decay of the average that predicts; 0: none
  bool bf16 = false;           ///< activations and products in bf16, parameters in fp32
  std::int64_t piece = 64;     ///< examples a slice, see ImageNetwork
  std::uint64_t seed = 1;
};

/// Throws kConfig for options that a network cannot have: rates outside (0, 1] or of another number
/// than sites, a unit that no layer has (naming both), and the ranges above.
void check_options(const ImageNetworkOptions& options, const Network& spec);

/// Images [size, height, width, channels], normalized, and labels [size].
struct ImageInput {
  std::int64_t size = 0;
  std::span<const float> pixels;
  std::span<const std::int64_t> labels;
  /// In train_step of several workers: images of the batch, of which these are the worker's share.
  /// 0: size.
  std::int64_t whole = 0;
};

/// Sums over a batch.
struct ImageLoss {
  double loss = 0;
  std::int64_t correct = 0;
};

/// Who wins at one site, over the batches seen.
struct SiteReport {
  std::string layer;
  double natural_density = 0;  ///< share of values that are not zero before winners are chosen
  double density = 0;          ///< and after
  double never = 0;            ///< share of channels that never win
  double always = 0;
  double entropy = 0;  ///< mean over channels, bits
};

/// What one convolution or linear layer computes on average.
struct LayerReport {
  std::string layer;
  double multiply_adds = 0;   ///< of one example, dense
  double input_density = 0;   ///< share of its inputs that are not zero
  double weight_density = 0;  ///< share of its weights that are not pruned
  double output_density = 0;  ///< share of its output channels that are not pruned as maps

  /// Multiply-adds that are left when what is zero or pruned is not computed.
  [[nodiscard]] double needed() const noexcept {
    return multiply_adds * input_density * weight_density * output_density;
  }
};

/// The 8 bits at the input of a convolution or linear layer; scale 0 for other layers.
struct InputCodes {
  float scale = 0;
  std::int32_t is_unsigned = 0;  ///< 0 .. 255 (behind a ReLU), else -127 .. 127
};

/// A network and its optimizer. A batch is cut into slices of a fixed number of examples, each
/// computed by one thread, and gradients are added in order: the same bits for any number of
/// threads. Batch normalization works on slices (ghost batches, Hoffer et al., arXiv 1705.08741).
/// Threads: one call at a time.
class ImageNetwork {
 public:
  /// Errors: kConfig (graph::make_network, check_options).
  ImageNetwork(const ImageNetworkOptions& options, std::shared_ptr<ThreadPool> pool);
  ~ImageNetwork();
  ImageNetwork(const ImageNetwork&) = delete;
  ImageNetwork& operator=(const ImageNetwork&) = delete;

  [[nodiscard]] const ImageNetworkOptions& options() const noexcept;
  /// What is trained, with the present winners and a rate for each site.
  [[nodiscard]] const graph::Network& network() const noexcept;
  [[nodiscard]] const Network& spec() const noexcept { return network(); }

  /// The rates from now on: empty, one, or one for each site.
  void set_winner_rates(const std::vector<double>& rates);
  /// Rates, unit and score from now on. Errors: kConfig (check_options).
  void set_winner_policy(const WinnerPolicy& policy);
  [[nodiscard]] const std::vector<double>& winner_rates() const noexcept;

  /// A trained network whose logits are learnt beside the labels: loss = (1 - weight) * cross
  /// entropy + weight * temperature^2 * KL(teacher || student) (Hinton et al., arXiv 1503.02531).
  /// null: none.
  void set_teacher(std::shared_ptr<const ImageNetwork> teacher, double weight, double temperature);

  /// From now on train_step() is taken by these workers together, data parallel: each gives its
  /// share of the batch, cut by share_of() in pieces of options().piece, and all end with the same
  /// parameters. The loss, the slices of normalization and the order of slices are those of one
  /// process; sums of gradients are added slice by slice on each worker, then by rank, so they are
  /// one process's to rounding, and its bits where no worker has more than one slice. null: alone.
  void set_workers(std::shared_ptr<dist::ProcessGroup> workers);

  /// From now on train_step() splits the layers over an array of workers: one state for each
  /// convolution, linear layer, sum and mean of maps, in order. Every worker gives it the whole
  /// batch; a worker computes on one thread. What train_step() changes is each worker's piece
  /// alone, until settle(). Errors: kUnsupported naming a layer that no plan runs (concatenations,
  /// groups, winners) or an option that it does not know (label smoothing, averages, bf16, masks, 8
  /// bits, teachers); kInvalidArgument for splits that do not fit.
  void set_plan(std::shared_ptr<dist::WorkerArray> array, std::vector<parallel::LayerState> splits);
  /// Joins the pieces, on all workers: before anything but train_step() reads the network. Nothing
  /// to do without a plan.
  void settle();

  /// One optimizer step on the mean loss, at this learning rate. Returns sums before the step, over
  /// the whole batch. Errors: kData for a loss that is not finite (nothing has changed),
  /// kInvalidArgument for sizes; with workers those of dist::ProcessGroup.
  ImageLoss train_step(const ImageInput& input, double learning_rate);

  /// logits [size, classes] of the averaged parameters where options.ema is on.
  void predict(const ImageInput& input, std::span<float> logits) const;

  /// Prunes weights by magnitude and holds what is pruned at zero in all later steps; pruning again
  /// replaces the masks. Errors: kConfig for options that are out of range.
  void prune(const sparsity::PruneOptions& options);
  /// Static feature map pruning: keeps the share rate (one, or one for each site) of the channels
  /// of each site, those of the largest mean magnitude on images, for all inputs alike.
  void prune_maps(const std::vector<double>& rates, const ImageInput& images);
  /// Share of weights that are exactly zero, over all layers.
  [[nodiscard]] double pruned_share() const;

  /// Finds the scales of activations from images.
  void calibrate(const ImageInput& images, sparsity::Calibration calibration);
  /// From now on weights (per output channel) and inputs of layers pass through 8 bits, gradients
  /// as if they did not. Needs calibrate() first, kConfig otherwise.
  void set_quantized(bool quantized);

  /// Measures the running statistics of batch normalization anew, as after a change of rates.
  void recalibrate_batch_norm(std::span<const ImageInput> batches);

  /// What happens at each site on images, under the present rates.
  [[nodiscard]] std::vector<SiteReport> report_sites(const ImageInput& input) const;

  /// What each layer has to compute on images, under the present rates and masks.
  [[nodiscard]] std::vector<LayerReport> report_layers(const ImageInput& images) const;

  /// Everything, a section of plain numbers for each tensor: prefix + "values/conv1.weight",
  /// "average/...", "masks/conv1", "maps/relu1", "optimizer/conv1.weight/momentum_buffer", ..., and
  /// prefix + "tensors" with shapes, steps, ranges and rates.
  void save(SectionSink& file, const std::string& prefix) const;
  /// Restores the same bits. state: also the optimizer and the rates. kFormat naming the section
  /// when something does not fit; then nothing has changed.
  void load(const SectionSource& file, const std::string& prefix, bool state = true);

  /// Parameters and statistics that predict, by name: "conv1.weight" ..., "conv1_norm.mean",
  /// "conv1_norm.variance".
  [[nodiscard]] std::vector<NamedTensor> parameters() const;
  [[nodiscard]] std::int64_t parameter_count() const;
  /// By layer; empty before calibrate().
  [[nodiscard]] const std::vector<InputCodes>& input_codes() const noexcept;
  /// Whether weights and inputs of layers pass through 8 bits.
  [[nodiscard]] bool quantized() const noexcept;
  /// For each layer the channels that prune_maps() kept: 1 kept, 0 pruned; empty where all are.
  [[nodiscard]] std::vector<std::vector<float>> kept_maps() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace taut::nn
