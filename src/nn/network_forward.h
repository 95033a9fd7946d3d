#pragma once
// A network on tensors: its parameters, and the one pass that interprets its layers, for images and
// for recommenders.

#include <torch/types.h>
#include <torch/utils.h>

#include <functional>
#include <string>
#include <vector>

#include "taut/graph/network.h"
#include "taut/nn/image_network.h"

namespace taut::nn {

/// Values of a network by layer; layers that have none hold undefined tensors.
struct NetworkValues {
  std::vector<torch::Tensor> weights;  ///< of convolutions, linear layers and normalizations
  std::vector<torch::Tensor> biases;
  std::vector<torch::Tensor> means;  ///< running statistics of normalizations
  std::vector<torch::Tensor> variances;
};

/// How weights start; biases are uniform within 1 / sqrt(inputs).
enum class Start {
  kKaiming,  ///< uniform within sqrt(6 / inputs) (He et al., arXiv 1502.01852)
  kUniform,  ///< uniform within 1 / sqrt(inputs)
};

/// Weights and biases drawn in the order of the layers, normalizations of scale 1, all from the
/// seed.
[[nodiscard]] NetworkValues initial_values(const Network& network, Start start, std::uint64_t seed);

/// Visits every tensor there is as (name, tensor): "conv1.weight", "conv1_norm.mean", ...
template <typename Values, typename Visit>
void visit_values(const Network& network, Values& values, Visit&& visit) {
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    const auto one = [&](const char* what, auto& tensors) {
      if (tensors[i].defined()) visit(network.layers[i].name + "." + what, tensors[i]);
    };
    one("weight", values.weights);
    one("bias", values.biases);
    one("mean", values.means);
    one("variance", values.variances);
  }
}

/// Mean and variance of one slice at each normalization, undefined elsewhere.
struct NormStatistics {
  std::vector<torch::Tensor> means;
  std::vector<torch::Tensor> variances;  ///< unbiased
};

/// What a network reads: maps [batch, channels, height, width], channel-last in memory, or features
/// [batch, features]; and the pooled rows of all its embedding layers, [batch, vectors, dim].
struct NetworkInputs {
  torch::Tensor input;
  torch::Tensor embedded;
};

/// Share of a step's statistics in the running ones.
constexpr double kNormMomentum = 0.1;

/// A slice normalized by its own statistics.
struct Normalized {
  torch::Tensor values;
  torch::Tensor mean;      ///< [channels]
  torch::Tensor variance;  ///< unbiased
};
[[nodiscard]] Normalized normalize(const torch::Tensor& x, const torch::Tensor& weight,
                                   const torch::Tensor& bias);

/// A convolution of x by one of the layer's weights, whose input channels may be some alone. bias:
/// undefined for none.
[[nodiscard]] torch::Tensor convolve(const Layer& layer, const torch::Tensor& x,
                                     const torch::Tensor& weight, const torch::Tensor& bias);
[[nodiscard]] torch::Tensor pool_maxima(const Layer& layer, const torch::Tensor& x);

/// How a pass is made.
struct ForwardOptions {
  bool training = false;  ///< normalizations use the slice's own statistics
  bool bf16 = false;
  const std::vector<torch::Tensor>* maps = nullptr;  ///< by layer, [channels]: 0 or 1
  const std::vector<InputCodes>* codes = nullptr;    ///< not null: 8 bits
  NormStatistics* statistics = nullptr;              ///< filled while training
  /// Called with (site's layer, before, after) at each site, if set.
  std::function<void(int, const torch::Tensor&, const torch::Tensor&)> at_site;
  /// Called with (layer, its input) at each convolution and linear layer, if set.
  std::function<void(int, const torch::Tensor&)> at_weighted;
};

/// The output of the last layer, [batch, outputs] in fp32, under the network's winners. Vectors
/// (what embedding layers give, [dim, vectors, 1]) are tensors [batch, vectors, dim], so that
/// flattened they lie one after another.
[[nodiscard]] torch::Tensor forward(const Network& network, const NetworkValues& values,
                                    const NetworkInputs& inputs, const ForwardOptions& options);

/// Throws kConfig naming the first layer that forward() does not compute.
void check_computable(const Network& network);

/// Share of values that are not zero.
[[nodiscard]] double nonzero_share(const torch::Tensor& x);

}  // namespace taut::nn
