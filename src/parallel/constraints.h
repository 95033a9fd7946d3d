#pragma once
// Parts of constraints that cost model and searches share.

#include <cstdint>
#include <string_view>

#include "taut/parallel/split.h"

namespace taut::parallel {

/// The bit of a split in CostModel::allowed().
[[nodiscard]] constexpr std::uint8_t split_bit(Split split) noexcept {
  return static_cast<std::uint8_t>(1u << static_cast<unsigned>(split));
}

/// Whether a name has the form of a pattern, in which '*' stands for any run of characters.
[[nodiscard]] bool name_matches(std::string_view pattern, std::string_view name);

}  // namespace taut::parallel
