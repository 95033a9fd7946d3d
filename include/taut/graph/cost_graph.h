#pragma once
// What a planner and a kernel benchmark need to know of a network.

#include "taut/graph/graph.h"
#include "taut/graph/network.h"

namespace taut::graph {

/// The nodes, words and operations of a network, with a loss behind its last layer.
/// - Convolutions and linear layers are weighted nodes (biases are not counted), global means,
/// sums,
///   concatenations and cores of attention element-wise ones, embeddings, interactions and sums of
///   first values batch-only ones. Names are the layers'.
/// - Normalizations, activations, pools and flattening belong to the node before them.
/// - The output channels of a linear layer that attention alone reads are cut as its width is:
///   queries, keys and values of a head stay together.
/// - An embedding read by one interaction alone, and embeddings of one sum, belong to that node.
/// - Tables keep their real bytes. Behind a site of winners an edge has the measured density, else
///   the site's winner rate, where the network has either; a rate of 1 tells nothing.
/// Errors: kInvalidArgument naming layer or table (sizes out of range, a table whose rows are not
/// known, a layer that nobody reads, no layer but folded ones).
[[nodiscard]] Graph cost_graph(const Network& network);

}  // namespace taut::graph
