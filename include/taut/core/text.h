#pragma once
// Small helpers for text: joining values, finding the nearest known name.

#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace taut {

/// The values written one after another, as operator<< writes them (floats with 6 digits).
template <typename... Values>
[[nodiscard]] std::string concat(const Values&... values) {
  std::ostringstream stream;
  (stream << ... << values);
  return std::move(stream).str();
}

/// The parts with a separator between them.
[[nodiscard]] std::string join(std::span<const std::string> parts, std::string_view separator);

/// The parts of a text between separators; empty parts are kept. "" gives one empty part.
[[nodiscard]] std::vector<std::string> split(std::string_view text, char separator);

/// The candidate of smallest edit distance to name (ties: the first), or "" when none is near
/// (distance above half of the name's length, at least 2).
[[nodiscard]] std::string nearest_name(std::string_view name,
                                       std::span<const std::string> candidates);

/// "did you mean X?" for the nearest candidate, else "known: a, b, c". For the mend part of errors.
[[nodiscard]] std::string suggest(std::string_view name, std::span<const std::string> candidates);

}  // namespace taut
