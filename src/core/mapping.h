#pragma once
// Memory straight from the system.

#include <cstddef>

namespace taut::detail {

inline constexpr std::size_t kPageBytes = 4096;
inline constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;

/// Maps zeroed memory; from 2 MiB on it begins on a huge page's boundary and asks for huge pages.
/// size: a multiple of kPageBytes. Throws std::bad_alloc.
[[nodiscard]] void* map_zeroed(std::size_t size);

}  // namespace taut::detail
