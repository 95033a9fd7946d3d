#include "taut/nn/prune.h"

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::nn {

PrunedWeights::PrunedWeights(std::vector<std::pair<std::string, torch::Tensor>> weights)
    : weights_(std::move(weights)) {
  for (const auto& [name, weight] : weights_) {
    if (weight.dim() < 2 || weight.scalar_type() != at::kFloat || weight.numel() == 0) {
      throw_invalid_argument(concat("weight ", name), "float32 [outputs, inputs, ...]",
                             concat(weight.scalar_type(), weight.sizes()));
    }
  }
}

void PrunedWeights::prune(const sparsity::PruneOptions& options) {
  const at::NoGradGuard no_gradient;
  std::vector<torch::Tensor> values;  // contiguous: outputs, inputs, taps
  std::vector<sparsity::Weight> layers;
  for (const auto& [name, weight] : weights_) {
    values.push_back(weight.detach().contiguous());
    const torch::Tensor& kept = values.back();
    layers.push_back(
        {.values = {kept.const_data_ptr<float>(), static_cast<std::size_t>(kept.numel())},
         .outputs = kept.size(0),
         .inputs = kept.size(1),
         .taps = kept.numel() / (kept.size(0) * kept.size(1))});
  }
  std::vector<torch::Tensor> masks;
  std::size_t at = 0;
  for (sparsity::Mask& mask : sparsity::prune_masks(layers, options)) {
    const torch::Tensor bytes = torch::from_blob(mask.data(), values[at++].sizes(), torch::kUInt8);
    masks.push_back(bytes.to(torch::kFloat));
  }
  set_masks(std::move(masks));
}

void PrunedWeights::apply() {
  const at::NoGradGuard no_gradient;
  for (std::size_t i = 0; i < masks_.size(); ++i) weights_[i].second.mul_(masks_[i]);
}

double PrunedWeights::share() const {
  std::int64_t all = 0;
  std::int64_t pruned = 0;
  for (const torch::Tensor& mask : masks_) {
    all += mask.numel();
    pruned += (mask == 0).sum().item<std::int64_t>();
  }
  return all == 0 ? 0.0 : static_cast<double>(pruned) / static_cast<double>(all);
}

void PrunedWeights::set_masks(std::vector<torch::Tensor> masks) {
  if (masks.size() != weights_.size()) {
    throw_invalid_argument("masks", concat(weights_.size(), " tensors"), concat(masks.size()));
  }
  for (std::size_t i = 0; i < masks.size(); ++i) {
    if (masks[i].sizes() != weights_[i].second.sizes()) {
      throw_invalid_argument(concat("mask of ", weights_[i].first),
                             concat(weights_[i].second.sizes()), concat(masks[i].sizes()));
    }
  }
  masks_ = std::move(masks);
  apply();
}

}  // namespace taut::nn
