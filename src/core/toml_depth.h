#pragma once
// How deep the tables of a TOML text lie, before a parser that recurses reads it.

#include <string_view>

namespace taut {

/// Parts of a dotted key, and lists and inline tables inside each other, that are read: more than
/// any file of ours has, few enough for parsers that recurse.
inline constexpr int kDeepestToml = 16;

/// The first line, from 1, with a key of more than kDeepestToml parts or values nested deeper than
/// that; 0: none.
[[nodiscard]] int deep_toml_line(std::string_view text) noexcept;

}  // namespace taut
