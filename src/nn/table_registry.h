#pragma once
// Collections by number, so that operators can name them in a schema.

#include <cstdint>
#include <memory>

#include "taut/embedding/embedding.h"

namespace taut::nn {

/// Threads: all functions may be called at once.
[[nodiscard]] std::int64_t register_tables(std::shared_ptr<embedding::Embedding> tables);
/// Throws kInvalidArgument for a number that is not in use.
[[nodiscard]] std::shared_ptr<embedding::Embedding> find_tables(std::int64_t handle);
/// Fine for a number that is not in use.
void release_tables(std::int64_t handle) noexcept;

}  // namespace taut::nn
