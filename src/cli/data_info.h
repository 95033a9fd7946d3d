#pragma once
// taut info TABLE, taut info IMAGES

#include <string>

#include "cli/command.h"

namespace taut::cli {

/// Rows, columns and types of a table, and what `taut init` would take each column for.
[[nodiscard]] Outcome table_info(const std::string& path, const Globals& globals);

/// What a set of images holds; reads all of it.
[[nodiscard]] Outcome images_info(const std::string& name, const Globals& globals);

}  // namespace taut::cli
