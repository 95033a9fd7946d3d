#pragma once
// Options that lie over a config file.

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "cli/command.h"

namespace taut::cli {

/// The settings of --set, then --seed and --memory-budget, as load_config takes them.
[[nodiscard]] std::vector<std::string> run_settings(const Globals& globals,
                                                    const std::string& budget);

/// A setting of --set whose key is one of a command's own.
struct KnownSetting {
  std::size_t key;    ///< its place among the known ones
  std::string value;  ///< without the quotes that a config would have
};

/// Takes KEY=VALUE apart. Errors: kConfig for what is no setting and for other keys, naming the
/// nearest of the known ones.
[[nodiscard]] KnownSetting known_setting(const std::string& setting,
                                         std::span<const std::string> known);

/// The parts of a comma-separated option.
[[nodiscard]] std::vector<std::string> comma_list(const std::string& text);

}  // namespace taut::cli
