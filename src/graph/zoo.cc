#include "taut/graph/zoo.h"

#include <algorithm>
#include <filesystem>
#include <utility>
#include <variant>
#include <vector>

#include "graph/zoo_parts.h"
#include "taut/core/error.h"
#include "taut/core/file.h"
#include "taut/core/text.h"
#include "taut/graph/cost_graph.h"
#include "taut/graph/onnx_network.h"

namespace taut::graph {
namespace {

constexpr std::int64_t kLargestImage = 1 << 20;
constexpr std::int64_t kMostValues = std::int64_t{1} << 32;

struct ImageEntry {
  Shape input;           // usual
  std::int64_t classes;  // usual
  bool normalised;       // usually
  void (*make)(ImageParts& parts);
};

struct Entry {
  std::string name;
  std::variant<ImageEntry, Network (*)()> kind;
};

constexpr Shape kDigits{1, 28, 28};
constexpr Shape kSmall{3, 32, 32};
constexpr Shape kLarge{3, 224, 224};
constexpr std::size_t kHyparNetworks = 10;

const std::vector<Entry>& entries() {
  static const std::vector<Entry> zoo = {
      {"sfc", ImageEntry{kDigits, 10, false, sfc}},
      {"sconv", ImageEntry{kDigits, 10, false, sconv}},
      {"lenet-c", ImageEntry{kDigits, 10, false, lenet_c}},
      {"cifar-c", ImageEntry{kSmall, 10, false, cifar_c}},
      {"alexnet-tower", ImageEntry{kLarge, 1000, false, alexnet_tower}},
      {"vgg-a", ImageEntry{kLarge, 1000, true, vgg_a}},
      {"vgg-b", ImageEntry{kLarge, 1000, true, vgg_b}},
      {"vgg-c", ImageEntry{kLarge, 1000, true, vgg_c}},
      {"vgg-d", ImageEntry{kLarge, 1000, true, vgg_d}},
      {"vgg-e", ImageEntry{kLarge, 1000, true, vgg_e}},
      {"mlp", ImageEntry{kDigits, 10, false, mlp}},
      {"lenet", ImageEntry{kDigits, 10, false, lenet}},
      {"alexnet", ImageEntry{kLarge, 1000, false, alexnet}},
      {"alexnet-accpar", ImageEntry{kLarge, 1000, false, alexnet_accpar}},
      {"vgg-small", ImageEntry{kSmall, 10, true, vgg_small}},
      {"resnet-18", ImageEntry{kLarge, 1000, true, resnet_18}},
      {"resnet-20", ImageEntry{kSmall, 10, true, resnet_20}},
      {"resnet-50", ImageEntry{kLarge, 1000, true, resnet_50}},
      {"densenet-121", ImageEntry{kLarge, 1000, true, densenet_121}},
      {"mobilenet-v1", ImageEntry{kLarge, 1000, true, mobilenet_v1}},
      {"mobilenet-v2", ImageEntry{kLarge, 1000, true, mobilenet_v2}},
      {"bert-base", bert_base},
      {"gpt2-small", gpt2_small},
      {"dlrm", dlrm},
  };
  return zoo;
}

template <typename Keep>
std::vector<std::string> names_where(Keep keep) {
  std::vector<std::string> names;
  for (const Entry& entry : entries()) {
    if (keep(entry)) names.push_back(entry.name);
  }
  return names;
}

void check_images(const Shape& input, std::int64_t classes) {
  const auto fits = [](std::int64_t size) { return size >= 1 && size <= kLargestImage; };
  if (classes >= 2 && fits(classes) && fits(input.channels) && fits(input.height) &&
      fits(input.width) && input.size() <= kMostValues) {
    return;
  }
  throw_invalid_argument(
      "images", concat("sizes in 1..", kLargestImage, ", 2^32 values and at least 2 classes"),
      concat(input.channels, "x", input.height, "x", input.width, " and ", classes));
}

Network make_image_network(const std::string& name, const ImageEntry& entry,
                           const ZooOptions& options) {
  if (!(options.width > 0) || options.width > 16) {
    throw Error(ErrorKind::kConfig, concat("model.width must be in (0, 16], got ", options.width));
  }
  const Shape& input = options.input.channels == 0 ? entry.input : options.input;
  const std::int64_t classes = options.classes == 0 ? entry.classes : options.classes;
  check_images(input, classes);
  const bool normalised = options.normalisation == Normalisation::kUsual
                              ? entry.normalised
                              : options.normalisation == Normalisation::kBatch;
  ImageParts parts(name, input, classes, options.width, normalised);
  try {
    entry.make(parts);
  } catch (const Error& failed) {
    // Sizes above are sound, so what does not fit is a window.
    throw Error(ErrorKind::kConfig,
                concat(name, " needs larger images than ", input.height, "x", input.width, ": ",
                       failed.what()),
                "model.kind", "choose another network, or a larger data.size");
  }
  return parts.net().finish();
}

bool takes_none(const ZooOptions& options) {
  return options.input == Shape{} && options.classes == 0 && options.width == 1.0 &&
         options.normalisation == Normalisation::kUsual;
}

const Entry* find(std::string_view name) {
  const auto found = std::find_if(entries().begin(), entries().end(),
                                  [&](const Entry& entry) { return entry.name == name; });
  return found == entries().end() ? nullptr : &*found;
}

}  // namespace

std::span<const std::string> network_names() {
  static const std::vector<std::string> names = names_where([](const Entry&) { return true; });
  return names;
}

std::span<const std::string> image_network_names() {
  static const std::vector<std::string> names = names_where(
      [](const Entry& entry) { return std::holds_alternative<ImageEntry>(entry.kind); });
  return names;
}

std::span<const std::string> hypar_names() {
  return network_names().first(kHyparNetworks);
}

Network make_network(std::string_view name, const ZooOptions& options) {
  const Entry* entry = find(name);
  if (entry == nullptr) {
    throw Error(ErrorKind::kConfig, concat("unknown network \"", name, "\""), "model.kind",
                suggest(std::string(name), network_names()));
  }
  if (const auto* images = std::get_if<ImageEntry>(&entry->kind)) {
    return make_image_network(entry->name, *images, options);
  }
  if (!takes_none(options)) {
    throw Error(ErrorKind::kConfig, concat(name, " is not a network for images"), "model.kind",
                "choose one of " + join(image_network_names(), ", "));
  }
  return std::get<Network (*)()>(entry->kind)();
}

Network load_network(const std::string& name_or_path) {
  if (std::filesystem::path(name_or_path).extension() == ".toml") {
    return parse_model_toml(read_file(name_or_path), name_or_path);
  }
  if (name_or_path.find('/') != std::string::npos) {
    throw Error(ErrorKind::kNotFound, "no model in " + name_or_path, {},
                "give an .onnx or .toml file, or a name of the zoo");
  }
  if (find(name_or_path) == nullptr) {
    throw Error(ErrorKind::kNotFound, concat("no network named ", name_or_path), "the zoo",
                suggest(name_or_path, network_names()));
  }
  return make_network(name_or_path);
}

Graph load_model(const std::string& name_or_path, const DimensionSizes& sizes) {
  if (std::filesystem::path(name_or_path).extension() == ".onnx") {
    return summarize_onnx(name_or_path, sizes).graph;
  }
  return cost_graph(load_network(name_or_path));
}

}  // namespace taut::graph
