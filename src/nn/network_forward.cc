#include "nn/network_forward.h"

#include <algorithm>
#include <cmath>

#include "taut/core/error.h"
#include "taut/nn/quantize.h"
#include "taut/nn/winners.h"

namespace taut::nn {
namespace {

using torch::Tensor;

using graph::kNormEpsilon;

class Pass {
 public:
  Pass(const Network& spec, const NetworkValues& values, const ForwardOptions& options)
      : spec_(spec), values_(values), options_(options) {}

  Tensor run(const Tensor& images) {
    images_ = cast(images);
    results_.resize(spec_.layers.size());
    for (std::size_t i = 0; i < spec_.layers.size(); ++i) {
      Tensor y = apply(i);
      if (spec_.layers[i].winner_site >= 0) y = choose_winners(static_cast<int>(i), y);
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
    return from == kNetworkInput ? images_ : results_[static_cast<std::size_t>(from)];
  }

  Tensor apply(std::size_t i) {
    const Layer& layer = spec_.layers[i];
    const Tensor& x = input(layer);
    switch (layer.op) {
      case Op::kConv:
      case Op::kLinear:
        return weighted(i, x);
      case Op::kBatchNorm:
        return normalized(i, x);
      case Op::kRelu:
        return torch::relu(x);
      case Op::kRelu6:
        return torch::clamp(x, 0, 6);
      case Op::kMaxPool:
        return torch::max_pool2d(x, {layer.window.kernel, layer.window.kernel},
                                 {layer.window.stride, layer.window.stride},
                                 {layer.window.padding, layer.window.padding});
      case Op::kGlobalMean:
        return x.mean({2, 3});
      case Op::kFlatten:
        return x.flatten(1);
      case Op::kAdd:
        return x + input(layer, 1);
      default:
        break;
    }
    TAUT_ASSERT(false);
    return {};
  }

  Tensor weighted(std::size_t i, const Tensor& input) const {
    const Layer& layer = spec_.layers[i];
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
    if (layer.op == Op::kLinear) {
      return torch::linear(x.dim() > 2 ? x.flatten(1) : x, weight, cast_bias);
    }
    return torch::conv2d(x, weight, cast_bias, {layer.window.stride, layer.window.stride},
                         {layer.window.padding, layer.window.padding}, {1, 1}, layer.groups);
  }

  Tensor normalized(std::size_t i, const Tensor& x) {
    if (!options_.training) {
      return torch::batch_norm(x, values_.weights[i], values_.biases[i], values_.means[i],
                               values_.variances[i], false, 0.1, kNormEpsilon, false);
    }
    auto [y, mean, inverse] = at::native_batch_norm(x, values_.weights[i], values_.biases[i], {},
                                                    {}, true, 0.1, kNormEpsilon);
    if (options_.statistics != nullptr) {
      const auto count = static_cast<double>(x.numel() / x.size(1));
      const Tensor biased = inverse.detach().pow(-2).sub(kNormEpsilon);
      options_.statistics->means[i] = mean.detach();
      options_.statistics->variances[i] = biased.mul(count / std::max(count - 1.0, 1.0));
    }
    return y;
  }

  Tensor choose_winners(int index, const Tensor& x) const {
    const Layer& layer = spec_.layers[static_cast<std::size_t>(index)];
    Tensor y = x;
    if (options_.winners != nullptr && !options_.winners->rates.empty()) {
      const WinnerPolicy& policy = *options_.winners;
      const double rate = rate_of(policy, layer.winner_site);
      if (rate < 1) {
        const bool features = x.dim() == 2 && policy.unit != sparsity::Unit::kBlock;
        y = winners(x, {.unit = features ? sparsity::Unit::kNeuron : policy.unit,
                        .score = policy.score,
                        .rate = rate,
                        .block = policy.block});
      }
    }
    if (options_.maps != nullptr && (*options_.maps)[static_cast<std::size_t>(index)].defined()) {
      const Tensor& kept = (*options_.maps)[static_cast<std::size_t>(index)];
      y = y * (y.dim() == 4 ? kept.view({1, -1, 1, 1}) : kept).to(y.scalar_type());
    }
    if (options_.at_site) options_.at_site(index, x, y);
    return y;
  }

  const Network& spec_;
  const NetworkValues& values_;
  const ForwardOptions& options_;
  Tensor images_;
  std::vector<Tensor> results_;
};

}  // namespace

double rate_of(const WinnerPolicy& policy, int site) {
  if (policy.rates.empty()) return 1.0;
  return policy.rates.size() == 1 ? policy.rates[0] : policy.rates[static_cast<std::size_t>(site)];
}

NetworkValues initial_values(const Network& spec, std::uint64_t seed) {
  at::Generator random = at::make_generator<at::CPUGeneratorImpl>(seed);
  const std::size_t count = spec.layers.size();
  NetworkValues values{.weights = std::vector<Tensor>(count),
                       .biases = std::vector<Tensor>(count),
                       .means = std::vector<Tensor>(count),
                       .variances = std::vector<Tensor>(count)};
  for (std::size_t i = 0; i < count; ++i) {
    const Layer& layer = spec.layers[i];
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
    const double bound = std::sqrt(6.0 / fan_in);
    weight.uniform_(-bound, bound, random);
    if (layer.op == Op::kConv) weight = weight.contiguous(at::MemoryFormat::ChannelsLast);
    values.weights[i] = weight;
    const double bias_bound = 1.0 / std::sqrt(fan_in);
    if (layer.bias) {
      values.biases[i] = torch::empty({shape[0]}).uniform_(-bias_bound, bias_bound, random);
    }
  }
  return values;
}

torch::Tensor forward(const Network& spec, const NetworkValues& values, const torch::Tensor& images,
                      const ForwardOptions& options) {
  return Pass(spec, values, options).run(images);
}

}  // namespace taut::nn
