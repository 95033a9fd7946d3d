#pragma once
// The zoo of networks for images.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "taut/graph/network.h"

namespace taut::nn {

using graph::kNetworkInput;
using graph::Layer;
using graph::multiply_adds;
using graph::Network;
using graph::Op;
using graph::Shape;
using graph::weight_shape;

/// Names that make_network knows: mlp (784-300-100-10 for MNIST), sfc, lenet, lenet-c, sconv,
/// cifar-c, alexnet, vgg-small, vgg-a .. vgg-e, resnet-18, resnet-20, resnet-50, mobilenet-v1,
/// mobilenet-v2.
[[nodiscard]] std::span<const std::string> network_names();

/// A network of the zoo for images of a shape. vgg-small is the one of docs/sparsity.md; VGG,
/// ResNet and MobileNet have batch normalization after each convolution. width scales the channels
/// and hidden features of all layers (rounded to whole multiples of 4, at least 4). Errors: kConfig
/// naming model.kind (unknown, with the nearest), model.width (not in (0, 16]), or the layer for
/// which the image is too small, with both sizes.
[[nodiscard]] Network make_network(std::string_view name, const Shape& input, std::int64_t classes,
                                   double width = 1.0);

}  // namespace taut::nn
