#pragma once
// Arithmetic on sizes that come from a file: nothing instead of a number that has overflowed.

#include <cstdint>
#include <initializer_list>
#include <optional>

namespace taut {

/// The product of sizes, or nothing where one is negative or the product is above 2^63 - 1.
[[nodiscard]] constexpr std::optional<std::int64_t> checked_product(
    std::initializer_list<std::int64_t> factors) noexcept {
  std::int64_t product = 1;
  for (const std::int64_t factor : factors) {
    if (factor < 0 || __builtin_mul_overflow(product, factor, &product)) return std::nullopt;
  }
  return product;
}

/// The sum of sizes, or nothing where one is negative or the sum is above 2^63 - 1.
[[nodiscard]] constexpr std::optional<std::int64_t> checked_sum(
    std::initializer_list<std::int64_t> terms) noexcept {
  std::int64_t sum = 0;
  for (const std::int64_t term : terms) {
    if (term < 0 || __builtin_add_overflow(sum, term, &sum)) return std::nullopt;
  }
  return sum;
}

}  // namespace taut
