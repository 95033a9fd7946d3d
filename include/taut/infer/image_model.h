#pragma once
// A trained network for images as numbers: what packages and ONNX files are written from.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "taut/core/error.h"
#include "taut/graph/network.h"
#include "taut/sparsity/winners.h"

namespace taut::infer {

using graph::LayerValues;

/// A network that reads images normalized as (pixel / 255 - mean) / deviation for each channel.
struct ImageModel {
  graph::Network network;
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
