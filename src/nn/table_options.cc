#include "nn/table_options.h"

#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::nn {
namespace {

using Json = nlohmann::json;
using embedding::Options;

using Setter = std::function<void(Options&, const Json&)>;

template <typename T>
Setter member(T Options::* field) {
  return [field](Options& options, const Json& value) { options.*field = value.get<T>(); };
}

template <typename T, typename Parse>
Setter spelled(T Options::* field, Parse parse) {
  return [field, parse](Options& options, const Json& value) {
    options.*field = parse(value.get<std::string>());
  };
}

void set_tables(Options& options, const Json& list) {
  for (const Json& table : list) {
    options.tables.push_back({.name = table.at("name").get<std::string>(),
                              .distinct_ids = table.value("distinct_ids", std::int64_t{0})});
  }
}

const std::map<std::string, Setter>& setters() {
  static const std::map<std::string, Setter> all = {
      {"method", member(&Options::method)},
      {"tables", set_tables},
      {"dim", member(&Options::dim)},
      {"value_type", spelled(&Options::value_type, embedding::parse_value_type)},
      {"admission", spelled(&Options::admission, embedding::parse_admission)},
      {"keys", spelled(&Options::keys, embedding::parse_keys)},
      {"cold_share", member(&Options::cold_share)},
      {"chunk", member(&Options::chunk)},
      {"beta", member(&Options::beta)},
      {"decay", member(&Options::decay)},
      {"period", member(&Options::period)},
      {"optimizer", spelled(&Options::optimizer, embedding::parse_optimizer)},
      {"adam_beta1", member(&Options::adam_beta1)},
      {"adam_beta2", member(&Options::adam_beta2)},
      {"gradient_clip", member(&Options::gradient_clip)},
      {"l2", member(&Options::l2)},
      {"on_nan", spelled(&Options::on_nan, embedding::parse_on_nan)},
      {"sketch_share", member(&Options::sketch_share)},
      {"reserve", member(&Options::reserve)},
      {"hysteresis", member(&Options::hysteresis)},
      {"precision_ratio", member(&Options::precision_ratio)},
      {"cold_learning_rate", member(&Options::cold_learning_rate)},
      {"learning_rate", member(&Options::learning_rate)},
      {"initial_accumulator", member(&Options::initial_accumulator)},
      {"epsilon", member(&Options::epsilon)},
      {"seed", member(&Options::seed)},
  };
  return all;
}

void set_option(Options& options, const std::string& key, const Json& value) {
  const auto setter = setters().find(key);
  if (setter == setters().end()) {
    std::vector<std::string> known = {"budget"};
    for (const auto& [name, set] : setters()) known.push_back(name);
    throw Error(ErrorKind::kConfig, concat("unknown option \"", key, "\""), {},
                suggest(key, known));
  }
  try {
    setter->second(options, value);
  } catch (const Json::exception&) {
    throw Error(ErrorKind::kConfig,
                concat("option \"", key, "\" has the wrong type: ", value.dump()));
  }
}

}  // namespace

embedding::Options parse_table_options(const std::string& json) {
  const Json all = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!all.is_object()) throw Error(ErrorKind::kConfig, "options must be a JSON object");
  Options options;
  for (const auto& [key, value] : all.items()) {
    if (key != "budget") set_option(options, key, value);
  }
  if (all.contains("budget")) {
    const Json& budget = all["budget"];
    const std::string text = budget.is_string() ? budget.get<std::string>() : budget.dump();
    options.budget = resolve_budget(parse_budget(text), embedding::full_bytes(options));
  }
  return options;
}

}  // namespace taut::nn
