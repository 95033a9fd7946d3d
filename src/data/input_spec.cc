#include "taut/data/input_spec.h"

#include <cmath>
#include <cstdint>

#include "core/json_text.h"
#include "taut/core/error.h"
#include "taut/core/spelling.h"
#include "taut/core/text.h"

namespace taut::data {

using Json = nlohmann::json;

Json scaling_json(const std::vector<DenseScaling>& scaling) {
  Json list = Json::array();
  for (const DenseScaling& s : scaling) {
    list.push_back(
        {{"kind", static_cast<int>(s.kind)}, {"mean", s.mean}, {"deviation", s.deviation}});
  }
  return list;
}

std::vector<DenseScaling> parse_scaling(const Json& list, const std::string& where) {
  if (!list.is_array()) throw Error(ErrorKind::kFormat, "\"scaling\" must be a list", where);
  std::vector<DenseScaling> scaling;
  for (const Json& s : list) {
    const auto kind = json_member<std::int64_t>(s, "kind", where);
    if (kind < 0 || kind >= static_cast<std::int64_t>(kSpellings<ScalingKind>.size())) {
      throw Error(ErrorKind::kFormat,
                  concat("\"kind\" of a scaling must be in 0..", kSpellings<ScalingKind>.size() - 1,
                         ", got ", kind),
                  where);
    }
    scaling.push_back({.kind = static_cast<ScalingKind>(kind),
                       .mean = json_member<double>(s, "mean", where),
                       .deviation = json_member<double>(s, "deviation", where)});
    check_scaling(scaling.back(), where);
  }
  return scaling;
}

namespace {

// A separator as its code: 0 has a meaning of its own, and any character a place in JSON.
Json text_json(const ReaderOptions& options) {
  Json text = {{"separator", static_cast<int>(options.separator)},
               {"encoding", spelling_of(options.encoding)},
               {"na_values", options.na_values}};
  if (options.list_separator) text["list_separator"] = static_cast<int>(*options.list_separator);
  if (options.thousands != 0) text["thousands"] = static_cast<int>(options.thousands);
  return text;
}

void parse_text(const Json& text, const std::string& where, ReaderOptions& options) {
  const auto character = [&](const char* key) {
    return static_cast<char>(json_member<int>(text, key, where));
  };
  options.separator = character("separator");
  options.encoding = parse_spelling<Encoding>(json_member<std::string>(text, "encoding", where),
                                              ErrorKind::kFormat, where);
  options.na_values = json_member<std::vector<std::string>>(text, "na_values", where);
  if (text.contains("list_separator")) options.list_separator = character("list_separator");
  if (text.contains("thousands")) options.thousands = character("thousands");
}

}  // namespace

void check_scaling(const DenseScaling& scaling, const std::string& where) {
  const auto require = [&](bool holds, const char* name, const char* wanted, double got) {
    if (holds) return;
    throw Error(ErrorKind::kFormat,
                concat("\"", name, "\" of a scaling must be ", wanted, ", got ", got), where);
  };
  require(std::isfinite(scaling.mean), "mean", "a number", scaling.mean);
  require(std::isfinite(scaling.deviation) && scaling.deviation > 0, "deviation",
          "a number above 0", scaling.deviation);
}

Json input_spec(const ReaderOptions& options) {
  return {{"format", options.format},
          {"label", options.schema.label},
          {"dense", options.schema.dense},
          {"categorical", options.schema.categorical},
          {"scaling", scaling_json(options.scaling)},
          {"text", text_json(options)},
          {"skip_bad_rows", options.on_bad_row == OnBadRow::kSkip}};
}

ReaderOptions parse_input_spec(const Json& spec, const std::string& where) {
  ReaderOptions options;
  options.format = json_member<std::string>(spec, "format", where);
  options.schema.label = json_member<std::string>(spec, "label", where);
  options.schema.dense = json_member<std::vector<std::string>>(spec, "dense", where);
  options.schema.categorical = json_member<std::vector<std::string>>(spec, "categorical", where);
  options.scaling = parse_scaling(json_at(spec, "scaling", where), where);
  if (spec.contains("text")) {  // else as by default
    parse_text(json_at(spec, "text", where), where, options);
  }
  const bool skip = json_member<bool>(spec, "skip_bad_rows", where);
  options.on_bad_row = skip ? OnBadRow::kSkip : OnBadRow::kFail;
  return options;
}

}  // namespace taut::data
