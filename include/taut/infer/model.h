#pragma once
// A trained network as numbers, with what its input means: what packages and ONNX files are written
// from and read into.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "taut/core/error.h"
#include "taut/graph/network.h"

namespace taut::infer {

using graph::LayerValues;

/// What a network is for.
inline constexpr std::string_view kImageTask = "image";  ///< images to a logit for each class
inline constexpr std::string_view kClickTask = "ctr";    ///< columns of a row to one logit

/// A network with values and the meaning of its input.
struct Model {
  graph::Network network;  ///< with values for every layer
  std::string task;        ///< kImageTask or kClickTask
  /// JSON text of an object: of images, image_input_json(); of clicks, data::input_spec().
  std::string input = "{}";
  /// JSON text of an object that is kept beside it: origin, quality, test files.
  std::string facts = "{}";
};

/// How images are brought to a network, and what its logits are called. A network reads
/// (pixel / 255 - mean) / deviation of each channel.
struct ImageInput {
  std::vector<float> mean;               ///< [channels]
  std::vector<float> deviation;          ///< [channels], above 0
  std::vector<std::string> class_names;  ///< [classes] or empty
  /// How files of images are read, as data::ImageSourceOptions has it: side to which the shorter
  /// one is scaled, 0: as it is; column of labels; whether bad records are left out.
  std::int64_t size = 0;
  std::string labels = {};
  bool skip_bad = false;
};

[[nodiscard]] std::string image_input_json(const ImageInput& input);
/// Errors: kFormat for text that is none.
[[nodiscard]] ImageInput parse_image_input(std::string_view text);

/// The test files that facts name; none where they name none.
[[nodiscard]] std::vector<std::string> test_files(const Model& model);

/// Throws an error of this kind naming the layer and what does not fit: sizes, scales, rates,
/// tables, the input of the task. After it an Engine may trust every size.
void check_model(const Model& model, ErrorKind kind, const std::string& where);

/// Logits [batch, outputs] become probabilities in place: a sigmoid of one output, else a softmax.
void to_probabilities(std::int64_t outputs, std::span<float> logits);

}  // namespace taut::infer
