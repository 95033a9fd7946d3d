#pragma once
// The threads that all tables of a process share.

#include <memory>

#include "taut/core/thread_pool.h"

namespace taut::nn {

/// The pool of so many threads (0: one for each processor) that this process has, made where there
/// is none. It ends with the last table that uses it; a forked child makes its own.
/// Errors: as ThreadPool. Threads: may be called at once.
[[nodiscard]] std::shared_ptr<ThreadPool> shared_pool(int threads);

}  // namespace taut::nn
