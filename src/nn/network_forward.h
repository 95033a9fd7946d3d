#pragma once
// A network on tensors: its parameters and the pass from images to logits.

#include <torch/torch.h>

#include <string>
#include <vector>

#include "taut/nn/image_network.h"

namespace taut::nn {

/// Values of a network by layer; layers that have none hold undefined tensors.
struct NetworkValues {
  std::vector<torch::Tensor> weights;  ///< of convolutions, linear layers and normalizations
  std::vector<torch::Tensor> biases;
  std::vector<torch::Tensor> means;  ///< running statistics of normalizations
  std::vector<torch::Tensor> variances;
};

/// Kaiming-uniform convolutions and linear layers with biases as LibTorch's, normalizations of
/// scale 1, all from the seed.
[[nodiscard]] NetworkValues initial_values(const Network& spec, std::uint64_t seed);

/// Visits every tensor there is as (name, tensor): "conv1.weight", "conv1_norm.mean", ...
template <typename Values, typename Visit>
void visit_values(const Network& spec, Values& values, Visit&& visit) {
  for (std::size_t i = 0; i < spec.layers.size(); ++i) {
    const auto one = [&](const char* what, auto& tensors) {
      if (tensors[i].defined()) visit(spec.layers[i].name + "." + what, tensors[i]);
    };
    one("weight", values.weights);
    one("bias", values.biases);
    one("mean", values.means);
    one("variance", values.variances);
  }
}

/// Mean and variance of one piece at each normalization, undefined elsewhere.
struct NormStatistics {
  std::vector<torch::Tensor> means;
  std::vector<torch::Tensor> variances;  ///< unbiased
};

/// How a pass is made.
struct ForwardOptions {
  bool training = false;  ///< normalizations use the piece's own statistics
  bool bf16 = false;
  const WinnerPolicy* winners = nullptr;             ///< null: dense
  const std::vector<torch::Tensor>* maps = nullptr;  ///< by layer, [1, channels, 1, 1]: 0 or 1
  const std::vector<InputCodes>* codes = nullptr;    ///< not null: 8 bits
  NormStatistics* statistics = nullptr;              ///< filled while training
  /// Called with (site's layer, before, after) at each site, if set.
  std::function<void(int, const torch::Tensor&, const torch::Tensor&)> at_site;
  /// Called with (layer, its input) at each convolution and linear layer, if set.
  std::function<void(int, const torch::Tensor&)> at_weighted;
};

/// images [batch, channels, height, width], channel-last in memory -> logits [batch, classes] in
/// fp32.
[[nodiscard]] torch::Tensor forward(const Network& spec, const NetworkValues& values,
                                    const torch::Tensor& images, const ForwardOptions& options);

/// The rate of a site under a policy.
[[nodiscard]] double rate_of(const WinnerPolicy& policy, int site);

}  // namespace taut::nn
