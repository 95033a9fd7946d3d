#pragma once
// Counter-based random numbers: the value depends on the key and the counter alone, never on who
// asked before, so results are the same for any number of threads.

#include <cmath>
#include <cstdint>

#include "taut/core/hash.h"

namespace taut {

/// Random numbers named by a key (seed and purpose) and a 64-bit counter. Cheap to copy; no state.
class CounterRandom {
 public:
  constexpr explicit CounterRandom(std::uint64_t seed) noexcept : key_(mix64(seed)) {}

  /// An independent sequence for a sub-purpose (a table, an id, a step).
  [[nodiscard]] constexpr CounterRandom with(std::uint64_t purpose) const noexcept {
    CounterRandom next(*this);
    next.key_ = hash_combine(key_, purpose);
    return next;
  }

  /// 64 uniform bits.
  [[nodiscard]] constexpr std::uint64_t bits(std::uint64_t counter) const noexcept {
    return mix64(key_ ^ mix64(counter));
  }

  /// Uniform in [0, 1), 53 bits.
  [[nodiscard]] constexpr double uniform(std::uint64_t counter) const noexcept {
    return static_cast<double>(bits(counter) >> 11) * 0x1.0p-53;
  }

  /// Uniform integer in [0, n), n >= 1.
  [[nodiscard]] std::uint64_t below(std::uint64_t counter, std::uint64_t n) const noexcept {
    return reduce_range(bits(counter), n);
  }

  /// Standard normal (Box-Muller on two words of this counter).
  [[nodiscard]] double normal(std::uint64_t counter) const noexcept {
    const double u = 1.0 - uniform(counter);
    const double v = with(0x6E6F726D616Cull).uniform(counter);
    return std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586 * v);
  }

 private:
  std::uint64_t key_;
};

}  // namespace taut
