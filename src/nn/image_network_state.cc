// Saving and restoring an ImageNetwork.
#include "nn/image_network_impl.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::nn {
namespace {

using torch::Tensor;

// Tensors [by layer] under names of their own; undefined ones are left out.
void add_by_layer(TensorWriter& file, const Network& network, const std::string& what,
                  const std::vector<Tensor>& tensors) {
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].defined()) file.add(concat(what, "/", network.layers[i].name), tensors[i]);
  }
}

}  // namespace

void ImageNetwork::save(SectionSink& file, const std::string& prefix) const {
  TensorWriter writer(file, prefix);
  impl_->save(writer);
  visit_values(impl_->network, impl_->average,
               [&](const std::string& name, const Tensor& t) { writer.add("average/" + name, t); });
  add_by_layer(writer, impl_->network, "masks", impl_->masks);
  add_by_layer(writer, impl_->network, "maps", impl_->maps);
  std::vector<float> scales;
  std::vector<bool> is_unsigned;
  for (const InputCodes& codes : impl_->codes) {
    scales.push_back(codes.scale);
    is_unsigned.push_back(codes.is_unsigned != 0);
  }
  writer.fact("input_scales", scales);
  writer.fact("inputs_unsigned", is_unsigned);
  writer.fact("quantized", impl_->quantized);
  writer.fact("winner_rates", impl_->options.winners.rates);
  writer.finish();
}

void ImageNetwork::load(const SectionSource& file, const std::string& prefix, bool state) {
  const TensorReader reader(file, prefix);
  const Network& network = impl_->network;
  Program::Loaded loaded = impl_->read(reader, state);
  visit_values(network, impl_->average, [&](const std::string& name, const Tensor& t) {
    loaded.values.emplace_back(t, reader.read_like("average/" + name, t));
  });
  std::vector<Tensor> masks(network.layers.size());
  std::vector<Tensor> maps(network.layers.size());
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    const std::string mask = "masks/" + network.layers[i].name;
    const std::string kept = "maps/" + network.layers[i].name;
    const Tensor& weight = impl_->values.weights[i];
    if (weight.defined() && reader.has(mask)) masks[i] = reader.read_like(mask, weight);
    if (reader.has(kept)) maps[i] = reader.read(kept, {network.layers[i].out.channels});
  }
  const auto scales = reader.fact<std::vector<float>>("input_scales");
  const auto is_unsigned = reader.fact<std::vector<bool>>("inputs_unsigned");
  const auto quantized = reader.fact<bool>("quantized");
  const bool fits = scales.empty() ? !quantized : scales.size() == network.layers.size();
  if (!fits || is_unsigned.size() != scales.size()) {
    reader.throw_wrong("input_scales", concat("wanted ", network.layers.size(), " numbers, got ",
                                              scales.size(), " and ", is_unsigned.size()));
  }
  const auto rates = reader.fact<std::vector<double>>("winner_rates");
  try {
    static_cast<void>(rates_by_site(rates, network.winner_sites().size()));
  } catch (const Error& failed) {
    reader.throw_wrong("winner_rates", failed.what());
  }
  if (state) set_winner_rates(rates);
  impl_->take(std::move(loaded));
  impl_->planned = nullptr;
  impl_->masks = std::move(masks);
  impl_->maps = std::move(maps);
  impl_->codes.clear();
  for (std::size_t i = 0; i < scales.size(); ++i) {
    impl_->codes.push_back({.scale = scales[i], .is_unsigned = is_unsigned[i] ? 1 : 0});
  }
  impl_->quantized = quantized;
}

}  // namespace taut::nn
