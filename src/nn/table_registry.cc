#include "nn/table_registry.h"

#include <map>
#include <mutex>
#include <string>

#include "taut/core/error.h"

namespace taut::nn {
namespace {

struct Registry {
  std::mutex mutex;
  std::map<std::int64_t, std::shared_ptr<embedding::Embedding>> tables;
  std::int64_t next = 1;
};

Registry& registry() {
  static Registry instance;
  return instance;
}

}  // namespace

std::int64_t register_tables(std::shared_ptr<embedding::Embedding> tables) {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  all.tables.emplace(all.next, std::move(tables));
  return all.next++;
}

std::shared_ptr<embedding::Embedding> find_tables(std::int64_t handle) {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  const auto found = all.tables.find(handle);
  if (found == all.tables.end()) {
    throw_invalid_argument("tables", "a handle of tables_create", std::to_string(handle));
  }
  return found->second;
}

void release_tables(std::int64_t handle) noexcept {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  all.tables.erase(handle);
}

}  // namespace taut::nn
