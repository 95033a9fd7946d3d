// Separators as configs spell them.
#include <utility>

#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/data/reader.h"

namespace taut::data {
namespace {

constexpr std::pair<std::string_view, char> kNamed[] = {
    {"tab", '\t'}, {"\\t", '\t'}, {"space", ' '}};

// One character; nothing for anything else.
std::optional<char> one_character(const std::string& text) {
  for (const auto& [name, character] : kNamed) {
    if (text == name) return character;
  }
  if (text.size() != 1 || static_cast<unsigned char>(text[0]) >= 0x80) return std::nullopt;
  if (text[0] == '"' || text[0] == '\n' || text[0] == '\r' || text[0] == '\0') return std::nullopt;
  return text[0];
}

char parse_separator(const std::string& text, const std::string& key) {
  if (text == "auto") return 0;
  if (const std::optional<char> character = one_character(text)) return *character;
  throw Error(ErrorKind::kConfig,
              concat("must be \"auto\" or one character of ASCII, got \"", text, "\""), key,
              "longer separators are not read: replace them by a tab");
}

std::optional<char> parse_list_separator(const std::string& text, const std::string& key) {
  if (text == "auto") return std::nullopt;
  if (text.empty()) return '\0';
  if (const std::optional<char> character = one_character(text)) return character;
  throw Error(ErrorKind::kConfig,
              concat("must be \"auto\", \"\" (none) or one character of ASCII, got \"", text, "\""),
              key);
}

char parse_thousands_mark(const std::string& text, const std::string& key) {
  if (text.empty()) return 0;
  const std::optional<char> character = one_character(text);
  if (character && std::string_view(",' _").find(*character) != std::string_view::npos) {
    return *character;
  }
  throw Error(ErrorKind::kConfig,
              concat("must be \"\" (none), \",\", \"'\", \"_\" or \"space\", got \"", text, "\""),
              key);
}

}  // namespace

void set_text_options(const TextOptions& text, const std::string& where, ReaderOptions& options) {
  const std::string before = where.empty() ? "" : where + ", ";
  options.separator = parse_separator(text.separator, before + "data.separator");
  options.list_separator =
      parse_list_separator(text.list_separator, before + "data.list_separator");
  options.na_values = text.na_values;
  options.thousands = parse_thousands_mark(text.thousands, before + "data.thousands");
  options.encoding = text.encoding;
}

}  // namespace taut::data
