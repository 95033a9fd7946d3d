#include "taut/train/config.h"

#include <toml++/toml.h>
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <type_traits>

#include "taut/core/error.h"
#include "taut/core/file.h"
#include "taut/core/text.h"
#include "train/config_fields.h"

namespace taut::train {
namespace {

// Where a value comes from, for messages and for relative paths.
struct Origin {
  std::string where;  // "ctr.toml, line 3, embedding.dim" or "--set embedding.dim"
  std::string base;   // folder of relative paths
};

[[noreturn]] void throw_value(const Origin& origin, std::string_view wanted,
                              const toml::node& got) {
  std::ostringstream text;
  if (const auto* string = got.as_string()) {
    text << '"' << string->get() << '"';
  } else {
    got.visit([&](const auto& value) { text << value; });
  }
  throw Error(ErrorKind::kConfig, concat("wanted ", wanted, ", got ", text.str()), origin.where);
}

std::string expand_variables(const std::string& path, const Origin& origin) {
  const auto begin = path.find("${");
  if (begin == std::string::npos) return path;
  const auto end = path.find('}', begin);
  if (end == std::string::npos) {
    throw Error(ErrorKind::kConfig, concat("no closing brace in \"", path, "\""), origin.where);
  }
  const std::string name = path.substr(begin + 2, end - begin - 2);
  const char* value = std::getenv(name.c_str());
  if (value == nullptr) {
    throw Error(ErrorKind::kConfig, concat("the environment variable ", name, " is not set"),
                origin.where, concat("run again with ", name, "=DIRECTORY"));
  }
  return expand_variables(path.substr(0, begin) + value + path.substr(end + 1), origin);
}

std::string absolute_path(const std::string& path, const Origin& origin) {
  const std::filesystem::path expanded = expand_variables(path, origin);
  const std::filesystem::path full =
      expanded.is_absolute() ? expanded : std::filesystem::path(origin.base) / expanded;
  return std::filesystem::absolute(full).lexically_normal().string();
}

// read_value(node, value, origin): one overload for each type of member.

void read_value(const toml::node& node, std::string& value, const Origin& origin) {
  const auto* text = node.as_string();
  if (text == nullptr) throw_value(origin, "a string", node);
  value = text->get();
}

template <typename Integer>
  requires std::is_integral_v<Integer>
void read_value(const toml::node& node, Integer& value, const Origin& origin) {
  const auto* integer = node.as_integer();
  if (integer == nullptr || !std::in_range<Integer>(integer->get())) {
    throw_value(origin, "a whole number", node);
  }
  value = static_cast<Integer>(integer->get());
}

void read_value(const toml::node& node, double& value, const Origin& origin) {
  const std::optional<double> number = node.value<double>();
  if (!node.is_number() || !number || !std::isfinite(*number))
    throw_value(origin, "a number", node);
  value = *number;
}

template <typename T>
void read_value(const toml::node& node, std::vector<T>& values, const Origin& origin) {
  const auto* array = node.as_array();
  if (array == nullptr) throw_value(origin, "a list", node);
  values.clear();
  for (const toml::node& item : *array) read_value(item, values.emplace_back(), origin);
}

void read_value(const toml::node& node, PathList list, const Origin& origin) {
  list.paths.clear();
  if (node.is_string()) {
    read_value(node, list.paths.emplace_back(), origin);
  } else {
    read_value(node, list.paths, origin);
  }
  for (std::string& path : list.paths) path = absolute_path(path, origin);
}

void read_value(const toml::node& node, PathText value, const Origin& origin) {
  read_value(node, value.path, origin);
  if (!value.path.empty()) value.path = absolute_path(value.path, origin);
}

void read_value(const toml::node& node, Budget& value, const Origin& origin) {
  try {
    if (const auto* text = node.as_string()) {
      value = parse_budget(text->get());
    } else if (const auto* integer = node.as_integer()) {
      value = parse_budget(std::to_string(integer->get()));
    } else if (const auto* number = node.as_floating_point()) {
      value = parse_ratio(concat(number->get()));
    } else {
      throw_value(origin, "bytes (\"16MiB\") or a ratio (\"1/10\")", node);
    }
  } catch (const Error& failed) {
    throw Error(failed.kind(), failed.what(), origin.where);
  }
}

void read_value(const toml::node& node, CheckpointInterval& value, const Origin& origin) {
  constexpr std::string_view kWanted = "steps (1000) or a time (\"5m\", \"30s\", \"1h\")";
  value = {.steps = 0, .seconds = 0};
  if (const auto* integer = node.as_integer()) {
    if (integer->get() < 0) throw_value(origin, kWanted, node);
    value.steps = integer->get();
    return;
  }
  const auto* text = node.as_string();
  if (text == nullptr) throw_value(origin, kWanted, node);
  const std::string& spelled = text->get();
  double number = 0;
  const auto parsed = std::from_chars(spelled.data(), spelled.data() + spelled.size(), number);
  const std::string_view unit(parsed.ptr, spelled.data() + spelled.size());
  const double unit_seconds = unit == "s" ? 1 : unit == "m" ? 60 : unit == "h" ? 3600 : 0;
  if (parsed.ec != std::errc{} || unit_seconds == 0 || !(number > 0)) {
    throw_value(origin, kWanted, node);
  }
  value.seconds = number * unit_seconds;
}

template <typename Enum>
struct Spelling {
  const char* name;
  Enum value;
};

constexpr std::array<Spelling<data::ScalingKind>, 3> kScalings = {{
    {"none", data::ScalingKind::kNone},
    {"standard", data::ScalingKind::kStandard},
    {"log", data::ScalingKind::kLog},
}};
constexpr std::array<Spelling<data::OnBadRow>, 2> kOnBadRow = {{
    {"fail", data::OnBadRow::kFail},
    {"skip", data::OnBadRow::kSkip},
}};

template <typename Enum, std::size_t N>
Enum enum_of(const std::string& text, const std::array<Spelling<Enum>, N>& spellings) {
  std::vector<std::string> known;
  for (const auto& spelling : spellings) {
    if (text == spelling.name) return spelling.value;
    known.emplace_back(spelling.name);
  }
  throw Error(ErrorKind::kConfig, concat("unknown value \"", text, "\""), {}, suggest(text, known));
}

template <typename Enum, std::size_t N>
std::string name_of(Enum value, const std::array<Spelling<Enum>, N>& spellings) {
  return std::find_if(spellings.begin(), spellings.end(),
                      [&](const auto& spelling) { return spelling.value == value; })
      ->name;
}

void parse_enum(const std::string& text, embedding::ValueType& value) {
  value = embedding::parse_value_type(text);
}
void parse_enum(const std::string& text, embedding::Admission& value) {
  value = embedding::parse_admission(text);
}
void parse_enum(const std::string& text, embedding::Optimizer& value) {
  value = embedding::parse_optimizer(text);
}
void parse_enum(const std::string& text, embedding::OnNan& value) {
  value = embedding::parse_on_nan(text);
}
void parse_enum(const std::string& text, embedding::Keys& value) {
  value = embedding::parse_keys(text);
}
void parse_enum(const std::string& text, data::ScalingKind& value) {
  value = enum_of(text, kScalings);
}
void parse_enum(const std::string& text, data::OnBadRow& value) {
  value = enum_of(text, kOnBadRow);
}

std::string enum_name(data::ScalingKind value) {
  return name_of(value, kScalings);
}
std::string enum_name(data::OnBadRow value) {
  return name_of(value, kOnBadRow);
}
template <typename Enum>
std::string enum_name(Enum value) {
  return embedding::to_string(value);
}

template <typename Enum>
  requires std::is_enum_v<Enum>
void read_value(const toml::node& node, Enum& value, const Origin& origin) {
  std::string text;
  read_value(node, text, origin);
  try {
    parse_enum(text, value);
  } catch (const Error& failed) {
    throw Error(failed.kind(), failed.what(), origin.where);
  }
}

// Sets one key of the config from a node; false when the key does not exist.
bool set_key(Config& config, std::string_view section, std::string_view key, const toml::node& node,
             const Origin& origin) {
  bool found = false;
  visit_fields(config, [&](std::string_view s, std::string_view k, auto&& value) {
    if (s != section || k != key) return;
    read_value(node, value, origin);
    found = true;
  });
  return found;
}

[[noreturn]] void throw_unknown_key(const std::string& name, const std::string& where) {
  throw Error(ErrorKind::kConfig, concat("unknown key \"", name, "\""), where,
              suggest(name, config_keys()));
}

void apply_file(Config& config, const toml::table& file, const Origin& origin) {
  for (const auto& [section, node] : file) {
    const auto where = [&](const toml::node& at) {
      return concat(origin.where, ", line ", at.source().begin.line);
    };
    const toml::table* keys = node.as_table();
    if (keys == nullptr) throw_unknown_key(std::string(section.str()), where(node));
    for (const auto& [key, value] : *keys) {
      const std::string name = concat(section.str(), ".", key.str());
      const Origin here{concat(where(value), ", ", name), origin.base};
      if (!set_key(config, section.str(), key.str(), value, here)) {
        throw_unknown_key(name, where(value));
      }
    }
  }
}

void apply_setting(Config& config, const std::string& setting) {
  const auto equals = setting.find('=');
  const auto dot = setting.find('.');
  if (equals == std::string::npos || dot == std::string::npos || dot > equals) {
    throw Error(ErrorKind::kConfig, concat("not a setting: \"", setting, "\""), {},
                "write --set section.key=value");
  }
  const std::string name = setting.substr(0, equals);
  const std::string text = setting.substr(equals + 1);
  toml::table parsed;
  try {
    parsed = toml::parse("value = " + text);
  } catch (const toml::parse_error&) {
    parsed = toml::table{{"value", text}};  // a bare word: a string
  }
  const Origin origin{concat("--set ", name), std::filesystem::current_path().string()};
  const toml::node* node = parsed.get("value");
  if (parsed.size() != 1 ||
      !set_key(config, name.substr(0, dot), name.substr(dot + 1), *node, origin)) {
    throw_unknown_key(name, "--set");
  }
}

void check_ranges(const Config& c, const std::string& name) {
  const auto require = [&](bool holds, std::string_view key, std::string_view wanted,
                           const auto& got) {
    if (holds) return;
    throw Error(ErrorKind::kConfig, concat(key, " must be ", wanted, ", got ", got), name);
  };
  require(!c.data.train.empty(), "data.train", "at least one file", "none");
  require(!c.data.schema.label.empty(), "data.label", "the name of a column", "none");
  require(!c.data.schema.dense.empty() || !c.data.schema.categorical.empty(),
          "data.dense or data.categorical", "a list of columns", "none");
  require(c.data.shuffle_rows >= 0, "data.shuffle", "0 or more rows", c.data.shuffle_rows);
  require(c.train.epochs >= 1, "train.epochs", "at least 1", c.train.epochs);
  require(c.train.batch_size >= 1 && c.train.batch_size <= (1 << 24), "train.batch_size",
          "in 1..16777216", c.train.batch_size);
  require(c.train.log_every >= 1, "train.log_every", "at least 1", c.train.log_every);
  require(c.train.early_stop >= 0, "train.early_stop", "0 or more", c.train.early_stop);
  require(c.train.early_stop == 0 || !c.data.valid.empty(), "data.valid",
          "given when train.early_stop is", "none");
}

// write_value(value): the TOML spelling of one member.

std::string write_value(const std::string& value) {
  std::ostringstream text;
  text << toml::value<std::string>(value);
  return text.str();
}

template <typename Integer>
  requires std::is_integral_v<Integer>
std::string write_value(Integer value) {
  return std::to_string(value);
}

std::string write_value(double value) {
  std::array<char, 40> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  std::string spelled(text.data(), end);
  if (spelled.find_first_of(".e") == std::string::npos) spelled += ".0";
  return spelled;
}

template <typename T>
std::string write_value(const std::vector<T>& values) {
  std::vector<std::string> items;
  for (const T& value : values) items.push_back(write_value(value));
  return concat("[", join(items, ", "), "]");
}

std::string write_value(const PathList& list) {
  return write_value(list.paths);
}

std::string write_value(const PathText& value) {
  return write_value(value.path);
}

std::string write_value(const Budget& value) {
  const bool is_bytes = std::holds_alternative<Bytes>(value);
  return concat('"', format_budget(value), is_bytes ? "B" : "", '"');
}

std::string write_value(const CheckpointInterval& value) {
  if (value.seconds > 0) return concat('"', value.seconds, "s\"");
  return std::to_string(value.steps);
}

template <typename Enum>
  requires std::is_enum_v<Enum>
std::string write_value(Enum value) {
  return concat('"', enum_name(value), '"');
}

}  // namespace

Config load_config(const std::string& path, std::span<const std::string> settings) {
  const std::string text = read_file(path);
  const std::string base = std::filesystem::absolute(path).parent_path().string();
  return parse_config(text, base, path, settings);
}

Config parse_config(std::string_view text, const std::string& base, const std::string& name,
                    std::span<const std::string> settings) {
  Config config;
  try {
    apply_file(config, toml::parse(text), Origin{name, base});
  } catch (const toml::parse_error& failed) {
    throw Error(ErrorKind::kConfig, std::string(failed.description()),
                concat(name, ", line ", failed.source().begin.line));
  }
  for (const std::string& setting : settings) apply_setting(config, setting);
  check_ranges(config, name);
  return config;
}

std::string to_toml(const Config& config) {
  std::string text;
  std::string_view open;
  Config copy = config;
  visit_fields(copy, [&](std::string_view section, std::string_view key, auto&& value) {
    if (section != open) {
      text += concat(open.empty() ? "" : "\n", "[", section, "]\n");
      open = section;
    }
    text += concat(key, " = ", write_value(value), "\n");
  });
  return text;
}

std::vector<std::string> config_keys() {
  std::vector<std::string> keys;
  Config config;
  visit_fields(config, [&](std::string_view section, std::string_view key, auto&&) {
    keys.push_back(concat(section, ".", key));
  });
  return keys;
}

}  // namespace taut::train
