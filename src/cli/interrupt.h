#pragma once
// Ctrl-C and kill: a checkpoint first, then the end.

#include <atomic>

namespace taut::cli {

/// A flag that the first SIGINT or SIGTERM sets; the second one ends the process at once.
[[nodiscard]] const std::atomic<bool>* stop_on_signals();

}  // namespace taut::cli
