// CSV, TSV and Criteo's TSV: fields, quotes, numbers, ids, and what is wrong in which row.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>

#include "data/text_cells.h"
#include "data/text_index.h"
#include "taut/core/hash.h"
#include "taut/core/random.h"
#include "taut/core/text.h"
#include "text_files.h"

namespace taut::data {
namespace {

using namespace testing;  // NOLINT: helpers of these tests
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Bags = std::vector<std::vector<std::uint64_t>>;
using Table = std::vector<std::vector<std::string>>;

Table fields_of(const std::string& text, const TextDialect& dialect = {}) {
  TextIndex index;
  index.build(text, dialect);
  Table table(static_cast<std::size_t>(index.rows()));
  std::string scratch;
  for (std::int64_t row = 0; row < index.rows(); ++row) {
    for (std::int64_t field = 0; field < index.fields(row); ++field) {
      table[row].emplace_back(index.value(row, field, scratch));
    }
  }
  return table;
}

TEST(TextIndex, CutsRowsAndFields) {
  EXPECT_EQ(fields_of("a,b,c\n,,\n\n1\r\n2,3\r\n\r\n"),
            (Table{{"a", "b", "c"}, {"", "", ""}, {"1"}, {"2", "3"}}));
  EXPECT_EQ(fields_of("a\tb\n", {'\t', true}), (Table{{"a", "b"}}));
  EXPECT_EQ(fields_of(""), Table{});
}

TEST(TextIndex, ReadsQuotedFields) {
  EXPECT_EQ(fields_of("\"a,b\",\"c\"\"d\"\n\"line\nbreak\",\"\"\r\n\"\"\"\",x\"y\n"),
            (Table{{"a,b", "c\"d"}, {"line\nbreak", ""}, {"\"", "x\"y"}}));
  EXPECT_EQ(fields_of("\"a,b\"\n", {',', false}), (Table{{"\"a", "b\""}}));
}

TEST(TextIndex, SeesAQuoteThatIsNeverClosed) {
  TextIndex index;
  index.build("a,b\n\"c,d\n", {});
  EXPECT_EQ(index.rows(), 2);
  EXPECT_TRUE(index.open_quote());
}

// Random text against a reader that goes character by character, for texts longer than any vector.
TEST(TextIndex, FollowsAPlainReaderOnRandomText) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    const CounterRandom random(seed);
    std::string text;
    Table wanted(1, {""});
    const bool quotes = seed % 2 == 1;
    for (std::uint64_t i = 0; i < 40 + seed; ++i) {
      std::string value(random.below(i, 9), static_cast<char>('a' + i % 26));
      std::string written = value;
      if (quotes && random.below(i + 1000, 3) == 0) {
        value += ",\n\"x";
        written = "\"" + value.substr(0, value.size() - 2) + "\"\"x\"";
      }
      wanted.back().back() = value;
      text += written;
      if (random.below(i + 2000, 5) == 0) {
        if (wanted.back() == std::vector<std::string>{""}) wanted.pop_back();  // blank line
        text += '\n';
        wanted.push_back({""});
      } else {
        text += ',';
        wanted.back().emplace_back();
      }
    }
    text += "end\n";
    wanted.back().back() = "end";
    ASSERT_EQ(fields_of(text), wanted) << "seed " << seed << "\n" << text;
  }
}

TEST(TextIndex, PiecesAreWholeRecordsAndGiveTheTextBack) {
  std::string text;
  for (int row = 0; row < 100; ++row) text += concat(row, row % 7 == 3 ? ",\"a\nb\"" : ",x", "\n");
  for (const bool quotes : {true, false}) {
    const TextDialect dialect{',', quotes};
    for (const std::size_t piece_bytes : {1, 5, 64, 100000}) {
      const std::vector<std::size_t> ends = cut_pieces(text + "cut of", piece_bytes, dialect);
      ASSERT_FALSE(ends.empty());
      EXPECT_EQ(ends.back(), text.size());
      Table together;
      std::size_t begin = 0;
      for (const std::size_t end : ends) {
        for (auto& row : fields_of(text.substr(begin, end - begin), dialect))
          together.push_back(row);
        begin = end;
      }
      EXPECT_EQ(together, fields_of(text, dialect));
    }
  }
}

TEST(TextCells, NumbersAreTheNearestDoubles) {
  for (const char* text :
       {"0", "-0", "1", "-1.5", "3.14159265358979", "1e10", "-2.5E-3", "0.1", ".5", "7.",
        "123456789012345678", "9007199254740993", "1.7976931348623157e308", "4.9e-324",
        "0.30000000000000004", "000012.250"}) {
    ASSERT_TRUE(parse_number(text).has_value()) << text;
    EXPECT_EQ(*parse_number(text), std::strtod(text, nullptr)) << text;
  }
  EXPECT_EQ(parse_number("+2.5"), 2.5);
  EXPECT_EQ(parse_number("1e999"), std::numeric_limits<double>::infinity());
  EXPECT_EQ(parse_number("-1e999"), -std::numeric_limits<double>::infinity());
  EXPECT_EQ(parse_number("1e-999"), 0.0);
  EXPECT_TRUE(std::isnan(*parse_number("nan")));
  for (const char* text : {"", "-", "+", ".", "1a", "a1", "1.2.3", "--1", "+-1", "1e", "0x10",
                           "1,5", "1 2", "e5", "NULL"}) {
    EXPECT_FALSE(parse_number(text).has_value()) << text;
  }
}

TEST(TextCells, RandomNumbersComeBackFromTheirText) {
  const CounterRandom random(3);
  for (std::uint64_t i = 0; i < 20000; ++i) {
    const double value = random.normal(i) * std::pow(10.0, static_cast<double>(i % 12) - 6);
    char text[64];
    std::snprintf(text, sizeof(text), i % 2 == 0 ? "%.6f" : "%.17g", value);
    ASSERT_EQ(*parse_number(text), std::strtod(text, nullptr)) << text;
  }
}

TEST(TextCells, LabelsAndIntegers) {
  for (const char* text : {"1", "1.0", "true", "True", "TRUE", "1e0", "+1"}) {
    EXPECT_EQ(parse_label(text), 1.0F) << text;
  }
  for (const char* text : {"0", "0.0", "false", "False", "-0"}) EXPECT_EQ(parse_label(text), 0.0F);
  for (const char* text : {"", "2", "-1", "0.5", "yes", "nan"}) EXPECT_FALSE(parse_label(text));
  EXPECT_EQ(parse_integer("-9223372036854775808"), std::numeric_limits<std::int64_t>::min());
  for (const char* text : {"", "1.0", "9223372036854775808", "1a"})
    EXPECT_FALSE(parse_integer(text));
}

TEST(Ids, ATextThatIsAnIntegerIsThatInteger) {
  EXPECT_EQ(id_of_text("0"), 0u);
  EXPECT_EQ(id_of_text("42"), 42u);
  EXPECT_EQ(id_of_text("-7"), static_cast<std::uint64_t>(-7));
  EXPECT_EQ(id_of_text("18446744073709551615"), ~std::uint64_t{0});
  EXPECT_EQ(id_of_text("-9223372036854775808"), std::uint64_t{1} << 63);
  EXPECT_EQ(id_of_text(""), kMissingId);
  for (const char* text : {"007", "-0", "+1", "1.5", " 1", "1e3", "-", "18446744073709551616",
                           "68fd1e64", "-9223372036854775809", "123456789012345678901"}) {
    EXPECT_EQ(id_of_text(text), hash_string(text)) << text;
  }
}

class TextTest : public TextFiles {
 protected:
  const Schema schema_{"y", {"d"}, {"c", "m"}, "t"};
};

TEST_F(TextTest, ReadsEveryKindOfColumn) {
  const Batch batch = read_all(reading("x.csv",
                                       "\xEF\xBB\xBFy,extra,d,c,m,t\r\n"
                                       "1,?,0.5,abc,1|2,10\r\n"
                                       "0,?,,,|,20\r\n"
                                       "\r\n"
                                       "true,?, -3 ,\"a,b\",x||7,30\r\n"
                                       "0.0,?,1e2,42,,40",
                                       schema_));
  EXPECT_EQ(batch.size, 4);
  EXPECT_THAT(batch.labels, ElementsAre(1, 0, 1, 0));
  EXPECT_THAT(batch.dense, ElementsAre(0.5F, 0, -3, 100));
  EXPECT_THAT(batch.time, ElementsAre(10, 20, 30, 40));
  EXPECT_EQ(bags(batch, 0), (Bags{{hash_string("abc")}, {kMissingId}, {hash_string("a,b")}, {42}}));
  EXPECT_EQ(bags(batch, 1), (Bags{{1, 2}, {}, {hash_string("x"), 7}, {kMissingId}}));
}

TEST_F(TextTest, CellsStayWholeWithoutAListSeparator) {
  ReaderOptions options = reading("x.tsv", "c\na|b\n", {.categorical = {"c"}});
  options.list_separator = 0;
  EXPECT_EQ(bags(read_all(options), 0), (Bags{{hash_string("a|b")}}));
  options.list_separator = ';';
  EXPECT_EQ(bags(read_all(options), 0), (Bags{{hash_string("a|b")}}));
}

TEST_F(TextTest, ReadsCriteoWithoutAHeader) {
  std::string line = "1";
  for (int i = 1; i <= 13; ++i) line += i == 3 ? "\t" : concat("\t", i);
  for (int i = 1; i <= 26; ++i) line += i == 5 ? "\t" : concat("\t", "68fd1e", 10 + i);
  ReaderOptions options = reading("day_0", line + "\n0" + line.substr(1) + "\n", criteo_schema());
  options.format = "criteo";
  const Batch batch = read_all(options);
  EXPECT_EQ(batch.size, 2);
  EXPECT_THAT(batch.labels, ElementsAre(1, 0));
  ASSERT_EQ(batch.dense.size(), 26u);
  EXPECT_EQ(batch.dense[2], 0);
  EXPECT_EQ(batch.dense[12], 13);
  EXPECT_EQ(bags(batch, 0)[0], std::vector{hash_string("68fd1e11")});
  EXPECT_EQ(bags(batch, 4)[1], std::vector{kMissingId});
  EXPECT_EQ(bags(batch, 25)[1], std::vector{hash_string("68fd1e36")});
  write_text(options.files[0], line + "\t1\n");
  expect_error(options, ErrorKind::kData, {"too many fields (41, wanted 40)", "day_0, row 1"});
}

TEST_F(TextTest, ReadsTheSameAsParquet) {
  const std::int64_t rows = 50000;  // many pieces
  write_numbered(dir_.file("x.parquet"), rows, 9000);
  std::string text = "c_list,label,time,d_row,c_row\n";
  for (std::int64_t row = 0; row < rows; ++row) {
    std::string list = row % 4 == 0 ? "|" : std::to_string(row);
    for (std::int64_t i = 1; i < row % 4; ++i) list += concat("|", row);
    text += concat(list, ",", row % 2, ",", row, ",", row, ",", row, "\n");
  }
  write_text(dir_.file("x.csv"), text);
  for (const std::int64_t batch_size : {777, 60000}) {
    ReaderOptions options = numbered_options({dir_.file("x.parquet")});
    options.batch_size = batch_size;
    const std::vector<Batch> wanted = read_batches(options);
    options.files = {dir_.file("x.csv")};
    for (const int threads : {1, 2}) {
      options.threads = threads;
      const std::vector<Batch> batches = read_batches(options);
      ASSERT_EQ(batches.size(), wanted.size());
      for (std::size_t b = 0; b < batches.size(); ++b) {
        EXPECT_EQ(batches[b].labels, wanted[b].labels);
        EXPECT_EQ(batches[b].time, wanted[b].time);
        EXPECT_EQ(batches[b].dense, wanted[b].dense);
        for (std::size_t c = 0; c < 2; ++c) {
          EXPECT_EQ(batches[b].categorical[c].ids, wanted[b].categorical[c].ids);
          EXPECT_EQ(batches[b].categorical[c].offsets, wanted[b].categorical[c].offsets);
        }
      }
    }
  }
}

TEST_F(TextTest, ShufflesLikeParquet) {
  std::string text = "c\n";
  for (int row = 0; row < 3000; ++row) text += concat(row, "\n");
  ReaderOptions options = reading("x.csv", text, {.categorical = {"c"}});
  options.shuffle_rows = 5000;
  std::vector<std::uint64_t> ids = read_all(options).categorical[0].ids;
  EXPECT_FALSE(std::is_sorted(ids.begin(), ids.end()));
  std::sort(ids.begin(), ids.end());
  for (std::uint64_t row = 0; row < 3000; ++row) ASSERT_EQ(ids[row], row);
}

TEST_F(TextTest, FilesMayOrderTheirColumnsDifferently) {
  write_text(dir_.file("a.csv"), "y,c\n1,5\n");
  write_text(dir_.file("b.csv"), "more,c,y\n,6,0\n");
  ReaderOptions options;
  options.files = {dir_.file("*.csv")};
  options.schema = {.label = "y", .categorical = {"c"}};
  const Batch batch = read_all(options);
  EXPECT_THAT(batch.labels, ElementsAre(1, 0));
  EXPECT_THAT(batch.categorical[0].ids, ElementsAre(5, 6));
}

TEST_F(TextTest, NamesTheRowWithTooFewFields) {
  expect_error(reading("x.csv", "y,d,c,m,t\n1,1,1,1,1\n\n1,1,1\n1,1,1,1,1\n", schema_),
               ErrorKind::kData, {"too few fields (3, wanted 5)", "x.csv, row 2", "on_bad_row"});
}

TEST_F(TextTest, NamesTheRowAndColumnWithALetterInANumber) {
  const std::string head = "y,d,c,m,t\n1,1,1,1,1\n";
  expect_error(reading("x.csv", head + "1,1x3,1,1,1\n", schema_), ErrorKind::kData,
               {"\"1x3\" is not a number", "x.csv, row 2, column d"});
  expect_error(reading("x.csv", head + "1,1,1,1,noon\n", schema_), ErrorKind::kData,
               {"the time is \"noon\", must be a whole number", "row 2, column t"});
  expect_error(reading("x.csv", head + "1,1,1,1,\n", schema_), ErrorKind::kData,
               {"the time is missing", "row 2, column t"});
  expect_error(reading("x.csv", head + "2,1,1,1,1\n", schema_), ErrorKind::kData,
               {"the label is \"2\", must be 0 or 1", "row 2, column y"});
  expect_error(reading("x.csv", head + ",1,1,1,1\n", schema_), ErrorKind::kData,
               {"the label is missing", "row 2, column y"});
  expect_error(reading("x.csv", head + "1,NaN,1,1,1\n", schema_), ErrorKind::kData,
               {"the value is \"NaN\", must be a finite number", "row 2, column d"});
}

TEST_F(TextTest, NamesTheRowInTheMiddleOfALargeFile) {
  std::string text = "y,d\n";
  for (int row = 1; row <= 200000; ++row) text += row == 123456 ? "1,a\n" : "0,2.5\n";
  ReaderOptions options = reading("x.csv", text, {.label = "y", .dense = {"d"}});
  expect_error(options, ErrorKind::kData, {"\"a\" is not a number", "row 123456, column d"});
  options.on_bad_row = OnBadRow::kSkip;
  EXPECT_EQ(read_all(options).size, 199999);
}

TEST_F(TextTest, SkipsBadRowsOfEveryKind) {
  ReaderOptions options = reading(
      "x.csv", "y,d,c,m,t\n1,1,1,1|2,1\n1,1\n0,q,2,1,2\n0,3,3,|,3\n7,1,1,1,1\n1,2,3,4,5,6\n0,\"1\n",
      schema_);
  options.on_bad_row = OnBadRow::kSkip;
  BatchReader reader(options);
  Batch batch;
  ASSERT_TRUE(reader.next(batch));
  EXPECT_THAT(batch.time, ElementsAre(1, 3));
  EXPECT_EQ(bags(batch, 1), (Bags{{1, 2}, {}}));
  EXPECT_FALSE(reader.next(batch));
  const BadRows bad = reader.bad_rows();
  EXPECT_EQ(bad.count, 5);
  EXPECT_THAT(bad.first, ElementsAre(HasSubstr("too few fields (2, wanted 5)"), HasSubstr("row 3"),
                                     HasSubstr("row 5"), HasSubstr("too many fields (6, wanted 5)"),
                                     HasSubstr("a quote is never closed")));
}

TEST_F(TextTest, RefusesWhatIsNoTextTable) {
  expect_error(reading("x.csv", std::string("PAR1\0\0\1", 7), schema_), ErrorKind::kFormat,
               {"not a text file", "x.csv"});
  expect_error(reading("x.csv", "\n\n", schema_), ErrorKind::kFormat,
               {"no line with column names"});
  expect_error(reading("x.csv", "", schema_), ErrorKind::kFormat, {"the file is empty"});
  expect_error(reading("x.csv", "y,d,c,m,t\n", schema_), ErrorKind::kData, {"no rows", "x.csv"});
  expect_error(reading("x.csv", "y,D,c,m,t\n", schema_), ErrorKind::kNotFound,
               {"no column \"d\"", "x.csv", "did you mean"});
  expect_error(reading("x.csv", "y,d,c,m,t,d\n", schema_), ErrorKind::kFormat,
               {"two columns are called \"d\""});
}

}  // namespace
}  // namespace taut::data
