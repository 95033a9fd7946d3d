#pragma once
// Numbers of a state as JSON, by one list for both directions.

#include <bit>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/json_text.h"
#include "taut/core/error.h"
#include "taut/core/file.h"
#include "taut/core/text.h"
#include "taut/train/task.h"

namespace taut::train {

/// Writes the values that are passed into JSON, or reads them from it. Doubles and floats travel as
/// their bits, so that nothing is rounded and NaN survives.
class StateFields {
 public:
  enum class Direction { kWrite, kRead };

  /// where: what messages name.
  StateFields(nlohmann::json& json, Direction direction, std::string where = {})
      : json_(json), direction_(direction), where_(std::move(where)) {}

  /// Errors: kFormat, naming where and name, for what is missing or of another kind.
  template <typename Value>
  void operator()(const char* name, Value& value) {
    if (direction_ == Direction::kWrite) {
      json_[name] = encoded(value);
    } else {
      decode(json_at(json_, name, where_), name, value);
    }
  }

 private:
  template <typename Value>
  static nlohmann::json encoded(const Value& value) {
    return value;
  }
  static nlohmann::json encoded(double value) { return std::bit_cast<std::uint64_t>(value); }
  static nlohmann::json encoded(float value) { return std::bit_cast<std::uint32_t>(value); }
  static nlohmann::json encoded(const Measure& value) {
    return {value.first, encoded(value.second)};
  }
  template <typename Value>
  static nlohmann::json encoded(const std::vector<Value>& values) {
    nlohmann::json list = nlohmann::json::array();
    for (const Value& value : values) list.push_back(encoded(value));
    return list;
  }

  template <typename Value>
  void decode(const nlohmann::json& json, const char* name, Value& value) const {
    value = json_value<Value>(json, name, where_);
  }
  void decode(const nlohmann::json& json, const char* name, double& value) const {
    value = std::bit_cast<double>(json_value<std::uint64_t>(json, name, where_));
  }
  void decode(const nlohmann::json& json, const char* name, float& value) const {
    value = std::bit_cast<float>(json_value<std::uint32_t>(json, name, where_));
  }
  void decode(const nlohmann::json& json, const char* name, Measure& value) const {
    if (!json.is_array() || json.size() != 2) {
      detail::throw_json_value(name, "a name and a number", json, where_);
    }
    decode(json[0], name, value.first);
    decode(json[1], name, value.second);
  }
  template <typename Value>
  void decode(const nlohmann::json& json, const char* name, std::vector<Value>& values) const {
    if (!json.is_array()) detail::throw_json_value(name, "a list", json, where_);
    values.clear();
    for (const nlohmann::json& one : json) decode(one, name, values.emplace_back());
  }

  nlohmann::json& json_;
  Direction direction_;
  std::string where_;
};

/// Adds a section of the numbers that visit passes.
template <typename Visit>
void save_fields(SectionSink& file, const char* section, Visit&& visit) {
  nlohmann::json json = nlohmann::json::object();
  StateFields fields(json, StateFields::Direction::kWrite);
  visit(fields);
  file.add(section, json.dump());
}

/// Reads it back. Errors: kFormat naming file, section and field.
template <typename Visit>
void load_fields(const SectionSource& file, const char* section, Visit&& visit) {
  nlohmann::json json = parse_json_section(file, section);
  StateFields fields(json, StateFields::Direction::kRead, section_of(file, section));
  visit(fields);
}

/// Throws kFormat, naming where and the field, unless low <= value <= high.
inline void require_field(std::string_view name, std::int64_t value, std::int64_t low,
                          std::int64_t high, const std::string& where) {
  if (value >= low && value <= high) return;
  throw Error(ErrorKind::kFormat,
              concat("\"", name, "\" must be in ", low, "..", high, ", got ", value), where);
}

/// More steps, examples or bytes than any run has.
inline constexpr std::int64_t kMostCounted = std::int64_t{1} << 53;

}  // namespace taut::train
