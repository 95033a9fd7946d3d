#pragma once
// Tables by a key that is a tensor: an input of compiled graphs, which take no objects.

#include <ATen/ATen.h>

#include "nn/tables.h"

namespace taut::nn {

/// A key of its own for these tables, int64 []. Keys of other processes, and of tables that are
/// gone, belong to none. Threads: both functions may be called at once.
[[nodiscard]] at::Tensor key_of(const c10::intrusive_ptr<Tables>& tables);

/// Throws c10::ValueError for a key that belongs to no tables.
[[nodiscard]] c10::intrusive_ptr<Tables> tables_of(const at::Tensor& key);

}  // namespace taut::nn
