#include "nn/table_keys.h"

#include <map>
#include <mutex>
#include <random>

#include "nn/fork_safe_mutex.h"

namespace taut::nn {
namespace {

using WeakTables = c10::weak_intrusive_ptr<Tables>;

struct Keys {
  ForkSafeMutex mutex;
  std::random_device random;  // so that a key means nothing in another process
  std::map<std::int64_t, WeakTables> tables;
};

Keys& keys() {
  static Keys instance;
  return instance;
}

}  // namespace

at::Tensor key_of(const c10::intrusive_ptr<Tables>& tables) {
  Keys& all = keys();
  const std::lock_guard lock(all.mutex);
  while (!tables->key()) {
    const auto key = static_cast<std::int64_t>((std::uint64_t{all.random()} << 31) ^ all.random());
    if (all.tables.emplace(key, WeakTables(tables)).second) tables->set_key(key);
  }
  return at::scalar_tensor(*tables->key(), at::kLong);
}

c10::intrusive_ptr<Tables> tables_of(const at::Tensor& key) {
  TORCH_CHECK_VALUE(key.scalar_type() == at::kLong && key.numel() == 1,
                    "key must be one int64 value, got ", key.scalar_type(), " of shape ",
                    key.sizes());
  c10::intrusive_ptr<Tables> found;
  Keys& all = keys();
  {
    const std::lock_guard lock(all.mutex);
    const auto place = all.tables.find(key.item<std::int64_t>());
    if (place != all.tables.end()) found = place->second.lock();
  }
  TORCH_CHECK_VALUE(found, "key must be that of tables of this process, got ",
                    key.item<std::int64_t>(), ": its tables are gone, or of another process");
  return found;
}

void forget_key(std::int64_t key) noexcept {
  Keys& all = keys();
  const std::lock_guard lock(all.mutex);
  all.tables.erase(key);
}

}  // namespace taut::nn
