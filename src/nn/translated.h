#pragma once
// What taut throws, as PyTorch users expect it.

#include <c10/util/Exception.h>

#include "taut/core/error.h"

namespace taut::nn {

/// Runs call. What the caller can mend becomes a ValueError, the rest a RuntimeError.
template <typename Call>
auto translated(Call&& call) {
  try {
    return call();
  } catch (const Error& failed) {
    const bool value = failed.kind() == ErrorKind::kInvalidArgument ||
                       failed.kind() == ErrorKind::kConfig || failed.kind() == ErrorKind::kBudget ||
                       failed.kind() == ErrorKind::kFormat;
    TORCH_CHECK_VALUE(!value, failed.what());
    TORCH_CHECK(false, failed.what());
  }
}

}  // namespace taut::nn
