#pragma once
// taut info MODEL

#include <string>

#include "cli/command.h"
#include "taut/graph/model_file.h"

namespace taut::cli {

/// The table of the layers of a name, a model's file or a training config, as a planner sees them.
/// sizes: for an ONNX file.
[[nodiscard]] Outcome model_info(const std::string& name, const Globals& globals,
                                 const graph::DimensionSizes& sizes);

}  // namespace taut::cli
