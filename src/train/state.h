#pragma once
// Numbers of a state as JSON, by one list for both directions.

#include <bit>
#include <cstdint>
#include <nlohmann/json.hpp>

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

  StateFields(nlohmann::json& json, Direction direction) : json_(json), direction_(direction) {}

  template <typename Value>
  void operator()(const char* name, Value& value) {
    if (direction_ == Direction::kWrite) {
      json_[name] = encoded(value);
    } else {
      decode(json_.at(name), value);
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
  static void decode(const nlohmann::json& json, Value& value) {
    json.get_to(value);
  }
  static void decode(const nlohmann::json& json, double& value) {
    value = std::bit_cast<double>(json.get<std::uint64_t>());
  }
  static void decode(const nlohmann::json& json, float& value) {
    value = std::bit_cast<float>(json.get<std::uint32_t>());
  }
  static void decode(const nlohmann::json& json, Measure& value) {
    json.at(0).get_to(value.first);
    decode(json.at(1), value.second);
  }
  template <typename Value>
  static void decode(const nlohmann::json& json, std::vector<Value>& values) {
    values.clear();
    for (const nlohmann::json& one : json) decode(one, values.emplace_back());
  }

  nlohmann::json& json_;
  Direction direction_;
};

/// Adds a section of the numbers that visit passes.
template <typename Visit>
void save_fields(SectionSink& file, const char* section, Visit&& visit) {
  nlohmann::json json = nlohmann::json::object();
  StateFields fields(json, StateFields::Direction::kWrite);
  visit(fields);
  file.add(section, json.dump());
}

/// Reads it back. Errors: kFormat naming file and section.
template <typename Visit>
void load_fields(const SectionSource& file, const char* section, Visit&& visit) {
  try {
    nlohmann::json json = nlohmann::json::parse(file.text(section));
    StateFields fields(json, StateFields::Direction::kRead);
    visit(fields);
  } catch (const nlohmann::json::exception& failed) {
    throw Error(ErrorKind::kFormat, concat("section \"", section, "\" is wrong: ", failed.what()),
                file.path());
  }
}

}  // namespace taut::train
