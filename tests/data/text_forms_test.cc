// Text files as people write them: separators, encodings, line ends, missing values, headers with
// types.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/text_cells.h"
#include "data/text_encoding.h"
#include "taut/core/hash.h"
#include "taut/core/text.h"
#include "taut/data/init.h"
#include "taut/data/input_spec.h"
#include "taut/data/table_info.h"
#include "text_files.h"

namespace taut::data {
namespace {

using namespace testing;  // NOLINT: helpers of these tests
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Bags = std::vector<std::vector<std::uint64_t>>;

class TextFormsTest : public TextFiles {
 protected:
  const Schema schema_{"y", {"d"}, {"c"}, ""};
};

// ASCII, and é as U+00E9.
std::string utf16(const std::string& latin1, bool big, bool mark) {
  std::string text;
  const auto add = [&](int high, int low) {
    text += static_cast<char>(big ? high : low);
    text += static_cast<char>(big ? low : high);
  };
  if (mark) add(0xFE, 0xFF);
  for (const char c : latin1) add(0, static_cast<unsigned char>(c));
  return text;
}

TEST_F(TextFormsTest, SeparatorsAreTold) {
  for (const char separator : {',', ';', '\t', '|'}) {
    for (const char* name : {"x.csv", "x.tsv", "x.txt", "x.inter"}) {
      std::string text = "y,d,c\n1,0.5,a\n0,2,b\n";
      std::replace(text.begin(), text.end(), ',', separator);
      const Batch batch = read_all(reading(name, text, schema_));
      EXPECT_THAT(batch.labels, ElementsAre(1, 0)) << name << separator;
      EXPECT_THAT(batch.dense, ElementsAre(0.5F, 2));
    }
  }
  EXPECT_EQ(read_all(reading("x.txt", "y d c\n1 0.5 a\n0 2 b\n", schema_)).size, 2);
  // The usual one is kept where it fits, whatever else there is in the cells.
  const Batch batch = read_all(reading("x.csv", "y,d,c\n1,1,a|b;c\n0,2,d|e;f\n", schema_));
  EXPECT_EQ(bags(batch, 0)[0], (std::vector{hash_string("a"), hash_string("b;c")}));
  // A header of one column has none.
  EXPECT_EQ(read_all(reading("x.csv", "c\nu|v\n", {.categorical = {"c"}})).size, 1);
}

TEST_F(TextFormsTest, ASeparatorCanBeSet) {
  ReaderOptions options = reading("x.csv", "y^d^c,c\n1^2^a,b\n", {"y", {"d"}, {"c,c"}, ""});
  options.separator = '^';
  EXPECT_EQ(bags(read_all(options), 0), (Bags{{hash_string("a,b")}}));
  set_text_options({}, "", options);
  EXPECT_EQ(options.separator, 0);
  EXPECT_EQ(options.list_separator, std::nullopt);
  set_text_options({.separator = "tab", .list_separator = ""}, "", options);
  EXPECT_EQ(options.separator, '\t');
  EXPECT_EQ(options.list_separator, '\0');
  set_text_options({.separator = ";", .list_separator = "^"}, "", options);
  EXPECT_EQ(options.separator, ';');
  EXPECT_EQ(options.list_separator, '^');
  for (const char* wrong : {"::", "\n", "\"", "\xC3\xA9"}) {
    for (const TextOptions& text :
         {TextOptions{.separator = wrong}, TextOptions{.list_separator = wrong}}) {
      const auto [kind, message] = error_of([&] { set_text_options(text, "a.toml", options); });
      EXPECT_EQ(kind, ErrorKind::kConfig);
      EXPECT_THAT(message, AllOf(HasSubstr("a.toml, data."), HasSubstr("separator")));
    }
  }
}

TEST_F(TextFormsTest, RowsMayEndInOneEmptyFieldTooMuch) {
  const Batch batch = read_all(reading("x.csv", "y,d,c\n1,2,a,\n0,3,b,\n0,4,c\n", schema_));
  EXPECT_THAT(batch.dense, ElementsAre(2, 3, 4));
  expect_error(reading("x.csv", "y,d,c\n1,2,a,\n0,3,b,7\n", schema_), ErrorKind::kData,
               {"too many fields (4, wanted 3)", "row 2"});
  expect_error(reading("x.csv", "y,d,c\n1,2,a\n0,3,b,\n", schema_), ErrorKind::kData,
               {"too many fields (4, wanted 3)", "row 2"});
}

TEST_F(TextFormsTest, InitNamesCountsWhereNoRowFitsTheHeader) {
  write_text(dir_.file("x.csv"), "y,d,c\n1,2,a,4\n0,3,b,5\n");
  const auto [kind, message] = error_of([&] { (void)guess_schema(dir_.file("x.csv")); });
  EXPECT_EQ(kind, ErrorKind::kData);
  EXPECT_THAT(message, AllOf(HasSubstr("4 in row 1, 3 in the header"), HasSubstr("x.csv")));
}

TEST_F(TextFormsTest, EncodingsAreToldOrSet) {
  const std::string latin1 = "y,d,c\r\n1,2,caf\xE9\r\n0,3,b\r\n";
  const Bags wanted{{hash_string("caf\xC3\xA9")}, {hash_string("b")}};
  for (const bool big : {false, true}) {
    for (const bool mark : {false, true}) {
      const ReaderOptions options = reading("x.csv", utf16(latin1, big, mark), schema_);
      EXPECT_EQ(bags(read_all(options), 0), wanted) << "big " << big << " mark " << mark;
    }
  }
  ReaderOptions options = reading("x.csv", latin1, schema_);
  options.encoding = Encoding::kLatin1;
  EXPECT_EQ(bags(read_all(options), 0), wanted);
  options = reading("x.csv", "y,d,c\n1,2,\x80\x99\n0,3,b\n", schema_);
  options.encoding = Encoding::kWindows1252;
  EXPECT_EQ(bags(read_all(options), 0)[0],
            std::vector{hash_string("\xE2\x82\xAC\xE2\x84\xA2")});  // the euro and trade mark signs
}

TEST_F(TextFormsTest, AHeaderThatIsNotUtf8IsNamedByByte) {
  const ReaderOptions options = reading("x.csv", "y,d,caf\xE9\n1,2,3\n", {.label = "y"});
  expect_error(
      options, ErrorKind::kFormat,
      {"not UTF-8", "byte 8 of the file is \"\\xE9\"", "x.csv", "data.encoding", "latin-1"});
}

TEST_F(TextFormsTest, EncodingsThatCannotBe) {
  using namespace std::string_literals;
  expect_error(reading("x.csv", "\xFF\xFE\0\0y\0\0\0"s, schema_), ErrorKind::kUnsupported,
               {"UTF-32", "x.csv"});
  ReaderOptions options = reading("x.csv", utf16("y,d,c\n1,2,3\n", false, true), schema_);
  options.encoding = Encoding::kUtf8;
  expect_error(options, ErrorKind::kConfig, {"byte order mark says UTF-16", "data.encoding"});
  expect_error(reading("x.csv", "\x1F\x8B\x08\0\0\0\0\0"s, schema_), ErrorKind::kFormat,
               {"not a text file but a gzip file", "gunzip"});
}

TEST_F(TextFormsTest, Utf16IsReadAcrossChunks) {
  std::string text = "y,d,c\n";
  for (int row = 0; row < 400000; ++row) text += concat(row % 2, ",", row % 1000, ",id", row, "\n");
  const Batch wanted = read_all(reading("x.csv", text, schema_));
  const Batch batch = read_all(reading("y.csv", "\xFF\xFE" + utf16(text, false, false), schema_));
  EXPECT_EQ(batch.dense, wanted.dense);
  EXPECT_EQ(batch.categorical[0].ids, wanted.categorical[0].ids);
}

TEST(TextDecoderTest, PairsOfSurrogatesMayBeCutAnywhere) {
  const std::string bytes =
      std::string("\x3D\xD8\x00\xDE\x41\x00\x3D\xD8", 8);  // 😀, A, half a pair
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    TextDecoder decoder(bytes, Encoding::kUtf16, "x");
    std::string out;
    decoder.decode(std::string_view(bytes).substr(0, cut), false, out);
    decoder.decode(std::string_view(bytes).substr(cut), true, out);
    EXPECT_EQ(out,
              "\xF0\x9F\x98\x80"
              "A\xEF\xBF\xBD");
  }
}

TEST_F(TextFormsTest, LinesMayEndInReturnsAlone) {
  const Batch batch = read_all(reading("x.csv", "y,d,c\r1,2,a\r0,3,b", schema_));
  EXPECT_THAT(batch.dense, ElementsAre(2, 3));
}

TEST_F(TextFormsTest, UsualSpellingsOfNothingAreMissingNumbers) {
  for (const char* na : {"NA", "N/A", "n/a", "#N/A", "<NA>", "NULL", "null", "None", "\\N", ""}) {
    ReaderOptions options = reading("x.csv", concat("y,d,c\n1,", na, ",a\n"), schema_);
    options.scaling = {{ScalingKind::kStandard, 5, 1}};
    EXPECT_THAT(read_all(options).dense, ElementsAre(0)) << na;  // the mean
    expect_error(reading("x.csv", concat("y,d,c\n", na, ",1,a\n"), schema_), ErrorKind::kData,
                 {"the label is missing", "row 1, column y"});
  }
  expect_error(reading("x.csv", "y,d,c\n1,oops,a\n", schema_), ErrorKind::kData,
               {"\"oops\" is not a number", "data.na_values"});
  expect_error(reading("x.csv", "y;d;c\n1;3,14;a\n", schema_), ErrorKind::kData,
               {"\"3,14\" is not a number", "decimal comma"});
}

TEST_F(TextFormsTest, NaValuesCountInEveryColumn) {
  ReaderOptions options = reading("x.csv", "y,d,c\n1,-999,?\n0,nan,a|?|b\n?,1,c\n", schema_);
  options.na_values = {"?", "-999", "nan"};
  options.on_bad_row = OnBadRow::kSkip;
  const Batch batch = read_all(options);
  EXPECT_THAT(batch.labels, ElementsAre(1, 0));
  EXPECT_THAT(batch.dense, ElementsAre(0, 0));
  EXPECT_EQ(bags(batch, 0), (Bags{{kMissingId}, {hash_string("a"), hash_string("b")}}));
}

TEST_F(TextFormsTest, ThousandsAreReadWhereTheirMarkIsSet) {
  const std::string text = "y,d,c\n1,\"1,234.5\",\"1,234\"\n0,\"-12,345,678\",b\n1,1234,c\n";
  ReaderOptions options = reading("x.csv", text, schema_);
  expect_error(options, ErrorKind::kData, {"\"1,234.5\" is not a number", "data.thousands"});
  options.thousands = ',';
  const Batch batch = read_all(options);
  EXPECT_THAT(batch.dense, ElementsAre(1234.5F, -12345678.0F, 1234));
  EXPECT_EQ(bags(batch, 0)[0], std::vector{hash_string("1,234")}) << "ids are what is written";
  options.schema = {"d >= 1000", {}, {"c"}, ""};
  EXPECT_THAT(read_all(options).labels, ElementsAre(1, 0, 1));
  for (const char* wrong : {"12,34", "1,2345", "0,123", "1'234", ",123", "1,234,", "1,,234"}) {
    options = reading("x.csv", concat("y,d,c\n1,\"", wrong, "\",a\n"), schema_);
    options.thousands = ',';
    expect_error(options, ErrorKind::kData, {concat("\"", wrong, "\" is not a number"), "row 1"});
  }
  write_parquet(dir_.file("x.parquet"),
                *make_table({{"d", arrow::utf8(), R"(["1 234", null, "5", "-1 234 567.25"])"}}));
  options = {};
  options.files = {dir_.file("x.parquet")};
  options.schema.dense = {"d"};
  options.thousands = ' ';
  EXPECT_THAT(read_all(options).dense, ElementsAre(1234, 0, 5, -1234567.25F));
}

TEST_F(TextFormsTest, MarksOfThousandsAreChecked) {
  ReaderOptions options;
  for (const auto& [text, mark] :
       {std::pair{"", '\0'}, {",", ','}, {"'", '\''}, {"_", '_'}, {"space", ' '}, {" ", ' '}}) {
    set_text_options({.thousands = text}, "", options);
    EXPECT_EQ(options.thousands, mark);
  }
  for (const char* wrong : {".", "auto", "tab", "1", "::", "\xC2\xA0"}) {
    const auto [kind, message] =
        error_of([&] { set_text_options({.thousands = wrong}, "a.toml", options); });
    EXPECT_EQ(kind, ErrorKind::kConfig);
    EXPECT_THAT(message, HasSubstr("a.toml, data.thousands"));
  }
}

TEST_F(TextFormsTest, AListSeparatorThatIsSetCutsTextsOfParquetToo) {
  for (const auto& type : {arrow::utf8(), arrow::dictionary(arrow::int32(), arrow::utf8())}) {
    for (const bool dictionary : {true, false}) {
      write_parquet(dir_.file("x.parquet"),
                    *make_table({{"c", type, R"(["a^7", "^", null, "b", null])"}}), 10, dictionary);
      ReaderOptions options;
      options.files = {dir_.file("x.parquet")};
      options.schema.categorical = {"c"};
      EXPECT_EQ(bags(read_all(options), 0)[0], std::vector{hash_string("a^7")});
      options.list_separator = '^';
      EXPECT_EQ(bags(read_all(options), 0),
                (Bags{{hash_string("a"), 7}, {}, {kMissingId}, {hash_string("b")}, {kMissingId}}));
    }
  }
}

TEST_F(TextFormsTest, HeadersWithTypesAreReadAsTheNames) {
  ReaderOptions options = reading(
      "x.inter", "user_id:token\titems:token_seq\tage:float\tlabel:float\n7\ta b 9\t2.5\t1.0\n",
      {"label", {"age"}, {"user_id", "items"}, ""});
  const Batch batch = read_all(options);
  EXPECT_THAT(batch.labels, ElementsAre(1));
  EXPECT_THAT(batch.dense, ElementsAre(2.5F));
  EXPECT_EQ(bags(batch, 1), (Bags{{hash_string("a"), hash_string("b"), 9}}));
  // Colons that are no types stay.
  EXPECT_EQ(
      read_all(reading("x.csv", "a:token,b:c\n1,2\n", {.categorical = {"a:token", "b:c"}})).size,
      1);
}

TEST_F(TextFormsTest, InitBelievesTheTypesOfAHeader) {
  std::string text = "user_id:token\tage:float\ttimestamp:float\tlabel:float\n";
  for (int row = 0; row < 50; ++row) {
    text +=
        concat(row % 7, "\t", row % 9, "\t", 880000000 + row * row % 50, "\t", row % 5 % 2, "\n");
  }
  write_text(dir_.file("x.inter"), text);
  const SchemaGuess guess = guess_schema(dir_.file("x.inter"));
  EXPECT_EQ(guess.format, "auto");
  EXPECT_EQ(guess.schema.label, "label");
  EXPECT_EQ(guess.schema.time, "timestamp");
  EXPECT_THAT(guess.schema.dense, ElementsAre("age"));
  EXPECT_THAT(guess.schema.categorical, ElementsAre("user_id"));
}

TEST_F(TextFormsTest, AnInputSpecKeepsHowTextIsRead) {
  ReaderOptions options;
  options.separator = ';';
  options.list_separator = '\0';
  options.na_values = {"?"};
  options.thousands = ' ';
  options.encoding = Encoding::kLatin1;
  const ReaderOptions back = parse_input_spec(input_spec(options), "x");
  EXPECT_EQ(back.separator, ';');
  EXPECT_EQ(back.list_separator, '\0');
  EXPECT_THAT(back.na_values, ElementsAre("?"));
  EXPECT_EQ(back.encoding, Encoding::kLatin1);
  EXPECT_EQ(back.thousands, ' ');
  EXPECT_EQ(parse_input_spec(input_spec({}), "x").list_separator, std::nullopt);
  EXPECT_EQ(parse_input_spec(input_spec({}), "x").thousands, 0);
}

TEST_F(TextFormsTest, InitReadsUnsignedIdsNaAndTimes) {
  std::string text = "label,user,price,when,pandas\n";
  for (int row = 0; row < 1500; ++row) {
    const std::uint64_t noise = hash_combine(static_cast<std::uint64_t>(row), 1);
    text += concat(noise / 1024 % 2, ",", (std::uint64_t{1} << 63) + noise % 40, ",",
                   row == 700 ? "NA" : concat(static_cast<double>(noise % 100) / 4), ",2017-05-",
                   10 + row / 100, " 00:00:0", row % 10, ",",
                   row % 9 == 0 ? "" : concat(noise % 30, ".0"), "\n");
  }
  write_text(dir_.file("x.csv"), text);
  const SchemaGuess guess = guess_schema(dir_.file("x.csv"));
  EXPECT_THAT(guess.schema.categorical, ElementsAre("user", "pandas"));
  EXPECT_THAT(guess.schema.dense, ElementsAre("price"));
  EXPECT_THAT(guess.columns[2].reason, HasSubstr("missing, as NA or the like, in 1"));
  EXPECT_EQ(guess.schema.time, "when");
}

TEST_F(TextFormsTest, InitNamesNaNAsMissingWhereNumbersAre) {
  std::string text = "label,user,price,name\n";
  for (int row = 0; row < 400; ++row) {
    const std::uint64_t noise = hash_combine(static_cast<std::uint64_t>(row), 1);
    text += concat(noise / 1024 % 2, ",", row % 40 == 3 ? "NaN" : concat(noise % 30, ".0"), ",",
                   row % 50 == 7 ? "nan" : concat(static_cast<double>(noise % 100) / 4), ",",
                   row % 9 == 0 ? "-nan" : concat("n", noise % 7), "\n");
  }
  write_text(dir_.file("x.csv"), text);
  const SchemaGuess guess = guess_schema(dir_.file("x.csv"));
  EXPECT_THAT(guess.schema.categorical, ElementsAre("user", "name"));
  EXPECT_THAT(guess.schema.dense, ElementsAre("price"));
  EXPECT_THAT(guess.text.na_values, ElementsAre("NaN", "nan"));  // "-nan" is a text among texts
  EXPECT_THAT(guess.columns[2].reason, HasSubstr("missing, as NA or the like, in 8"));
  EXPECT_THAT(starter_config(guess), HasSubstr("na_values = [\"NaN\", \"nan\"]"));
  GuessHints told;
  told.text.na_values = {"nan"};
  EXPECT_THAT(guess_schema(dir_.file("x.csv"), told).text.na_values, ElementsAre("nan", "NaN"));
}

TEST_F(TextFormsTest, InitFindsWhatSeparatesLists) {
  const auto separator_of = [&](const std::string& cut, const std::string& stray) {
    std::string text = "label,hist,name\n";
    for (int row = 0; row < 100; ++row) {
      text += concat(row % 7 % 2, ",\"", row % 9, cut, row % 11, "\",", row == 3 ? stray : "n",
                     row % 5, "\n");
    }
    write_text(dir_.file("x.csv"), text);
    return guess_schema(dir_.file("x.csv"), {.label = "label"}).text.list_separator;
  };
  EXPECT_EQ(separator_of("^", "n"), "^");
  EXPECT_EQ(separator_of(";", "x|y"), ";");
  EXPECT_EQ(separator_of(",", "n"), ",");
  EXPECT_EQ(separator_of(" ", "n"), " ");
  EXPECT_EQ(separator_of("|", "n"), "auto");
  EXPECT_EQ(separator_of("-", "n"), "auto");
  EXPECT_EQ(separator_of("a,b", "n"), "auto");
  write_parquet(dir_.file("x.parquet"),
                *make_table({{"label", arrow::int8(), "[0, 1, 1]"},
                             {"c", arrow::utf8(), R"(["a|b", "c", "d|e"])"}}));
  const SchemaGuess guess = guess_schema(dir_.file("x.parquet"));
  EXPECT_EQ(guess.text.list_separator, "|");
  EXPECT_THAT(starter_config(guess), HasSubstr("list_separator = \"|\""));
}

TEST_F(TextFormsTest, InitIsToldHowTextIsRead) {
  write_text(dir_.file("x.csv"),
             "label,stra\xDF"
             "e,d\n1,a,?\n0,b,2.5\n1,a,3.5\n");
  const GuessHints hints{.text = {.na_values = {"?"}, .encoding = Encoding::kLatin1}};
  const SchemaGuess guess = guess_schema(dir_.file("x.csv"), hints);
  EXPECT_THAT(guess.schema.categorical, ElementsAre("stra\xC3\x9F"
                                                    "e"));
  EXPECT_THAT(guess.schema.dense, ElementsAre("d"));
  EXPECT_THAT(starter_config(guess),
              AllOf(HasSubstr("encoding = \"latin-1\""), HasSubstr("na_values = [\"?\"]")));
}

TEST_F(TextFormsTest, ColumnsOfOneNameAreLeftOut) {
  write_text(dir_.file("x.csv"), "label,a,a\n1,2,3\n0,3,4\n");
  const SchemaGuess guess = guess_schema(dir_.file("x.csv"));
  EXPECT_TRUE(guess.schema.categorical.empty());
  EXPECT_THAT(guess.columns[1].reason, HasSubstr("two columns have this name"));
}

TEST_F(TextFormsTest, ATableIsDescribed) {
  write_text(dir_.file("x.csv"), "label;user\n1;a\n0;b\n1;a\n");
  const TableInfo text = describe_table(dir_.file("x.csv"));
  EXPECT_EQ(text.format, "csv");
  EXPECT_EQ(text.separator, "\";\"");
  EXPECT_EQ(text.rows, 3);
  EXPECT_TRUE(text.problem.empty());
  EXPECT_EQ(text.columns[1].role, GuessedRole::kCategorical);
  write_parquet(dir_.file("x.parquet"),
                *make_table({{"a", arrow::int32(), "[5, 6, 7]"},
                             {"v", arrow::list(arrow::float32()), "[[1], [2], [3]]"}}));
  const TableInfo parquet = describe_table(dir_.file("x.parquet"));
  EXPECT_EQ(parquet.rows, 3);
  EXPECT_THAT(parquet.problem, HasSubstr("none can be the label"));
  ASSERT_EQ(parquet.columns.size(), 2u);
  EXPECT_EQ(parquet.columns[0].type, "int32");
  EXPECT_THAT(parquet.columns[1].reason, HasSubstr("a list of floats"));
}

TEST(TextCells, ThousandsAndDecimalCommasAreTold) {
  for (const char* text : {"1,234", "-12,345,678.9", "1'234", "1 234", "999,999"}) {
    EXPECT_TRUE(has_thousands(text)) << text;
  }
  for (const char* text :
       {"1234", "0,123", "1,23", "1,2345", "1,234,5", ",123", "1.234", "abc", ""}) {
    EXPECT_FALSE(has_thousands(text)) << text;
  }
  EXPECT_TRUE(has_decimal_comma("3,14"));
  EXPECT_FALSE(has_decimal_comma("3.14"));
}

TEST(TextCells, MessagesAreUtf8WhateverTheCell) {
  EXPECT_EQ(shown("caf\xE9"), "\"caf\\xE9\"");
  EXPECT_EQ(shown("caf\xC3\xA9\n"), "\"caf\xC3\xA9?\"");
  const std::string text = shown(std::string(39, 'a') + "\xC3\xA9\xC3\xA9");
  EXPECT_EQ(first_not_utf8(text), std::string::npos) << text;
  for (int c = 0; c < 256; ++c) {
    for (int d = 0; d < 256; ++d) {
      const std::string cell = {static_cast<char>(c), static_cast<char>(d)};
      ASSERT_EQ(first_not_utf8(shown(cell)), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace taut::data
