// Cells one by one: times, rules for what is missing, looks at lists, separators and kinds of
// files.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <cstdio>

#include "data/cell_rules.h"
#include "data/datetime.h"
#include "data/file_kind.h"
#include "data/list_look.h"
#include "data/text_sniff.h"
#include "taut/core/hash.h"
#include "taut/core/random.h"
#include "taut/core/text.h"
#include "test_files.h"

namespace taut::data {
namespace {

using namespace testing;  // NOLINT: helpers of these tests
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::int64_t kSecond = 1000000;

TEST(Datetime, ReadsEveryFormOfIso8601) {
  constexpr std::int64_t kDay = 86400 * kSecond;
  for (const auto& [text, wanted] : {std::pair{"1970-01-01", std::int64_t{0}},
                                     {"1970-01-02", kDay},
                                     {"1969-12-31", -kDay},
                                     {"2000-02-29", 11016 * kDay},
                                     {"1970-01-01 00:01", 60 * kSecond},
                                     {"1970-01-01T00:00:59", 59 * kSecond},
                                     {"1970-01-01T23:59:60", kDay},
                                     {"1970-01-01 00:00:00.25", kSecond / 4},
                                     {"1970-01-01 00:00:00,25", kSecond / 4},
                                     {"1970-01-01 00:00:00.123456789", std::int64_t{123456}},
                                     {"1970-01-01 00:00:00Z", std::int64_t{0}},
                                     {"1970-01-01 00:00:00 UTC", std::int64_t{0}},
                                     {"1970-01-01 01:30+01:30", std::int64_t{0}},
                                     {"1970-01-01 01:30 +0130", std::int64_t{0}},
                                     {"1969-12-31T19:00:00-05", std::int64_t{0}},
                                     {"0001-01-01", -719162 * kDay},
                                     {"9999-12-31", 2932896 * kDay}}) {
    EXPECT_EQ(parse_datetime(text), wanted) << text;
  }
}

TEST(Datetime, RefusesWhatIsNone) {
  for (const char* text : {"",
                           "2017",
                           "2017-5-6",
                           "2017-05",
                           "2017-00-01",
                           "2017-01-00",
                           "2017-01-32",
                           "2019-02-29",
                           "2017-05-06 ",
                           "2017-05-06T",
                           "2017-05-06 1:00",
                           "2017-05-06 24:00",
                           "2017-05-06 00:60",
                           "2017-05-06 00:00:61",
                           "2017-05-06 00:00:00.",
                           "2017-05-06 00:00:00.x",
                           "2017-05-06 00:00:00 CET",
                           "2017-05-06 00:00:00+1",
                           "2017-05-06 00:00:00+24:00",
                           "2017-05-06 00:00:00+00:60",
                           "2017-05-06_00:00",
                           "20170506",
                           "2017/05/06",
                           "-2017-05-06",
                           "2017-05-06 00:00:00Zx",
                           "1494028800"}) {
    EXPECT_EQ(parse_datetime(text), std::nullopt) << text;
  }
}

TEST(Datetime, RandomTimesComeBackFromTheirText) {
  const CounterRandom random(4);
  for (std::uint64_t i = 0; i < 5000; ++i) {
    const auto microseconds = static_cast<std::int64_t>(random.below(2 * i, 4102444800)) * kSecond +
                              static_cast<std::int64_t>(random.below(2 * i + 1, kSecond));
    const std::chrono::sys_days day{std::chrono::floor<std::chrono::days>(
        std::chrono::sys_time<std::chrono::microseconds>(std::chrono::microseconds(microseconds)))};
    const std::chrono::year_month_day date(day);
    const std::int64_t rest = microseconds - day.time_since_epoch().count() * 86400 * kSecond;
    char text[64];
    std::snprintf(text, sizeof(text), "%04d-%02u-%02u%c%02d:%02d:%02d.%06d", int(date.year()),
                  unsigned(date.month()), unsigned(date.day()), i % 2 == 0 ? 'T' : ' ',
                  int(rest / (3600 * kSecond)), int(rest / (60 * kSecond) % 60),
                  int(rest / kSecond % 60), int(rest % kSecond));
    ASSERT_EQ(parse_datetime(text), microseconds) << text;
  }
}

class CellRulesTest : public ::testing::Test {
 protected:
  static CellRules rules(std::vector<std::string> na_values = {}) {
    ReaderOptions options;
    options.na_values = std::move(na_values);
    return CellRules(options);
  }
  // The only bad cell of what a call leaves; "" for none.
  template <typename Fn>
  static std::string reason(Fn&& fn) {
    BadCells bad;
    (void)fn(bad);
    if (bad.cells().empty()) return "";
    EXPECT_EQ(bad.cells().size(), 1u);
    EXPECT_EQ(bad.cells()[0].row, 7);
    return bad.cells()[0].reason;
  }
};

TEST_F(CellRulesTest, NumbersMissingValuesAndTheRest) {
  BadCells bad;
  EXPECT_EQ(rules().dense(7, " 2.5 ", bad), 2.5F);
  EXPECT_TRUE(std::isnan(rules().dense(7, "", bad)));
  EXPECT_TRUE(std::isnan(rules().dense(7, "NA", bad)));
  EXPECT_TRUE(std::isnan(rules({"-1"}).dense(7, "-1", bad)));
  EXPECT_EQ(rules({"-1"}).dense(7, "-1.0", bad), -1.0F);
  EXPECT_TRUE(bad.cells().empty());
  for (const auto& [cell, why] : {std::pair{"x", "data.na_values"},
                                  {"1,234", "thousands"},
                                  {"3,5", "decimal comma"},
                                  {"1.2.3", "\"1.2.3\" is not a number"},
                                  {"inf", "must be a finite number"},
                                  {"1e99", "must be a finite number"},
                                  {"-1e99", "\"-1e99\", must be a finite number that float32"},
                                  {"1e999", "\"1e999\", must be a finite number that float32"},
                                  {"nan", "must be a finite number"},
                                  {"na", "is not a number"}}) {
    EXPECT_THAT(reason([&](BadCells& b) { return rules().dense(7, cell, b); }), HasSubstr(why));
  }
}

TEST_F(CellRulesTest, LabelsAndTimes) {
  BadCells bad;
  EXPECT_EQ(rules().label(7, "True", bad), 1.0F);
  EXPECT_EQ(rules().time(7, "12", bad), 12);
  EXPECT_EQ(rules().time(7, "1970-01-01 00:00:01", bad), kSecond);
  EXPECT_TRUE(bad.cells().empty());
  for (const char* missing : {"", "NULL", "None", "-"}) {
    EXPECT_EQ(reason([&](BadCells& b) { return rules({"-"}).label(7, missing, b); }),
              "the label is missing");
    EXPECT_EQ(reason([&](BadCells& b) { return rules({"-"}).time(7, missing, b); }),
              "the time is missing");
  }
  EXPECT_EQ(reason([&](BadCells& b) { return rules({"0"}).label(7, "0", b); }),
            "the label is missing");
  EXPECT_THAT(reason([&](BadCells& b) { return rules().label(7, "yes", b); }),
              HasSubstr("\"yes\""));
  EXPECT_THAT(reason([&](BadCells& b) { return rules().time(7, "1.5", b); }), HasSubstr("\"1.5\""));
}

TEST_F(CellRulesTest, IdsAndTheirParts) {
  EXPECT_EQ(rules().id("NA"), hash_string("NA"));  // an id of its own, unless named
  EXPECT_EQ(rules({"NA"}).id("NA"), kMissingId);
  const auto parts = [&](const char* cell, char separator) {
    std::vector<std::uint64_t> ids;
    rules({"?"}).append_ids(cell, separator, ids);
    return ids;
  };
  EXPECT_THAT(parts("1|2||3", '|'), ElementsAre(1, 2, 3));
  EXPECT_THAT(parts("|", '|'), ElementsAre());
  EXPECT_THAT(parts("?|4|?", '|'), ElementsAre(4));
  EXPECT_THAT(parts("?", '|'), ElementsAre(kMissingId));
  EXPECT_THAT(parts("", '|'), ElementsAre(kMissingId));
  EXPECT_THAT(parts("1|2", 0), ElementsAre(hash_string("1|2")));
}

TEST(ListLookTest, FindsWhatSeparates) {
  const auto separator = [](const std::vector<std::string>& texts) {
    ListLook look;
    for (const std::string& text : texts) look.add(text);
    return look.separator();
  };
  EXPECT_EQ(separator({"a|b", "c"}), '|');
  EXPECT_EQ(separator({"a^b", "c", "d"}), 0);  // fewer than half
  EXPECT_EQ(separator({"1^2", "3^4^5", "6"}), '^');
  EXPECT_EQ(separator({"a;b", "c;d"}), ';');
  EXPECT_EQ(separator({"1,2", "3,4,5"}), ',');
  EXPECT_EQ(separator({"1,234", "3,456"}), 0);
  EXPECT_EQ(separator({"Paris, France", "Rome, Italy"}), 0);
  EXPECT_EQ(separator({"1 2", "3 4"}), ' ');
  EXPECT_EQ(separator({"toy story", "up"}), 0);
  EXPECT_EQ(separator({}), 0);
  ListLook look;
  look.add("a^b");
  EXPECT_TRUE(look.holds('^'));
  EXPECT_FALSE(look.holds('|'));
  EXPECT_FALSE(look.holds('x'));
}

TEST(TextSniff, ChoosesTheSeparatorThatFitsTheHeader) {
  EXPECT_EQ(sniff_separator("a,b\n1,2\n", Format::kCsv), ',');
  EXPECT_EQ(sniff_separator("a;b\n1,5;2,5\n", Format::kCsv), ';');
  EXPECT_EQ(sniff_separator("a;b,c\n1;2\n3;4\n", Format::kCsv), ';');
  EXPECT_EQ(sniff_separator("a,b\n", Format::kTsv), ',');
  EXPECT_EQ(sniff_separator("alone\n1\n", Format::kTsv), '\t');
  EXPECT_EQ(sniff_separator("alone\n1\n", Format::kCsv), ',');
  EXPECT_EQ(sniff_separator("a b\n1 2\n", Format::kText), ' ');
  EXPECT_EQ(sniff_separator("a b\n1 2\n", Format::kCsv), ',');
  EXPECT_EQ(sniff_separator("\"a;x\",b\n\"1;2\",3\n", Format::kCsv), ',');
  EXPECT_EQ(sniff_separator("", Format::kCsv), ',');
  EXPECT_TRUE(has_empty_tail("a,b\n1,2,\n", {',', true}));
  EXPECT_FALSE(has_empty_tail("a,b\n1,2,3\n", {',', true}));
  EXPECT_FALSE(has_empty_tail("a,b\n", {',', true}));
}

TEST(TextSniff, TakesTypesFromNamesWhereAllHaveOne) {
  std::vector<std::string> names = {"u:token", "i:token_seq", "x:float", "v:float_seq"};
  EXPECT_THAT(take_declared_types(names),
              ElementsAre(DeclaredType::kToken, DeclaredType::kTokenList, DeclaredType::kFloat,
                          DeclaredType::kFloatList));
  EXPECT_THAT(names, ElementsAre("u", "i", "x", "v"));
  names = {"u:token", "i"};
  EXPECT_THAT(take_declared_types(names), ElementsAre(DeclaredType::kNone, DeclaredType::kNone));
  EXPECT_THAT(names, ElementsAre("u:token", "i"));
  names = {":token"};
  EXPECT_THAT(take_declared_types(names), ElementsAre(DeclaredType::kNone));
}

TEST(FileKinds, AreToldByTheirFirstBytes) {
  EXPECT_EQ(known_kind("label,user\n1,2\n"), std::nullopt);
  EXPECT_EQ(known_kind(""), std::nullopt);
  EXPECT_EQ(known_kind("PAR1", "PAR1")->what, kParquetKind);
  EXPECT_EQ(known_kind("PAR1", "x,y\n"), std::nullopt);
  EXPECT_EQ(known_kind("ARROW1")->what, kArrowKind);
  EXPECT_EQ(known_kind(std::string("\x15\xFF\xFF\xFF", 4)), std::nullopt);  // a length without end
  EXPECT_EQ(kind_of_file("/nowhere/at/all"), std::nullopt);
}

TEST(ArrowFiles, BadRowsAreNamedByRowOfTheFileAndSkipped) {
  const test::TemporaryDirectory dir;
  write_arrow(dir.file("x.arrow"),
              *make_table({{"y", arrow::int8(), "[0, 1, 2, 1, null, 0]"},
                           {"d", arrow::float64(), "[1, 2, 3, NaN, 5, 6]"}}),
              2);
  ReaderOptions options;
  options.files = {dir.file("x.arrow")};
  options.schema = {.label = "y", .dense = {"d"}};
  const auto [kind, message] = error_of([&] { (void)read_all(options); });
  EXPECT_EQ(kind, ErrorKind::kData);
  EXPECT_THAT(message, HasSubstr("the label is 2, must be 0 or 1"));
  EXPECT_THAT(message, HasSubstr("x.arrow, row 3, column y"));
  options.on_bad_row = OnBadRow::kSkip;
  BatchReader reader(options);
  std::vector<float> dense;
  for (Batch batch; reader.next(batch);) {
    dense.insert(dense.end(), batch.dense.begin(), batch.dense.end());
  }
  EXPECT_THAT(dense, ElementsAre(1, 2, 6));
  EXPECT_EQ(reader.bad_rows().count, 3);
  EXPECT_THAT(reader.bad_rows().first,
              ElementsAre(HasSubstr("row 3, column y"), HasSubstr("row 4, column d"),
                          HasSubstr("row 5, column y")));
}

TEST(ArrowFiles, ErrorsAreThoseOfParquet) {
  const test::TemporaryDirectory dir;
  ReaderOptions options;
  options.files = {dir.file("x.arrow")};
  options.schema = {.label = "y"};
  const auto expect = [&](ErrorKind wanted, const std::string& part) {
    const auto [kind, message] = error_of([&] { (void)read_all(options); });
    EXPECT_EQ(to_string(kind), to_string(wanted)) << message;
    EXPECT_THAT(message, HasSubstr(part));
  };
  expect(ErrorKind::kNotFound, "no such file");
  write_arrow(options.files[0], *make_table({{"z", arrow::int8(), "[1]"}}));
  expect(ErrorKind::kNotFound, "no column \"y\"");
  write_arrow(options.files[0], *make_table({{"y", arrow::list(arrow::int8()), "[[1]]"}}));
  expect(ErrorKind::kData, "a label must be");
  write_arrow(options.files[0], *make_table({{"y", arrow::int8(), "[]"}}));
  expect(ErrorKind::kData, "no rows");
  write_text(options.files[0], read_text(options.files[0]).substr(0, 40));
  expect(ErrorKind::kFormat, "not a whole Arrow file");
  write_parquet(options.files[0], *make_table({{"y", arrow::int8(), "[1]"}}));
  expect(ErrorKind::kFormat, "not an Arrow file but a Parquet file");
  write_text(dir.file("b.csv"), "y\n1\n");
  write_arrow(options.files[0], *make_table({{"y", arrow::int8(), "[1]"}}));
  options.files.push_back(dir.file("b.csv"));
  expect(ErrorKind::kUnsupported, "in one list");
}

}  // namespace
}  // namespace taut::data
