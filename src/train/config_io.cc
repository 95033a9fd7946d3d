#include "train/config_io.h"

#include <charconv>
#include <cstdlib>

namespace taut::train {
namespace {

// Values stand as they are: what looks like a variable in one is none.
std::string expand_variables(std::string_view path, const Origin& origin) {
  std::string expanded;
  for (;;) {
    const auto begin = path.find("${");
    expanded += path.substr(0, begin);
    if (begin == std::string_view::npos) return expanded;
    const auto end = path.find('}', begin);
    if (end == std::string_view::npos) {
      throw Error(ErrorKind::kConfig, concat("no closing brace in \"", path, "\""), origin.where);
    }
    const std::string name(path.substr(begin + 2, end - begin - 2));
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) {
      throw Error(ErrorKind::kConfig, concat("the environment variable ", name, " is not set"),
                  origin.where, concat("run again with ", name, "=DIRECTORY"));
    }
    expanded += value;
    path.remove_prefix(end + 1);
  }
}

std::string absolute_path(const std::string& path, const Origin& origin) {
  const std::filesystem::path expanded = expand_variables(path, origin);
  const std::filesystem::path full =
      expanded.is_absolute() ? expanded : std::filesystem::path(origin.base) / expanded;
  const std::string absolute = std::filesystem::absolute(full).lexically_normal().string();
  if (is_utf8(absolute)) return absolute;
  throw Error(ErrorKind::kConfig, concat("a path that is no UTF-8: \"", absolute, "\""),
              origin.where, "rename the folder or file");
}

}  // namespace

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

void read_value(const toml::node& node, std::string& value, const Origin& origin) {
  const auto* text = node.as_string();
  if (text == nullptr) throw_value(origin, "a string", node);
  value = text->get();
}

void read_value(const toml::node& node, double& value, const Origin& origin) {
  const std::optional<double> number = node.value<double>();
  if (!node.is_number() || !number || !std::isfinite(*number))
    throw_value(origin, "a number", node);
  value = *number;
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

void read_value(const toml::node& node, BatchPiece& value, const Origin& origin) {
  const auto* text = node.as_string();
  const auto* integer = node.as_integer();
  if (text != nullptr && text->get() == "auto") {
    value.given.reset();
  } else if (integer != nullptr) {
    value.given = integer->get();
  } else {
    throw_value(origin, "examples (256) or \"auto\"", node);
  }
}

std::string write_value(const std::string& value) {
  std::ostringstream text;
  text << toml::value<std::string>(value);
  return text.str();
}

std::string write_value(double value) {
  std::array<char, 40> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  std::string spelled(text.data(), end);
  if (spelled.find_first_of(".e") == std::string::npos) spelled += ".0";
  return spelled;
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

std::string write_value(const BatchPiece& value) {
  return value.given ? write_value(*value.given) : "\"auto\"";
}

void read_value(const toml::node& node, NumberList list, const Origin& origin) {
  list.numbers.clear();
  if (node.is_array()) {
    read_value(node, list.numbers, origin);
  } else {
    read_value(node, list.numbers.emplace_back(), origin);
  }
}

void read_value(const toml::node& node, bool& value, const Origin& origin) {
  const auto* truth = node.as_boolean();
  if (truth == nullptr) throw_value(origin, "true or false", node);
  value = truth->get();
}

std::string write_value(const NumberList& list) {
  return list.numbers.size() == 1 ? write_value(list.numbers[0]) : write_value(list.numbers);
}

std::string write_value(bool value) {
  return value ? "true" : "false";
}

void throw_unknown_key(const std::string& name, const std::string& where,
                       const std::vector<std::string>& known) {
  throw Error(ErrorKind::kConfig, concat("unknown key \"", name, "\""), where,
              suggest(name, known));
}

Setting parse_setting(const std::string& setting) {
  const auto equals = setting.find('=');
  const auto dot = setting.find('.');
  if (equals == std::string::npos || dot == std::string::npos || dot > equals) {
    throw Error(ErrorKind::kConfig, concat("not a setting: \"", setting, "\""), {},
                "write --set section.key=value");
  }
  return {.section = setting.substr(0, dot),
          .key = setting.substr(dot + 1, equals - dot - 1),
          .parsed = parse_toml_value(setting.substr(equals + 1),
                                     concat("--set ", setting.substr(0, equals)))};
}

void check_common(const std::string& name, const Config& c, std::int64_t largest_batch) {
  const auto require = [&](bool holds, std::string_view key, std::string_view wanted,
                           const auto& got) { require_value(name, holds, key, wanted, got); };
  require(!c.data.train.empty(), "data.train", "at least one file", "none");
  require(c.train.epochs >= 1, "train.epochs", "at least 1", c.train.epochs);
  require(c.train.epochs <= kMostEpochs, "train.epochs", concat("at most ", kMostEpochs),
          c.train.epochs);
  require(c.train.batch_size >= 1 && c.train.batch_size <= largest_batch, "train.batch_size",
          concat("in 1..", largest_batch), c.train.batch_size);
  require(c.train.log_every >= 1, "train.log_every", "at least 1", c.train.log_every);
  require(c.train.early_stop >= 0, "train.early_stop", "0 or more", c.train.early_stop);
  require(c.train.early_stop == 0 || !c.data.valid.empty(), "data.valid",
          "given when train.early_stop is", "none");
}

void check_winner_schedule(const std::string& name, const Config& config, bool winners) {
  const WinnerSchedule& schedule = config.winners;
  const auto epochs = static_cast<double>(std::max<std::int64_t>(config.train.epochs, 1));
  require_value(name, schedule.from >= 0, "model.winner_from", "0 or more epochs", schedule.from);
  require_value(name, schedule.ramp >= 0, "model.winner_ramp", "0 or more epochs", schedule.ramp);
  const double reached = schedule.from + schedule.ramp;
  require_value(name, reached <= epochs, "model.winner_from + model.winner_ramp",
                concat("at most train.epochs (", config.train.epochs, ")"), reached);
  require_value(name, !winners || schedule.from < epochs, "model.winner_from",
                concat("below train.epochs (", config.train.epochs,
                       ") for the winners of model.winner_rate to begin"),
                schedule.from);
}

}  // namespace taut::train
