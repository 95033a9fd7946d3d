#include "second_outcome.h"

#include <cmath>
#include <functional>
#include <unordered_map>
#include <vector>

#include "taut/core/text.h"

namespace taut::data {
namespace {

constexpr double kAlways = 0.999;     // of the rows with the value
constexpr double kBeyondChance = 21;  // nats: e^-21 is below 1e-9
constexpr std::int64_t kLeastRows = 20;
constexpr std::int64_t kMostValues = 20;

// Rows that have something in common.
struct Group {
  std::string name;
  std::int64_t rows = 0;
  std::int64_t positives = 0;

  void add(double label) {
    ++rows;
    positives += label == 1 ? 1 : 0;
  }
};

// The label that nearly all rows of the group have, if chance does not explain it.
std::optional<int> label_of(const Group& group, const Group& all) {
  if (group.rows < kLeastRows || group.rows >= all.rows) return std::nullopt;
  const auto rows = static_cast<double>(group.rows);
  const double rate = static_cast<double>(all.positives) / static_cast<double>(all.rows);
  for (const int label : {1, 0}) {
    const double share =
        static_cast<double>(label == 1 ? group.positives : group.rows - group.positives) / rows;
    const double usual = label == 1 ? rate : 1 - rate;
    if (share >= kAlways && -rows * std::log(usual) > kBeyondChance) return label;
  }
  return std::nullopt;
}

// A group for each value of a column that has few.
std::vector<Group> groups_by_value(const ColumnSample& column, const ColumnSample& label) {
  std::unordered_map<std::uint64_t, std::size_t> places;
  std::vector<Group> groups;
  for (std::size_t row = 0; row < column.keys.size(); ++row) {
    if (std::isnan(label.numbers[row])) continue;
    const auto [place, is_new] = places.try_emplace(column.keys[row], groups.size());
    if (is_new) {
      const bool known = !column.numbers.empty() && !std::isnan(column.numbers[row]);
      groups.push_back({.name = known ? concat("the value ", column.numbers[row])
                                      : std::string("one of its values")});
    }
    groups[place->second].add(label.numbers[row]);
  }
  return groups;
}

// Whether there is a number, and whether it is not 0.
std::vector<Group> groups_by_presence(const ColumnSample& column, const ColumnSample& label) {
  Group there{.name = "a value that is there"};
  Group not_zero{.name = "a value other than 0"};
  for (std::size_t row = 0; row < column.numbers.size(); ++row) {
    if (std::isnan(label.numbers[row]) || std::isnan(column.numbers[row])) continue;
    there.add(label.numbers[row]);
    if (column.numbers[row] != 0) not_zero.add(label.numbers[row]);
  }
  return {there, not_zero};
}

}  // namespace

std::optional<Implication> implied_label(const ColumnSample& column, std::int64_t distinct,
                                         const ColumnSample& label) {
  Group all;
  for (const double value : label.numbers) {
    if (!std::isnan(value)) all.add(value);
  }
  if (column.keys.size() != label.numbers.size() || distinct < 2) return std::nullopt;
  const bool few = distinct <= kMostValues;
  if (!few && column.numbers.empty()) return std::nullopt;
  std::optional<Implication> found;
  for (const Group& group :
       few ? groups_by_value(column, label) : groups_by_presence(column, label)) {
    const std::optional<int> implied = label_of(group, all);
    if (!implied || (found && found->label >= *implied)) continue;
    found = {
        .value = group.name, .label = *implied, .rows = group.rows, .whole = !few || distinct == 2};
  }
  return found;
}

}  // namespace taut::data
