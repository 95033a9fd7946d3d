#pragma once
// Loops of operators on as many threads as PyTorch is told to use.

#include <cstdint>
#include <functional>

namespace taut::nn {

/// Calls body(begin, end) on ranges of at least grain that make up [0, size), on
/// at::get_num_threads() threads; inside a loop of PyTorch's own, on the caller's alone. What body
/// computes must not depend on how the ranges are cut.
void parallel_ranges(std::int64_t size, std::int64_t grain,
                     const std::function<void(std::int64_t, std::int64_t)>& body);

}  // namespace taut::nn
