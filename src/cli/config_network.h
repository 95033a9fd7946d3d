#pragma once
// The network that a training config describes.

#include <span>
#include <string>

#include "taut/graph/network.h"

namespace taut::cli {

/// Reads the config, with settings over it, and as much of its data as tells the sizes: the
/// training images, or the distinct ids of each categorical column in one pass. Tables have the
/// bytes of embedding.budget, each a share in proportion to its words. Errors: those of the config
/// and of the data.
[[nodiscard]] graph::Network config_network(const std::string& path,
                                            std::span<const std::string> settings);

}  // namespace taut::cli
