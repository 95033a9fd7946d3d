#pragma once
// Small helpers for text: joining values, finding the nearest known name, showing what may be
// anything.

#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace taut {

/// The values written one after another, as operator<< writes them (floats with 6 digits).
/// std::bad_alloc where there is no memory for all of it.
template <typename... Values>
[[nodiscard]] std::string concat(const Values&... values) {
  std::ostringstream stream;
  stream.exceptions(std::ios::badbit);  // else a stream without memory gives a shorter text
  (stream << ... << values);
  return std::move(stream).str();
}

/// The parts with a separator between them.
[[nodiscard]] std::string join(std::span<const std::string> parts, std::string_view separator);

/// "0.700" for 0.7 and three digits behind the point, never "-0.000". digits: 0 to 17.
[[nodiscard]] std::string fixed_text(double value, int digits);

/// The parts of a text between separators; empty parts are kept. "" gives one empty part.
[[nodiscard]] std::vector<std::string> split(std::string_view text, char separator);

/// The candidate of smallest edit distance to name (ties: the first), or "" when none is near
/// (distance above half of the name's length, at least 2).
[[nodiscard]] std::string nearest_name(std::string_view name,
                                       std::span<const std::string> candidates);

/// "did you mean X?" for the nearest candidate, else "known: a, b, c". For the mend part of errors.
[[nodiscard]] std::string suggest(std::string_view name, std::span<const std::string> candidates);

/// Bytes of the character that a text begins with; 0 where it begins with none of UTF-8.
[[nodiscard]] std::size_t utf8_size(std::string_view text) noexcept;

/// Where the first byte is that is not UTF-8; npos where all are.
[[nodiscard]] std::size_t first_not_utf8(std::string_view text) noexcept;

/// Whether the bytes are UTF-8: whole characters in their shortest form, no halves of surrogates.
[[nodiscard]] bool is_utf8(std::string_view text) noexcept;

/// The text as one line that any terminal shows: control characters and bytes that are no UTF-8
/// become \n, \t, \r or \xNN.
[[nodiscard]] std::string one_line(std::string_view text);

}  // namespace taut
