#pragma once
// Work that several processes share, cut at whole pieces.

#include <algorithm>
#include <cstdint>

namespace taut {

/// Which part of something this process has: number `index` of `of` parts.
struct Share {
  std::int64_t index = 0;  ///< 0 .. of - 1
  std::int64_t of = 1;
};

/// Places [begin, begin + size) of a sequence.
struct Range {
  std::int64_t begin = 0;
  std::int64_t size = 0;
  [[nodiscard]] constexpr std::int64_t end() const noexcept { return begin + size; }
};

/// A part of `total` places that are handed out in pieces of `piece`, of which the last may be
/// smaller: parts are in order, cover everything, and differ by at most one piece. Requires
/// piece >= 1, 0 <= share.index < share.of.
[[nodiscard]] constexpr Range share_of(std::int64_t total, std::int64_t piece,
                                       const Share& share) noexcept {
  const std::int64_t pieces = (total + piece - 1) / piece;
  const auto place = [&](std::int64_t part) {
    return std::min(total, pieces * part / share.of * piece);
  };
  const std::int64_t begin = place(share.index);
  return {.begin = begin, .size = place(share.index + 1) - begin};
}

}  // namespace taut
