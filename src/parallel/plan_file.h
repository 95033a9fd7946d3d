#pragma once
// Plans as JSON, in the one form that commands, runs and taut.Plan write and read:
// {..., "layers": [{"name": "conv1", "splits": ["I", "III"], ...}, ...], ...}.

#include <nlohmann/json.hpp>
#include <string>

#include "taut/graph/graph.h"
#include "taut/parallel/split.h"

namespace taut::parallel {

/// ["I", "III"]: the splits of a layer, top level first.
[[nodiscard]] nlohmann::json splits_json(const LayerState& state);

/// What `layers` holds of a plan and nothing else: name and splits of each node of its graph, in
/// order. Requires a state for each node.
[[nodiscard]] nlohmann::json layers_json(const graph::Graph& graph, const Plan& plan);

/// The plan of a file for a graph and so many levels; what the file tells beside names and splits
/// is not read, and the order of its layers does not matter. Errors: kNotFound, kIo, kFormat; kData
/// naming a layer that the plan lacks, names twice, has beside the graph's or splits over another
/// number of levels.
[[nodiscard]] Plan read_plan(const std::string& path, const graph::Graph& graph, int levels);

}  // namespace taut::parallel
