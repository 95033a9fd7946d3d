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

// What a reader makes of options of text.
data::ReaderOptions read_text(const data::TextOptions& text) {
  data::ReaderOptions options;
  data::set_text_options(text, {}, options);
  return options;
}

void apply_separator(const std::string& value, data::ReaderOptions& options) {
  options.separator = read_text({.separator = value}).separator;
}

void apply_list_separator(const std::string& value, data::ReaderOptions& options) {
  options.list_separator = read_text({.list_separator = value}).list_separator;
}

void apply_thousands(const std::string& value, data::ReaderOptions& options) {
  options.thousands = read_text({.thousands = value}).thousands;
}

void apply_na_values(const std::string& value, data::ReaderOptions& options) {
  options.na_values = split(value, ',');
}

void apply_encoding(const std::string& value, data::ReaderOptions& options) {
  options.encoding = parse_spelling<data::Encoding>(value, ErrorKind::kConfig);
}

constexpr std::array<Key, 7> kKeys = {{{kFormat, apply_format},
                                       {"data.on_bad_row", apply_bad_row},
                                       {"data.separator", apply_separator},
                                       {"data.list_separator", apply_list_separator},
                                       {"data.thousands", apply_thousands},
                                       {"data.na_values", apply_na_values},
                                       {"data.encoding", apply_encoding}}};

}  // namespace

DataSettings::DataSettings(const std::vector<std::string>& sets) {
  std::vector<std::string> names;
  for (const Key& key : kKeys) names.emplace_back(key.name);
  for (const std::string& setting : sets) given_.push_back(known_setting(setting, names));
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
                     [](const KnownSetting& one) { return kKeys[one.key].name == kFormat; });
}

}  // namespace taut::cli
