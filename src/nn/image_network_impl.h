#pragma once
// What the source files of ImageNetwork share.

#include <torch/torch.h>

#include <memory>
#include <string>
#include <vector>

#include "nn/network_forward.h"
#include "taut/nn/image_network.h"

namespace taut::nn {

struct ImageNetwork::Impl {
  Impl(const ImageNetworkOptions& o, std::shared_ptr<ThreadPool> threads);

  /// Examples [begin, begin + size) of an input.
  struct Piece {
    std::int64_t begin = 0;
    std::int64_t size = 0;
    torch::Tensor images;  ///< [size, channels, height, width], channel-last in memory
    torch::Tensor labels;
  };
  [[nodiscard]] std::int64_t pieces(const ImageInput& input) const {
    return (input.size + options.piece - 1) / options.piece;
  }
  [[nodiscard]] Piece cut(const ImageInput& input, std::int64_t index) const;
  void check_input(const ImageInput& input, bool labelled) const;

  /// Calls body(piece, index) for every piece, each on one thread that runs LibTorch alone.
  template <typename Body>
  void for_pieces(const ImageInput& input, Body&& body) const {
    pool->run(pieces(input), [&](std::int64_t index) {
      enter_piece();
      body(cut(input, index), index);
    });
  }
  static void enter_piece();

  /// One pass for what the hooks of the options see, piece after piece.
  void pass_over(const ImageInput& images, const ForwardOptions& forward_options) const;
  [[nodiscard]] ForwardOptions forward_options(bool training) const;
  [[nodiscard]] torch::Tensor loss_of(const torch::Tensor& logits, const Piece& piece) const;
  [[nodiscard]] NormStatistics empty_statistics() const;
  void step(std::vector<std::vector<torch::Tensor>>& gradients, std::int64_t batch,
            double learning_rate);
  void apply_masks();
  /// running += momentum * (mean over the pieces - running).
  void follow_statistics(const std::vector<NormStatistics>& pieces,
                         const std::vector<std::int64_t>& sizes, double momentum);
  void follow_average();
  /// What predicts: the average, or the parameters themselves.
  [[nodiscard]] const NetworkValues& predicting() const {
    return options.ema > 0 ? average : values;
  }

  ImageNetworkOptions options;
  Network spec;
  std::shared_ptr<ThreadPool> pool;
  NetworkValues values;
  NetworkValues average;
  std::vector<torch::Tensor> masks;  ///< by layer, undefined where nothing is pruned
  std::vector<torch::Tensor> maps;   ///< by layer, undefined where all maps are kept
  std::vector<InputCodes> codes;
  bool quantized = false;
  std::shared_ptr<const ImageNetwork> teacher;
  double teacher_weight = 0;
  double temperature = 1;
  std::vector<torch::Tensor> parameters;  ///< trained ones, in order
  std::unique_ptr<torch::optim::Optimizer> optimizer;
};

}  // namespace taut::nn
