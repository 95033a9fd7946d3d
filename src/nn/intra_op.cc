#include "nn/intra_op.h"

#include <ATen/Parallel.h>

#include <memory>
#include <mutex>

#include "taut/core/thread_pool.h"

namespace taut::nn {
namespace {

// at::parallel_for runs on one thread in code that is not compiled with PyTorch's own OpenMP, so
// operators bring a pool, made when first needed and again when PyTorch's number changes.
std::shared_ptr<ThreadPool> pool_of(int threads) {
  static std::mutex mutex;
  static std::shared_ptr<ThreadPool> pool;
  const std::lock_guard lock(mutex);
  if (pool == nullptr || pool->threads() != threads) pool = std::make_shared<ThreadPool>(threads);
  return pool;
}

}  // namespace

void parallel_ranges(std::int64_t size, std::int64_t grain,
                     const std::function<void(std::int64_t, std::int64_t)>& body) {
  if (size <= 0) return;
  const int threads = at::get_num_threads();
  if (threads == 1 || size <= grain || at::in_parallel_region()) {
    body(0, size);
    return;
  }
  pool_of(threads)->parallel_for(size, grain, body);
}

}  // namespace taut::nn
