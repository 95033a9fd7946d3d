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

/// A whole number of 64 bits without a sign, for what parse_integer() does not hold.
[[nodiscard]] std::optional<std::uint64_t> parse_unsigned(std::string_view cell) noexcept;

/// What separates the thousands of digits in groups of three: ',' of "1,234" and "-12,345,678.9",
/// '\'', ' ' or '_'. 0 for any other text, and for one group alone behind a zero ("0,123").
[[nodiscard]] char thousands_mark(std::string_view cell) noexcept;
[[nodiscard]] inline bool has_thousands(std::string_view cell) noexcept {
  return thousands_mark(cell) != 0;
}

/// The number that is left without the marks: 1234.5 of "1,234.5". For a cell with thousands.
[[nodiscard]] std::optional<double> parse_thousands(std::string_view cell);

/// True for a number whose only mark is a comma: "3,14".
[[nodiscard]] bool has_decimal_comma(std::string_view cell) noexcept;

/// A cell as messages show it: in quotes, cut to about 40 bytes; control characters are '?', bytes
/// that are not UTF-8 stand as \xE9.
[[nodiscard]] std::string shown(std::string_view cell);

}  // namespace taut::data
