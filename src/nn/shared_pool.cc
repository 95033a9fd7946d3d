#include "nn/shared_pool.h"

#include <unistd.h>

#include <map>
#include <utility>

#include "nn/fork_safe_mutex.h"

namespace taut::nn {

std::shared_ptr<ThreadPool> shared_pool(int threads) {
  using Key = std::pair<pid_t, int>;
  static ForkSafeMutex mutex;
  static std::map<Key, std::weak_ptr<ThreadPool>> pools;
  const std::lock_guard lock(mutex);
  std::weak_ptr<ThreadPool>& known = pools[Key{::getpid(), threads}];
  std::shared_ptr<ThreadPool> pool = known.lock();
  if (pool == nullptr) {
    pool = std::make_shared<ThreadPool>(threads);
    known = pool;
  }
  return pool;
}

}  // namespace taut::nn
