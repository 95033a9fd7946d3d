#pragma once
// taut info TABLE

#include <string>

#include "cli/command.h"

namespace taut::cli {

/// Rows, columns and types of a table, and what `taut init` would take each column for.
[[nodiscard]] Outcome table_info(const std::string& path, const Globals& globals);

}  // namespace taut::cli
