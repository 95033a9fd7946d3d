#pragma once
// Bytes and ratios as types, and their spelling in configs: "16MiB", "1500000", "1/10", "0.1",
// "10%".

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

namespace taut {

/// A number of bytes.
struct Bytes {
  std::int64_t count = 0;
  auto operator<=>(const Bytes&) const = default;
};

/// A share of a whole, above 0 and at most 1.
struct Ratio {
  double value = 1.0;
  auto operator<=>(const Ratio&) const = default;
};

/// A budget as users write it: bytes, or a share of what the full model takes.
using Budget = std::variant<Bytes, Ratio>;

/// "16MiB", "16 MiB", "1.5GiB", "2MB" (powers of 1000 without i), "4096" or "4096B".
/// Throws kConfig for anything else, zero, negative or above 2^62.
[[nodiscard]] Bytes parse_bytes(std::string_view text);

/// "1/10", "0.1" or "10%". Throws kConfig outside (0, 1].
[[nodiscard]] Ratio parse_ratio(std::string_view text);

/// What has a slash, a percent sign or a value with a dot and no unit is a ratio ("1" is 1/1);
/// everything else is bytes.
[[nodiscard]] Budget parse_budget(std::string_view text);

/// The budget in bytes, given what the full model takes.
[[nodiscard]] Bytes resolve_budget(const Budget& budget, Bytes full);

/// "16.0 MiB", "512 B": for people, three digits or so.
[[nodiscard]] std::string format_bytes(Bytes bytes);

/// The exact spelling that parse_budget reads back: "16777216", "1B", "0.1".
[[nodiscard]] std::string format_budget(const Budget& budget);

}  // namespace taut
