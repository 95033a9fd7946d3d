// Cells that are no numbers, columns that know the label, and parts by time, each alone.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "data/second_outcome.h"
#include "data/split_choice.h"
#include "data/stray_cells.h"
#include "taut/core/text.h"
#include "test_files.h"

namespace taut::data {
namespace {

using namespace testing;  // NOLINT: helpers of these tests
using ::testing::HasSubstr;

StrayCells cells_of(const std::vector<std::string>& cells) {
  StrayCells strays;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    strays.add(cells[i], static_cast<std::int64_t>(i) + 1);
  }
  return strays;
}

TEST(StrayCells, KnowCommasBetweenThousands) {
  for (const char* cell : {"1,234", "-12,345.6", "1,234,567", "999,000"}) {
    EXPECT_TRUE(cells_of({cell}).are_thousands()) << cell;
  }
  for (const char* cell : {"1,23", ",234", "1234,567", "1,2345", "12,34,567", "a,bcd", "1,234,"}) {
    EXPECT_FALSE(cells_of({cell}).are_thousands()) << cell;
  }
  EXPECT_FALSE(cells_of({"1,234", "oops"}).are_thousands());
  EXPECT_FALSE(cells_of({}).are_thousands());
  EXPECT_EQ(cells_of({"1,234", "5,678"}).mark(), ',');
  EXPECT_EQ(cells_of({"1'234"}).mark(), '\'');
  EXPECT_EQ(cells_of({"1,234", "5'678", "1,234"}).mark(), 0);
  EXPECT_EQ(cells_of({"1,234", "oops"}).mark(), 0);
  EXPECT_EQ(cells_of({}).mark(), 0);
}

TEST(StrayCells, LeaveNumbersWhileTheyAreFewOrAllHaveCommas) {
  const StrayCells one = cells_of({"oops"});
  EXPECT_TRUE(one.are_few(100));
  EXPECT_FALSE(one.are_few(99));
  EXPECT_FALSE(one.leave_numbers(99));
  EXPECT_TRUE(cells_of({"1,234", "5,678"}).leave_numbers(2));
}

TEST(StrayCells, SayHowManyAndWhere) {
  EXPECT_EQ(cells_of({"oops"}).text(), "1 cell is no number, in row 1: \"oops\"");
  EXPECT_EQ(cells_of({"oops", "x"}).text(), "2 cells are no number, the first in row 1: \"oops\"");
  EXPECT_EQ(cells_of({"1,234"}).text(), "1 cell has marks between thousands, in row 1: \"1,234\"");
}

ColumnSample column_of(const std::vector<double>& numbers) {
  ColumnSample column{.name = "x"};
  for (const double number : numbers) {
    column.numbers.push_back(number);
    column.keys.push_back(std::isnan(number) ? 99 : static_cast<std::uint64_t>(4 * number));
    column.missing += std::isnan(number) ? 1 : 0;
  }
  return column;
}

// 200 rows, of which every fourth has label 1.
ColumnSample labels() {
  std::vector<double> values;
  for (int row = 0; row < 200; ++row) values.push_back(row % 4 == 0 ? 1 : 0);
  return column_of(values);
}

ColumnSample rows_as(double (*value)(int row)) {
  std::vector<double> values;
  for (int row = 0; row < 200; ++row) values.push_back(value(row));
  return column_of(values);
}

TEST(SecondOutcomes, AreValuesThatGoWithLabelOneAlways) {
  const auto found =
      implied_label(rows_as([](int row) { return row % 8 == 0 ? 1.0 : 0.0; }), 2, labels());
  ASSERT_TRUE(found);
  EXPECT_EQ(found->value, "the value 1");
  EXPECT_EQ(found->label, 1);
  EXPECT_EQ(found->rows, 25);
  EXPECT_TRUE(found->whole);
}

TEST(SecondOutcomes, MayBeNumbersThatAreThereOrNotZero) {
  const auto there = implied_label(
      rows_as([](int row) { return row % 8 == 0 ? row / 4.0 : std::nan(""); }), 26, labels());
  ASSERT_TRUE(there);
  EXPECT_EQ(there->value, "a value that is there");
  const auto not_zero = implied_label(
      rows_as([](int row) { return row % 8 == 0 ? 1 + row / 4.0 : 0; }), 26, labels());
  ASSERT_TRUE(not_zero);
  EXPECT_EQ(not_zero->value, "a value other than 0");
}

TEST(SecondOutcomes, OfLabelZeroComeAfterThoseOfLabelOne) {
  const auto zero = implied_label(
      rows_as([](int row) { return row % 4 == 0 || row % 3 == 0 ? 1.0 : 0.0; }), 2, labels());
  ASSERT_TRUE(zero);
  EXPECT_EQ(zero->label, 0);
  EXPECT_EQ(zero->value, "the value 0");
}

TEST(SecondOutcomes, AreNotWhatChanceOrOneExceptionExplains) {
  EXPECT_FALSE(implied_label(rows_as([](int row) { return row < 9 && row % 4 == 0 ? 1.0 : 0.0; }),
                             2, labels()))
      << "three rows";
  EXPECT_FALSE(implied_label(rows_as([](int row) { return row % 8 == 0 || row == 1 ? 1.0 : 0.0; }),
                             2, labels()))
      << "one of 26 rows has label 0";
  EXPECT_FALSE(
      implied_label(rows_as([](int row) { return row % 3 == 0 ? 1.0 : 0.0; }), 2, labels()));
  EXPECT_FALSE(implied_label(rows_as([](int) { return 1.0; }), 1, labels())) << "one value";
}

TEST(SplitChoices, GoByTimeWhereItsLastTenthsDiffer) {
  const test::TemporaryDirectory dir;
  std::string text = "t\n";
  for (int row = 0; row < 100; ++row) text += concat(1000 + (row * 37) % 100, "\n");
  write_text(dir.file("x.csv"), text);
  SchemaGuess guess;
  guess.format = "csv";
  guess.schema.time = "t";
  const SplitChoice split = choose_split(guess, dir.file("x.csv"));
  EXPECT_EQ(split.train, "[t=:1080]");
  EXPECT_EQ(split.valid, "[t=1080:1090]");
  EXPECT_EQ(split.test, "[t=1090:]");
  write_text(dir.file("x.csv"), "t\n5\n5\n5\n");
  EXPECT_EQ(choose_split(guess, dir.file("x.csv")).test, "[90%:100%]") << "one time";
  EXPECT_EQ(choose_split(guess, dir.file("none.csv")).train, "[0%:80%]") << "no file";
  guess.schema.time.clear();
  EXPECT_THAT(choose_split(guess, dir.file("x.csv")).why, HasSubstr("at random"));
}

}  // namespace
}  // namespace taut::data
