#include "cli/data_settings.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::cli {
namespace {

struct Key {
  std::string_view name;
  void (*apply)(const std::string& value, data::ReaderOptions& options);
};

constexpr std::string_view kFormat = "data.format";

void apply_format(const std::string& value, data::ReaderOptions& options) {
  options.format = value;
}

void apply_bad_row(const std::string& value, data::ReaderOptions& options) {
  options.on_bad_row = parse_spelling<data::OnBadRow>(value, ErrorKind::kConfig);
}

void apply_separator(const std::string& value, data::ReaderOptions& options) {
  data::ReaderOptions read;
  data::set_text_options({.separator = value}, "", read);
  options.separator = read.separator;
}

void apply_list_separator(const std::string& value, data::ReaderOptions& options) {
  data::ReaderOptions read;
  data::set_text_options({.list_separator = value}, "", read);
  options.list_separator = read.list_separator;
}

void apply_encoding(const std::string& value, data::ReaderOptions& options) {
  options.encoding = parse_spelling<data::Encoding>(value, ErrorKind::kConfig, "encoding");
}

constexpr std::array<Key, 5> kKeys = {{{kFormat, apply_format},
                                       {"data.on_bad_row", apply_bad_row},
                                       {"data.separator", apply_separator},
                                       {"data.list_separator", apply_list_separator},
                                       {"data.encoding", apply_encoding}}};

// A value may stand in quotes, as in a config.
std::string unquoted(const std::string& text) {
  const bool quoted = text.size() >= 2 && (text.front() == '"' || text.front() == '\'') &&
                      text.back() == text.front();
  return quoted ? text.substr(1, text.size() - 2) : text;
}

}  // namespace

DataSettings::DataSettings(const std::vector<std::string>& sets) {
  std::vector<std::string> names;
  for (const Key& key : kKeys) names.emplace_back(key.name);
  for (const std::string& setting : sets) {
    const std::size_t equals = setting.find('=');
    if (equals == std::string::npos) {
      throw Error(ErrorKind::kConfig, concat("not a setting: \"", setting, "\""), "--set",
                  "write --set section.key=value");
    }
    const std::string name = setting.substr(0, equals);
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) {
      throw Error(ErrorKind::kConfig, concat("unknown key \"", name, "\" for this command"),
                  "--set", suggest(name, names));
    }
    given_.push_back(
        {static_cast<std::size_t>(found - names.begin()), unquoted(setting.substr(equals + 1))});
  }
  data::ReaderOptions tried;  // values are checked before anything is read
  apply(tried);
}

void DataSettings::apply(data::ReaderOptions& options) const {
  for (const auto& [key, value] : given_) {
    try {
      kKeys[key].apply(value, options);
    } catch (const Error& failed) {
      throw Error(failed.kind(), failed.what(), concat("--set ", kKeys[key].name));
    }
  }
}

bool DataSettings::gives_format() const noexcept {
  return std::any_of(given_.begin(), given_.end(),
                     [](const Given& one) { return kKeys[one.key].name == kFormat; });
}

}  // namespace taut::cli
