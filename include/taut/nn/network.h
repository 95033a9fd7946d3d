#pragma once
// Networks for images as lists of layers: what trains them, exports them and counts their work
// walks one description.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace taut::nn {

/// What a layer does.
enum class Op {
  kConv,        ///< 2-D convolution, square kernel
  kLinear,      ///< fully connected, on features
  kBatchNorm,   ///< per channel
  kRelu,        ///< max(x, 0)
  kRelu6,       ///< min(max(x, 0), 6)
  kMaxPool,     ///< square window
  kGlobalMean,  ///< [channels, height, width] -> [channels, 1, 1]
  kFlatten,     ///< -> [channels * height * width, 1, 1]
  kAdd,         ///< sum of two layers of one shape
};

/// Sizes of one example; features have height and width 1.
struct ImageShape {
  std::int64_t channels = 0;
  std::int64_t height = 1;
  std::int64_t width = 1;

  [[nodiscard]] std::int64_t size() const noexcept { return channels * height * width; }
  bool operator==(const ImageShape&) const = default;
};

/// One layer. Fields that its op does not have keep their defaults.
struct Layer {
  std::string name;
  Op op = Op::kRelu;
  std::vector<int> inputs;  ///< numbers of layers before it; kNetworkInput: the image
  std::int64_t kernel = 1;
  std::int64_t stride = 1;
  std::int64_t padding = 0;
  std::int64_t groups = 1;
  bool bias = false;
  ImageShape in;  ///< of its first input
  ImageShape out;
  int winner_site = -1;  ///< number among the places where winners are chosen; -1: none
};
inline constexpr int kNetworkInput = -1;

/// A network from images to one logit per class, the output of the last layer.
struct NetworkSpec {
  std::string name;
  ImageShape input;
  std::vector<Layer> layers;  ///< each reads layers before it only

  /// Layers after which winners are chosen: every activation, or the pool that follows it at once.
  [[nodiscard]] std::vector<int> winner_sites() const;
};

/// Names that make_network knows: mlp (784-300-100-10 for MNIST), sfc, lenet, lenet-c, sconv,
/// cifar-c, alexnet, vgg-small, vgg-a .. vgg-e, resnet-18, resnet-20, resnet-50, mobilenet-v1,
/// mobilenet-v2.
[[nodiscard]] std::span<const std::string> network_names();

/// A network of the zoo for images of a shape. vgg-small is the one of docs/sparsity.md; VGG,
/// ResNet and MobileNet have batch normalization after each convolution. width scales the channels
/// and hidden features of all layers (rounded to whole multiples of 4, at least 4). Errors: kConfig
/// naming model.kind (unknown, with the nearest), model.width (not in (0, 16]), or the layer for
/// which the image is too small, with both sizes.
[[nodiscard]] NetworkSpec make_network(std::string_view name, const ImageShape& input,
                                       std::int64_t classes, double width = 1.0);

/// Multiply-adds of a layer for one example; density: the share of its inputs that are not zero.
[[nodiscard]] double multiply_adds(const Layer& layer, double density = 1.0);

/// Values of weights (without bias) of a convolution or linear layer, 0 for others:
/// [out, in / groups, kernel, kernel] or [out, in].
[[nodiscard]] std::vector<std::int64_t> weight_shape(const Layer& layer);

}  // namespace taut::nn
