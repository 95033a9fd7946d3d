#include "label_choice.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::data {
namespace {

constexpr std::int64_t kMostRatings = 21;  // 0, 0.5, ... 10
constexpr double kLeastShare = 0.02;       // of the rarer label

LabelChoice by_threshold(const Facts& facts, double threshold) {
  LabelChoice choice{.label = concat(facts.sample->name, " >= ", threshold),
                     .reason = {},
                     .sample = *facts.sample};
  double positives = 0;
  for (double& number : choice.sample.numbers) {
    if (std::isnan(number)) continue;
    number = number >= threshold ? 1 : 0;
    positives += number;
  }
  const auto present = static_cast<double>(facts.sample->numbers.size()) -
                       static_cast<double>(facts.sample->missing);
  choice.reason = concat("values from ", facts.lowest, " to ", facts.highest, ", of which ",
                         std::lround(100 * positives / std::max(present, 1.0)), " % are ",
                         threshold, " or more");
  return choice;
}

bool is_rating(const Facts& facts) {
  const SampleKind kind = facts.sample->kind;
  return (kind == SampleKind::kInteger || kind == SampleKind::kNumber) && facts.distinct >= 3 &&
         facts.distinct <= kMostRatings && facts.sample->strays.count() == 0;
}

bool is_rating_name(const std::string& name) {
  return is_one_of(name, {"rating", "ratings", "stars", "score", "review_score", "overall",
                          "overall_rating", "star_rating", "grade"});
}

// From which rating on people like what they rate: 4 of 5, 8 of 10; else what halves the rows best.
double guess_threshold(const Facts& facts) {
  std::vector<double> numbers;
  for (const double number : facts.sample->numbers) {
    if (!std::isnan(number)) numbers.push_back(number);
  }
  std::sort(numbers.begin(), numbers.end());
  const auto share_from = [&](double threshold) {
    const auto from = std::lower_bound(numbers.begin(), numbers.end(), threshold);
    return static_cast<double>(numbers.end() - from) / static_cast<double>(numbers.size());
  };
  for (const double usual : {facts.highest <= 5 ? 4.0 : 8.0}) {
    const double share = facts.highest <= 10 ? share_from(usual) : 0;
    if (share >= kLeastShare && share <= 1 - kLeastShare) return usual;
  }
  double best = facts.highest;
  for (const double number : numbers) {
    if (std::abs(share_from(number) - 0.5) < std::abs(share_from(best) - 0.5)) best = number;
  }
  return best;
}

// How a column that is no label could be made one.
std::string label_advice(const Facts& facts) {
  const std::string& name = facts.sample->name;
  if (facts.sample->numbers.empty()) {
    return concat("write its values as 0 and 1 (or false and true) into the file",
                  facts.distinct == 2 ? ", 1 for the one that is to be predicted" : "");
  }
  const double threshold = facts.ends_only ? facts.highest : guess_threshold(facts);
  return concat("choose from which value on it is a 1: --label \"", name, " >= ", threshold, "\"");
}

std::string find_label(std::span<const Facts> columns, const std::string& path) {
  std::vector<std::string> candidates;
  for (const Facts& facts : columns) {
    if (!facts.zero_one || facts.sample->name.empty()) continue;  // no name: no label
    if (is_label_name(facts.sample->name)) return facts.sample->name;
    if (facts.distinct == 2) candidates.push_back(facts.sample->name);
  }
  if (candidates.size() == 1) return candidates.front();
  const std::string mend = "name the column with --label";
  if (candidates.empty()) {
    const auto named = std::find_if(columns.begin(), columns.end(), [](const Facts& facts) {
      return is_label_name(facts.sample->name) && facts.sample->kind != SampleKind::kOther;
    });
    throw Error(ErrorKind::kData, "no column has the values 0 and 1 only, so none can be the label",
                path,
                named == columns.end()
                    ? mend
                    : concat("if it is \"", named->sample->name, "\", ", label_advice(*named)));
  }
  throw Error(ErrorKind::kData,
              concat("several columns could be the label: ", join(candidates, ", ")), path, mend);
}

const Facts& facts_of(std::span<const Facts> columns, const std::string& name) {
  return *std::find_if(columns.begin(), columns.end(),
                       [&](const Facts& facts) { return facts.sample->name == name; });
}

bool can_be_label(const Facts& facts) {
  return facts.zero_one && (facts.distinct == 2 || is_label_name(facts.sample->name));
}

}  // namespace

LabelChoice choose_label(std::span<const Facts> columns, const GuessHints& hints,
                         const std::string& path) {
  if (hints.label.empty()) {
    const auto rating = std::find_if(columns.begin(), columns.end(), [](const Facts& facts) {
      return is_rating_name(facts.sample->name) && is_rating(facts);
    });
    if (rating != columns.end() &&
        std::none_of(columns.begin(), columns.end(),
                     [](const Facts& facts) { return can_be_label(facts); })) {
      return by_threshold(*rating, guess_threshold(*rating));
    }
    const Facts& facts = facts_of(columns, find_label(columns, path));
    return {facts.sample->name, "only the values 0 and 1", *facts.sample};
  }
  const LabelRule rule = label_rule(hints.label);
  const Facts& facts = facts_of(columns, rule.column);
  const bool numbers = !facts.sample->numbers.empty();
  if (rule.threshold && numbers) return by_threshold(facts, *rule.threshold);
  if (facts.zero_one && !rule.threshold) return {rule.column, "as told", *facts.sample};
  if (is_rating(facts) && !rule.threshold) return by_threshold(facts, guess_threshold(facts));
  throw Error(ErrorKind::kData,
              concat("column \"", rule.column, "\" cannot be the label: ",
                     numbers ? "not all values are 0 or 1" : "its values are no numbers"),
              path, concat(label_advice(facts), ", or name another column with --label"));
}

}  // namespace taut::data
