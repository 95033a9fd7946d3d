// What the user can get wrong: each is one error that says what, where and how to mend it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "taut/core/text.h"
#include "test_files.h"

namespace taut::data {
namespace {

using namespace testing;  // NOLINT: helpers of these tests
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class BadInputTest : public ::testing::Test {
 protected:
  void expect_error(const ReaderOptions& options, ErrorKind wanted,
                    const std::vector<std::string>& parts) {
    for (const bool prefetch : {true, false}) {
      ReaderOptions tried = options;
      tried.prefetch = prefetch;
      const auto [kind, message] = error_of([&] { (void)read_batches(tried); });
      EXPECT_EQ(to_string(kind), to_string(wanted)) << message;
      for (const std::string& part : parts) EXPECT_THAT(message, HasSubstr(part));
      EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    }
  }

  ReaderOptions reading(const std::string& path, const Schema& schema) {
    ReaderOptions options;
    options.files = {path};
    options.schema = schema;
    return options;
  }

  // Row 3 of 5 is bad: one column "x" beside a good label.
  ReaderOptions with_column(const std::shared_ptr<arrow::DataType>& type, const std::string& values,
                            const Schema& schema) {
    const std::string path = dir_.file("x.parquet");
    write_parquet(
        path, *make_table({{"label", arrow::int8(), "[0, 1, 0, 1, 1]"}, {"x", type, values}}), 2);
    return reading(path, schema);
  }

  test::TemporaryDirectory dir_;
};

TEST_F(BadInputTest, MissingFile) {
  expect_error(numbered_options({dir_.file("none.parquet")}), ErrorKind::kNotFound,
               {"no such file", "none.parquet", "check the path"});
}

TEST_F(BadInputTest, DirectoryInsteadOfAFile) {
  std::filesystem::create_directory(dir_.file("folder.parquet"));
  expect_error(numbered_options({dir_.file("folder.parquet")}), ErrorKind::kIo,
               {"is a directory", "folder.parquet", "*.parquet"});
}

TEST_F(BadInputTest, GlobWithoutMatch) {
  expect_error(numbered_options({dir_.file("part-*.parquet")}), ErrorKind::kNotFound,
               {"no file matches the pattern", "part-*.parquet"});
}

TEST_F(BadInputTest, NoFiles) {
  expect_error(numbered_options({}), ErrorKind::kConfig, {"no files"});
}

TEST_F(BadInputTest, EmptyFile) {
  write_text(dir_.file("empty.parquet"), "");
  expect_error(numbered_options({dir_.file("empty.parquet")}), ErrorKind::kFormat,
               {"the file is empty", "empty.parquet"});
}

TEST_F(BadInputTest, ParquetWithTheWrongMagic) {
  write_text(dir_.file("x.parquet"), std::string(1000, 'x'));
  expect_error(numbered_options({dir_.file("x.parquet")}), ErrorKind::kFormat,
               {"not a whole Parquet file", "magic", "x.parquet", "write or copy it again"});
}

TEST_F(BadInputTest, ParquetCutInTheMiddle) {
  const std::string path = dir_.file("cut.parquet");
  write_numbered(path, 10000, 2000);
  const std::string whole = read_text(path);
  for (const std::size_t size :
       {std::size_t{3}, std::size_t{10}, whole.size() / 2, whole.size() - 5}) {
    write_text(path, std::string_view(whole).substr(0, size));
    expect_error(numbered_options({path}), ErrorKind::kFormat,
                 {"not a whole Parquet file", "cut.parquet"});
  }
}

TEST_F(BadInputTest, ParquetWithAHoleInItsPages) {
  const std::string path = dir_.file("hole.parquet");
  write_numbered(path, 10000, 2000);
  std::string bytes = read_text(path);
  std::fill(bytes.begin() + 4, bytes.begin() + static_cast<std::ptrdiff_t>(bytes.size() / 2),
            '\xff');
  write_text(path, bytes);
  expect_error(numbered_options({path}), ErrorKind::kFormat,
               {"not a whole Parquet file", "hole.parquet", "column label"});
}

TEST_F(BadInputTest, UnknownColumnSuggestsTheNearest) {
  const std::string path = dir_.file("x.parquet");
  write_numbered(path, 10, 10);
  ReaderOptions options = numbered_options({path});
  options.schema.categorical = {"c_rwo"};
  expect_error(options, ErrorKind::kNotFound, {"no column \"c_rwo\"", "x.parquet", "c_row"});
  options.schema = {.label = "wanted", .dense = {}, .categorical = {}, .time = ""};
  expect_error(options, ErrorKind::kNotFound,
               {"no column \"wanted\"", "known: label, time, d_row"});
}

TEST_F(BadInputTest, UnknownFormatAndEnding) {
  write_text(dir_.file("x.dat"), "1");
  ReaderOptions options = numbered_options({dir_.file("x.dat")});
  expect_error(options, ErrorKind::kConfig, {"format does not follow", "x.dat", "criteo"});
  options.format = "parqet";
  expect_error(options, ErrorKind::kConfig, {"unknown format \"parqet\"", "did you mean parquet?"});
}

TEST_F(BadInputTest, ParquetAndTextTogether) {
  write_numbered(dir_.file("a.parquet"), 10, 10);
  write_text(dir_.file("b.csv"), "label\n1\n");
  expect_error(numbered_options({dir_.file("a.parquet"), dir_.file("b.csv")}),
               ErrorKind::kUnsupported, {"Parquet and text files", "b.csv"});
}

TEST_F(BadInputTest, ColumnsListedTwice) {
  const std::string path = dir_.file("x.parquet");
  write_numbered(path, 10, 10);
  ReaderOptions options = numbered_options({path});
  options.schema.categorical = {"c_row", "c_row"};
  expect_error(options, ErrorKind::kConfig, {"\"c_row\" is listed twice", "data.categorical"});
  options.schema.categorical = {"label"};
  expect_error(options, ErrorKind::kConfig, {"label \"label\" is also an input"});
  options.schema = {};
  expect_error(options, ErrorKind::kConfig, {"no columns to read"});
}

TEST_F(BadInputTest, OptionsOutOfRange) {
  const std::string path = dir_.file("x.parquet");
  write_numbered(path, 10, 10);
  const auto with = [&](auto&& change) {
    ReaderOptions options = numbered_options({path});
    change(options);
    return options;
  };
  const ErrorKind kind = ErrorKind::kInvalidArgument;
  expect_error(with([](auto& o) { o.batch_size = 0; }), kind, {"batch_size", "got 0"});
  expect_error(with([](auto& o) { o.shuffle_rows = -1; }), kind, {"shuffle_rows", "got -1"});
  expect_error(with([](auto& o) { o.threads = -2; }), kind, {"threads", "got -2"});
  expect_error(with([](auto& o) { o.scaling.resize(2); }), kind, {"scaling", "(1)", "got 2"});
  expect_error(with([](auto& o) { o.scaling = {{ScalingKind::kStandard, 0, 0}}; }), kind,
               {"scaling", "deviation 0"});
}

TEST_F(BadInputTest, LabelOutsideZeroAndOne) {
  expect_error(with_column(arrow::int8(), "[0, 1, 2, 1, 3]", {.label = "x"}), ErrorKind::kData,
               {"the label is 2, must be 0 or 1", "x.parquet, row 3, column x", "on_bad_row"});
  expect_error(with_column(arrow::float32(), "[0, 1, 0.5, 1, 1]", {.label = "x"}), ErrorKind::kData,
               {"the label is 0.5", "row 3"});
  expect_error(with_column(arrow::int8(), "[0, 1, null, 1, 1]", {.label = "x"}), ErrorKind::kData,
               {"the label is missing", "row 3"});
}

TEST_F(BadInputTest, NanInADenseColumn) {
  for (const char* value : {"NaN", "Inf", "-Inf"}) {
    expect_error(with_column(arrow::float32(), concat("[0, 1, ", value, ", 1, null]"),
                             {.label = "label", .dense = {"x"}}),
                 ErrorKind::kData, {"must be a finite number", "x.parquet, row 3, column x"});
  }
}

TEST_F(BadInputTest, ValuesThatFloat32CannotHoldAreNamedAsTheyAre) {
  for (const auto& [value, shown] : {std::pair("1e300", "1e+300"), {"-3.5e38", "-3.5e+38"}}) {
    expect_error(with_column(arrow::float64(), concat("[0, 1, ", value, ", 1, null]"),
                             {.label = "label", .dense = {"x"}}),
                 ErrorKind::kData,
                 {concat("the value is ", shown, ", must be a finite number that float32 holds"),
                  "x.parquet, row 3, column x"});
  }
}

TEST_F(BadInputTest, MissingTime) {
  expect_error(with_column(arrow::int32(), "[0, 1, null, 1, 1]", {.label = "label", .time = "x"}),
               ErrorKind::kData, {"the time is missing", "row 3, column x"});
}

TEST_F(BadInputTest, SkippedRowsAreCountedAndTheFirstTenNamed) {
  std::string labels = "[0";
  std::string values = "[0";
  for (int row = 2; row <= 60; ++row) {
    labels += row % 3 == 0 ? ", 7" : ", 1";
    values += row % 4 == 0 ? ", NaN" : concat(", ", row);
  }
  const std::string path = dir_.file("x.parquet");
  write_parquet(path,
                *make_table({{"label", arrow::int8(), labels + "]"},
                             {"d", arrow::float64(), values + "]"},
                             {"c", arrow::list(arrow::int32()),
                              "[" + join(std::vector<std::string>(60, "[1, 2]"), ",") + "]"}}),
                25);
  ReaderOptions options = reading(path, {.label = "label", .dense = {"d"}, .categorical = {"c"}});
  options.on_bad_row = OnBadRow::kSkip;
  options.batch_size = 8;
  BatchReader reader(options);
  std::vector<float> left;
  for (Batch batch; reader.next(batch);) {
    left.insert(left.end(), batch.dense.begin(), batch.dense.end());
    EXPECT_EQ(batch.categorical[0].ids.size(), 2u * static_cast<std::size_t>(batch.size));
  }
  std::vector<float> wanted{0};
  for (int row = 2; row <= 60; ++row) {
    if (row % 3 != 0 && row % 4 != 0) wanted.push_back(static_cast<float>(row));
  }
  EXPECT_EQ(left, wanted);
  const BadRows bad = reader.bad_rows();
  EXPECT_EQ(bad.count, 30);
  ASSERT_EQ(bad.first.size(), 10u);
  EXPECT_EQ(bad.first[0],
            concat("the label is 7, must be 0 or 1, ", path, ", row 3, column label"));
  EXPECT_THAT(bad.first[1], HasSubstr("row 4, column d"));
  EXPECT_THAT(bad.first[2], HasSubstr("row 6, column label"));
  EXPECT_THAT(bad.first[9], HasSubstr("row 20, column d"));
}

TEST_F(BadInputTest, BadRowsAreThoseOnTheWayToTheBatchesReturned) {
  ReaderOptions options = with_column(arrow::int8(), "[0, 7, 1, 1, 7]", {.label = "x"});
  options.on_bad_row = OnBadRow::kSkip;
  options.batch_size = 1;
  BatchReader reader(options);
  Batch batch;
  std::vector<std::int64_t> counts{reader.bad_rows().count};
  while (reader.next(batch)) counts.push_back(reader.bad_rows().count);
  counts.push_back(reader.bad_rows().count);
  EXPECT_THAT(counts, ElementsAre(0, 1, 1, 1, 2));
}

TEST_F(BadInputTest, NothingLeft) {
  ReaderOptions options = with_column(arrow::int8(), "[7, 7, 7, 7, 7]", {.label = "x"});
  options.on_bad_row = OnBadRow::kSkip;
  expect_error(options, ErrorKind::kData, {"all 5 rows are bad", "x.parquet", "row 1"});
  write_parquet(dir_.file("none.parquet"), *make_table({{"label", arrow::int8(), "[]"}}));
  expect_error(reading(dir_.file("none.parquet"), {.label = "label"}), ErrorKind::kData,
               {"no rows", "none.parquet"});
}

TEST_F(BadInputTest, AnErrorEndsTheStreamAndComesAgain) {
  ReaderOptions options = with_column(arrow::int8(), "[0, 1, 1, 1, 7]", {.label = "x"});
  options.batch_size = 2;
  for (const bool prefetch : {true, false}) {
    options.prefetch = prefetch;
    BatchReader reader(options);
    Batch batch;
    EXPECT_TRUE(reader.next(batch));
    EXPECT_TRUE(reader.next(batch));
    EXPECT_THROW(reader.next(batch), Error);
    EXPECT_THROW(reader.next(batch), Error);
  }
}

}  // namespace
}  // namespace taut::data
