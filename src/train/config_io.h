#pragma once
// Configs as TOML: what reads, writes and checks the keys of any struct that has a visit_fields
// (config_fields.h, classifier_fields.h).

#include <algorithm>
#include <array>
#include <cmath>
#include <concepts>
#include <filesystem>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/toml_text.h"
#include "taut/core/error.h"
#include "taut/core/file.h"
#include "taut/core/spelling.h"
#include "taut/core/text.h"
#include "taut/core/units.h"
#include "taut/train/config.h"

namespace taut::train {

/// Where a value comes from, for messages and for relative paths.
struct Origin {
  std::string where;  ///< "ctr.toml, line 3, embedding.dim" or "--set embedding.dim"
  std::string base;   ///< folder of relative paths
};

/// One number or a list of numbers.
struct NumberList {
  std::vector<double>& numbers;
};

/// Reads and writes an enum's values; specialized for enums that bring functions of their own.
template <typename Enum>
struct EnumText {
  static Enum parse(const std::string& text) {
    return parse_spelling<Enum>(text, ErrorKind::kConfig);
  }
  static std::string_view name(Enum value) { return spelling_of(value); }
};

/// A list of files: relative to the config, with globs and ${VARIABLES}.
struct PathList {
  std::vector<std::string>& paths;
};

/// One file, or "" for none: relative to the config, with ${VARIABLES}.
struct PathText {
  std::string& path;
};

[[noreturn]] void throw_value(const Origin& origin, std::string_view wanted, const toml::node& got);

// read_value(node, value, origin): one overload for each type of member.

void read_value(const toml::node& node, std::string& value, const Origin& origin);
void read_value(const toml::node& node, double& value, const Origin& origin);
void read_value(const toml::node& node, bool& value, const Origin& origin);
void read_value(const toml::node& node, NumberList list, const Origin& origin);
void read_value(const toml::node& node, PathList list, const Origin& origin);
void read_value(const toml::node& node, PathText value, const Origin& origin);
void read_value(const toml::node& node, Budget& value, const Origin& origin);
void read_value(const toml::node& node, CheckpointInterval& value, const Origin& origin);
void read_value(const toml::node& node, BatchPiece& value, const Origin& origin);

template <typename Integer>
  requires(std::is_integral_v<Integer> && !std::same_as<Integer, bool>)
void read_value(const toml::node& node, Integer& value, const Origin& origin) {
  const auto* integer = node.as_integer();
  if (integer == nullptr || !std::in_range<Integer>(integer->get())) {
    throw_value(origin, "a whole number", node);
  }
  value = static_cast<Integer>(integer->get());
}

template <typename T>
void read_value(const toml::node& node, std::vector<T>& values, const Origin& origin) {
  const auto* array = node.as_array();
  if (array == nullptr) throw_value(origin, "a list", node);
  values.clear();
  for (const toml::node& item : *array) read_value(item, values.emplace_back(), origin);
}

template <typename Enum>
  requires std::is_enum_v<Enum>
void read_value(const toml::node& node, Enum& value, const Origin& origin) {
  std::string text;
  read_value(node, text, origin);
  try {
    value = EnumText<Enum>::parse(text);
  } catch (const Error& failed) {
    throw Error(failed.kind(), failed.what(), origin.where);
  }
}

// write_value(value): the TOML spelling of one member.

[[nodiscard]] std::string write_value(const std::string& value);
[[nodiscard]] std::string write_value(double value);
[[nodiscard]] std::string write_value(bool value);
[[nodiscard]] std::string write_value(const NumberList& list);
[[nodiscard]] std::string write_value(const PathList& list);
[[nodiscard]] std::string write_value(const PathText& value);
[[nodiscard]] std::string write_value(const Budget& value);
[[nodiscard]] std::string write_value(const CheckpointInterval& value);
[[nodiscard]] std::string write_value(const BatchPiece& value);

template <typename Integer>
  requires(std::is_integral_v<Integer> && !std::same_as<Integer, bool>)
[[nodiscard]] std::string write_value(Integer value) {
  return std::to_string(value);
}

template <typename Enum>
  requires std::is_enum_v<Enum>
[[nodiscard]] std::string write_value(Enum value) {
  return concat('"', EnumText<Enum>::name(value), '"');
}

template <typename T>
[[nodiscard]] std::string write_value(const std::vector<T>& values) {
  std::vector<std::string> items;
  for (const T& value : values) items.push_back(write_value(value));
  return concat("[", join(items, ", "), "]");
}

/// "section.key" of every key, in order.
template <typename AnyConfig>
[[nodiscard]] std::vector<std::string> keys_of() {
  std::vector<std::string> keys;
  AnyConfig config;
  visit_fields(config, [&](std::string_view section, std::string_view key, auto&&) {
    keys.push_back(concat(section, ".", key));
  });
  return keys;
}

[[noreturn]] void throw_unknown_key(const std::string& name, const std::string& where,
                                    const std::vector<std::string>& known);

/// Sets one key of the config from a node; false when the key does not exist.
template <typename AnyConfig>
bool set_key(AnyConfig& config, std::string_view section, std::string_view key,
             const toml::node& node, const Origin& origin) {
  bool found = false;
  visit_fields(config, [&](std::string_view s, std::string_view k, auto&& value) {
    if (s != section || k != key) return;
    read_value(node, value, origin);
    found = true;
  });
  return found;
}

/// Lays a parsed file over the config. The key task, which says what kind of config it is, is the
/// only one outside a section.
template <typename AnyConfig>
void apply_file(AnyConfig& config, const toml::table& file, const Origin& origin) {
  const std::vector<std::string> known = keys_of<AnyConfig>();
  for (const auto& [section, node] : file) {
    if (section.str() == "task") continue;
    const auto where = [&](const toml::node& at) {
      return concat(origin.where, ", line ", at.source().begin.line);
    };
    const toml::table* keys = node.as_table();
    if (keys == nullptr) throw_unknown_key(std::string(section.str()), where(node), known);
    for (const auto& [key, value] : *keys) {
      const std::string name = concat(section.str(), ".", key.str());
      const Origin here{concat(where(value), ", ", name), origin.base};
      if (!set_key(config, section.str(), key.str(), value, here)) {
        throw_unknown_key(name, where(value), known);
      }
    }
  }
}

/// A setting taken apart: "section.key=value".
struct Setting {
  std::string section;
  std::string key;
  toml::table parsed;  ///< its only entry, "value", or several where the text is not one value
};
[[nodiscard]] Setting parse_setting(const std::string& setting);

template <typename AnyConfig>
void apply_setting(AnyConfig& config, const std::string& text) {
  const Setting setting = parse_setting(text);
  const std::string name = concat(setting.section, ".", setting.key);
  const Origin origin{concat("--set ", name), std::filesystem::current_path().string()};
  if (setting.parsed.size() != 1 ||
      !set_key(config, setting.section, setting.key, *setting.parsed.get("value"), origin)) {
    throw_unknown_key(name, "--set", keys_of<AnyConfig>());
  }
}

/// A config from text with settings over it; see parse_config.
template <typename AnyConfig>
[[nodiscard]] AnyConfig read_config(std::string_view text, const std::string& base,
                                    const std::string& name,
                                    std::span<const std::string> settings) {
  AnyConfig config;
  apply_file(config, parse_toml(text, name), Origin{name, base});
  for (const std::string& setting : settings) apply_setting(config, setting);
  return config;
}

/// The config as TOML that read_config reads back to the same values.
template <typename AnyConfig>
[[nodiscard]] std::string write_config(const AnyConfig& config) {
  std::string text;
  std::string_view open;
  AnyConfig copy = config;
  visit_fields(copy, [&](std::string_view section, std::string_view key, auto&& value) {
    if (section != open) {
      text += concat(open.empty() ? "" : "\n", "[", section, "]\n");
      open = section;
    }
    text += concat(key, " = ", write_value(value), "\n");
  });
  return text;
}

/// Throws kConfig naming the config, key, what is wanted and what was given, unless holds.
template <typename Value>
void require_value(const std::string& name, bool holds, std::string_view key,
                   std::string_view wanted, const Value& got) {
  if (holds) return;
  throw Error(ErrorKind::kConfig, concat(key, " must be ", wanted, ", got ", got), name);
}

/// Checks what all tasks share. Errors: kConfig, as require_value.
void check_common(const std::string& name, const Config& config, std::int64_t largest_batch);

/// Throws kConfig for a schedule of winners that does not end within the epochs: what is evaluated
/// and exported has the last rate, so training must get there. Winners that are asked for (winners:
/// whether a rate is below 1) must begin before the last epoch ends.
void check_winner_schedule(const std::string& name, const Config& config, bool winners);

/// A copy of a config with settings over it, checked.
template <typename AnyConfig, typename Check>
[[nodiscard]] std::shared_ptr<const Config> with_settings(const AnyConfig& config,
                                                          std::span<const std::string> settings,
                                                          Check&& check) {
  auto copy = std::make_shared<AnyConfig>(config);
  for (const std::string& setting : settings) apply_setting(*copy, setting);
  check(*copy, "--set");
  return copy;
}

}  // namespace taut::train
