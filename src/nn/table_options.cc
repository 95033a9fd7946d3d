#include "nn/table_options.h"

#include <string_view>
#include <type_traits>
#include <vector>

#include "core/json_text.h"
#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/embedding/option_list.h"

namespace taut::nn {
namespace {

using Json = nlohmann::json;
using embedding::Options;

void set_value(std::vector<embedding::TableOptions>& tables, std::string_view, const Json& list) {
  for (const Json& table : list) {
    const std::int64_t distinct_ids =
        table.contains("distinct_ids") ? json_member<std::int64_t>(table, "distinct_ids", {}) : 0;
    tables.push_back(
        {.name = json_member<std::string>(table, "name", {}), .distinct_ids = distinct_ids});
  }
}

// The budget waits for dim and tables, of which it may be a ratio.
void set_value(Bytes&, std::string_view, const Json&) {}

template <typename T>
void set_value(T& value, std::string_view key, const Json& given) {
  if constexpr (Spelled<T>) {
    value = embedding::parse_option<T>(key, json_value<std::string>(given, key, {}));
  } else {
    value = json_value<T>(given, key, {});
  }
}

void set_option(Options& options, const std::string& key, const Json& value) {
  bool found = false;
  std::vector<std::string> known;
  const auto set = [&](const auto& option) {
    known.emplace_back(option.key);
    if (option.key != key) return;
    found = true;
    set_value(option.value, option.key, value);
  };
  try {
    embedding::visit_options(options, set);
  } catch (const Error& failed) {
    if (failed.kind() != ErrorKind::kFormat) throw;
    throw Error(ErrorKind::kConfig,
                concat("option \"", key, "\" has the wrong type: ", failed.what()));
  }
  if (found) return;
  throw Error(ErrorKind::kConfig, concat("unknown option \"", key, "\""), {}, suggest(key, known));
}

Json parse_object(std::string_view text) {
  constexpr std::string_view kWanted = "options must be a JSON object";
  try {
    Json json = parse_json(text);
    if (json.is_object()) return json;
  } catch (const Error& failed) {
    throw Error(ErrorKind::kConfig, concat(kWanted, ": ", failed.what()));
  }
  throw Error(ErrorKind::kConfig, kWanted);
}

// A value as Python would write it.
template <typename T>
Json plain_json(const T& value) {
  if constexpr (std::is_arithmetic_v<T>) {
    return value;
  } else {
    return embedding::option_text(value);
  }
}

}  // namespace

embedding::Options parse_table_options(const std::string& json) {
  const Json all = parse_object(json);
  Options options;
  for (const auto& [key, value] : all.items()) {
    set_option(options, key, value);
  }
  if (all.contains("budget")) {
    const Json& budget = all["budget"];
    const std::string text = budget.is_string() ? budget.get<std::string>() : json_text(budget);
    options.budget = resolve_budget(parse_budget(text), embedding::full_bytes(options));
  }
  return options;
}

std::string table_options_text(const embedding::Options& options) {
  Json all = Json::object();
  embedding::visit_options(options, [&](const auto& option) {
    using T = embedding::OptionValue<decltype(option)>;
    if constexpr (std::is_same_v<T, std::vector<embedding::TableOptions>>) {
      for (const embedding::TableOptions& table : option.value) {
        all[option.key].push_back({{"name", table.name}, {"distinct_ids", table.distinct_ids}});
      }
    } else if constexpr (std::is_same_v<T, Bytes>) {
      if (option.value.count > 0) all[option.key] = format_budget(option.value);
    } else {
      all[option.key] = plain_json(option.value);
    }
  });
  return json_text(all);
}

std::string table_option_list() {
  Json list = Json::array();
  const Options initial;
  const std::vector<embedding::OptionFacts> facts = embedding::option_facts();
  embedding::visit_options(initial, [&](const auto& option) {
    const embedding::OptionFacts& fact = facts[list.size()];
    list.push_back({{"key", fact.key},
                    {"default", plain_json(option.value)},
                    {"range", fact.range},
                    {"help", fact.help},
                    {"keyword", fact.in_python}});
  });
  return json_text(list);
}

}  // namespace taut::nn
