#include "taut/data/init.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <limits>
#include <unordered_map>
#include <unordered_set>

#include "sample.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::data {
namespace {

// A column that gives the label away: this share of the rows has the usual label of its value, and
// a value has at least so many rows on average (else each value is too rare to say).
constexpr double kGivenAway = 0.999;
constexpr double kRowsOfAValue = 20;
constexpr std::int64_t kLeastRowsToJudge = 1000;
constexpr double kHeavyTail = 10;  // deviations from the mean to the largest value

struct Facts {
  const ColumnSample* sample;
  std::int64_t distinct = 0;
  bool zero_one = false;   // no value but 0 and 1; some may be missing
  bool fractions = false;  // a number that is not whole
  bool ascending = false;  // never falls, none missing
  double lowest = 0;
  double highest = 0;
};

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

bool is_one_of(const std::string& name, std::initializer_list<const char*> names) {
  const std::string wanted = lower(name);
  return std::any_of(names.begin(), names.end(),
                     [&](const char* known) { return wanted == known; });
}

bool is_label_name(const std::string& name) {
  return is_one_of(name, {"label", "labels", "click", "clicked", "is_click", "target", "y", "class",
                          "converted", "conversion", "is_positive"});
}

bool is_time_name(const std::string& name) {
  return is_one_of(name,
                   {"time", "timestamp", "ts", "datetime", "event_time", "unixtime", "unix_time"});
}

// Words in a name that say how much or how many.
bool is_quantity_name(const std::string& name) {
  const std::vector<std::string> words = split(lower(name), '_');
  return std::any_of(words.begin(), words.end(), [](const std::string& word) {
    return is_one_of(
        word, {"count", "counts", "num", "n", "age", "price", "amount", "cost", "total", "sum",
               "length", "len", "size", "distance", "duration", "seconds", "minutes", "quantity"});
  });
}

Facts look_at(const ColumnSample& sample) {
  Facts facts{&sample};
  facts.distinct = static_cast<std::int64_t>(
      std::unordered_set<std::uint64_t>(sample.keys.begin(), sample.keys.end()).size());
  if (sample.numbers.empty()) return facts;
  facts.zero_one = sample.missing < static_cast<std::int64_t>(sample.numbers.size());
  facts.ascending = sample.missing == 0;
  facts.lowest = std::numeric_limits<double>::infinity();
  facts.highest = -facts.lowest;
  double before = facts.highest;
  for (const double number : sample.numbers) {
    if (std::isnan(number)) continue;
    facts.zero_one = facts.zero_one && (number == 0 || number == 1);
    facts.fractions = facts.fractions || number != std::floor(number);
    facts.ascending = facts.ascending && number >= before;
    facts.lowest = std::min(facts.lowest, number);
    facts.highest = std::max(facts.highest, number);
    before = number;
  }
  return facts;
}

// True if nearly every row has the usual label of the value it has in this column.
bool gives_label_away(const Facts& facts, const ColumnSample& label) {
  const auto rows =
      static_cast<double>(label.numbers.size() - static_cast<std::size_t>(label.missing));
  if (facts.sample->keys.size() < static_cast<std::size_t>(kLeastRowsToJudge)) return false;
  if (static_cast<double>(facts.distinct) * kRowsOfAValue > rows) return false;
  std::unordered_map<std::uint64_t, std::pair<std::int64_t, std::int64_t>> counts;
  std::int64_t positives = 0;
  for (std::size_t row = 0; row < label.numbers.size(); ++row) {
    if (std::isnan(label.numbers[row])) continue;
    auto& [zeros, ones] = counts[facts.sample->keys[row]];
    const bool positive = label.numbers[row] == 1;
    positives += positive ? 1 : 0;
    ++(positive ? ones : zeros);
  }
  double usual = 0;
  for (const auto& [key, of_value] : counts) {
    usual += static_cast<double>(std::max(of_value.first, of_value.second));
  }
  const double without =
      std::max(static_cast<double>(positives), rows - static_cast<double>(positives));
  return usual >= kGivenAway * rows && without < kGivenAway * rows;
}

std::string find_label(const std::vector<Facts>& columns, const std::string& path) {
  std::vector<std::string> candidates;
  for (const Facts& facts : columns) {
    if (!facts.zero_one) continue;
    if (is_label_name(facts.sample->name)) return facts.sample->name;
    if (facts.distinct == 2) candidates.push_back(facts.sample->name);
  }
  if (candidates.size() == 1) return candidates.front();
  const std::string mend = "name the column with --label";
  if (candidates.empty()) {
    throw Error(ErrorKind::kData, "no column has the values 0 and 1 only, so none can be the label",
                path, mend);
  }
  throw Error(ErrorKind::kData,
              concat("several columns could be the label: ", join(candidates, ", ")), path, mend);
}

class Guesser {
 public:
  Guesser(const Facts& facts, const ColumnSample& label, bool has_time)
      : facts_(facts), sample_(*facts.sample), label_(label), has_time_(has_time) {}

  // Sets role and reason. The first rule that fits decides.
  void guess(ColumnGuess& column) const {
    const auto is = [&](GuessedRole role, const std::string& reason) {
      column.role = role;
      column.reason = reason;
    };
    const auto rows = static_cast<std::int64_t>(sample_.keys.size());
    const std::string different = concat(facts_.distinct, " different values in the sample");
    if (sample_.kind == SampleKind::kOther) return is(GuessedRole::kSkipped, sample_.problem);
    if (!has_time_ && is_time()) return is(GuessedRole::kTime, time_reason());
    if (sample_.kind == SampleKind::kTime) return is(GuessedRole::kSkipped, "another time");
    if (facts_.distinct <= 1) return is(GuessedRole::kSkipped, "the same value in every row");
    if (gives_label_away(facts_, label_)) {
      return is(GuessedRole::kSkipped,
                "gives the label away: each of its values goes with one label");
    }
    if (is_number() && has_prefix("d_")) return is(GuessedRole::kDense, "its name begins with d_");
    if (facts_.fractions) return is(GuessedRole::kDense, "numbers with fractions");
    if (has_prefix("c_"))
      return is(GuessedRole::kCategorical, "its name begins with c_, " + different);
    if (facts_.distinct == rows && rows >= kLeastRowsToJudge) {
      return is(GuessedRole::kSkipped, "another value in every row");
    }
    if (is_number() && is_quantity_name(sample_.name)) {
      return is(GuessedRole::kDense, "whole numbers, and its name says how much or how many");
    }
    if (sample_.kind == SampleKind::kNumber) return is(GuessedRole::kDense, "numbers");
    if (sample_.kind == SampleKind::kList) return is(GuessedRole::kCategorical, "lists of values");
    return is(GuessedRole::kCategorical, (is_number() ? "whole numbers, " : "") + different);
  }

  [[nodiscard]] bool is_time() const {
    if (sample_.kind == SampleKind::kTime) return sample_.missing == 0;
    if (sample_.kind != SampleKind::kInteger || sample_.missing > 0) return false;
    if (is_time_name(sample_.name)) return true;
    return facts_.ascending && facts_.distinct >= kLeastRowsToJudge && !is_row_number();
  }

 private:
  [[nodiscard]] bool is_number() const {
    return sample_.kind == SampleKind::kInteger || sample_.kind == SampleKind::kNumber;
  }
  [[nodiscard]] bool has_prefix(std::string_view prefix) const {
    return sample_.name.starts_with(prefix);
  }
  // 0, 1, 2, ... or from any other start.
  [[nodiscard]] bool is_row_number() const {
    return facts_.ascending && facts_.distinct == static_cast<std::int64_t>(sample_.keys.size()) &&
           facts_.highest - facts_.lowest + 1 == static_cast<double>(facts_.distinct);
  }
  [[nodiscard]] std::string time_reason() const {
    if (is_time_name(sample_.name)) return "its name";
    return sample_.kind == SampleKind::kTime ? "its type" : "whole numbers in ascending order";
  }

  const Facts& facts_;
  const ColumnSample& sample_;
  const ColumnSample& label_;
  bool has_time_;
};

// The logarithm where most dense columns have a long tail upwards and nothing below -1 (counts,
// prices).
ScalingKind guess_scaling(const std::vector<Facts>& columns, const Schema& schema) {
  int long_tails = 0;
  for (const Facts& facts : columns) {
    const auto& names = schema.dense;
    if (std::find(names.begin(), names.end(), facts.sample->name) == names.end()) continue;
    double sum = 0;
    double squares = 0;
    double count = 0;
    for (const double number : facts.sample->numbers) {
      if (std::isnan(number)) continue;
      sum += number;
      squares += number * number;
      count += 1;
    }
    const double mean = sum / std::max(count, 1.0);
    const double deviation = std::sqrt(std::max(squares / std::max(count, 1.0) - mean * mean, 0.0));
    if (facts.lowest >= -1 && facts.highest > mean + kHeavyTail * deviation) ++long_tails;
  }
  return 2 * long_tails > static_cast<int>(schema.dense.size()) ? ScalingKind::kLog
                                                                : ScalingKind::kStandard;
}

void check_hints(const GuessHints& hints, const Sample& sample, const std::string& path) {
  std::vector<std::string> names;
  for (const ColumnSample& column : sample.columns) names.push_back(column.name);
  if (!hints.label.empty()) (void)find_column(hints.label, names, path);
  for (const std::string& name : hints.skip) (void)find_column(name, names, path);
}

void add_to_schema(const ColumnGuess& column, Schema& schema) {
  switch (column.role) {
    case GuessedRole::kLabel:
      schema.label = column.name;
      break;
    case GuessedRole::kTime:
      schema.time = column.name;
      break;
    case GuessedRole::kDense:
      schema.dense.push_back(column.name);
      break;
    case GuessedRole::kCategorical:
      schema.categorical.push_back(column.name);
      break;
    case GuessedRole::kSkipped:
      break;
  }
}

}  // namespace

SchemaGuess guess_schema(const std::string& path, const GuessHints& hints) {
  const InputFile file = resolve_files({&path, 1}, hints.format).front();
  const Sample sample = sample_file(file, hints.text);
  check_hints(hints, sample, path);
  std::vector<Facts> columns;
  for (const ColumnSample& column : sample.columns) columns.push_back(look_at(column));
  SchemaGuess guess;
  guess.path = file.path;
  guess.format = format_name(file.format);
  guess.sampled_rows = sample.rows;
  guess.text = hints.text;
  if (sample.list_separator != 0) guess.text.list_separator = sample.list_separator;
  const std::string label = hints.label.empty() ? find_label(columns, path) : hints.label;
  const auto labels = std::find_if(columns.begin(), columns.end(),
                                   [&](const Facts& facts) { return facts.sample->name == label; });
  if (!labels->zero_one) {
    throw Error(ErrorKind::kData,
                concat("column \"", label, "\" cannot be the label: not all values are 0 or 1"),
                path, "name another column with --label");
  }
  if (labels->sample->missing > 0) guess.on_bad_row = OnBadRow::kSkip;
  // A column named as a time goes before one that only looks like one.
  const bool named_time = std::any_of(columns.begin(), columns.end(), [&](const Facts& facts) {
    return is_time_name(facts.sample->name) && Guesser(facts, *labels->sample, false).is_time();
  });
  bool has_time = false;
  for (const Facts& facts : columns) {
    ColumnGuess column;
    column.name = facts.sample->name;
    column.type = facts.sample->type;
    if (column.name == label) {
      column.role = GuessedRole::kLabel;
      column.reason = hints.label.empty() ? "only the values 0 and 1" : "as told";
      if (labels->sample->missing > 0) {
        column.reason +=
            concat("; missing in ", labels->sample->missing, " rows, which are left out");
      }
    } else if (std::find(hints.skip.begin(), hints.skip.end(), column.name) != hints.skip.end()) {
      column.reason = "as told";
    } else {
      const bool taken = has_time || (named_time && !is_time_name(column.name));
      Guesser(facts, *labels->sample, taken).guess(column);
      has_time = has_time || column.role == GuessedRole::kTime;
    }
    add_to_schema(column, guess.schema);
    guess.columns.push_back(std::move(column));
  }
  guess.scaling = guess_scaling(columns, guess.schema);
  return guess;
}

}  // namespace taut::data
