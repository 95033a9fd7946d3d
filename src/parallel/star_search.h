#pragma once
// Local search on a graph of choices.

#include <vector>

#include "parallel/oriented_graph.h"

namespace taut::parallel {

/// Improves a choice until no node, and no star, a node together with neighbours of it that do not
/// touch each other, can be chosen better while all else stays, or `additions` are spent; what is
/// spent is taken from them. Never worse than the choice it starts from; ties stay as they are.
[[nodiscard]] Choice improve_by_stars(const OrientedGraph& graph, std::vector<int> states,
                                      double& additions);

}  // namespace taut::parallel
