#include "taut/data/input_spec.h"

#include "taut/core/error.h"
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

std::vector<DenseScaling> parse_scaling(const Json& list) {
  std::vector<DenseScaling> scaling;
  for (const Json& s : list) {
    scaling.push_back({.kind = static_cast<ScalingKind>(s.at("kind").get<int>()),
                       .mean = s.at("mean").get<double>(),
                       .deviation = s.at("deviation").get<double>()});
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
  return text;
}

void parse_text(const Json& text, ReaderOptions& options) {
  const auto character = [](const Json& code) { return static_cast<char>(code.get<int>()); };
  options.separator = character(text.at("separator"));
  options.encoding =
      parse_spelling<Encoding>(text.at("encoding").get<std::string>(), ErrorKind::kFormat);
  options.na_values = text.at("na_values").get<std::vector<std::string>>();
  if (text.contains("list_separator")) {
    options.list_separator = character(text.at("list_separator"));
  }
}

}  // namespace

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
  try {
    options.format = spec.at("format").get<std::string>();
    options.schema.label = spec.at("label").get<std::string>();
    options.schema.dense = spec.at("dense").get<std::vector<std::string>>();
    options.schema.categorical = spec.at("categorical").get<std::vector<std::string>>();
    options.scaling = parse_scaling(spec.at("scaling"));
    if (spec.contains("text")) parse_text(spec.at("text"), options);  // else as by default
    const bool skip = spec.at("skip_bad_rows").get<bool>();
    options.on_bad_row = skip ? OnBadRow::kSkip : OnBadRow::kFail;
  } catch (const Json::exception& failed) {
    throw Error(ErrorKind::kFormat, concat("the input spec is wrong: ", failed.what()), where);
  }
  return options;
}

}  // namespace taut::data
