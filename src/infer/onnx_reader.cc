#include "taut/infer/onnx_reader.h"

#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/json_text.h"
#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/graph/onnx_network.h"

namespace taut::infer {
namespace {

using Metadata = std::map<std::string, std::string>;

// What the file says of its input; nothing for a file of another program.
std::optional<ImageInput> described_input(const Metadata& metadata, const std::string& path) {
  const auto text = [&](const char* key) { return metadata.find(key); };
  try {
    if (text("taut.input") != metadata.end()) return parse_image_input(text("taut.input")->second);
    if (text("taut.mean") == metadata.end()) return std::nullopt;
    const auto read = [&]<typename T>(const char* key, std::vector<T>& list) {
      const auto found = text(key);
      if (found == metadata.end()) return;
      list = json_value<std::vector<T>>(parse_json(found->second, path), key, path);
    };
    ImageInput input;
    read("taut.mean", input.mean);
    read("taut.deviation", input.deviation);
    read("taut.class_names", input.class_names);
    return input;
  } catch (const Error& failed) {
    throw Error(ErrorKind::kFormat, concat("metadata of taut that is ", failed.what()), path);
  }
}

// One number for each channel.
std::vector<float> by_channel(const char* what, const std::vector<float>& given,
                              std::int64_t channels, const std::string& path) {
  const auto count = static_cast<std::size_t>(channels);
  if (given.size() == 1) return std::vector<float>(count, given.front());
  if (given.size() == count) return given;
  throw Error(ErrorKind::kConfig,
              concat(given.size(), " numbers of ", what, " for images of ", channels, " channels"),
              path, "give one, or one for each channel");
}

}  // namespace

OnnxModel read_onnx_model(const std::string& path, const OnnxInput& given) {
  graph::OnnxNetwork read = graph::read_onnx_network(path, given.sizes);
  const std::optional<ImageInput> described = described_input(read.metadata, path);
  ImageInput input = described.value_or(ImageInput{});
  const std::int64_t channels = read.network.input.channels;
  if (!described) {
    input.mean.assign(static_cast<std::size_t>(channels), 0.0f);
    input.deviation.assign(static_cast<std::size_t>(channels), 1.0f);
  }
  if (!given.mean.empty()) input.mean = by_channel("the mean", given.mean, channels, path);
  if (!given.deviation.empty()) {
    input.deviation = by_channel("the deviation", given.deviation, channels, path);
  }
  if (given.size != 0) input.size = given.size;
  OnnxModel made{.model = {},
                 .held = std::move(read.held),
                 .is_normalized = described || !given.mean.empty() || !given.deviation.empty()};
  made.model.network = std::move(read.network);
  made.model.task = kImageTask;
  made.model.input = image_input_json(input);
  const auto facts = read.metadata.find("taut.facts");
  if (facts != read.metadata.end()) made.model.facts = facts->second;
  check_model(made.model, described ? ErrorKind::kFormat : ErrorKind::kConfig, path);
  return made;
}

}  // namespace taut::infer
