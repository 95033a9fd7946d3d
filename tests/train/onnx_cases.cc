// Writes trained networks as ONNX files, each beside images and the logits that the network itself
// gives: what tests/python/onnx_test.py runs in ONNX Runtime.
// Usage: taut_onnx_cases DIR
#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "taut/core/file.h"
#include "taut/core/random.h"
#include "taut/core/text.h"
#include "taut/graph/onnx_network.h"
#include "taut/infer/engine.h"
#include "taut/infer/onnx_writer.h"
#include "taut/train/export.h"

namespace taut::train {
namespace {

using Json = nlohmann::json;
using sparsity::Score;
using sparsity::Unit;

constexpr std::int64_t kImages = 32;
constexpr std::int64_t kSteps = 3;

struct Case {
  std::string name;
  std::string kind;
  nn::Shape input{.channels = 3, .height = 32, .width = 32};
  double width = 0.5;
  nn::WinnerPolicy winners{};
  bool quantized = false;
  bool maps = false;
  bool pruned = false;
  double ema = 0;
};

// The bytes of values, as numpy reads them.
template <typename T>
void write_values(const std::string& path, std::span<const T> values) {
  write_file(path, {reinterpret_cast<const char*>(values.data()), values.size_bytes()});
}

std::vector<float> channels_first(const std::vector<float>& pixels, const nn::Shape& shape) {
  std::vector<float> planes(pixels.size());
  const std::int64_t positions = shape.height * shape.width;
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    const auto at = static_cast<std::int64_t>(i);
    const std::int64_t example = at / shape.size();
    const std::int64_t position = at % shape.size() / shape.channels;
    const std::int64_t channel = at % shape.channels;
    planes[static_cast<std::size_t>(example * shape.size() + channel * positions + position)] =
        pixels[i];
  }
  return planes;
}

// What the engine gives, channels first.
std::vector<float> engine_outputs(const graph::Network& network, const std::vector<float>& images) {
  const infer::Engine engine(network);
  std::vector<float> outputs(static_cast<std::size_t>(kImages * engine.outputs()));
  ThreadPool pool(2);
  engine.predict({.batch = kImages, .values = images}, outputs, pool);
  return channels_first(outputs, network.layers.back().out);
}

class Folder {
 public:
  explicit Folder(std::string path) : path_(std::move(path)) { make_directories(path_); }

  /// images: [size, height, width, channels], what the engine reads.
  void add(const std::string& name, const infer::Model& model, const std::vector<float>& images,
           const std::vector<float>& outputs, bool exact) {
    const std::string file = path_ + "/" + name;
    const infer::OnnxContents onnx = infer::write_onnx(file + ".onnx", model);
    const graph::Shape& in = model.network.input;
    write_values<float>(file + ".images", channels_first(images, in));
    write_values<float>(file + ".outputs", outputs);
    write_values<float>(file + ".engine", engine_outputs(model.network, images));
    const graph::OnnxNetwork read = graph::read_onnx_network(file + ".onnx");
    write_values<float>(file + ".read", engine_outputs(read.network, images));
    cases_.push_back({{"name", name},
                      {"input", {in.channels, in.height, in.width}},
                      {"operators", onnx.operators},
                      {"exact", exact}});
  }
  void finish() const { write_file(path_ + "/cases.json", cases_.dump(1)); }

 private:
  std::string path_;
  Json cases_ = Json::array();
};

// A network after a few steps on random images, so that none of its numbers is what it began with.
void add_trained(Folder& folder, const Case& one) {
  nn::ImageNetworkOptions options;
  options.kind = one.kind;
  options.width = one.width;
  options.input = one.input;
  options.winners = one.winners;
  options.ema = one.ema;
  nn::ImageNetwork network(options, std::make_shared<ThreadPool>(2));
  const CounterRandom random(7);
  std::vector<float> pixels(static_cast<std::size_t>(kImages * one.input.size()));
  std::uint64_t counter = 0;
  for (float& pixel : pixels) pixel = static_cast<float>(random.uniform(counter++) * 4 - 2);
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < kImages; ++i) labels.push_back(i % options.classes);
  const nn::ImageInput input{.size = kImages, .pixels = pixels, .labels = labels};
  for (std::int64_t step = 0; step < kSteps; ++step) network.train_step(input, 0.02);
  if (one.pruned) network.prune({.share = 0.8});
  if (one.maps) network.prune_maps({0.5}, input);
  if (one.quantized) {
    network.calibrate(input, sparsity::Calibration::kMeanSquaredError);
    network.set_quantized(true);
  }
  std::vector<float> logits(static_cast<std::size_t>(kImages * options.classes));
  network.predict(input, logits);
  const FrozenModel frozen(network, {}, "{}");
  folder.add(one.name, frozen.model(), pixels, logits, false);
}

// Winners alone, on small whole numbers of either sign with many equals and zeros: the very same
// values must come out, ties by the lower index.
void add_ties(Folder& folder, Unit unit, Score score, double rate, const graph::Shape& shape) {
  graph::Layer layer;
  layer.name = "passed";
  layer.op = graph::Op::kConv;
  layer.inputs = {graph::kNetworkInput};
  layer.groups = shape.channels;
  layer.in = layer.out = shape;
  layer.winner_site = 0;
  const std::vector<float> ones(static_cast<std::size_t>(shape.channels), 1.0f);
  infer::Model model;
  model.task = infer::kImageTask;
  model.network = {.name = "ties", .input = shape, .layers = {layer}};
  model.network.winners = {.unit = unit, .score = score, .block = 4, .rates = {rate}};
  model.network.values.resize(1);
  model.network.values[0].weight = ones;
  model.input = infer::image_input_json({.mean = std::vector<float>(ones.size(), 0.0f),
                                         .deviation = std::vector<float>(ones.size(), 1.0f),
                                         .class_names = {}});

  const CounterRandom random(11);
  std::vector<float> images(static_cast<std::size_t>(kImages * shape.size()));
  for (std::size_t i = 0; i < images.size(); ++i) {
    images[i] = static_cast<float>(random.below(i, 7)) - 3;
  }
  const std::vector<float> x = channels_first(images, shape);
  std::vector<float> y(x.size());
  const sparsity::WinnerSelector selector(
      {.batch = kImages, .channels = shape.channels, .height = shape.height, .width = shape.width},
      sparsity::Layout::kChannelsFirst, graph::winners_at(model.network, layer));
  ThreadPool pool(1);
  sparsity::winners(selector, x.data(), y.data(), pool);
  folder.add(concat("ties-", to_string(unit), "-", to_string(score), "-", rate), model, images, y,
             true);
}

std::vector<Case> trained_cases() {
  const nn::Shape grey{.channels = 1, .height = 28, .width = 28};
  std::vector<Case> cases = {
      {.name = "mlp-neuron",
       .kind = "mlp",
       .input = grey,
       .winners = {.unit = Unit::kNeuron, .rates = {0.3}}},
      {.name = "mlp-block",
       .kind = "mlp",
       .input = grey,
       .width = 0.64,
       .winners = {.unit = Unit::kBlock, .rates = {0.5}}},
      {.name = "mlp-int8",
       .kind = "mlp",
       .input = grey,
       .winners = {.unit = Unit::kNeuron, .rates = {0.3}},
       .quantized = true},
      {.name = "lenet-sites",
       .kind = "lenet",
       .input = grey,
       .width = 1,
       .winners = {.rates = {0.5, 0.3, 0.4, 0.2}}},
      {.name = "lenet-int8",
       .kind = "lenet",
       .input = grey,
       .width = 1,
       .winners = {.rates = {0.3}},
       .quantized = true},
      {.name = "cifar-c-dense", .kind = "cifar-c"},
      {.name = "cifar-c-int8-dense", .kind = "cifar-c", .quantized = true},
      {.name = "vgg-small-dense", .kind = "vgg-small", .ema = 0.5},
      {.name = "vgg-small-all",
       .kind = "vgg-small",
       .winners = {.rates = {0.3}},
       .quantized = true,
       .pruned = true},
      {.name = "vgg-small-maps", .kind = "vgg-small", .winners = {.rates = {0.5}}, .maps = true},
      {.name = "vgg-a-position", .kind = "vgg-a", .width = 0.0625, .winners = {.rates = {0.3}}},
      {.name = "resnet-20-position", .kind = "resnet-20", .winners = {.rates = {0.3}}},
      {.name = "resnet-20-int8",
       .kind = "resnet-20",
       .winners = {.rates = {0.5}},
       .quantized = true},
      {.name = "mobilenet-v1-element",
       .kind = "mobilenet-v1",
       .width = 0.25,
       .winners = {.unit = Unit::kElement, .rates = {0.5}}},
      {.name = "mobilenet-v2-dense", .kind = "mobilenet-v2", .width = 0.25},
      {.name = "densenet-121-dense", .kind = "densenet-121", .width = 0.25}};
  for (const Unit unit : {Unit::kPosition, Unit::kElement, Unit::kChannel, Unit::kBlock}) {
    for (const double rate : {0.5, 0.1}) {
      cases.push_back({.name = concat("vgg-small-", to_string(unit), "-", rate),
                       .kind = "vgg-small",
                       .winners = {.unit = unit, .rates = {rate}}});
    }
  }
  return cases;
}

void write_all(const std::string& path) {
  Folder folder(path);
  for (const Case& one : trained_cases()) add_trained(folder, one);
  const graph::Shape map{.channels = 12, .height = 3, .width = 5};
  const graph::Shape features{.channels = 12};
  for (const double rate : {0.01, 0.25, 0.7}) {
    add_ties(folder, Unit::kNeuron, Score::kMeanMagnitude, rate, features);
    add_ties(folder, Unit::kPosition, Score::kMeanMagnitude, rate, map);
    add_ties(folder, Unit::kElement, Score::kMeanMagnitude, rate, map);
    add_ties(folder, Unit::kBlock, Score::kMeanMagnitude, rate, map);
    add_ties(folder, Unit::kBlock, Score::kMeanSquare, rate, map);
    add_ties(folder, Unit::kChannel, Score::kMaxMagnitude, rate, map);
  }
  folder.finish();
}

}  // namespace
}  // namespace taut::train

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: taut_onnx_cases DIR\n");
    return 2;
  }
  taut::train::write_all(argv[1]);
  return 0;
}
