#pragma once
// What the programs ask of the system before anything else, and what they owe at the end.

#include <optional>
#include <string>

namespace taut::cli {

/// Called once, first. Standard streams that are closed are opened, so that no file gets their
/// numbers: what is written to standard output then fails, standard error goes nowhere. Writes to
/// a pipe that nobody reads or a file that may not grow are errors, not signals. A file that is cut
/// while it is mapped ends the process with one line and exit code 1.
void prepare_process();

/// Writes out what standard output still holds; why that, or an earlier write to it, failed.
[[nodiscard]] std::optional<std::string> flush_output();

}  // namespace taut::cli
