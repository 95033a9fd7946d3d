#include "taut/infer/model.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/json_text.h"
#include "taut/core/text.h"

namespace taut::infer {
namespace {

using Json = nlohmann::json;
using graph::Layer;
using graph::LayerValues;
using graph::Op;

// Classes above need a value each in the file: memory is taken for their names and scores.
constexpr std::size_t kFewClasses = 1 << 16;

// Values of a layer's weight; nothing when there are more than any file could hold.
std::optional<std::size_t> weight_count(const graph::Network& network, const Layer& layer) {
  if (layer.op == Op::kAttention) {
    return static_cast<std::size_t>(graph::mask_count(network, layer));
  }
  if (layer.op == Op::kBatchNorm || layer.op == Op::kLayerNorm) {
    return static_cast<std::size_t>(layer.out.channels);
  }
  if (layer.op == Op::kConstant) return static_cast<std::size_t>(layer.out.size());
  const std::vector<std::int64_t> shape = graph::weight_shape(layer);
  std::size_t count = shape.empty() ? 0 : 1;
  for (const std::int64_t size : shape) {
    if (__builtin_mul_overflow(count, static_cast<std::size_t>(size), &count)) return std::nullopt;
  }
  return count;
}

class Checker {
 public:
  Checker(const Model& model, ErrorKind kind, const std::string& where)
      : model_(model), network_(model.network), kind_(kind), where_(where) {}

  void check() const {
    if (const auto wrong = graph::wrong_layer(network_)) fail(*wrong);
    require(network_.values.size() == network_.layers.size(), "values for another network");
    std::size_t sites = 0;
    for (std::size_t i = 0; i < network_.layers.size(); ++i) {
      check_layer(network_.layers[i], network_.values[i]);
      if (network_.layers[i].winner_site >= 0) ++sites;
    }
    const std::vector<double>& rates = network_.winners.rates;
    require(rates.empty() || rates.size() == sites, "rates for another number of sites");
    for (const Layer& layer : network_.layers) {
      if (layer.winner_site >= 0 && !rates.empty()) check_site(layer);
    }
    for (const graph::Table& table : network_.tables) {
      require(table.rows >= 0 && table.dim >= 1 && table.bytes >= 0,
              concat("a table of wrong size, ", table.name));
    }
    check_task();
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(kind_, concat("the network has ", what), where_);
  }
  void require(bool holds, const std::string& what) const {
    if (!holds) fail(what);
  }

  void check_layer(const Layer& layer, const LayerValues& values) const {
    const bool norm = layer.op == Op::kBatchNorm;
    const std::optional<std::size_t> weights = weight_count(network_, layer);
    require(weights.has_value(), concat("more weights than can be counted in layer ", layer.name));
    const auto outputs = static_cast<std::size_t>(layer.out.channels);
    const bool coded = !values.codes.empty();
    const auto sized = [&](const char* what, std::size_t got, std::size_t wanted) {
      if (got == wanted) return;
      fail(concat(got, " values of ", what, " in layer ", layer.name, " where ", wanted,
                  " are wanted"));
    };
    sized("weight", values.weight.size(), coded ? 0 : *weights);
    const bool has_codes = layer.op == Op::kConv || layer.op == Op::kLinear;
    sized("codes", values.codes.size(), coded && has_codes ? *weights : 0);
    sized("code_scales", values.code_scales.size(), coded ? outputs : 0);
    const bool shifts = norm || layer.op == Op::kLayerNorm || layer.bias;
    sized("bias", values.bias.size(), shifts ? outputs : 0);
    sized("mean", values.mean.size(), norm ? outputs : 0);
    sized("variance", values.variance.size(), norm ? outputs : 0);
    if (!values.kept_maps.empty()) {
      sized("kept_maps", values.kept_maps.size(), layer.winner_site >= 0 ? outputs : 0);
    }
    const float scale = values.input_scale;
    const bool scale_fits =
        coded ? scale > 0 && std::isfinite(scale) && std::isfinite(1 / scale) : scale == 0;
    require(scale_fits, concat("a wrong scale of inputs in layer ", layer.name));
  }

  void check_site(const Layer& layer) const {
    const double rate = network_.winners.rates[static_cast<std::size_t>(layer.winner_site)];
    require(rate > 0 && rate <= 1, concat("a winner rate of ", rate, " in layer ", layer.name));
    if (rate == 1) return;
    try {
      sparsity::check_options({.batch = 1,
                               .channels = layer.out.channels,
                               .height = layer.out.height,
                               .width = layer.out.width},
                              graph::winners_at(network_, layer));
    } catch (const Error& failed) {
      fail(concat("winners in layer ", layer.name, " that it cannot have: ", failed.what()));
    }
  }

  void check_task() const {
    if (model_.task == kImageTask) {
      check_images();
    } else if (model_.task == kClickTask) {
      require(network_.layers.back().out.size() == 1, "more than one logit for a row");
      require(!network_.input.is_map(), "maps as the columns of a row");
    } else {
      fail(concat("an unknown task, \"", model_.task, "\""));
    }
    for (const std::string& text : {model_.input, model_.facts}) {
      try {
        require(parse_json(text).is_object(), "an input or facts that are no JSON object");
      } catch (const Error& failed) {
        fail(concat("an input or facts that are ", failed.what()));
      }
    }
  }

  // Weights, codes and biases of all layers.
  [[nodiscard]] std::size_t values_held() const {
    std::size_t count = 0;
    for (const LayerValues& values : network_.values) {
      count += values.weight.size() + values.codes.size() + values.bias.size();
    }
    return count;
  }

  void check_images() const {
    ImageInput input;
    try {
      input = parse_image_input(model_.input);
    } catch (const Error& failed) {
      fail(concat("an input that is ", failed.what()));
    }
    const auto channels = static_cast<std::size_t>(network_.input.channels);
    require(input.mean.size() == channels && input.deviation.size() == channels,
            "a normalization that does not fit the image");
    for (std::size_t c = 0; c < channels; ++c) {
      require(std::isfinite(input.mean[c]) && std::isfinite(input.deviation[c]) &&
                  input.deviation[c] > 0,
              concat("a normalization that is none for channel ", c));
    }
    const auto classes = static_cast<std::size_t>(network_.layers.back().out.size());
    // Maps and copies side by side give any number of classes from a few bytes.
    const std::size_t held = values_held();
    require(classes <= std::max(kFewClasses, held),
            concat(classes, " classes where the file holds ", held, " values of its layers"));
    require(input.class_names.empty() || input.class_names.size() == classes,
            concat(input.class_names.size(), " names for ", classes, " classes"));
    const std::int64_t longest = std::max(network_.input.height, network_.input.width);
    require(input.size >= 0, "a size of images below 0");
    require(input.size <= longest,
            concat("a size of images of ", input.size, " where its input is ", longest, " long"));
  }

  const Model& model_;
  const graph::Network& network_;
  ErrorKind kind_;
  const std::string& where_;
};

}  // namespace

std::string image_input_json(const ImageInput& input) {
  return Json{
      {"mean", input.mean}, {"deviation", input.deviation}, {"class_names", input.class_names},
      {"size", input.size}, {"labels", input.labels},       {"skip_bad", input.skip_bad}}
      .dump();
}

ImageInput parse_image_input(std::string_view text) {
  const Json json = parse_json(text);
  ImageInput input;
  try {
    json.at("mean").get_to(input.mean);
    json.at("deviation").get_to(input.deviation);
    json.at("class_names").get_to(input.class_names);
    json.at("size").get_to(input.size);
    json.at("labels").get_to(input.labels);
    json.at("skip_bad").get_to(input.skip_bad);
  } catch (const Json::exception& failed) {
    throw Error(ErrorKind::kFormat, concat("no description of images: ", failed.what()));
  }
  return input;
}

std::vector<std::string> test_files(const Model& model) {
  const Json facts = parse_json(model.facts);
  std::vector<std::string> files;
  if (!facts.contains("test") || !facts["test"].is_array()) return files;
  for (const Json& file : facts["test"]) {
    if (file.is_string()) files.push_back(file.get<std::string>());
  }
  return files;
}

void check_model(const Model& model, ErrorKind kind, const std::string& where) {
  Checker(model, kind, where).check();
}

void to_probabilities(std::int64_t outputs, std::span<float> logits) {
  if (outputs == 1) {
    for (float& x : logits) x = static_cast<float>(1 / (1 + std::exp(-static_cast<double>(x))));
    return;
  }
  const auto width = static_cast<std::size_t>(outputs);
  for (std::size_t first = 0; first + width <= logits.size(); first += width) {
    const std::span<float> row = logits.subspan(first, width);
    const double most = *std::max_element(row.begin(), row.end());
    double sum = 0;
    for (const float x : row) sum += std::exp(x - most);
    for (float& x : row) x = static_cast<float>(std::exp(x - most) / sum);
  }
}

}  // namespace taut::infer
