#pragma once
// TOML text from a file that may hold anything. For areas that link toml++.

#include <toml++/toml.h>

#include <string>
#include <string_view>

#include "core/toml_depth.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut {

/// source: what messages name. Errors: kConfig naming source and line for text that is no TOML, or
/// whose keys or values lie deeper than kDeepestToml.
[[nodiscard]] inline toml::table parse_toml(std::string_view text, const std::string& source) {
  const auto where = [&](auto line) { return concat(source, ", line ", line); };
  if (const int line = deep_toml_line(text)) {
    throw Error(ErrorKind::kConfig, concat("keys or values deeper than ", kDeepestToml, " levels"),
                where(line));
  }
  try {
    return toml::parse(text, source);
  } catch (const toml::parse_error& failed) {
    throw Error(ErrorKind::kConfig, failed.description(), where(failed.source().begin.line));
  }
}

/// What is given for a key outside a file: a table whose only entry is "value" (several where the
/// text is not one value); a text that is no TOML is a string. where: what messages name. Errors:
/// kConfig for bytes that are no UTF-8 and for values that lie too deep.
[[nodiscard]] inline toml::table parse_toml_value(const std::string& text,
                                                  const std::string& where) {
  if (!is_utf8(text)) throw Error(ErrorKind::kConfig, concat("not UTF-8: \"", text, "\""), where);
  const std::string line = "value = " + text;
  if (deep_toml_line(line) != 0) {
    throw Error(ErrorKind::kConfig, concat("a value deeper than ", kDeepestToml, " levels"), where);
  }
  try {
    return toml::parse(line);
  } catch (const toml::parse_error&) {
    return toml::table{{"value", text}};
  }
}

}  // namespace taut
