#pragma once
// A trained network for images as numbers that packages and ONNX files are written from.

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "taut/infer/image_model.h"
#include "taut/nn/image_network.h"
#include "taut/sparsity/quantize.h"
#include "taut/train/classifier.h"

namespace taut::train {

/// A model and the arrays that it points into. Masks are applied: pruned weights are zeros. Where
/// the network computes in 8 bits, weights are codes.
class FrozenImageModel {
 public:
  /// The network as it predicts: averaged parameters where train.ema is on, present rates.
  FrozenImageModel(const nn::ImageNetwork& network, const data::Normalization& normalization,
                   const std::vector<std::string>& class_names);
  FrozenImageModel(FrozenImageModel&&) = default;
  FrozenImageModel(const FrozenImageModel&) = delete;
  FrozenImageModel& operator=(const FrozenImageModel&) = delete;

  [[nodiscard]] const infer::ImageModel& model() const noexcept { return model_; }

 private:
  std::vector<nn::NamedTensor> parameters_;
  std::vector<sparsity::QuantizedWeight> weights_;
  std::vector<std::vector<float>> kept_maps_;
  infer::ImageModel model_;
};

/// What is kept beside an exported run: checkpoint, quality (from its summary, null before the
/// end), seed, whether it was trained in bf16.
[[nodiscard]] nlohmann::json export_facts(const std::string& run, const ImageRun& opened);

}  // namespace taut::train
