#pragma once
// What a text table looks like at its first rows.

#include <string>
#include <string_view>
#include <vector>

#include "files.h"
#include "text_index.h"

namespace taut::data {

/// The separator of a table that begins like this (whole records, the header first): the usual one
/// of the format if the rows that it cuts are of the header's length, else the one of comma, tab,
/// semicolon, bar (and space where the format is sniffed) whose rows are. The usual one if none is.
[[nodiscard]] char sniff_separator(std::string_view text, Format format);

/// True if the first row has one field more than the header, and that one is empty.
[[nodiscard]] bool has_empty_tail(std::string_view text, const TextDialect& dialect);

/// What a header says of a column: RecBole's "user_id:token".
enum class DeclaredType { kNone, kToken, kTokenList, kFloat, kFloatList };

/// Cuts the types from the names where all names have one; kNone for each where not.
[[nodiscard]] std::vector<DeclaredType> take_declared_types(std::vector<std::string>& names);

}  // namespace taut::data
