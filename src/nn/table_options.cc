#include "nn/table_options.h"

#include <nlohmann/json.hpp>
#include <string_view>
#include <type_traits>
#include <vector>

#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/embedding/option_list.h"

namespace taut::nn {
namespace {

using Json = nlohmann::json;
using embedding::Options;

void set_value(std::vector<embedding::TableOptions>& tables, std::string_view, const Json& list) {
  for (const Json& table : list) {
    tables.push_back({.name = table.at("name").get<std::string>(),
                      .distinct_ids = table.value("distinct_ids", std::int64_t{0})});
  }
}

// The budget waits for dim and tables, of which it may be a ratio.
void set_value(Bytes&, std::string_view, const Json&) {}

template <typename T>
void set_value(T& value, std::string_view key, const Json& given) {
  if constexpr (Spelled<T>) {
    value = embedding::parse_option<T>(key, given.get<std::string>());
  } else {
    value = given.get<T>();
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
  } catch (const Json::exception&) {
    throw Error(ErrorKind::kConfig,
                concat("option \"", key, "\" has the wrong type: ", value.dump()));
  }
  if (found) return;
  throw Error(ErrorKind::kConfig, concat("unknown option \"", key, "\""), {}, suggest(key, known));
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
  const Json all = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!all.is_object()) throw Error(ErrorKind::kConfig, "options must be a JSON object");
  Options options;
  for (const auto& [key, value] : all.items()) {
    set_option(options, key, value);
  }
  if (all.contains("budget")) {
    const Json& budget = all["budget"];
    const std::string text = budget.is_string() ? budget.get<std::string>() : budget.dump();
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
  return all.dump();
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
  return list.dump();
}

}  // namespace taut::nn
