#pragma once
// 64-bit hashing of ids and strings. Stable: part of every file format of ours.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "taut/core/always_inline.h"

namespace taut {

/// A bijective mix of 64 bits (finalizer of SplitMix64, Steele et al. 2014).
[[nodiscard]] TAUT_INLINE constexpr std::uint64_t mix64(std::uint64_t x) noexcept {
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

/// Mixes a second value into a hash; order matters.
[[nodiscard]] TAUT_INLINE constexpr std::uint64_t hash_combine(std::uint64_t hash,
                                                               std::uint64_t value) noexcept {
  return mix64(hash ^ mix64(value));
}

/// XXH3 of the bytes (xxHash 0.8 specification), seed 0.
[[nodiscard]] std::uint64_t hash_bytes(const void* data, std::size_t size) noexcept;

[[nodiscard]] inline std::uint64_t hash_string(std::string_view text) noexcept {
  return hash_bytes(text.data(), text.size());
}

/// Maps a hash to [0, n) by the high half of the product; n >= 1.
[[nodiscard]] TAUT_INLINE std::uint64_t reduce_range(std::uint64_t hash, std::uint64_t n) noexcept {
  return static_cast<std::uint64_t>((static_cast<unsigned __int128>(hash) * n) >> 64);
}

}  // namespace taut
