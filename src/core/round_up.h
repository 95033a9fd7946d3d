#pragma once
// Sizes in whole units.

#include <type_traits>

namespace taut {

/// The least multiple of unit that is not below value. Both 0 or more, unit above 0; their sum must
/// not overflow.
template <typename T>
[[nodiscard]] constexpr T round_up(T value, std::type_identity_t<T> unit) noexcept {
  return (value + unit - 1) / unit * unit;
}

}  // namespace taut
