#include "taut/infer/image_package.h"

#include <nlohmann/json.hpp>

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::infer {
namespace {

using Json = nlohmann::json;
using graph::Layer;
using graph::Shape;

constexpr const char* kMetadata = "metadata";
constexpr const char* kMend = "export the run again";

// Visits (section, array) of every array that a layer may have: one list for both directions.
template <typename Values, typename Visit>
void visit_arrays(const std::string& layer, Values& values, Visit&& visit) {
  visit("weights/" + layer + ".weight", values.weight);
  visit("codes/" + layer, values.codes);
  visit("scales/" + layer, values.code_scales);
  visit("weights/" + layer + ".bias", values.bias);
  visit("weights/" + layer + ".mean", values.mean);
  visit("weights/" + layer + ".variance", values.variance);
  visit("maps/" + layer, values.kept_maps);
}

Json to_json(const Shape& shape) {
  return {{"channels", shape.channels}, {"height", shape.height}, {"width", shape.width}};
}

Shape shape_from(const Json& json) {
  return {.channels = json.at("channels").get<std::int64_t>(),
          .height = json.at("height").get<std::int64_t>(),
          .width = json.at("width").get<std::int64_t>()};
}

Json to_json(const Layer& layer, const LayerValues& values) {
  return {{"name", layer.name},
          {"op", to_string(layer.op)},
          {"inputs", layer.inputs},
          {"kernel", layer.window.kernel},
          {"stride", layer.window.stride},
          {"padding", layer.window.padding},
          {"groups", layer.groups},
          {"bias", layer.bias},
          {"in", to_json(layer.in)},
          {"out", to_json(layer.out)},
          {"winner_site", layer.winner_site},
          {"input_scale", values.input_scale},
          {"input_unsigned", values.input_unsigned}};
}

Layer layer_from(const Json& json) {
  Layer layer;
  json.at("name").get_to(layer.name);
  const auto name = json.at("op").get<std::string>();
  const auto op = graph::parse_op(name);
  if (!op) throw Error(ErrorKind::kFormat, concat("unknown op \"", name, "\" in ", layer.name));
  layer.op = *op;
  json.at("inputs").get_to(layer.inputs);
  json.at("kernel").get_to(layer.window.kernel);
  json.at("stride").get_to(layer.window.stride);
  json.at("padding").get_to(layer.window.padding);
  json.at("groups").get_to(layer.groups);
  json.at("bias").get_to(layer.bias);
  layer.in = shape_from(json.at("in"));
  layer.out = shape_from(json.at("out"));
  json.at("winner_site").get_to(layer.winner_site);
  return layer;
}

Json metadata_of(const ImageModel& model, std::string_view facts) {
  Json layers = Json::array();
  for (std::size_t i = 0; i < model.values.size(); ++i) {
    layers.push_back(to_json(model.network.layers[i], model.values[i]));
  }
  Json input = to_json(model.network.input);
  input["mean"] = model.mean;
  input["deviation"] = model.deviation;
  return {{"model", model.network.name},
          {"input", input},
          {"class_names", model.class_names},
          {"winners",
           {{"unit", to_string(model.unit)},
            {"score", to_string(model.score)},
            {"block", model.block},
            {"rates", model.rates}}},
          {"batch_norm", "kept"},
          {"layers", layers},
          {"facts", Json::parse(facts)}};
}

void read_metadata(const Json& json, ImageModel& model) {
  json.at("model").get_to(model.network.name);
  const Json& input = json.at("input");
  model.network.input = shape_from(input);
  input.at("mean").get_to(model.mean);
  input.at("deviation").get_to(model.deviation);
  json.at("class_names").get_to(model.class_names);
  const Json& winners = json.at("winners");
  model.unit = sparsity::parse_unit(winners.at("unit").get<std::string>());
  model.score = sparsity::parse_score(winners.at("score").get<std::string>());
  winners.at("block").get_to(model.block);
  winners.at("rates").get_to(model.rates);
  for (const Json& layer : json.at("layers")) {
    model.network.layers.push_back(layer_from(layer));
    LayerValues& values = model.values.emplace_back();
    layer.at("input_scale").get_to(values.input_scale);
    layer.at("input_unsigned").get_to(values.input_unsigned);
  }
}

ImageModel read_model(const SectionReader& file) {
  ImageModel model;
  try {
    read_metadata(Json::parse(file.text(kMetadata)), model);
  } catch (const Json::exception& failed) {
    throw Error(ErrorKind::kFormat, concat("section \"metadata\" is wrong: ", failed.what()),
                file.path(), kMend);
  } catch (const Error& failed) {
    throw Error(ErrorKind::kFormat, failed.what(), file.path(), kMend);
  }
  for (std::size_t i = 0; i < model.values.size(); ++i) {
    visit_arrays(model.network.layers[i].name, model.values[i],
                 [&]<typename T>(const std::string& name, std::span<const T>& array) {
                   if (file.has(name)) array = file.array<T>(name);
                 });
  }
  check_image_model(model, ErrorKind::kFormat, file.path());
  return model;
}

}  // namespace

Bytes write_image_package(const std::string& path, const ImageModel& model,
                          std::string_view facts) {
  check_image_model(model, ErrorKind::kInvalidArgument, path);
  SectionWriter file(path, kImagePackageKind, kImagePackageVersion);
  file.add(kMetadata, metadata_of(model, facts).dump());
  for (std::size_t i = 0; i < model.values.size(); ++i) {
    visit_arrays(model.network.layers[i].name, model.values[i],
                 [&]<typename T>(const std::string& name, const std::span<const T>& array) {
                   if (!array.empty()) file.add_array(name, array);
                 });
  }
  return file.commit();
}

ImagePackage::ImagePackage(const std::string& path)
    : file_(path, kImagePackageKind, kImagePackageVersion), model_(read_model(file_)) {}

std::string_view ImagePackage::metadata() const {
  return file_.text(kMetadata);
}

}  // namespace taut::infer
