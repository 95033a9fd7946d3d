#pragma once
// Options that lie over a config file.

#include <string>
#include <vector>

#include "cli/command.h"

namespace taut::cli {

/// The settings of --set, then --seed and --memory-budget, as load_config takes them.
[[nodiscard]] std::vector<std::string> run_settings(const Globals& globals,
                                                    const std::string& budget);

/// The parts of a comma-separated option.
[[nodiscard]] std::vector<std::string> comma_list(const std::string& text);

}  // namespace taut::cli
