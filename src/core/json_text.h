#pragma once
// JSON text from a file that may hold anything. For areas that link nlohmann_json.

#include <cmath>
#include <concepts>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "taut/core/error.h"
#include "taut/core/file.h"
#include "taut/core/text.h"

namespace taut {

/// How deep what we write may lie; deeper text could not be written or copied again without
/// exhausting the stack.
inline constexpr int kDeepestJson = 64;

/// where: what messages name, a file or a file and section. Errors: kFormat for text that is no
/// JSON or lies too deep.
[[nodiscard]] inline nlohmann::json parse_json(std::string_view text,
                                               const std::string& where = {}) {
  using Json = nlohmann::json;
  const auto shallow = [&](int depth, Json::parse_event_t, Json&) {
    if (depth <= kDeepestJson) return true;
    throw Error(ErrorKind::kFormat, concat("JSON deeper than ", kDeepestJson, " levels"), where);
  };
  try {
    return Json::parse(text, shallow);
  } catch (const Json::exception& failed) {
    throw Error(ErrorKind::kFormat, concat("no JSON: ", failed.what()), where);
  }
}

/// What messages about a section of a file name.
[[nodiscard]] inline std::string section_of(const SectionSource& file, std::string_view section) {
  return concat(file.path(), ", section \"", section, "\"");
}

/// A section of a file. Errors: kFormat naming file and section.
[[nodiscard]] inline nlohmann::json parse_json_section(const SectionSource& file,
                                                       std::string_view section) {
  return parse_json(file.text(section), section_of(file, section));
}

/// A whole file that holds an object. Errors: kFormat, kNotFound, kIo, naming it.
[[nodiscard]] inline nlohmann::json read_json_object(const std::string& path) {
  nlohmann::json json = parse_json(read_file(path), path);
  if (!json.is_object()) throw Error(ErrorKind::kFormat, "not a JSON object", path);
  return json;
}

/// JSON for people and files: what is no UTF-8 becomes the sign for that.
[[nodiscard]] inline std::string json_text(const nlohmann::json& json, int indent = -1) {
  return json.dump(indent, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// A number, or null for what JSON has no number for.
[[nodiscard]] inline nlohmann::json json_number(double value) {
  return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json(nullptr);
}

namespace detail {

[[noreturn]] inline void throw_json_value(std::string_view key, std::string_view wanted,
                                          const nlohmann::json& got, const std::string& where) {
  constexpr std::size_t kShown = 60;
  std::string shown = json_text(got);
  if (shown.size() > kShown) shown = concat(shown.substr(0, kShown), "...");
  throw Error(ErrorKind::kFormat, concat("\"", key, "\" must be ", wanted, ", got ", shown), where);
}

template <typename T>
inline constexpr bool kIsList = false;
template <typename T>
inline constexpr bool kIsList<std::vector<T>> = true;

}  // namespace detail

/// A value as a T: bool, a number (whole ones in T's range; others finite), text, or a list of
/// these. key: what messages call it. Errors: kFormat naming where, key, what is wanted and what is
/// there.
template <typename T>
[[nodiscard]] T json_value(const nlohmann::json& value, std::string_view key,
                           const std::string& where) {
  if constexpr (std::same_as<T, bool>) {
    if (value.is_boolean()) return value.get<bool>();
    detail::throw_json_value(key, "true or false", value, where);
  } else if constexpr (std::integral<T>) {
    const bool fits = value.is_number_unsigned()  ? std::in_range<T>(value.get<std::uint64_t>())
                      : value.is_number_integer() ? std::in_range<T>(value.get<std::int64_t>())
                                                  : false;
    if (fits) return value.get<T>();
    detail::throw_json_value(
        key, std::is_unsigned_v<T> ? "a whole number from 0" : "a whole number", value, where);
  } else if constexpr (std::floating_point<T>) {
    if (value.is_number() && std::isfinite(value.get<T>())) return value.get<T>();
    detail::throw_json_value(key, "a number", value, where);
  } else if constexpr (std::same_as<T, std::string>) {
    if (value.is_string()) return value.get<std::string>();
    detail::throw_json_value(key, "text", value, where);
  } else {
    static_assert(detail::kIsList<T>);
    if (!value.is_array()) detail::throw_json_value(key, "a list", value, where);
    T list;
    for (const nlohmann::json& one : value) {
      list.push_back(json_value<typename T::value_type>(one, key, where));
    }
    return list;
  }
}

/// The member of an object. Errors: kFormat naming where and key when it is not there.
[[nodiscard]] inline const nlohmann::json& json_at(const nlohmann::json& object,
                                                   std::string_view key, const std::string& where) {
  if (object.is_object()) {
    const auto found = object.find(key);
    if (found != object.end()) return *found;
  }
  throw Error(ErrorKind::kFormat, concat("\"", key, "\" is missing"), where);
}

/// json_value() of a member.
template <typename T>
[[nodiscard]] T json_member(const nlohmann::json& object, std::string_view key,
                            const std::string& where) {
  return json_value<T>(json_at(object, key, where), key, where);
}

}  // namespace taut
