#pragma once

#include <optional>

#include "parallel/search.h"

namespace taut::parallel {

/// The cheapest plan whose memory_words() sum to at most cap_words: a sweep of prices on memory
/// (Lagrange) gives a plan on the lower hull and a bound; on chains whose tables hold all states,
/// Pareto labels of (cost, memory) then close the gap (docs/parallel.md). ties is added to
/// all costs. Requires that some feasible plan fits.
[[nodiscard]] std::optional<Found> search_within(JointSearch& search, const NodeExtra& ties,
                                                 double cap_words);

}  // namespace taut::parallel
