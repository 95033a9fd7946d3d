#include "nn/network_forward.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "nn/interaction.h"
#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/nn/quantize.h"
#include "taut/nn/winners.h"

namespace taut::nn {
namespace {

using torch::Tensor;

using graph::kNormEpsilon;

// What a window has below and to the right beyond its padding.
Tensor with_after(const Layer& layer, const Tensor& x, double value) {
  const std::int64_t after = layer.window.after;
  return after == 0 ? x : torch::constant_pad_nd(x, {0, after, 0, after}, value);
}

std::array<std::int64_t, 2> strides_of(const Layer& layer) {
  return {layer.window.stride, graph::along_width(layer.window).stride};
}

class Pass {
 public:
  Pass(const Network& network, const NetworkValues& values, const NetworkInputs& inputs,
       const ForwardOptions& options)
      : network_(network),
        values_(values),
        options_(options),
        input_(inputs.input),
        embedded_(inputs.embedded) {}

  Tensor run() {
    if (input_.defined()) input_ = cast(input_);
    results_.resize(network_.layers.size());
    for (std::size_t i = 0; i < network_.layers.size(); ++i) {
      Tensor y = apply(i);
      if (network_.layers[i].winner_site >= 0) y = choose_winners(static_cast<int>(i), y);
      results_[i] = y;
    }
    return results_.back().to(torch::kFloat32);
  }

 private:
  [[nodiscard]] Tensor cast(const Tensor& x) const {
    return options_.bf16 ? x.to(torch::kBFloat16) : x;
  }
  [[nodiscard]] const Tensor& input(const Layer& layer, std::size_t which = 0) const {
    const int from = layer.inputs[which];
    return from == kNetworkInput ? input_ : results_[static_cast<std::size_t>(from)];
  }

  Tensor apply(std::size_t i) {
    const Layer& layer = network_.layers[i];
    switch (layer.op) {
      case Op::kConv:
      case Op::kLinear:
        return weighted(i, input(layer));
      case Op::kBatchNorm:
        return normalized(i, input(layer));
      case Op::kRelu:
        return torch::relu(input(layer));
      case Op::kRelu6:
        return torch::clamp(input(layer), 0, 6);
      case Op::kMaxPool:
        return pool_maxima(layer, input(layer));
      case Op::kGlobalMean:
        return input(layer).mean({2, 3});
      case Op::kFlatten:
        return input(layer).flatten(1);
      case Op::kAdd:
        return sum(layer);
      case Op::kConcat:
        return concatenated(layer);
      case Op::kEmbedding:
        return embedded(layer);
      case Op::kInteraction:
        return interaction(vectors(layer), layer.copied).to(input(layer).scalar_type());
      case Op::kFirstValues:
        return first_values(input(layer));
      case Op::kAttention:
      case Op::kStack:
      case Op::kRows:
      case Op::kReshape:
      case Op::kSoftmax:
      case Op::kLayerNorm:
      case Op::kUpsample:
      case Op::kDepthToSpace:
      case Op::kPointwise:
      case Op::kMeanPool:
      case Op::kArithmetic:
      case Op::kConstant:
        break;
    }
    TAUT_ASSERT(false);  // check_computable() has seen the network
    return {};
  }

  Tensor sum(const Layer& layer) const {
    Tensor y = input(layer);
    for (std::size_t k = 1; k < layer.inputs.size(); ++k) y = y + input(layer, k);
    return y;
  }

  Tensor concatenated(const Layer& layer) const {
    std::vector<Tensor> parts;
    for (std::size_t k = 0; k < layer.inputs.size(); ++k) parts.push_back(input(layer, k));
    return torch::cat(parts, parts[0].dim() == 3 ? 2 : 1);
  }

  // The next vectors of those that were pooled: [batch, vectors, dim], or features for one.
  Tensor embedded(const Layer& layer) {
    Tensor mine = embedded_;
    if (layer.out.height != embedded_.size(1)) {
      mine = embedded_.narrow(1, next_vector_, layer.out.height);
      next_vector_ += layer.out.height;
    }
    return cast(layer.out.is_map() ? mine : mine.flatten(1));
  }

  // All vectors that an interaction reads, in fp32: [batch, vectors, dim].
  Tensor vectors(const Layer& layer) const {
    std::vector<Tensor> parts;
    for (std::size_t k = 0; k < layer.inputs.size(); ++k) {
      const Tensor x = input(layer, k).to(torch::kFloat32);
      parts.push_back(x.dim() == 3 ? x : x.flatten(1).unsqueeze(1));
    }
    return parts.size() == 1 ? parts[0] : torch::cat(parts, 1);
  }

  static Tensor first_values(const Tensor& x) {
    return x.dim() == 3 ? x.select(2, 0).sum(1, /*keepdim=*/true) : x.narrow(1, 0, 1);
  }

  Tensor weighted(std::size_t i, const Tensor& input) const {
    const Layer& layer = network_.layers[i];
    if (options_.at_weighted) options_.at_weighted(static_cast<int>(i), input);
    Tensor x = input;
    Tensor weight = values_.weights[i];
    if (options_.codes != nullptr) {
      const InputCodes& codes = (*options_.codes)[i];
      weight = fake_quantize_weight(weight);
      x = fake_quantize(
          x, codes.scale,
          codes.is_unsigned != 0 ? sparsity::Codes::kUnsigned : sparsity::Codes::kSigned);
    }
    weight = cast(weight);
    const Tensor& bias = values_.biases[i];
    const Tensor cast_bias = bias.defined() ? cast(bias) : bias;
    if (layer.op == Op::kLinear) return linear(layer, x, weight, cast_bias);
    return convolve(layer, x, weight, cast_bias);
  }

  static Tensor linear(const Layer& layer, const Tensor& x, const Tensor& weight,
                       const Tensor& bias) {
    if (x.dim() == 4 && layer.in.is_map()) {  // at each position
      return torch::conv2d(x, weight.view({weight.size(0), weight.size(1), 1, 1}), bias);
    }
    const Tensor features = x.dim() == 4 ? x.flatten(1) : x;
    if (features.dim() == 2 && weight.size(0) == 1 && !bias.defined()) {
      return torch::mv(features, weight.squeeze(0)).unsqueeze(1);
    }
    return torch::linear(features, weight, bias);
  }

  Tensor normalized(std::size_t i, const Tensor& x) {
    if (!options_.training) {
      return torch::batch_norm(x, values_.weights[i], values_.biases[i], values_.means[i],
                               values_.variances[i], false, kNormMomentum, kNormEpsilon, false);
    }
    const Normalized made = normalize(x, values_.weights[i], values_.biases[i]);
    if (options_.statistics != nullptr) {
      options_.statistics->means[i] = made.mean;
      options_.statistics->variances[i] = made.variance;
    }
    return made.values;
  }

  Tensor choose_winners(int index, const Tensor& x) const {
    const Layer& layer = network_.layers[static_cast<std::size_t>(index)];
    const sparsity::WinnersOptions chosen = graph::winners_at(network_, layer);
    Tensor y = x;
    if (chosen.rate < 1) {
      // Maps of one position are features, in another shape.
      const bool flat = x.dim() == 4 && !layer.out.is_map();
      y = flat ? winners(x.flatten(1), chosen).view_as(x) : winners(x, chosen);
    }
    if (options_.maps != nullptr && (*options_.maps)[static_cast<std::size_t>(index)].defined()) {
      const Tensor& kept = (*options_.maps)[static_cast<std::size_t>(index)];
      y = y * (y.dim() == 4 ? kept.view({1, -1, 1, 1}) : kept).to(y.scalar_type());
    }
    if (options_.at_site) options_.at_site(index, x, y);
    return y;
  }

  const Network& network_;
  const NetworkValues& values_;
  const ForwardOptions& options_;
  Tensor input_;
  Tensor embedded_;
  std::int64_t next_vector_ = 0;
  std::vector<Tensor> results_;
};

}  // namespace

Tensor convolve(const Layer& layer, const Tensor& x, const Tensor& weight, const Tensor& bias) {
  const std::int64_t padding = layer.window.padding;
  return torch::conv2d(with_after(layer, x, 0), weight, bias, strides_of(layer), {padding, padding},
                       {1, 1}, layer.groups);
}

Tensor pool_maxima(const Layer& layer, const Tensor& x) {
  const auto& [kernel, padding] = std::pair{layer.window.kernel, layer.window.padding};
  return torch::max_pool2d(with_after(layer, x, -INFINITY), {kernel, kernel}, strides_of(layer),
                           {padding, padding});
}

Normalized normalize(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  auto [y, mean, inverse] =
      at::native_batch_norm(x, weight, bias, {}, {}, true, kNormMomentum, kNormEpsilon);
  const auto count = static_cast<double>(x.numel() / x.size(1));
  const Tensor biased = inverse.detach().pow(-2).sub(kNormEpsilon);
  return {.values = y,
          .mean = mean.detach(),
          .variance = biased.mul(count / std::max(count - 1.0, 1.0))};
}

NetworkValues initial_values(const Network& network, Start start, std::uint64_t seed) {
  at::Generator random = at::make_generator<at::CPUGeneratorImpl>(seed);
  const std::size_t count = network.layers.size();
  NetworkValues values{.weights = std::vector<Tensor>(count),
                       .biases = std::vector<Tensor>(count),
                       .means = std::vector<Tensor>(count),
                       .variances = std::vector<Tensor>(count)};
  for (std::size_t i = 0; i < count; ++i) {
    const Layer& layer = network.layers[i];
    if (layer.op == Op::kBatchNorm) {
      const std::int64_t channels = layer.out.channels;
      values.weights[i] = torch::ones({channels});
      values.biases[i] = torch::zeros({channels});
      values.means[i] = torch::zeros({channels});
      values.variances[i] = torch::ones({channels});
      continue;
    }
    const std::vector<std::int64_t> shape = weight_shape(layer);
    if (shape.empty()) continue;
    Tensor weight = torch::empty(shape);
    const auto fan_in = static_cast<double>(weight.numel() / shape[0]);
    const double bias_bound = 1.0 / std::sqrt(fan_in);
    const double bound = start == Start::kKaiming ? std::sqrt(6.0 / fan_in) : bias_bound;
    weight.uniform_(-bound, bound, random);
    if (layer.op == Op::kConv) weight = weight.contiguous(at::MemoryFormat::ChannelsLast);
    values.weights[i] = weight;
    if (layer.bias) {
      values.biases[i] = torch::empty({shape[0]}).uniform_(-bias_bound, bias_bound, random);
    }
  }
  return values;
}

torch::Tensor forward(const Network& network, const NetworkValues& values,
                      const NetworkInputs& inputs, const ForwardOptions& options) {
  return Pass(network, values, inputs, options).run();
}

namespace {

// Layers that only the planner and the engine know.
bool is_untrained(Op op) {
  return op == Op::kAttention || op == Op::kLayerNorm || op == Op::kPointwise ||
         op == Op::kMeanPool || op == Op::kUpsample || op == Op::kDepthToSpace ||
         op == Op::kArithmetic || op == Op::kConstant || op == Op::kStack || op == Op::kRows ||
         op == Op::kReshape || op == Op::kSoftmax;
}

}  // namespace

void check_computable(const Network& network) {
  for (const Layer& layer : network.layers) {
    if (!is_untrained(layer.op)) continue;
    throw Error(ErrorKind::kConfig,
                concat("layer ", layer.name, " of ", network.name, " is ", to_string(layer.op),
                       ", which is not trained"),
                {}, "train a network without it");
  }
}

double nonzero_share(const torch::Tensor& x) {
  return static_cast<double>(x.count_nonzero().item<std::int64_t>()) /
         static_cast<double>(x.numel());
}

}  // namespace taut::nn
