#pragma once
// Image classifiers from ONNX files, for the engine.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "taut/graph/model_file.h"
#include "taut/infer/model.h"

namespace taut::infer {

/// What an ONNX file does not say of its input. What is given goes before what the file says.
struct OnnxInput {
  std::vector<float> mean = {};       ///< [channels], or one for all
  std::vector<float> deviation = {};  ///< the same
  std::int64_t size = 0;              ///< ImageInput::size; 0: what the file says
  graph::DimensionSizes sizes = {};   ///< of dimensions that the file leaves open
};

/// A model that was read from an ONNX file.
struct OnnxModel {
  Model model;
  std::shared_ptr<const void> held;  ///< what the network's values are views of
  bool is_normalized = true;         ///< false: nobody says how pixels are normalized
};

/// Reads an image classifier: its network by graph::read_onnx_network(), the meaning of its input
/// from the metadata that write_onnx() leaves, or from `input`; pixels / 255 as they are where
/// neither says more. Facts are those of the metadata.
/// Errors: those of graph::read_onnx_network(); kFormat for metadata of ours that is none, or does
/// not fit the network; kConfig for an input that does not fit it. Threads: calls are independent.
[[nodiscard]] OnnxModel read_onnx_model(const std::string& path, const OnnxInput& input = {});

}  // namespace taut::infer
