#pragma once
// A trained network for images as numbers: what packages and ONNX files are written from.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "taut/core/error.h"
#include "taut/graph/image_layers.h"
#include "taut/sparsity/winners.h"

namespace taut::infer {

/// Numbers of one layer; what it does not have is empty. The arrays belong to whoever made the
/// model.
struct LayerValues {
  /// graph::weight_shape of the layer, or the scale [channels] of a normalization.
  std::span<const float> weight;
  /// Instead of weight where the network computes in 8 bits: weight = code * scale of its output.
  std::span<const std::int8_t> codes;
  std::span<const float> code_scales;  ///< [outputs]
  std::span<const float> bias;         ///< [outputs]
  std::span<const float> mean;         ///< [channels] of a normalization
  std::span<const float> variance;     ///< [channels]
  float input_scale = 0;               ///< of the 8 bits that its input passes through; 0: none
  bool input_unsigned = false;         ///< codes 0 .. 255, else -127 .. 127
  /// At a site of winners: 1 for channels that stay, 0 for those pruned for all inputs alike;
  /// empty: all stay.
  std::span<const float> kept_maps;
};

/// A network that reads images normalized as (pixel / 255 - mean) / deviation for each channel.
struct ImageModel {
  graph::NetworkSpec network;
  std::vector<LayerValues> values;  ///< by layer
  sparsity::Unit unit = sparsity::Unit::kPosition;
  sparsity::Score score = sparsity::Score::kMeanMagnitude;
  std::int64_t block = 8;
  std::vector<double> rates;             ///< by site; 1: all win
  std::vector<float> mean;               ///< [channels]
  std::vector<float> deviation;          ///< [channels]
  std::vector<std::string> class_names;  ///< [classes] or empty
};

/// How winners are chosen at a site, with its rate: features choose among neurons, unless the unit
/// is block.
[[nodiscard]] sparsity::WinnersOptions winners_at(const ImageModel& model,
                                                  const graph::Layer& layer);

/// Throws an error of this kind naming the layer and what does not fit: sizes, scales, rates.
void check_image_model(const ImageModel& model, ErrorKind kind, const std::string& where);

}  // namespace taut::infer
