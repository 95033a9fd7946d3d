#pragma once
// Tables by a key that is a tensor: an input of compiled graphs, which take no objects.

#include <ATen/ATen.h>

#include "nn/tables.h"

namespace taut::nn {

/// The key of these tables, int64 []; no others have it. Keys of other processes, and of tables
/// that are gone, belong to none. Threads: all functions may be called at once.
[[nodiscard]] at::Tensor key_of(const c10::intrusive_ptr<Tables>& tables);

/// Throws c10::ValueError for a key that belongs to no tables.
[[nodiscard]] c10::intrusive_ptr<Tables> tables_of(const at::Tensor& key);

/// The key belongs to no tables from here on. Fine for one that does not.
void forget_key(std::int64_t key) noexcept;

}  // namespace taut::nn
