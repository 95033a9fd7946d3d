#pragma once
// Whether a dense network can be trained in the memory that there is.

#include <string_view>

#include "taut/graph/network.h"

namespace taut::train {

/// Throws kBudget, naming what is asked for and what there is, when the parameters of a network,
/// their gradients and the optimizer's two values for each are more than the memory that there is.
/// where: the keys that decide. Nothing is taken yet.
void check_network_memory(const graph::Network& network, std::string_view where);

}  // namespace taut::train
