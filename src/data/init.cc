#include "taut/data/init.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "arrow_file.h"
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
constexpr double kHeavyTail = 10;  // deviations from the mean to the largest value

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

// Names of what people do, and so of what is known only afterwards.
bool is_outcome_name(const std::string& name) {
  const std::vector<std::string> words = split(lower(name), '_');
  return is_label_name(name) ||
         std::any_of(words.begin(), words.end(), [](const std::string& word) {
           return is_one_of(
               word,
               {"click",    "clicks",    "clicked",   "conversion", "conversions", "converted",
                "purchase", "purchased", "bought",    "buy",        "order",       "ordered",
                "paid",     "install",   "installed", "like",       "liked",       "follow",
                "share",    "finish",    "finished",  "watched",    "outcome"});
         });
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

constexpr std::int64_t kMostRatings = 21;  // 0, 0.5, ... 10
constexpr double kLeastShare = 0.02;       // of the rarer label

// What the label is, and its values as 0 and 1.
struct LabelChoice {
  std::string label;  ///< as Schema::label
  std::string reason;
  ColumnSample sample;
};

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

const Facts& facts_of(const std::vector<Facts>& columns, const std::string& name) {
  return *std::find_if(columns.begin(), columns.end(),
                       [&](const Facts& facts) { return facts.sample->name == name; });
}

bool can_be_label(const Facts& facts) {
  return facts.zero_one && (facts.distinct == 2 || is_label_name(facts.sample->name));
}

LabelChoice choose_label(const std::vector<Facts>& columns, const GuessHints& hints,
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
              path,
              numbers ? concat("name another column with --label, or a threshold: --label \"",
                               rule.column, " >= 4\"")
                      : std::string("name another column with --label"));
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
    if (sample_.kind == SampleKind::kNumber) return is(GuessedRole::kDense, "numbers");
    if (sample_.kind == SampleKind::kList) return is(GuessedRole::kCategorical, "lists of values");
    return is(GuessedRole::kCategorical, (is_number() ? "whole numbers, " : "") + different);
  }

  [[nodiscard]] bool is_time() const {
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

// What a user must know of a column's guess.
void warn(const ColumnGuess& column, const Facts& facts, SchemaGuess& guess) {
  const bool used = column.role == GuessedRole::kLabel || column.role == GuessedRole::kDense ||
                    column.role == GuessedRole::kTime;
  if (column.tells_label) {
    guess.warnings.push_back(concat("column ", column.name, " is left out, ", column.reason,
                                    "; list it as an input if it is known before"));
  }
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
    const StrayCells& strays = facts.sample->strays;
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
