#include "taut/train/export.h"

#include <filesystem>
#include <map>
#include <utility>

#include "core/json_text.h"
#include "taut/core/file.h"
#include "taut/data/input_spec.h"
#include "taut/graph/network_json.h"
#include "taut/infer/onnx_writer.h"
#include "taut/infer/package.h"
#include "taut/train/model.h"
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

// What is kept beside an exported run: quality is from its summary, null before the end.
Json image_facts(const std::string& run, const ImageRun& opened) {
  Json facts = {{"source", opened.checkpoint},
                {"test", opened.config.data.test},
                {"seed", opened.config.train.seed},
                {"trained_in_bf16", opened.config.model.bf16},
                {"quantized", opened.network->quantized()},
                {"pruned_share", opened.network->pruned_share()},
                {"quality", nullptr}};
  const std::string summary = run + "/summary.json";
  if (std::filesystem::exists(summary)) {
    const Json known = read_json_object(summary);
    for (const char* name : {"top1", "log_loss"}) {
      const Json& value = json_at(known, name, summary);
      facts["quality"][name] =
          value.is_null() ? value : Json(json_value<double>(value, name, summary));
    }
  }
  return facts;
}

Json click_facts(const RecommenderRun& opened) {
  return {{"source", opened.checkpoint},
          {"test", opened.config.data.test},
          {"seed", opened.config.train.seed},
          {"method", opened.config.embedding.method},
          {"full_bytes", opened.model->full_bytes()}};
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

Json export_images(const std::string& run, const ImageRun& opened, const std::string& file) {
  const ImageConfig& config = opened.config;
  const FrozenModel frozen(*opened.network,
                           {.mean = opened.format.normalization.mean,
                            .deviation = opened.format.normalization.deviation,
                            .class_names = opened.format.class_names,
                            .size = config.size,
                            .labels = config.labels,
                            .skip_bad = config.data.on_bad_row == data::OnBadRow::kSkip},
                           image_facts(run, opened).dump(), measured_densities(run));
  return write_frozen(frozen.model(), nullptr, file, opened.checkpoint);
}

Json export_clicks(const std::string& run, const OpenedRun& opened, const RecommenderRun& clicks,
                   const std::string& file) {
  graph::Network network = opened.task->network();
  network.densities = measured_densities(run);
  const FrozenModel frozen(
      clicks.model->dense(), std::move(network),
      data::input_spec(reader_options(clicks.config, {}, clicks.profile)).dump(),
      click_facts(clicks).dump());
  return write_frozen(frozen.model(), clicks.model->tables(), file, clicks.checkpoint);
}

}  // namespace

FrozenModel::FrozenModel(const nn::ImageNetwork& network, infer::ImageInput input,
                         std::string facts, std::vector<double> densities)
    : kept_maps_(network.kept_maps()) {
  const nn::WinnerPolicy& policy = network.options().winners;
  model_.task = infer::kImageTask;
  model_.network = network.spec();
  model_.network.winners = {.unit = policy.unit,
                            .score = policy.score,
                            .block = policy.block,
                            .rates = rates_by_site(network)};
  model_.network.densities = std::move(densities);
  const auto channels = static_cast<std::size_t>(network.spec().input.channels);
  if (input.mean.empty()) input.mean.assign(channels, 0.0f);
  if (input.deviation.empty()) input.deviation.assign(channels, 1.0f);
  model_.input = infer::image_input_json(input);
  model_.facts = std::move(facts);
  take(network.parameters());

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
                         std::string input, std::string facts) {
  std::vector<nn::NamedTensor> parameters = network.parameters();
  const nn::RecommenderOptions& options = network.options();
  model_.task = infer::kClickTask;
  model_.network = std::move(described);
  if (options.winner_rate == 1) model_.network.winners.rates.clear();
  model_.input = std::move(input);
  model_.facts = std::move(facts);
  for (nn::NamedTensor& parameter : parameters) {
    if (options.kind == "wide_deep" && parameter.name == "top.0.weight") {
      turn_rows(parameter, options.dense, options.tables, options.dim);
    }
  }
  take(std::move(parameters));
}

// Keeps the parameters and points every layer to those of its name.
void FrozenModel::take(std::vector<nn::NamedTensor> parameters) {
  parameters_ = std::move(parameters);
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

Json export_run(const std::string& run, const std::string& file, int threads) {
  const OpenedRun opened = open_run(run, threads);
  if (const auto clicks = opened.task->recommender(opened.checkpoint)) {
    return export_clicks(run, opened, *clicks, file);
  }
  return export_images(run, images_of(opened, "export"), file);
}

}  // namespace taut::train
