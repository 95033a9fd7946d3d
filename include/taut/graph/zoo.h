#pragma once
// Known networks by name, and networks from files.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "taut/graph/graph.h"
#include "taut/graph/model_file.h"
#include "taut/graph/network.h"

namespace taut::graph {

/// Batch normalization behind the convolutions of an image network.
enum class Normalisation {
  kUsual,  ///< as the network is usually trained: VGG, ResNet and MobileNet have it
  kNone,   ///< none; convolutions have biases
  kBatch,  ///< behind each convolution, which then has no bias
};

/// What may vary in an image network; other networks take none of it.
struct ZooOptions {
  Shape input = {};          ///< channels 0: the network's usual images
  std::int64_t classes = 0;  ///< 0: the usual number
  double width = 1.0;        ///< factor on the channels and hidden features of all layers
                             ///< (rounded to whole multiples of 4, at least 4)
  Normalisation normalisation = Normalisation::kUsual;
};

/// Names of all networks, in the order of docs/parallel.md: the ten of HyPar (arXiv 1901.02067),
/// then classics, residual networks, transformers and a recommender.
[[nodiscard]] std::span<const std::string> network_names();

/// Those that take images and can be trained on them.
[[nodiscard]] std::span<const std::string> image_network_names();

/// The ten networks of HyPar's figures, in their order; their AlexNet is one of its two towers.
[[nodiscard]] std::span<const std::string> hypar_names();

/// A network of the zoo. Errors: kConfig naming model.kind (unknown, with the nearest; options for
/// a network that takes none), model.width (not in (0, 16]), or the layer for which the image is
/// too small, with both sizes; kInvalidArgument for sizes below 1 and fewer than 2 classes.
[[nodiscard]] Network make_network(std::string_view name, const ZooOptions& options = {});

/// A name of the zoo, or the path of a .toml file. Errors: kNotFound (neither a name, with the
/// nearest, nor a file of this kind), and those of the reader.
[[nodiscard]] Network load_network(const std::string& name_or_path);

/// The cost graph of what load_network() takes, or of an .onnx file. sizes are for dimensions
/// that an ONNX file leaves open.
[[nodiscard]] Graph load_model(const std::string& name_or_path, const DimensionSizes& sizes = {});

}  // namespace taut::graph
