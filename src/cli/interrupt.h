#pragma once
// Ctrl-C, kill and a terminal that goes: a checkpoint first, then the end.

#include <atomic>

namespace taut::cli {

/// A flag that the first SIGINT, SIGTERM or SIGHUP sets (SIGHUP unless it was ignored, as by
/// nohup); the second one ends the process at once.
[[nodiscard]] const std::atomic<bool>* stop_on_signals();

}  // namespace taut::cli
