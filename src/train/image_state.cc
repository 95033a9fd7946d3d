#include "train/image_state.h"

#include <nlohmann/json.hpp>

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::train {
namespace {

using Json = nlohmann::json;

constexpr const char* kNetwork = "model/";

// Calls body on the parsed section; what is wrong with it is named.
template <typename Body>
void with_section(const SectionSource& file, const char* name, Body&& body) {
  try {
    body(Json::parse(file.text(name)));
  } catch (const Json::exception& failed) {
    throw Error(ErrorKind::kFormat, concat("section \"", name, "\" is wrong: ", failed.what()),
                std::string(file.path()));
  }
}

// Visits every number of the state: one list for both directions. Doubles survive as JSON, which
// writes them so that they read back to the same bits.
template <typename State, typename Visit>
void visit_state(State& s, Visit&& visit) {
  visit("epoch", s.epoch);
  visit("batches", s.batches);
  visit("steps", s.steps);
  visit("examples", s.examples);
  visit("train_seconds", s.train_seconds);
  visit("metrics_bytes", s.metrics_bytes);
  visit("best_top1", s.best_top1);
  visit("best_epoch", s.best_epoch);
  visit("pruned_share", s.pruned_share);
  visit("maps_pruned", s.maps_pruned);
  visit("calibrated", s.calibrated);
  visit("finished", s.finished);
  visit("valid_examples", s.valid.examples);
  visit("valid_top1", s.valid.top1);
  visit("valid_log_loss", s.valid.log_loss);
  visit("window_loss", s.window_loss);
  visit("window_correct", s.window_correct);
  visit("window_examples", s.window_examples);
}

}  // namespace

void save_checkpoint(SectionSink& file, const ImageState& state, const ImageFormat& format,
                     const nn::ImageNetwork& network) {
  Json numbers;
  visit_state(state, [&](const char* name, const auto& value) { numbers[name] = value; });
  const Json input = {{"channels", format.shape.channels},
                      {"height", format.shape.height},
                      {"width", format.shape.width},
                      {"classes", format.classes},
                      {"class_names", format.class_names},
                      {"mean", format.normalization.mean},
                      {"deviation", format.normalization.deviation}};
  file.add("format", input.dump());
  file.add("state", numbers.dump());
  network.save(file, kNetwork);
}

ImageFormat read_format(const SectionSource& file) {
  ImageFormat format;
  with_section(file, "format", [&](const Json& json) {
    json.at("channels").get_to(format.shape.channels);
    json.at("height").get_to(format.shape.height);
    json.at("width").get_to(format.shape.width);
    json.at("classes").get_to(format.classes);
    json.at("class_names").get_to(format.class_names);
    json.at("mean").get_to(format.normalization.mean);
    json.at("deviation").get_to(format.normalization.deviation);
  });
  return format;
}

ImageState read_checkpoint(const SectionSource& file, nn::ImageNetwork& network) {
  ImageState state;
  with_section(file, "state", [&](const Json& json) {
    visit_state(state, [&](const char* name, auto& value) { json.at(name).get_to(value); });
  });
  network.load(file, kNetwork);
  return state;
}

}  // namespace taut::train
