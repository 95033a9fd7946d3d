#include "taut/infer/image_model.h"

#include <algorithm>
#include <cmath>

#include "taut/core/text.h"

namespace taut::infer {
namespace {

using graph::Layer;
using graph::Op;

class Checker {
 public:
  Checker(const ImageModel& model, ErrorKind kind, const std::string& where)
      : model_(model), kind_(kind), where_(where) {}

  void check() const {
    if (const auto wrong = graph::wrong_layer(model_.network)) fail(*wrong);
    require(model_.values.size() == model_.network.layers.size(), "values for another network");
    const auto channels = static_cast<std::size_t>(model_.network.input.channels);
    const auto fits = [&](const std::vector<float>& one) { return one.size() == channels; };
    require(fits(model_.mean) && fits(model_.deviation),
            "a normalization that does not fit the image");
    std::size_t sites = 0;
    for (std::size_t i = 0; i < model_.values.size(); ++i) {
      const Layer& layer = model_.network.layers[i];
      check_layer(layer, model_.values[i]);
      if (layer.winner_site >= 0) ++sites;
    }
    require(model_.rates.size() == sites, "rates for another number of sites");
    for (const Layer& layer : model_.network.layers) {
      if (layer.winner_site >= 0) check_site(layer);
    }
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(kind_, concat("the network has ", what), where_);
  }
  void require(bool holds, const std::string& what) const {
    if (!holds) fail(what);
  }

  void check_layer(const Layer& layer, const LayerValues& values) const {
    const std::vector<std::int64_t> shape = graph::weight_shape(layer);
    const bool norm = layer.op == Op::kBatchNorm;
    std::size_t weights = shape.empty() ? 0 : 1;
    for (const std::int64_t size : shape) weights *= static_cast<std::size_t>(size);
    const auto outputs = static_cast<std::size_t>(layer.out.channels);
    if (norm) weights = outputs;
    const bool coded = !values.codes.empty();
    const auto sized = [&](const char* what, std::size_t got, std::size_t wanted) {
      if (got == wanted) return;
      fail(concat(got, " values of ", what, " in layer ", layer.name, " where ", wanted,
                  " are wanted"));
    };
    sized("weight", values.weight.size(), coded ? 0 : weights);
    sized("codes", values.codes.size(), coded && !norm ? weights : 0);
    sized("code_scales", values.code_scales.size(), coded ? outputs : 0);
    sized("bias", values.bias.size(), norm || layer.bias ? outputs : 0);
    sized("mean", values.mean.size(), norm ? outputs : 0);
    sized("variance", values.variance.size(), norm ? outputs : 0);
    if (!values.kept_maps.empty()) {
      sized("kept_maps", values.kept_maps.size(), layer.winner_site >= 0 ? outputs : 0);
    }
    const bool scale_fits = std::isfinite(values.input_scale) && values.input_scale >= 0 &&
                            (values.input_scale == 0 || !shape.empty()) &&
                            coded == (values.input_scale > 0);
    require(scale_fits, concat("a wrong scale of inputs in layer ", layer.name));
  }

  void check_site(const Layer& layer) const {
    const double rate = model_.rates[static_cast<std::size_t>(layer.winner_site)];
    require(rate > 0 && rate <= 1, concat("a winner rate of ", rate, " in layer ", layer.name));
    if (rate == 1) return;
    try {
      sparsity::check_options({.batch = 1,
                               .channels = layer.out.channels,
                               .height = layer.out.height,
                               .width = layer.out.width},
                              winners_at(model_, layer));
    } catch (const Error& failed) {
      fail(concat("winners in layer ", layer.name, " that it cannot have: ", failed.what()));
    }
  }

  const ImageModel& model_;
  ErrorKind kind_;
  const std::string& where_;
};

}  // namespace

sparsity::WinnersOptions winners_at(const ImageModel& model, const Layer& layer) {
  const bool as_given = layer.out.is_map() || model.unit == sparsity::Unit::kBlock;
  return {.unit = as_given ? model.unit : sparsity::Unit::kNeuron,
          .score = model.score,
          .rate = model.rates[static_cast<std::size_t>(layer.winner_site)],
          .block = model.block};
}

void check_image_model(const ImageModel& model, ErrorKind kind, const std::string& where) {
  Checker(model, kind, where).check();
}

}  // namespace taut::infer
