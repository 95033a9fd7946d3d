#include "taut/graph/zoo.h"

#include <array>
#include <filesystem>
#include <functional>
#include <utility>
#include <vector>

#include "graph/zoo_parts.h"
#include "taut/core/error.h"
#include "taut/core/file.h"
#include "taut/core/text.h"
#include "taut/graph/model_builder.h"

namespace taut::graph {
namespace {

constexpr Window kHalf{2, 2, 0};  // the 2x2 pool of most networks

Graph sfc() {
  ModelBuilder model("sfc");
  Tensor x = model.input({784, 1, 1});
  for (const int layer : {1, 2, 3}) x = model.fc(concat("fc", layer), x, 8192);
  return model.finish(model.fc("fc4", x, 10));
}

Graph sconv() {
  ModelBuilder model("sconv");
  Tensor x = model.conv("conv1", model.input({1, 28, 28}), 20, {5});
  x = model.pooled(model.conv("conv2", x, 50, {5}), kHalf);
  x = model.conv("conv3", x, 50, {5});
  return model.finish(model.pooled(model.conv("conv4", x, 10, {5}), kHalf));
}

Graph lenet_c() {
  ModelBuilder model("lenet-c");
  Tensor x = model.pooled(model.conv("conv1", model.input({1, 28, 28}), 20, {5}), kHalf);
  x = model.pooled(model.conv("conv2", x, 50, {5}), kHalf);
  x = model.fc("fc1", x, 500);
  return model.finish(model.fc("fc2", x, 10));
}

Graph lenet() {
  ModelBuilder model("lenet");
  Tensor x = model.pooled(model.conv("conv1", model.input({1, 28, 28}), 6, {5, 1, 2}), kHalf);
  x = model.pooled(model.conv("conv2", x, 16, {5}), kHalf);
  x = model.fc("fc1", x, 120);
  x = model.fc("fc2", x, 84);
  return model.finish(model.fc("fc3", x, 10));
}

Graph cifar_c() {
  ModelBuilder model("cifar-c");
  Tensor x = model.input({3, 32, 32});
  const std::array<std::int64_t, 3> channels = {32, 32, 64};
  for (std::size_t i = 0; i < channels.size(); ++i) {
    x = model.pooled(model.conv(concat("conv", i + 1), x, channels[i], {5, 1, 2}), kHalf);
  }
  x = model.fc("fc1", x, 64);
  return model.finish(model.fc("fc2", x, 10));
}

/// AlexNet at any widths, with the pools of AccPar's network file. HyPar's figures fit one of its
/// two towers (docs/parallel.md).
Graph alexnet(const std::string& name, const std::array<std::int64_t, 5>& channels,
              std::int64_t hidden) {
  constexpr Window kPool{3, 2, 0};
  ModelBuilder model(name);
  Tensor x = model.conv("conv1", model.input({3, 224, 224}), channels[0], {11, 4, 2});
  x = model.pooled(model.conv("conv2", x, channels[1], {5, 1, 2}), kPool);
  x = model.pooled(model.conv("conv3", x, channels[2], {3, 1, 1}), kPool);
  x = model.conv("conv4", x, channels[3], {3, 1, 1});
  x = model.pooled(model.conv("conv5", x, channels[4], {3, 1, 1}), kPool);
  x = model.fc("fc1", x, hidden);
  x = model.fc("fc2", x, hidden);
  return model.finish(model.fc("fc3", x, 1000));
}

/// VGG: convolutions per block; the third convolution of blocks 3-5 has kernel last_kernel.
Graph vgg(const std::string& name, const std::array<int, 5>& convs, std::int64_t third_kernel) {
  constexpr std::array<std::int64_t, 5> kChannels = {64, 128, 256, 512, 512};
  ModelBuilder model(name);
  Tensor x = model.input({3, 224, 224});
  for (std::size_t block = 0; block < convs.size(); ++block) {
    for (int i = 1; i <= convs[block]; ++i) {
      const std::int64_t kernel = i == 3 ? third_kernel : 3;
      x = model.conv(concat("conv", block + 1, "_", i), x, kChannels[block],
                     {kernel, 1, kernel / 2});
    }
    x = model.pooled(x, kHalf);
  }
  x = model.fc("fc1", x, 4096);
  x = model.fc("fc2", x, 4096);
  return model.finish(model.fc("fc3", x, 1000));
}

struct Entry {
  std::string name;
  std::function<Graph()> make;
};

const std::vector<Entry>& entries() {
  static const std::vector<Entry> zoo = {
      {"sfc", sfc},
      {"sconv", sconv},
      {"lenet-c", lenet_c},
      {"cifar-c", cifar_c},
      {"alexnet", [] { return alexnet("alexnet", {48, 128, 192, 192, 128}, 2048); }},
      {"vgg-a", [] { return vgg("vgg-a", {1, 1, 2, 2, 2}, 3); }},
      {"vgg-b", [] { return vgg("vgg-b", {2, 2, 2, 2, 2}, 3); }},
      {"vgg-c", [] { return vgg("vgg-c", {2, 2, 3, 3, 3}, 1); }},
      {"vgg-d", [] { return vgg("vgg-d", {2, 2, 3, 3, 3}, 3); }},
      {"vgg-e", [] { return vgg("vgg-e", {2, 2, 4, 4, 4}, 3); }},
      {"lenet", lenet},
      {"alexnet-full", [] { return alexnet("alexnet-full", {96, 256, 384, 384, 256}, 4096); }},
      {"resnet-18", resnet_18},
      {"resnet-20", resnet_20},
      {"resnet-50", resnet_50},
      {"mobilenet-v1", mobilenet_v1},
      {"mobilenet-v2", mobilenet_v2},
      {"bert-base", bert_base},
      {"gpt2-small", gpt2_small},
      {"dlrm", dlrm},
  };
  return zoo;
}

}  // namespace

std::span<const std::string> zoo_names() {
  static const std::vector<std::string> all_names = [] {
    std::vector<std::string> names;
    for (const Entry& entry : entries()) names.push_back(entry.name);
    return names;
  }();
  return all_names;
}

std::span<const std::string> hypar_names() {
  return zoo_names().first(10);
}

Graph zoo_model(std::string_view name) {
  for (const Entry& entry : entries()) {
    if (entry.name == name) return entry.make();
  }
  throw Error(ErrorKind::kNotFound, concat("no network named ", name), "the zoo",
              suggest(name, zoo_names()));
}

Graph load_model(const std::string& name_or_path, const DimensionSizes& sizes) {
  const std::string extension = std::filesystem::path(name_or_path).extension().string();
  if (extension == ".onnx") return read_onnx(name_or_path, sizes);
  if (extension == ".toml") return parse_model_toml(read_file(name_or_path), name_or_path);
  if (name_or_path.find('/') != std::string::npos) {
    throw Error(ErrorKind::kNotFound, "no model in " + name_or_path, {},
                "give an .onnx or .toml file, or a name of the zoo");
  }
  return zoo_model(name_or_path);
}

}  // namespace taut::graph
