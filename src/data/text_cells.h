#pragma once
// Cells of text files as values.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace taut::data {

/// The cell without spaces and tabs around it.
[[nodiscard]] std::string_view trim(std::string_view cell) noexcept;

/// A decimal number with optional sign, point and exponent; also nan and inf in their usual
/// spellings. The value nearest to the decimal. Nothing for anything else.
[[nodiscard]] std::optional<double> parse_number(std::string_view cell) noexcept;

/// A whole number of 64 bits.
[[nodiscard]] std::optional<std::int64_t> parse_integer(std::string_view cell) noexcept;

/// 0 or 1 from "0", "1", "0.0", "1.0", "false", "true" (any case); nothing for anything else.
[[nodiscard]] std::optional<float> parse_label(std::string_view cell) noexcept;

/// A cell as messages show it: in quotes, cut to 40 characters, control characters as '?'.
[[nodiscard]] std::string shown(std::string_view cell);

}  // namespace taut::data
