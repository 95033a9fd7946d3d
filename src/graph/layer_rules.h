#pragma once
// Rules of layers that builders and checks share: what sizes are accepted, what a layer gives.

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "taut/graph/network.h"

namespace taut::graph {

/// The value. Errors: kInvalidArgument, naming layer, argument and value, unless it is in least ..
/// 2^40, so that products of a few sizes fit 64 bits.
std::int64_t checked_size(const std::string& layer, std::string_view what, std::int64_t value,
                          std::int64_t least);

/// The product. Errors: kInvalidArgument, naming the layer, above 2^50.
std::int64_t checked_product(const std::string& layer, std::initializer_list<std::int64_t> factors);

/// windowed_side() of a checked window. Errors: kInvalidArgument, naming layer and value.
std::int64_t checked_window(const std::string& layer, std::int64_t side, const Window& window);

/// "[channels, height, width]".
[[nodiscard]] std::string shape_text(const Shape& shape);

/// What a layer gives, from what it reads; outputs of convolutions and linear layers, and how many
/// rows an embedding gives, are taken from layer.out. Nothing where it cannot be told.
[[nodiscard]] std::optional<Shape> output_shape(const Network& network, const Layer& layer);

/// What is wrong with a layer that stands, or would stand, at this number, as wrong_layer() says it
/// behind "with"; nothing for a sound one.
[[nodiscard]] std::optional<std::string> wrong_in_layer(const Network& network, int number,
                                                        const Layer& layer);

}  // namespace taut::graph
