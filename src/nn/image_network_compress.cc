// Pruning, 8 bits and what happens at the sites of winners.
#include <algorithm>
#include <span>

#include "nn/image_network_impl.h"
#include "nn/winners_tensor.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::nn {
namespace {

using torch::Tensor;

std::span<const float> values_of(const Tensor& tensor) {
  return {tensor.const_data_ptr<float>(), static_cast<std::size_t>(tensor.numel())};
}

Tensor mask_tensor(const sparsity::Mask& mask, at::IntArrayRef shape) {
  return torch::from_blob(const_cast<std::uint8_t*>(mask.data()), shape, torch::kUInt8)
      .to(torch::kFloat32);
}

// Whether what a layer reads can be below zero: not behind a ReLU, seen through pools.
bool is_signed_input(const Network& spec, const Layer& layer) {
  int from = layer.inputs.front();
  while (from != kNetworkInput) {
    const Layer& source = spec.layers[static_cast<std::size_t>(from)];
    if (source.op == Op::kRelu || source.op == Op::kRelu6) return false;
    const bool passes =
        source.op == Op::kMaxPool || source.op == Op::kGlobalMean || source.op == Op::kFlatten;
    if (!passes) return true;
    from = source.inputs.front();
  }
  return true;
}

// Mean magnitude of each channel.
Tensor channel_means(const Tensor& x) {
  const Tensor magnitude = x.to(torch::kFloat32).abs();
  return magnitude.dim() == 4 ? magnitude.mean({0, 2, 3}) : magnitude.mean(0);
}

// The convolution or linear layer whose channels a layer passes on, or kNetworkInput.
int source_of_channels(const Network& spec, int layer) {
  while (layer != kNetworkInput) {
    const Layer& here = spec.layers[static_cast<std::size_t>(layer)];
    if (here.op == Op::kConv || here.op == Op::kLinear) return layer;
    if (here.op == Op::kAdd || here.op == Op::kFlatten) return kNetworkInput;
    layer = here.inputs.front();
  }
  return layer;
}

}  // namespace

void ImageNetwork::Impl::pass_over(const ImageInput& images,
                                   const ForwardOptions& forward_options) const {
  use_one_torch_thread();
  for (std::int64_t i = 0; i < slices(images.size); ++i) {
    const NetworkInputs inputs = images_of(images, slice_at(images.size, i));
    static_cast<void>(forward(network, predicting(), inputs, forward_options));
  }
}

void ImageNetwork::prune(const sparsity::PruneOptions& options) {
  const torch::NoGradGuard no_grad;
  std::vector<std::size_t> places;
  std::vector<Tensor> kept;
  std::vector<sparsity::Weight> weights;
  for (std::size_t i = 0; i < impl_->network.layers.size(); ++i) {
    const std::vector<std::int64_t> shape = weight_shape(impl_->network.layers[i]);
    if (shape.empty()) continue;
    kept.push_back(impl_->values.weights[i].detach().contiguous());
    places.push_back(i);
    weights.push_back({.values = values_of(kept.back()),
                       .outputs = shape[0],
                       .inputs = shape[1],
                       .taps = shape.size() == 4 ? shape[2] * shape[3] : 1});
  }
  const std::vector<sparsity::Mask> masks = sparsity::prune_masks(weights, options);
  for (std::size_t i = 0; i < places.size(); ++i) {
    impl_->masks[places[i]] = mask_tensor(masks[i], kept[i].sizes());
    impl_->average.weights[places[i]].mul_(impl_->masks[places[i]]);
  }
  impl_->apply_masks();
}

void ImageNetwork::prune_maps(const std::vector<double>& rates, const ImageInput& images) {
  WinnerPolicy kept;
  kept.rates = rates;
  kept.unit = sparsity::Unit::kElement;
  ImageNetworkOptions checked = impl_->options;
  checked.winners = kept;
  check_options(checked, impl_->network);
  impl_->check_input(images, /*labelled=*/false);
  const torch::NoGradGuard no_grad;
  const std::vector<double> by_site = rates_by_site(
      rates.empty() ? std::vector<double>{1.0} : rates, impl_->network.winner_sites().size());
  std::vector<Tensor> scores(impl_->network.layers.size());
  ForwardOptions options = impl_->forward_options(/*training=*/false);
  options.at_site = [&](int layer, const Tensor& before, const Tensor& /*after*/) {
    Tensor& sum = scores[static_cast<std::size_t>(layer)];
    const Tensor means = channel_means(before) * before.size(0);
    sum = sum.defined() ? sum + means : means;
  };
  impl_->pass_over(images, options);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (!scores[i].defined()) continue;
    const double rate = by_site[static_cast<std::size_t>(impl_->network.layers[i].winner_site)];
    const Tensor plain = scores[i].contiguous();
    const std::int64_t winners = sparsity::winner_count(plain.numel(), rate);
    const double share = 1 - static_cast<double>(winners) / static_cast<double>(plain.numel());
    impl_->maps[i] = mask_tensor(sparsity::prune_scores(values_of(plain), share), {plain.numel()});
  }
}

std::vector<LayerReport> ImageNetwork::report_layers(const ImageInput& images) const {
  impl_->check_input(images, /*labelled=*/false);
  const torch::NoGradGuard no_grad;
  const Network& spec = impl_->network;
  std::vector<LayerReport> all(spec.layers.size());
  ForwardOptions options = impl_->forward_options(/*training=*/false);
  options.codes = nullptr;
  options.at_weighted = [&](int index, const Tensor& input) {
    const double share = static_cast<double>(input.size(0)) / static_cast<double>(images.size);
    all[static_cast<std::size_t>(index)].input_density += share * nonzero_share(input);
  };
  impl_->pass_over(images, options);
  std::vector<LayerReport> weighted;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (weight_shape(spec.layers[i]).empty()) continue;
    all[i].layer = spec.layers[i].name;
    all[i].multiply_adds = multiply_adds(spec.layers[i]);
    all[i].weight_density = nonzero_share(impl_->predicting().weights[i]);
    all[i].output_density = 1;
    for (std::size_t s = 0; s < all.size(); ++s) {
      const bool ours = source_of_channels(spec, static_cast<int>(s)) == static_cast<int>(i);
      if (ours && impl_->maps[s].defined()) all[i].output_density = nonzero_share(impl_->maps[s]);
    }
    weighted.push_back(all[i]);
  }
  return weighted;
}

double ImageNetwork::pruned_share() const {
  std::int64_t zeros = 0;
  std::int64_t all = 0;
  for (std::size_t i = 0; i < impl_->network.layers.size(); ++i) {
    if (weight_shape(impl_->network.layers[i]).empty()) continue;
    const Tensor& weight = impl_->predicting().weights[i];
    all += weight.numel();
    zeros += weight.numel() - weight.count_nonzero().item<std::int64_t>();
  }
  return static_cast<double>(zeros) / static_cast<double>(all);
}

void ImageNetwork::calibrate(const ImageInput& images, sparsity::Calibration calibration) {
  impl_->check_input(images, /*labelled=*/false);
  const torch::NoGradGuard no_grad;
  const Network& spec = impl_->network;
  std::vector<std::unique_ptr<sparsity::ActivationCalibrator>> seen(spec.layers.size());
  ForwardOptions options = impl_->forward_options(/*training=*/false);
  options.codes = nullptr;
  options.at_weighted = [&](int index, const Tensor& input) {
    const auto i = static_cast<std::size_t>(index);
    if (seen[i] == nullptr) {
      seen[i] = std::make_unique<sparsity::ActivationCalibrator>(
          calibration, is_signed_input(spec, spec.layers[i]) ? sparsity::Codes::kSigned
                                                             : sparsity::Codes::kUnsigned);
    }
    seen[i]->add(values_of(input.to(torch::kFloat32).contiguous()));
  };
  impl_->pass_over(images, options);
  impl_->codes.assign(spec.layers.size(), {});
  for (std::size_t i = 0; i < seen.size(); ++i) {
    if (seen[i] == nullptr) continue;
    impl_->codes[i] = {.scale = seen[i]->scale(),
                       .is_unsigned = is_signed_input(spec, spec.layers[i]) ? 0 : 1};
  }
}

void ImageNetwork::set_quantized(bool quantized) {
  if (quantized && impl_->codes.empty()) {
    throw Error(ErrorKind::kConfig, "8 bits need the ranges of activations, and there are none", {},
                "calibrate first");
  }
  impl_->quantized = quantized;
}

bool ImageNetwork::quantized() const noexcept {
  return impl_->quantized;
}

std::vector<std::vector<float>> ImageNetwork::kept_maps() const {
  std::vector<std::vector<float>> kept(impl_->maps.size());
  for (std::size_t i = 0; i < kept.size(); ++i) {
    if (!impl_->maps[i].defined()) continue;
    const std::span<const float> channels = values_of(impl_->maps[i]);
    kept[i].assign(channels.begin(), channels.end());
  }
  return kept;
}

std::vector<SiteReport> ImageNetwork::report_sites(const ImageInput& images) const {
  impl_->check_input(images, /*labelled=*/false);
  const torch::NoGradGuard no_grad;
  const Network& spec = impl_->network;
  const bool whole_maps = impl_->options.winners.unit == sparsity::Unit::kChannel;
  std::vector<SiteReport> reports(spec.winner_sites().size());
  std::vector<sparsity::WinnerStatistics> statistics(reports.size());
  ForwardOptions options = impl_->forward_options(/*training=*/false);
  options.at_site = [&](int index, const Tensor& before, const Tensor& after) {
    const auto site =
        static_cast<std::size_t>(spec.layers[static_cast<std::size_t>(index)].winner_site);
    SiteReport& report = reports[site];
    const double share = static_cast<double>(before.size(0)) / static_cast<double>(images.size);
    report.layer = spec.layers[static_cast<std::size_t>(index)].name;
    report.natural_density += share * nonzero_share(before);
    report.density += share * nonzero_share(after);
    const sparsity::Unit fine =
        after.dim() == 4 ? sparsity::Unit::kElement : sparsity::Unit::kNeuron;
    const bool maps = whole_maps && after.dim() == 4;
    add_winners(after, {.unit = maps ? sparsity::Unit::kChannel : fine}, statistics[site]);
  };
  impl_->pass_over(images, options);
  for (std::size_t site = 0; site < reports.size(); ++site) {
    reports[site].never = statistics[site].never();
    reports[site].always = statistics[site].always();
    reports[site].entropy = statistics[site].entropy();
  }
  return reports;
}

}  // namespace taut::nn
