#pragma once
// A trained run as one frozen file.

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "taut/embedding/embedding.h"
#include "taut/graph/network.h"
#include "taut/infer/model.h"
#include "taut/nn/image_network.h"
#include "taut/nn/recommender.h"
#include "taut/sparsity/quantize.h"

namespace taut::train {

/// A model and the arrays that it points into. Masks are applied: pruned weights are zeros. Where
/// the network computes in 8 bits, weights are codes.
class FrozenModel {
 public:
  /// Of any task. network: a description, whose layers find their values among the parameters, by
  /// the layer's name and ".weight", ".bias", ".mean" or ".variance". input and facts: as
  /// infer::Model has them.
  FrozenModel(std::string_view task, graph::Network network,
              std::vector<nn::NamedTensor> parameters, std::string input, std::string facts);
  /// A network for images as it predicts: averaged parameters where train.ema is on, present rates.
  /// A mean or deviation that is empty becomes 0 and 1. facts: JSON text of an object.
  FrozenModel(const nn::ImageNetwork& network, infer::ImageInput input, std::string facts);
  /// A recommender at the rate of its options. described: its network with its tables. input: that
  /// of data::input_spec.
  FrozenModel(const nn::Recommender& network, graph::Network described, std::string input,
              std::string facts);
  FrozenModel(FrozenModel&&) = default;
  FrozenModel(const FrozenModel&) = delete;
  FrozenModel& operator=(const FrozenModel&) = delete;

  [[nodiscard]] const infer::Model& model() const noexcept { return model_; }
  /// By site, as they were measured; empty: they were not.
  void set_densities(std::vector<double> densities);

 private:
  std::vector<nn::NamedTensor> parameters_;
  std::vector<sparsity::QuantizedWeight> weights_;
  std::vector<std::vector<float>> kept_maps_;
  infer::Model model_;
};

/// What Task::freeze() gives: the network as it predicts, and its tables, which live as long as the
/// task.
struct FrozenRun {
  FrozenModel frozen;
  const embedding::Embedding* tables = nullptr;  ///< null: it has none
};

/// Writes a run's network as it predicts: a file that ends in .onnx as ONNX, any other as a
/// package. Returns what was written: package or model (the file), bytes, parts (of a package, by
/// what stands before the first slash of a section's name), operator_set and operators (of ONNX),
/// source. Errors: those of opening a run, infer::write_package and infer::write_onnx.
nlohmann::json export_run(const std::string& run, const std::string& file, int threads);

}  // namespace taut::train
