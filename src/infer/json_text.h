#pragma once
// JSON text from a file that may hold anything.

#include <nlohmann/json.hpp>
#include <string_view>

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::infer {

/// How deep what we write may lie; deeper text could not be written again without exhausting the
/// stack.
inline constexpr int kDeepestJson = 64;

/// Errors: kFormat for text that is no JSON or lies too deep.
[[nodiscard]] inline nlohmann::json parse_json(std::string_view text) {
  using Json = nlohmann::json;
  const auto shallow = [](int depth, Json::parse_event_t, Json&) {
    if (depth <= kDeepestJson) return true;
    throw Error(ErrorKind::kFormat, concat("JSON deeper than ", kDeepestJson, " levels"));
  };
  try {
    return Json::parse(text, shallow);
  } catch (const Json::exception& failed) {
    throw Error(ErrorKind::kFormat, concat("no JSON: ", failed.what()));
  }
}

}  // namespace taut::infer
