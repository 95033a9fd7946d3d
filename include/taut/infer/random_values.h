#pragma once
// Values for networks that have none, to measure them.

#include <cstdint>
#include <memory>

#include "taut/graph/network.h"

namespace taut::infer {

/// Gives every layer of a description values: weights uniform and of variance 2 / inputs of an
/// output (He et al. 2015, equation 10), so that activations keep their size; biases 0,
/// normalizations that change nothing. The same for the same seed. Returns what owns them: it must
/// live as long as they are used.
[[nodiscard]] std::shared_ptr<const void> fill_random_values(graph::Network& network,
                                                             std::uint64_t seed);

}  // namespace taut::infer
