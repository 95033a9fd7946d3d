// One value is one value, whatever the type of its column and the format of its file.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <arrow/array/builder_binary.h>
#include <arrow/array/builder_primitive.h>
#include <arrow/extension/uuid.h>
#include <arrow/util/float16.h>

#include <algorithm>
#include <limits>

#include "taut/core/hash.h"
#include "taut/core/random.h"
#include "taut/core/text.h"
#include "taut/data/init.h"
#include "test_files.h"

namespace taut::data {
namespace {

using namespace testing;  // NOLINT: helpers of these tests
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Bags = std::vector<std::vector<std::uint64_t>>;

constexpr std::uint64_t kTwoTo53 = std::uint64_t{1} << 53;
constexpr std::uint64_t kTwoTo63 = std::uint64_t{1} << 63;

class TypesTest : public ::testing::Test {
 protected:
  Batch read_column(const std::shared_ptr<arrow::DataType>& type, const std::string& values,
                    const Schema& schema, bool dictionary = true) {
    const std::string path = dir_.file("x.parquet");
    write_parquet(path, *make_table({{"x", type, values}}), 1 << 20, dictionary);
    return read_all(reading(path, schema));
  }
  Batch read_cells(const std::string& name, const std::string& cells, const Schema& schema) {
    write_text(dir_.file(name), cells);
    return read_all(reading(dir_.file(name), schema));
  }
  static ReaderOptions reading(const std::string& path, const Schema& schema) {
    ReaderOptions options;
    options.files = {path};
    options.schema = schema;
    return options;
  }

  test::TemporaryDirectory dir_;
  const Schema id_{.categorical = {"x"}};
};

TEST(Ids, WholeFloatsAreTheirIntegers) {
  EXPECT_EQ(id_of_text("42.0"), 42u);
  EXPECT_EQ(id_of_text("-7.00"), static_cast<std::uint64_t>(-7));
  EXPECT_EQ(id_of_text("-0.0"), 0u);
  EXPECT_EQ(id_of_text("1e+16"), 10000000000000000u);
  EXPECT_EQ(id_of_text("1.5e+16"), 15000000000000000u);
  EXPECT_EQ(id_of_text("9007199254740993.0"), kTwoTo53 + 1);
  EXPECT_EQ(id_of_text("18446744073709551615.0"), ~std::uint64_t{0});
  EXPECT_EQ(id_of_text("true"), 1u);
  EXPECT_EQ(id_of_text("False"), 0u);
  for (const char* text : {"1.5", "1.", ".0", "01.0", "1e16", "12345e67", "1e+99", "1.25e+01",
                           "1.0x", "18446744073709551616.0", "tRue", "1.0.0"}) {
    EXPECT_EQ(id_of_text(text), hash_string(text)) << text;
  }
}

TEST(Ids, ANumberHasTheIdOfItsText) {
  for (const auto& [number, text] : {std::pair{1.5, "1.5"},
                                     {-0.0, "0"},
                                     {3.0, "3"},
                                     {0.0001, "0.0001"},
                                     {0.00001, "1e-05"},
                                     {1e16, "1e+16"},
                                     {1e300, "1e+300"},
                                     {9007199254740992.0, "9007199254740992"},
                                     {9223372036854775808.0, "9223372036854775808"},
                                     {-9223372036854775808.0, "-9223372036854775808"}}) {
    EXPECT_EQ(id_of_number(number), id_of_text(text)) << text;
  }
  EXPECT_EQ(id_of_number(0.1F), id_of_text("0.1"));
  EXPECT_EQ(id_of_number(std::numeric_limits<double>::quiet_NaN()), kMissingId);
}

TEST_F(TypesTest, LargeIdsAreTheSameInEveryTypeAndFormat) {
  const std::vector<std::uint64_t> wanted = {kTwoTo53 + 1, kTwoTo63, ~std::uint64_t{0}, 5};
  std::vector<std::string> numbers;
  for (const std::uint64_t id : wanted) numbers.push_back(std::to_string(id));
  const std::string list = "[" + join(numbers, ",") + "]";
  const std::string texts = "[\"" + join(numbers, "\",\"") + "\"]";
  const auto ids_of = [](const Batch& batch) { return batch.categorical[0].ids; };
  EXPECT_EQ(ids_of(read_column(arrow::uint64(), list, id_)), wanted);
  EXPECT_EQ(ids_of(read_column(arrow::decimal128(20, 0), texts, id_)), wanted);
  for (const auto& type : {arrow::utf8(), arrow::large_utf8(), arrow::utf8_view(),
                           arrow::dictionary(arrow::int32(), arrow::utf8())}) {
    for (const bool dictionary : {true, false}) {
      EXPECT_EQ(ids_of(read_column(type, texts, id_, dictionary)), wanted) << type->ToString();
    }
  }
  EXPECT_EQ(ids_of(read_cells("x.csv", "x\n" + join(numbers, "\n") + "\n", id_)), wanted);
}

TEST_F(TypesTest, WholeFloatsAndDecimalsAreIds) {
  const Bags wanted{{7}, {kMissingId}, {kTwoTo53}, {id_of_text("2.5")}};
  const std::string values = "[7, null, 9007199254740992, 2.5]";
  for (const auto& type :
       {arrow::float32(), arrow::float64(), arrow::dictionary(arrow::int8(), arrow::float64())}) {
    EXPECT_EQ(bags(read_column(type, values, id_), 0), wanted) << type->ToString();
  }
  EXPECT_EQ(bags(read_column(arrow::decimal128(20, 1),
                             R"(["7.0", null, "9007199254740992.0", "2.5"])", id_),
                 0),
            wanted);
  EXPECT_EQ(bags(read_cells("x.csv", "y,x\n0,7.0\n0,\n0,9007199254740992.0\n0,2.5\n", id_), 0),
            wanted);
  EXPECT_EQ(bags(read_column(arrow::float16(), "[7, null]", id_), 0), (Bags{{7}, {kMissingId}}));
}

TEST_F(TypesTest, UuidsAndBytesHaveTheIdsOfTheirTexts) {
  const std::string uuid = "00112233-4455-6677-8899-aabbccddeeff";
  const std::string bytes("\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xAA\xBB\xCC\xDD\xEE\xFF", 16);
  arrow::FixedSizeBinaryBuilder builder(arrow::fixed_size_binary(16));
  ASSERT_TRUE(builder.Append(bytes).ok());
  ASSERT_TRUE(builder.AppendNull().ok());
  const std::shared_ptr<arrow::Array> storage = builder.Finish().ValueOrDie();
  const auto extension = arrow::ExtensionType::WrapArray(arrow::extension::uuid(), storage);
  const auto table = arrow::Table::Make(
      arrow::schema({arrow::field("x", extension->type()), arrow::field("b", storage->type())}),
      {extension, storage});
  const std::string path = dir_.file("u.parquet");
  write_parquet(path, *table);
  const Batch batch = read_all(reading(path, {.categorical = {"x", "b"}}));
  EXPECT_EQ(bags(batch, 0), (Bags{{id_of_text(uuid)}, {kMissingId}}));
  EXPECT_EQ(bags(batch, 1), (Bags{{hash_string(bytes)}, {kMissingId}}));
}

TEST_F(TypesTest, ListsOfEveryKindAreBags) {
  const Bags wanted{{1, 2}, {3}, {kMissingId}};
  EXPECT_EQ(
      bags(read_column(arrow::fixed_size_list(arrow::int32(), 2), "[[1, 2], [3, null], null]", id_),
           0),
      wanted);
  for (const auto& type : {arrow::list(arrow::utf8()), arrow::large_list(arrow::utf8())}) {
    EXPECT_EQ(bags(read_column(type, R"([["1", "2"], ["3", ""], null])", id_), 0), wanted)
        << type->ToString();
  }
  EXPECT_EQ(bags(read_column(arrow::list(arrow::null()), "[[null], [], null]", id_), 0),
            (Bags{{}, {}, {kMissingId}}));
}

TEST_F(TypesTest, ArrowFilesHoldTypesThatParquetDoesNot) {
  const std::string path = dir_.file("x.feather");
  write_arrow(
      path, *make_table(
                {{"a", arrow::list_view(arrow::int32()), "[[1, 2], null, []]"},
                 {"b", arrow::large_list_view(arrow::utf8_view()), R"([["1", "2"], null, [null]])"},
                 {"c", arrow::binary_view(), R"(["1", null, "x"])"},
                 {"y", arrow::dictionary(arrow::uint8(), arrow::int8()), "[1, 0, 1]"}}));
  const Batch batch = read_all(reading(path, {"y", {}, {"a", "b", "c"}, ""}));
  EXPECT_THAT(batch.labels, ElementsAre(1, 0, 1));
  EXPECT_EQ(bags(batch, 0), (Bags{{1, 2}, {kMissingId}, {}}));
  EXPECT_EQ(bags(batch, 1), (Bags{{1, 2}, {kMissingId}, {}}));
  EXPECT_EQ(bags(batch, 2), (Bags{{1}, {kMissingId}, {hash_string("x")}}));
  const SchemaGuess guess = guess_schema(path, {.label = "y"});
  EXPECT_EQ(guess.format, "arrow");
  EXPECT_THAT(guess.schema.categorical, ElementsAre("a", "b", "c"));
}

TEST_F(TypesTest, ArrowFilesAreCutIntoBlocksAndShuffled) {
  std::string ids = "[0";
  for (int row = 1; row < 70000; ++row) ids += concat(",", row);
  write_arrow(dir_.file("x.arrow"), *make_table({{"x", arrow::int64(), ids + "]"}}), 40000);
  ReaderOptions options = reading(dir_.file("x.arrow"), id_);
  EXPECT_EQ(BatchReader(options).known_rows(), 70000);
  std::vector<std::uint64_t> read = read_all(options).categorical[0].ids;
  for (std::uint64_t row = 0; row < 70000; ++row) ASSERT_EQ(read[row], row);
  options.shuffle_rows = 100000;
  std::vector<std::uint64_t> shuffled = read_all(options).categorical[0].ids;
  EXPECT_NE(shuffled, read);
  std::sort(shuffled.begin(), shuffled.end());
  EXPECT_EQ(shuffled, read);
}

TEST_F(TypesTest, LabelsOfEveryTypeFollowOneRule) {
  const std::vector<std::pair<std::shared_ptr<arrow::DataType>, std::string>> columns = {
      {arrow::boolean(), "[true, false, null, true]"},
      {arrow::int64(), "[1, 0, null, 1]"},
      {arrow::uint8(), "[1, 0, null, 1]"},
      {arrow::float16(), "[1, 0, null, 1]"},
      {arrow::float64(), "[1, 0, null, 1]"},
      {arrow::decimal128(5, 2), R"(["1.00", "0.00", null, "1.00"])"},
      {arrow::utf8(), R"(["1", "0", null, "1.0"])"},
      {arrow::utf8(), R"(["True", "False", "", "TRUE"])"},
      {arrow::binary(), R"(["1", "0", "NA", "1"])"},
      {arrow::dictionary(arrow::int32(), arrow::utf8()), R"(["true", "false", null, "true"])"}};
  for (const auto& [type, values] : columns) {
    SCOPED_TRACE(type->ToString());
    const std::string path = dir_.file("l.parquet");
    write_parquet(path, *make_table({{"y", type, values}}));
    ReaderOptions options = reading(path, {.label = "y"});
    const auto [kind, message] = error_of([&] { (void)read_all(options); });
    EXPECT_EQ(kind, ErrorKind::kData);
    EXPECT_THAT(message, HasSubstr("the label is missing"));
    EXPECT_THAT(message, HasSubstr("l.parquet, row 3, column y"));
    options.on_bad_row = OnBadRow::kSkip;
    EXPECT_THAT(read_all(options).labels, ElementsAre(1, 0, 1));
  }
  const auto [kind, message] =
      error_of([&] { read_column(arrow::utf8(), R"(["1", "maybe"])", {.label = "x"}); });
  EXPECT_EQ(kind, ErrorKind::kData);
  EXPECT_THAT(message, HasSubstr("the label is \"maybe\", must be 0 or 1"));
}

TEST_F(TypesTest, ALabelWithNullsIsALabelForInitWhichSkipsThem) {
  std::string labels = "[null";
  std::string users = "[0";
  for (int row = 1; row < 60; ++row) {
    labels += row % 3 == 0 ? ", \"1\"" : ", \"0\"";
    users += concat(", ", row % 7);
  }
  const std::string path = dir_.file("train.parquet");
  write_parquet(path, *make_table({{"label", arrow::utf8(), labels + "]"},
                                   {"user", arrow::int64(), users + "]"}}));
  const SchemaGuess guess = guess_schema(path);
  EXPECT_EQ(guess.schema.label, "label");
  EXPECT_EQ(guess.on_bad_row, OnBadRow::kSkip);
  EXPECT_THAT(guess.columns[0].reason, HasSubstr("missing in 1 row"));
  EXPECT_THAT(starter_config(guess), HasSubstr("on_bad_row = \"skip\""));
}

TEST_F(TypesTest, DenseColumnsOfEveryType) {
  const Schema schema{.dense = {"x"}};
  for (const auto& [type, values] :
       std::vector<std::pair<std::shared_ptr<arrow::DataType>, std::string>>{
           {arrow::float16(), "[1.5, null, -2]"},
           {arrow::decimal128(9, 2), R"(["1.50", null, "-2.00"])"},
           {arrow::decimal256(40, 1), R"(["1.5", null, "-2.0"])"},
           {arrow::utf8(), R"(["1.5", "NA", " -2 "])"},
           {arrow::utf8_view(), R"(["1.5", null, "-2"])"},
           {arrow::dictionary(arrow::int32(), arrow::utf8()), R"(["1.5", null, "-2"])"}}) {
    EXPECT_THAT(read_column(type, values, schema).dense, ElementsAre(1.5F, 0, -2))
        << type->ToString();
  }
  EXPECT_THAT(read_column(arrow::duration(arrow::TimeUnit::SECOND), "[3, null]", schema).dense,
              ElementsAre(3, 0));
  const auto [kind, message] = error_of([&] {
    read_column(arrow::dictionary(arrow::int32(), arrow::utf8()), R"(["1", "2", "1,234"])", schema);
  });
  EXPECT_EQ(kind, ErrorKind::kData);
  EXPECT_THAT(message, HasSubstr("\"1,234\" is not a number: write thousands without separators"));
  EXPECT_THAT(message, HasSubstr("row 3, column x"));
}

TEST_F(TypesTest, AColumnWithoutValuesInOneFileOfSeveral) {
  write_parquet(dir_.file("a.parquet"), *make_table({{"y", arrow::int8(), "[1, 0]"},
                                                     {"d", arrow::float32(), "[2, 3]"},
                                                     {"c", arrow::utf8(), R"(["u", "v"])"}}));
  write_parquet(dir_.file("b.parquet"), *make_table({{"y", arrow::utf8(), R"(["1", "0"])"},
                                                     {"d", arrow::null(), "[null, null]"},
                                                     {"c", arrow::null(), "[null, null]"}}));
  const Batch batch = read_all(reading(dir_.file("?.parquet"), {"y", {"d"}, {"c"}, ""}));
  EXPECT_THAT(batch.labels, ElementsAre(1, 0, 1, 0));
  EXPECT_THAT(batch.dense, ElementsAre(2, 3, 0, 0));
  EXPECT_EQ(bags(batch, 0),
            (Bags{{hash_string("u")}, {hash_string("v")}, {kMissingId}, {kMissingId}}));
}

TEST_F(TypesTest, TimesAsTextsAreMicroseconds) {
  const Schema schema{.time = "x"};
  const std::int64_t second = 1000000;
  EXPECT_THAT(read_column(arrow::utf8(), R"(["1970-01-02", "1970-01-01 00:00:01.5"])", schema).time,
              ElementsAre(86400 * second, 1500000));
  EXPECT_THAT(read_cells("x.csv",
                         "x\n2017-05-06 00:00:00\n2017-05-06T02:00:00+02:00\n"
                         "2017-05-05T19:00:00.000000-0500\n2017-05-06T00:00Z\n7\n",
                         schema)
                  .time,
              ElementsAre(1494028800 * second, 1494028800 * second, 1494028800 * second,
                          1494028800 * second, 7));
  for (const char* wrong : {"2017-13-01", "2017-02-30", "2017-05-06 25:00", "17-05-06",
                            "2017-05-06x", "2017-05-06 10", "2017-05-06 10:00:00+", "noon"}) {
    const auto [kind, message] =
        error_of([&] { read_cells("x.csv", concat("x\n", wrong, "\n"), schema); });
    EXPECT_EQ(kind, ErrorKind::kData);
    EXPECT_THAT(message, HasSubstr("must be a whole number or ISO 8601")) << wrong;
  }
}

TEST_F(TypesTest, TypesThatAreNotReadSayWhatToDo) {
  const auto advice = [&](const std::shared_ptr<arrow::DataType>& type, const std::string& values,
                          const Schema& schema) {
    const auto [kind, message] = error_of([&] { read_column(type, values, schema); });
    EXPECT_EQ(kind, ErrorKind::kData) << message;
    return message;
  };
  const Schema dense{.dense = {"x"}};
  const auto day = arrow::date32();
  EXPECT_THAT(advice(day, "[1]", dense), HasSubstr("data.time"));
  EXPECT_THAT(advice(day, "[1]", id_), HasSubstr("data.time"));
  const auto fields = arrow::struct_({arrow::field("a", arrow::int32())});
  for (const Schema& schema : {dense, id_}) {
    EXPECT_THAT(advice(fields, R"([{"a": 1}])", schema), HasSubstr("each as a column of its own"));
    EXPECT_THAT(advice(arrow::list(arrow::float32()), "[[1]]", schema),
                HasSubstr("each element as a column of its own"));
    EXPECT_THAT(advice(arrow::map(arrow::utf8(), arrow::int32()), R"([[["a", 1]]])", schema),
                HasSubstr("write its keys as a column of lists"));
    EXPECT_THAT(advice(arrow::list(arrow::list(arrow::int8())), "[[[1]]]", schema),
                HasSubstr("one flat list of ids a row"));
  }
  EXPECT_THAT(advice(arrow::list(arrow::int8()), "[[1]]", dense), HasSubstr("data.categorical"));
}

TEST_F(TypesTest, InitTellsLargeIdsApart) {
  std::string above = "[";
  std::string labels = "[";
  std::string floats = "[null";
  for (int row = 0; row < 3000; ++row) {
    const std::uint64_t noise = hash_combine(static_cast<std::uint64_t>(row), 3) % 50;
    above += concat(row > 0 ? "," : "", kTwoTo63 + noise);
    labels += concat(row > 0 ? "," : "", hash_combine(static_cast<std::uint64_t>(row), 4) % 2);
    if (row > 0) floats += concat(",", noise, ".0");
  }
  write_parquet(dir_.file("x.parquet"), *make_table({{"label", arrow::int8(), labels + "]"},
                                                     {"user", arrow::uint64(), above + "]"},
                                                     {"item", arrow::float64(), floats + "]"}}));
  const SchemaGuess guess = guess_schema(dir_.file("x.parquet"));
  EXPECT_THAT(guess.schema.categorical, ElementsAre("user", "item"));
  EXPECT_THAT(guess.columns[1].reason, HasSubstr("50 different values"));
}

// The same random table as CSV, as TSV and as Parquet in several types: the same rows.
TEST_F(TypesTest, ATableHasTheSameRowsInEveryFormatAndType) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(seed);
    const CounterRandom random(seed);
    std::uint64_t counter = 0;
    const auto below = [&](std::uint64_t n) { return random.below(counter++, n); };
    const std::size_t rows = 1 + below(300);
    std::vector<std::string> labels, users, items, numbers;  // "" is missing
    for (std::size_t row = 0; row < rows; ++row) {
      labels.push_back(std::to_string(below(2)));
      const std::uint64_t bits = random.bits(counter++);
      users.push_back(below(9) == 0 ? "" : std::to_string(bits >> below(64)));
      items.push_back(below(9) == 0 ? "" : std::to_string(below(1000)));
      numbers.push_back(below(9) == 0 ? "" : concat(below(2000) * 0.25));
    }
    const auto list = [](const std::vector<std::string>& cells, const std::string& quote) {
      std::vector<std::string> values;
      for (const std::string& cell : cells) {
        values.push_back(cell.empty() ? "null" : quote + cell + quote);
      }
      return "[" + join(values, ",") + "]";
    };
    const auto text = [&](char separator, const std::string& line_end) {
      std::string all = concat("y", separator, "u", separator, "i", separator, "d", line_end);
      for (std::size_t row = 0; row < rows; ++row) {
        all += concat(labels[row], separator, users[row], separator, items[row], separator,
                      numbers[row], line_end);
      }
      return all;
    };
    const Schema schema{"y", {"d"}, {"u", "i"}, ""};
    write_text(dir_.file("t.csv"), text(',', "\n"));
    const Batch wanted = read_all(reading(dir_.file("t.csv"), schema));
    ASSERT_EQ(wanted.size, static_cast<std::int64_t>(rows));
    const auto expect_same = [&](const std::string& path) {
      const Batch batch = read_all(reading(path, schema));
      EXPECT_EQ(batch.labels, wanted.labels) << path;
      EXPECT_EQ(batch.dense, wanted.dense) << path;
      for (std::size_t c = 0; c < 2; ++c) EXPECT_EQ(bags(batch, c), bags(wanted, c)) << path;
    };
    write_text(dir_.file("t.tsv"), text('\t', "\r\n"));
    write_text(dir_.file("semicolon.csv"), text(';', "\r"));
    write_text(dir_.file("t.txt"), text('|', "\n"));
    for (const char* name : {"t.tsv", "semicolon.csv", "t.txt"}) expect_same(dir_.file(name));
    const std::string path = dir_.file("t.parquet");
    const auto texts = arrow::dictionary(arrow::int16(), arrow::utf8());
    for (const bool dictionary : {true, false}) {
      const auto expect_table = [&](const std::vector<JsonColumn>& columns) {
        const auto piece = 1 + static_cast<std::int64_t>(below(rows));
        write_parquet(path, *make_table(columns), piece, dictionary);
        expect_same(path);
        if (!dictionary) return;  // Arrow files know no other encoding
        write_arrow(dir_.file("t.arrow"), *make_table(columns), piece);
        expect_same(dir_.file("t.arrow"));
      };
      expect_table({{"y", arrow::int8(), list(labels, "")},
                    {"u", arrow::uint64(), list(users, "")},
                    {"i", arrow::int32(), list(items, "")},
                    {"d", arrow::float32(), list(numbers, "")}});
      expect_table({{"y", arrow::float64(), list(labels, "")},
                    {"u", arrow::utf8(), list(users, "\"")},
                    {"i", arrow::float64(), list(items, "")},
                    {"d", arrow::float64(), list(numbers, "")}});
      expect_table({{"y", arrow::utf8(), list(labels, "\"")},
                    {"u", arrow::utf8_view(), list(users, "\"")},
                    {"i", arrow::float32(), list(items, "")},
                    {"d", arrow::utf8(), list(numbers, "\"")}});
      expect_table({{"y", texts, list(labels, "\"")},
                    {"u", texts, list(users, "\"")},
                    {"i", arrow::large_utf8(), list(items, "\"")},
                    {"d", texts, list(numbers, "\"")}});
    }
  }
}

}  // namespace
}  // namespace taut::data
