#pragma once
// taut info MODEL

#include <string>

#include "cli/command.h"

namespace taut::cli {

/// The table of the layers of a name, a model's file or a training config, as a planner sees them.
[[nodiscard]] Outcome model_info(const std::string& name, const Globals& globals);

}  // namespace taut::cli
