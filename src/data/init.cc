#include "taut/data/init.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <optional>
#include <unordered_map>

#include "arrow_file.h"
#include "column_facts.h"
#include "label_choice.h"
#include "parquet_file.h"
#include "sample.h"
#include "second_outcome.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::data {
namespace {

// A column that gives the label away: this share of the rows has the usual label of its value, and
// a value has at least so many rows on average (else each value is too rare to say).
constexpr double kGivenAway = 0.999;
constexpr double kRowsOfAValue = 20;
constexpr std::int64_t kLeastRowsToJudge = 1000;
constexpr std::int64_t kMostUnheld = 100;  // at most one bad value in so many rows
constexpr std::int64_t kRowsOfAnId = 20;   // fewer values of whole decimals are ids
constexpr double kHeavyTail = 10;          // deviations from the mean to the largest value

// What Criteo's format says of its columns, whatever their values look like.
std::optional<GuessedRole> criteo_role(const std::string& name) {
  static const Schema schema = criteo_schema();
  const auto is_in = [&](const std::vector<std::string>& names) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  if (is_in(schema.dense)) return GuessedRole::kDense;
  if (is_in(schema.categorical)) return GuessedRole::kCategorical;
  return std::nullopt;
}

bool has_criteo_columns(const Sample& sample) {
  const Schema schema = criteo_schema();
  const auto found = std::count_if(
      sample.columns.begin(), sample.columns.end(),
      [](const ColumnSample& column) { return criteo_role(column.name).has_value(); });
  return found == static_cast<std::ptrdiff_t>(schema.dense.size() + schema.categorical.size());
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

// "3 values are NaN, infinite or larger than float32 holds".
std::string unheld_numbers(const ColumnSample& sample) {
  return concat(sample.unheld, sample.unheld == 1 ? " value is" : " values are",
                " NaN, infinite or larger than float32 holds");
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
    if (const auto telling = tells_label()) {
      column.tells_label = true;
      return is(GuessedRole::kSkipped, *telling);
    }
    if (sample_.strays.count() > 0 && !sample_.strays.are_few(rows)) {
      return is(
          GuessedRole::kSkipped,
          concat(sample_.strays.text(), "; write numbers without them, or set data.thousands"));
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
    if (sample_.spelled_whole && (beyond_ids() || facts_.distinct * kRowsOfAnId <= rows)) {
      return is(
          GuessedRole::kCategorical,
          concat("whole numbers", beyond_ids() ? " of more than 64 bits" : "", ", ", different));
    }
    if (sample_.kind == SampleKind::kNumber) return is(GuessedRole::kDense, "numbers");
    if (sample_.kind == SampleKind::kList) return is(GuessedRole::kCategorical, "lists of values");
    return is(GuessedRole::kCategorical, (is_number() ? "whole numbers, " : "") + different);
  }

  [[nodiscard]] bool is_time() const {
    if (sample_.name.empty()) return false;  // no name: no time
    if (sample_.kind == SampleKind::kTime) return sample_.missing == 0;
    if (sample_.kind != SampleKind::kInteger || sample_.missing > 0) return false;
    if (sample_.strays.count() > 0) return false;
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
  // How the column tells the label, or is known only after what that says, if so.
  [[nodiscard]] std::optional<std::string> tells_label() const {
    if (gives_label_away(facts_, label_)) {
      return "gives the label away: each of its values goes with one label";
    }
    const std::optional<Implication> implied = implied_label(sample_, facts_.distinct, label_);
    if (!implied || !implied->whole) return std::nullopt;
    if (implied->label == 0 && !is_outcome_name(sample_.name)) return std::nullopt;
    return concat("known only after the fact: ", implied->value, " goes with label ",
                  implied->label, " in each of ", implied->rows, " rows");
  }
  // Whether float64, and so a dense column, would take different values for the same.
  [[nodiscard]] bool beyond_ids() const {
    constexpr double kTwoTo63 = 9223372036854775808.0;
    return std::max(-facts_.lowest, facts_.highest) >= kTwoTo63;
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

// Rows of a file of which the beginning was looked at; of text about so many, by their length.
std::int64_t rows_of(const InputFile& file, std::int64_t sampled) {
  if (sampled < kSampleRows) return sampled;
  if (file.format == Format::kParquet) return count_rows(inspect_parquet(file.path, {}));
  if (file.format == Format::kArrow) return ArrowFile(file.path).count_rows();
  std::string start(std::size_t{1} << 20, '\0');
  std::ifstream text(file.path, std::ios::binary);
  text.read(start.data(), static_cast<std::streamsize>(start.size()));
  const auto read = static_cast<double>(text.gcount());
  const auto lines = static_cast<double>(std::count(start.begin(), start.end(), '\n'));
  const auto size = static_cast<double>(std::filesystem::file_size(file.path));
  return std::max(sampled, static_cast<std::int64_t>(size * lines / std::max(read, 1.0)));
}

void check_hints(const GuessHints& hints, const Sample& sample, const std::string& path) {
  std::vector<std::string> names;
  for (const ColumnSample& column : sample.columns) names.push_back(column.name);
  if (!hints.label.empty()) (void)find_column(label_rule(hints.label).column, names, path);
  for (const std::string& name : hints.skip) (void)find_column(name, names, path);
}

// What a user must know of the numbers of a dense column.
void warn_of_numbers(const Facts& facts, SchemaGuess& guess) {
  const ColumnSample& sample = *facts.sample;
  if (sample.unheld > 0) {
    guess.on_bad_row = OnBadRow::kSkip;
    guess.warnings.push_back(
        concat("column ", sample.name, ": ", unheld_numbers(sample), "; such rows are left out"));
  }
  const bool told = is_quantity_name(sample.name) || sample.name.starts_with("d_");
  if (sample.spelled_whole && !told) {
    guess.warnings.push_back(concat("column ", sample.name,
                                    " is taken as dense, but all its numbers are whole; list it "
                                    "as categorical if they are ids"));
  }
}

// What a user must know of a column's guess.
void warn(const ColumnGuess& column, const Facts& facts, SchemaGuess& guess) {
  const bool used = column.role == GuessedRole::kLabel || column.role == GuessedRole::kDense ||
                    column.role == GuessedRole::kTime;
  if (column.tells_label) {
    guess.warnings.push_back(concat("column ", column.name, " is left out, ", column.reason,
                                    "; list it as an input if it is known before"));
  }
  if (column.role == GuessedRole::kDense) warn_of_numbers(facts, guess);
  const StrayCells& strays = facts.sample->strays;
  if (strays.count() == 0) return;
  if (used) guess.on_bad_row = OnBadRow::kSkip;
  guess.warnings.push_back(
      concat("column ", column.name, ": ", strays.text(), used ? "; such rows are left out" : ""));
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
  guess.format = to_string(file.format);
  guess.sampled_rows = sample.rows;
  guess.text = hints.text;
  if (sample.list_separator != 0) guess.text.list_separator = sample.list_separator;
  if (sample.thousands != 0) guess.text.thousands = sample.thousands;
  for (const std::string& nan : sample.nan_spellings) guess.text.na_values.push_back(nan);
  guess.rows = rows_of(file, sample.rows);
  const bool criteo = has_criteo_columns(sample);
  const LabelChoice choice = choose_label(columns, hints, path);
  const std::string label = label_rule(choice.label).column;
  const ColumnSample& labels = choice.sample;
  if (labels.missing > 0) guess.on_bad_row = OnBadRow::kSkip;
  // A column named as a time goes before one that only looks like one.
  const bool named_time = std::any_of(columns.begin(), columns.end(), [&](const Facts& facts) {
    return is_time_name(facts.sample->name) && Guesser(facts, labels, false).is_time();
  });
  bool has_time = false;
  for (const Facts& facts : columns) {
    ColumnGuess column;
    column.name = facts.sample->name;
    column.type = facts.sample->type;
    if (column.name == label) {
      column.role = GuessedRole::kLabel;
      column.reason = choice.reason;
      if (labels.missing > 0) {
        column.reason += concat("; missing in ", labels.missing, " rows, which are left out");
      }
    } else if (std::find(hints.skip.begin(), hints.skip.end(), column.name) != hints.skip.end()) {
      column.reason = "as told";
    } else {
      const bool taken = has_time || (named_time && !is_time_name(column.name));
      Guesser(facts, labels, taken).guess(column);
      has_time = has_time || column.role == GuessedRole::kTime;
      if (column.role == GuessedRole::kDense && facts.sample->spelled_missing > 0) {
        column.reason += concat("; missing, as NA or the like, in ", facts.sample->spelled_missing);
      }
      if (const auto role = criteo ? criteo_role(column.name) : std::nullopt) {
        column.role = *role;
        column.reason = "as Criteo's format says";
        column.tells_label = false;
      }
    }
    const ColumnSample& values = *facts.sample;
    if (column.role == GuessedRole::kDense && values.unheld * kMostUnheld > sample.rows) {
      column.role = GuessedRole::kSkipped;
      column.reason = unheld_numbers(values);
      guess.warnings.push_back(concat("column ", column.name, " is left out, ", column.reason,
                                      "; write values that are not known as missing ones"));
    }
    const StrayCells& strays = values.strays;
    if (strays.count() > 0 && column.role == GuessedRole::kDense) {
      column.reason += concat("; ", strays.text(), "; such rows are left out");
    }
    if (column.role == GuessedRole::kCategorical) guess.ids += facts.distinct;
    warn(column, facts, guess);
    add_to_schema(column, guess.schema);
    guess.columns.push_back(std::move(column));
  }
  guess.schema.label = choice.label;
  if (label != choice.label && hints.label.empty()) {
    guess.warnings.push_back(concat("the label is ", choice.label, ", ", choice.reason,
                                    "; choose another threshold in data.label"));
  }
  guess.scaling = guess_scaling(columns, guess.schema);
  return guess;
}

}  // namespace taut::data
