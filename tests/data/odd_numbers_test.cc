// What init makes of numbers that are no usual ones: beyond 64 bits, whole with decimal places, not
// finite; of columns without a name, labels of other values than 0 and 1, and files without an
// input.

#include <gmock/gmock.h>

#include "init_files.h"

namespace taut::data {
namespace {

using namespace testing;  // NOLINT: helpers of these tests
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class OddNumbers : public InitFiles {
 protected:
  OddNumbers() : InitFiles(3000) {}

  // A file with this column beside a label and a number.
  SchemaGuess guess_of(const std::string& name, const std::function<std::string(int)>& cell) {
    return guess_schema(write("x.csv", {{"label", label}, {name, cell}, {"d_0", fraction}}));
  }
  // The same as a Parquet file whose column has that type.
  SchemaGuess guess_of_parquet(const std::shared_ptr<arrow::DataType>& type,
                               const std::function<std::string(int)>& value) {
    std::vector<std::string> labels;
    std::vector<std::string> values;
    for (int row = 0; row < 3000; ++row) {
      labels.push_back(label(row));
      values.push_back(value(row));
    }
    write_parquet(dir_.file("x.parquet"),
                  *make_table({{"label", arrow::int8(), concat("[", join(labels, ","), "]")},
                               {"x", type, concat("[", join(values, ","), "]")}}));
    return guess_schema(dir_.file("x.parquet"));
  }
  static std::string fraction(int row) { return concat(row, ".5"); }
  static std::string of_forty(int row) { return std::to_string(noise(row, 2) % 40); }
  // The error of looking at the file and writing its config.
  static std::string refusal(const std::string& path, const GuessHints& hints = {}) {
    const auto [kind, message] = error_of([&] { (void)starter_config(guess_schema(path, hints)); });
    EXPECT_EQ(kind, ErrorKind::kData) << message;
    return message;
  }
  // Rows that a reader of what was guessed gives.
  static std::int64_t rows_read(const SchemaGuess& guess) {
    ReaderOptions options;
    options.files = {guess.path};
    options.schema = guess.schema;
    options.on_bad_row = guess.on_bad_row;
    return read_all(options).size;
  }
};

TEST_F(OddNumbers, WholeNumbersBeyond64BitsAreIdsInAnyFormat) {
  const auto huge = [](int row) {
    return "9223372036854775" + std::to_string(900 + noise(row, 2) % 40);
  };
  const auto huger = [](int row) { return "1000000000000000000000000000" + of_forty(row); };
  for (const SchemaGuess& guess :
       {guess_of("x", [&](int row) { return huge(row) + "000"; }), guess_of("x", huger)}) {
    EXPECT_EQ(column(guess, "x").role, GuessedRole::kCategorical);
    EXPECT_THAT(column(guess, "x").reason, HasSubstr("more than 64 bits, 40 different"));
    EXPECT_EQ(rows_read(guess), 3000);
  }
  const auto quoted = [](const std::string& digits) { return "\"" + digits + "\""; };
  for (const SchemaGuess& guess :
       {guess_of_parquet(arrow::decimal256(50, 0), [&](int row) { return quoted(huger(row)); }),
        guess_of_parquet(arrow::decimal128(25, 2),
                         [&](int row) { return quoted(huge(row) + "999.00"); })}) {
    EXPECT_EQ(column(guess, "x").role, GuessedRole::kCategorical);
    EXPECT_THAT(column(guess, "x").reason, HasSubstr("40 different"));
    EXPECT_EQ(rows_read(guess), 3000);
  }
}

TEST_F(OddNumbers, WholeDecimalsAreIdsWhereFewAndElseWarnedOf) {
  const auto few = [](int row) { return of_forty(row) + ".00"; };
  EXPECT_EQ(column(guess_of("x", few), "x").role, GuessedRole::kCategorical);
  const SchemaGuess parquet =
      guess_of_parquet(arrow::decimal128(10, 2), [&](int row) { return "\"" + few(row) + "\""; });
  EXPECT_EQ(column(parquet, "x").role, GuessedRole::kCategorical);
  EXPECT_THAT(parquet.warnings, IsEmpty());

  const SchemaGuess many =
      guess_of("x", [](int row) { return std::to_string(noise(row, 2) % 900) + ".00"; });
  EXPECT_EQ(column(many, "x").role, GuessedRole::kDense);
  EXPECT_THAT(many.warnings, Contains(AllOf(HasSubstr("column x is taken as dense"),
                                            HasSubstr("list it as categorical"))));
  const SchemaGuess price = guess_of("price", few);
  EXPECT_EQ(column(price, "price").role, GuessedRole::kDense) << "its name says that it measures";
  EXPECT_THAT(price.warnings, IsEmpty());
}

TEST_F(OddNumbers, AFewValuesThatNoDenseColumnHoldsCostTheirRows) {
  const auto some = [](const char* odd) {
    return [odd](int row) { return row % 500 == 7 ? std::string(odd) : fraction(row); };
  };
  for (const char* odd : {"inf", "-Infinity", "1e300"}) {
    const SchemaGuess guess = guess_of("x", some(odd));
    EXPECT_EQ(column(guess, "x").role, GuessedRole::kDense) << odd;
    EXPECT_EQ(guess.on_bad_row, OnBadRow::kSkip) << odd;
    EXPECT_THAT(guess.warnings, ElementsAre(AllOf(HasSubstr("column x: 6 values are NaN, infinite"),
                                                  HasSubstr("left out"))))
        << odd;
    EXPECT_EQ(rows_read(guess), 2994) << odd;
  }
  for (const char* odd : {"Inf", "NaN"}) {
    const SchemaGuess guess = guess_of_parquet(arrow::float64(), some(odd));
    EXPECT_EQ(guess.on_bad_row, OnBadRow::kSkip) << odd;
    EXPECT_EQ(rows_read(guess), 2994) << odd;
  }
  const SchemaGuess nulls = guess_of_parquet(arrow::float64(), some("null"));
  EXPECT_EQ(nulls.on_bad_row, OnBadRow::kFail) << "what is missing is no bad value";
  EXPECT_THAT(nulls.warnings, IsEmpty());
}

TEST_F(OddNumbers, AColumnOfManySuchValuesIsLeftOut) {
  const SchemaGuess guess =
      guess_of("x", [](int row) { return row % 3 == 0 ? std::string("inf") : fraction(row); });
  EXPECT_EQ(column(guess, "x").role, GuessedRole::kSkipped);
  EXPECT_THAT(column(guess, "x").reason, HasSubstr("1000 values are NaN, infinite"));
  EXPECT_THAT(guess.warnings, ElementsAre(HasSubstr("column x is left out")));
  EXPECT_EQ(rows_read(guess), 3000);
}

TEST_F(OddNumbers, AColumnWithoutANameIsAnInputAndNothingElse) {
  const SchemaGuess guess = guess_of("", fraction);
  EXPECT_EQ(column(guess, "").role, GuessedRole::kDense);
  EXPECT_THAT(guess.schema.dense, ElementsAre("", "d_0"));
  EXPECT_EQ(rows_read(guess), 3000);
  ReaderOptions unlabelled;  // as predict reads
  unlabelled.files = {guess.path};
  unlabelled.schema.dense = guess.schema.dense;
  EXPECT_EQ(read_all(unlabelled).size, 3000);

  const std::string other = write("y.csv", {{"", label}, {"buy", label}, {"d_0", fraction}});
  EXPECT_EQ(guess_schema(other).schema.label, "buy");
  const SchemaGuess rising = guess_of("", [](int row) { return std::to_string(2 * row); });
  EXPECT_EQ(rising.schema.time, "");
}

TEST_F(OddNumbers, LabelsOfOtherValuesComeWithAdviceThatCanBeFollowed) {
  for (const auto& [low, high] : {std::pair("-1", "1"), {"1", "2"}, {"0.5", "3"}}) {
    const auto cell = [low = low, high = high](int row) {
      return std::string(label(row) == "1" ? high : low);
    };
    const std::string path = write("x.csv", {{"label", cell}, {"d_0", fraction}});
    const std::string rule = concat("label >= ", high);
    for (const GuessHints& hints : {GuessHints{}, GuessHints{.label = "label"}}) {
      EXPECT_THAT(refusal(path, hints), HasSubstr(concat("--label \"", rule, "\"")));
    }
    const SchemaGuess guess = guess_schema(path, {.label = rule});
    EXPECT_EQ(guess.schema.label, rule);
    EXPECT_EQ(rows_read(guess), 3000);
  }
  const std::string words = write(
      "w.csv",
      {{"label", [](int row) { return label(row) == "1" ? "yes" : "no"; }}, {"d_0", fraction}});
  for (const GuessHints& hints : {GuessHints{}, GuessHints{.label = "label"}}) {
    EXPECT_THAT(refusal(words, hints),
                AllOf(HasSubstr("write its values as 0 and 1"),
                      HasSubstr("1 for the one that is to be predicted"), Not(HasSubstr(">="))));
  }
}

TEST_F(OddNumbers, AFileWithoutAnInputIsRefusedWithTheReasons) {
  const std::string one = write("x.csv", {{"label", label}, {"c_0", [](int) { return "a"; }}});
  EXPECT_THAT(refusal(one), AllOf(HasSubstr("no column is left as an input"),
                                  HasSubstr("\"c_0\": the same value in every row")));
  EXPECT_THAT(refusal(write("y.csv", {{"label", label},
                                      {"time", [](int row) { return std::to_string(row); }}})),
              HasSubstr("no column but the label and the time"));
}

}  // namespace
}  // namespace taut::data
