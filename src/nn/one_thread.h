#pragma once
// LibTorch's own threads stay out of the way where parallelism is over slices of a batch.

#include <ATen/Parallel.h>

namespace taut::nn {

/// From now on operators that this thread calls run on it alone.
inline void use_one_torch_thread() {
  thread_local const bool once = [] {
    at::set_num_threads(1);
    at::init_num_threads();
    return true;
  }();
  static_cast<void>(once);
}

}  // namespace taut::nn
