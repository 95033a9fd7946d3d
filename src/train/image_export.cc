#include "taut/train/image_export.h"

#include <filesystem>
#include <map>

#include "taut/core/file.h"

namespace taut::train {
namespace {

using Json = nlohmann::json;
using graph::Layer;

}  // namespace

FrozenImageModel::FrozenImageModel(const nn::ImageNetwork& network,
                                   const data::Normalization& normalization,
                                   const std::vector<std::string>& class_names)
    : parameters_(network.parameters()), kept_maps_(network.kept_maps()) {
  const nn::WinnerPolicy& policy = network.options().winners;
  model_.network = network.spec();
  model_.unit = policy.unit;
  model_.score = policy.score;
  model_.block = policy.block;
  model_.rates = rates_by_site(network);
  model_.mean = normalization.mean;
  model_.deviation = normalization.deviation;
  const auto channels = static_cast<std::size_t>(network.spec().input.channels);
  if (model_.mean.empty()) model_.mean.assign(channels, 0.0f);
  if (model_.deviation.empty()) model_.deviation.assign(channels, 1.0f);
  model_.class_names = class_names;

  std::map<std::string, std::span<const float>> named;
  for (const nn::NamedTensor& tensor : parameters_) named[tensor.name] = tensor.values;
  const std::vector<Layer>& layers = model_.network.layers;
  weights_.resize(layers.size());
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const auto part = [&](const char* what) { return named[layers[i].name + "." + what]; };
    infer::LayerValues& values = model_.values.emplace_back();
    values.weight = part("weight");
    values.bias = part("bias");
    values.mean = part("mean");
    values.variance = part("variance");
    values.kept_maps = kept_maps_[i];
    if (!network.quantized() || graph::weight_shape(layers[i]).empty()) continue;
    weights_[i] = sparsity::quantize_weight(values.weight, layers[i].out.channels);
    values.weight = {};
    values.codes = weights_[i].codes;
    values.code_scales = weights_[i].scales;
    values.input_scale = network.input_codes()[i].scale;
    values.input_unsigned = network.input_codes()[i].is_unsigned != 0;
  }
}

Json export_facts(const std::string& run, const ImageRun& opened) {
  Json facts = {{"source", opened.checkpoint},
                {"seed", opened.config.train.seed},
                {"trained_in_bf16", opened.config.model.bf16},
                {"quantized", opened.network->quantized()},
                {"pruned_share", opened.network->pruned_share()},
                {"quality", nullptr}};
  const std::string summary = run + "/summary.json";
  if (std::filesystem::exists(summary)) {
    const Json known = Json::parse(read_file(summary));
    facts["quality"] = {{"top1", known.at("top1")}, {"log_loss", known.at("log_loss")}};
  }
  return facts;
}

}  // namespace taut::train
