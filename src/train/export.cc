#include "taut/train/export.h"

#include <filesystem>
#include <map>
#include <utility>

#include "taut/core/file.h"
#include "taut/graph/network_json.h"
#include "taut/infer/onnx_writer.h"
#include "taut/infer/package.h"
#include "taut/train/run.h"

namespace taut::train {
namespace {

using Json = nlohmann::json;
using graph::Layer;

// What the run measured behind its sites at its end; empty before.
std::vector<double> measured_densities(const std::string& run) {
  const std::string path = run + "/" + graph::kNetworkFile;
  if (!std::filesystem::exists(path)) return {};
  return graph::parse_network_json(read_file(path), path).densities;
}

// Weights [outputs, dense + tables * dim] that read pooled rows one after another, for inputs that
// hold them as a network's flattening does: first coordinates of all rows, then the second ones.
void turn_rows(nn::NamedTensor& weight, std::int64_t dense, std::int64_t tables, std::int64_t dim) {
  const std::vector<float> old = weight.values;
  const std::int64_t width = dense + tables * dim;
  for (std::int64_t o = 0; o < weight.shape[0]; ++o) {
    const std::int64_t first = o * width + dense;
    for (std::int64_t t = 0; t < tables; ++t) {
      for (std::int64_t k = 0; k < dim; ++k) {
        weight.values[static_cast<std::size_t>(first + k * tables + t)] =
            old[static_cast<std::size_t>(first + t * dim + k)];
      }
    }
  }
}

std::vector<nn::NamedTensor> turned_parameters(const nn::Recommender& network) {
  std::vector<nn::NamedTensor> parameters = network.parameters();
  const nn::RecommenderOptions& options = network.options();
  for (nn::NamedTensor& parameter : parameters) {
    if (options.kind == "wide_deep" && parameter.name == "top.0.weight") {
      turn_rows(parameter, options.dense, options.tables, options.dim);
    }
  }
  return parameters;
}

graph::Network description_of(const nn::ImageNetwork& network) {
  const nn::WinnerPolicy& policy = network.options().winners;
  graph::Network spec = network.spec();
  spec.winners = {.unit = policy.unit,
                  .score = policy.score,
                  .block = policy.block,
                  .rates = rates_by_site(network)};
  return spec;
}

std::string completed_input(infer::ImageInput input, std::int64_t channels) {
  const auto count = static_cast<std::size_t>(channels);
  if (input.mean.empty()) input.mean.assign(count, 0.0f);
  if (input.deviation.empty()) input.deviation.assign(count, 1.0f);
  return infer::image_input_json(input);
}

Json write_frozen(const infer::Model& model, const embedding::Embedding* tables,
                  const std::string& file, const std::string& source) {
  if (std::filesystem::path(file).extension() == ".onnx") {
    const infer::OnnxContents onnx = infer::write_onnx(file, model);
    return {{"model", file},
            {"bytes", onnx.size.count},
            {"operator_set", onnx.operator_set},
            {"operators", onnx.operators},
            {"source", source}};
  }
  const Bytes size = infer::write_package(file, model, tables);
  const infer::Package written(file);
  Json parts = Json::object();
  for (const std::string& name : written.file().names()) {
    const std::string part = name.substr(0, name.find('/'));
    parts[part] = parts.value(part, std::int64_t{0}) + written.file().section_bytes(name).count;
  }
  return {{"package", file}, {"bytes", size.count}, {"parts", parts}, {"source", source}};
}

}  // namespace

// Keeps the parameters and points every layer to those of its name.
FrozenModel::FrozenModel(std::string_view task, graph::Network network,
                         std::vector<nn::NamedTensor> parameters, std::string input,
                         std::string facts)
    : parameters_(std::move(parameters)) {
  model_.task = task;
  model_.network = std::move(network);
  model_.input = std::move(input);
  model_.facts = std::move(facts);
  std::map<std::string, std::span<const float>> named;
  for (const nn::NamedTensor& tensor : parameters_) named[tensor.name] = tensor.values;
  model_.network.values.clear();
  for (const Layer& layer : model_.network.layers) {
    const auto part = [&](const char* what) { return named[layer.name + "." + what]; };
    infer::LayerValues& values = model_.network.values.emplace_back();
    values.weight = part("weight");
    values.bias = part("bias");
    values.mean = part("mean");
    values.variance = part("variance");
  }
}

FrozenModel::FrozenModel(const nn::ImageNetwork& network, infer::ImageInput input,
                         std::string facts)
    : FrozenModel(infer::kImageTask, description_of(network), network.parameters(),
                  completed_input(std::move(input), network.spec().input.channels),
                  std::move(facts)) {
  kept_maps_ = network.kept_maps();
  const std::vector<Layer>& layers = model_.network.layers;
  weights_.resize(layers.size());
  for (std::size_t i = 0; i < layers.size(); ++i) {
    infer::LayerValues& values = model_.network.values[i];
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

FrozenModel::FrozenModel(const nn::Recommender& network, graph::Network described,
                         std::string input, std::string facts)
    : FrozenModel(infer::kClickTask, std::move(described), turned_parameters(network),
                  std::move(input), std::move(facts)) {
  if (network.options().winner_rate == 1) model_.network.winners.rates.clear();
}

void FrozenModel::set_densities(std::vector<double> densities) {
  model_.network.densities = std::move(densities);
}

Json export_run(const std::string& run, const std::string& file, int threads) {
  const OpenedRun opened = open_run(run, threads);
  FrozenRun made = opened.task->freeze(opened.checkpoint, run + "/summary.json");
  made.frozen.set_densities(measured_densities(run));
  return write_frozen(made.frozen.model(), made.tables, file, opened.checkpoint);
}

}  // namespace taut::train
