// Parts of files' rows, labels by a threshold, bad rows that keep their place, formats of files
// that a model did not learn from, marks of files.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/stat.h>

#include <functional>
#include <map>

#include "data/image_source.h"
#include "data/row_part.h"
#include "taut/core/text.h"
#include "taut/data/file_marks.h"
#include "taut/data/format_choice.h"
#include "taut/data/images.h"
#include "taut/data/init.h"
#include "taut/data/row_table.h"
#include "taut/data/table_info.h"
#include "test_files.h"

namespace taut::data {
namespace {

using namespace testing;  // NOLINT: helpers of these tests
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Parts : public ::testing::Test {
 protected:
  // Rows 0, 1, ... as column d, in time 10 times as late.
  std::string write(const std::string& name, int rows) {
    std::string text = "y,d,t\n";
    for (int row = 0; row < rows; ++row) text += concat(row % 2, ",", row, ",", 10 * row, "\n");
    write_text(dir_.file(name), text);
    return dir_.file(name);
  }
  static ReaderOptions reading(const std::string& entry) {
    ReaderOptions options;
    options.files = {entry};
    options.schema = {.label = "y", .dense = {"d"}};
    return options;
  }
  static std::vector<float> rows_of(const std::string& entry) {
    return read_all(reading(entry)).dense;
  }

  test::TemporaryDirectory dir_;
};

TEST_F(Parts, BySharesAreDisjointAndTogetherAllRows) {
  const std::string path = write("x.csv", 5000);
  const std::vector<float> whole = rows_of(path);
  std::map<float, int> seen;
  for (const auto& [part, share] :
       {std::pair("[0%:80%]", 0.8), {"[80%:90%]", 0.1}, {"[90%:]", 0.1}}) {
    const std::vector<float> rows = rows_of(path + part);
    EXPECT_NEAR(static_cast<double>(rows.size()), 5000 * share, 4 * std::sqrt(5000 * 0.16)) << part;
    for (const float row : rows) ++seen[row];
  }
  EXPECT_EQ(seen.size(), whole.size());
  for (const auto& [row, times] : seen) EXPECT_EQ(times, 1) << row;
}

TEST_F(Parts, AreTheSameForTextAndParquetAndInAnyOrder) {
  const std::string path = write("x.csv", 700);
  std::string values = "[0";
  for (int row = 1; row < 700; ++row) values += concat(",", row);
  values += "]";
  write_parquet(
      dir_.file("x.parquet"),
      *make_table({{"y", arrow::int64(), "[" + join(std::vector<std::string>(700, "1"), ",") + "]"},
                   {"d", arrow::int64(), values}}),
      64);
  const std::vector<float> text = rows_of(path + "[20%:60%]");
  EXPECT_EQ(rows_of(dir_.file("x.parquet") + "[20%:60%]"), text);
  ReaderOptions shuffled = reading(dir_.file("x.parquet") + "[20%:60%]");
  shuffled.shuffle_rows = 1000;
  std::vector<float> rows = read_all(shuffled).dense;
  std::sort(rows.begin(), rows.end());
  EXPECT_EQ(rows, text);
}

TEST_F(Parts, ByTimeTakeTheHalfOpenInterval) {
  const std::string path = write("x.csv", 8);
  EXPECT_THAT(rows_of(path + "[t=20:50]"), ElementsAre(2, 3, 4));
  EXPECT_THAT(rows_of(path + "[t=:20]"), ElementsAre(0, 1));
  EXPECT_THAT(rows_of(path + "[t=60:]"), ElementsAre(6, 7));
}

TEST_F(Parts, BadRowsOfOtherPartsDoNotCount) {
  write_text(dir_.file("x.csv"), "y,d,t\n1,0,5\n0,oops,20\n1,2,30\n");
  EXPECT_THAT(rows_of(dir_.file("x.csv") + "[t=25:]"), ElementsAre(2));
  EXPECT_THAT(error_of([&] { (void)rows_of(dir_.file("x.csv") + "[t=:25]"); }).second,
              HasSubstr("row 2, column d"));
}

TEST_F(Parts, AreRefusedWhereTheyMeanNothing) {
  const std::string path = write("x.csv", 8);
  for (const char* part : {"[50%:20%]", "[x%:20%]", "[0%:101%]", "[t=5:5]", "[t=a:b]", "[5:20%]"}) {
    const auto [kind, message] = error_of([&] { (void)rows_of(path + part); });
    EXPECT_EQ(kind, ErrorKind::kConfig) << part;
    EXPECT_THAT(message, HasSubstr(part));
  }
  ReaderOptions twice = reading(path + "[0%:10%]");
  twice.files.push_back(path + "[20%:30%]");
  EXPECT_THAT(error_of([&] { (void)read_all(twice); }).second, HasSubstr("named twice"));
  EXPECT_THAT(error_of([&] { (void)rows_of(path + "[u=1:2]"); }).second,
              HasSubstr("no column \"u\""));
  // A file that has brackets in its name is that file.
  EXPECT_EQ(rows_of(write("y[0%:50%].csv", 8)).size(), 8u);
  write_text(dir_.file("z.csv[0%:1%]"), "y,d\n1,3\n");
  ReaderOptions named = reading(dir_.file("z.csv[0%:1%]"));
  named.format = "csv";
  EXPECT_THAT(read_all(named).dense, ElementsAre(3));
}

TEST_F(Parts, LabelsMayBeNumbersFromAThresholdOn) {
  write_text(dir_.file("x.csv"), "stars,d\n1,0\n4,1\n3.5,2\n,3\n5,4\n");
  write_parquet(dir_.file("x.parquet"),
                *make_table({{"stars", arrow::float64(), "[1, 4, 3.5, null, 5]"},
                             {"d", arrow::int64(), "[0, 1, 2, 3, 4]"}}));
  for (const char* name : {"x.csv", "x.parquet"}) {
    ReaderOptions options = reading(dir_.file(name));
    options.schema.label = "stars >= 4";
    EXPECT_THAT(error_of([&] { (void)read_all(options); }).second,
                HasSubstr("the label is missing, " + dir_.file(name) + ", row 4, column stars"));
    options.on_bad_row = OnBadRow::kSkip;
    EXPECT_THAT(read_all(options).labels, ElementsAre(0, 1, 0, 1)) << name;
    options.schema.dense.emplace_back("stars");
    EXPECT_THAT(error_of([&] { (void)read_all(options); }).second, HasSubstr("is also an input"));
  }
}

TEST_F(Parts, BadRowsKeepTheirPlaceWhereEachRowIsAnswered) {
  write_text(dir_.file("a.csv"), "y,d\n1,0\n0,oops\n1,2\n");
  write_text(dir_.file("b.csv"), "y,d\n1\n0,4\n");
  for (const std::int64_t batch : {1, 2, 100}) {
    ReaderOptions options = reading(dir_.file("a.csv"));
    options.files.push_back(dir_.file("b.csv"));
    options.on_bad_row = OnBadRow::kSkip;
    options.keep_bad_rows = true;
    options.batch_size = batch;
    BatchReader reader(options);
    std::vector<int> bad;
    std::vector<std::string> names;
    for (Batch read; reader.next(read);) {
      bad.insert(bad.end(), read.bad.begin(), read.bad.end());
      for (const std::uint64_t origin : read.origin) names.push_back(reader.row_name(origin));
    }
    EXPECT_THAT(bad, ElementsAre(0, 1, 0, 1, 0));
    EXPECT_THAT(names, ElementsAre(dir_.file("a.csv") + ", row 1", dir_.file("a.csv") + ", row 2",
                                   dir_.file("a.csv") + ", row 3", dir_.file("b.csv") + ", row 1",
                                   dir_.file("b.csv") + ", row 2"));
    EXPECT_EQ(reader.bad_rows().count, 2);
  }
}

TEST_F(Parts, FilesThatAModelDidNotLearnFromSayTheirFormat) {
  write_parquet(dir_.file("x.data"), *make_table({{"d", arrow::int64(), "[1]"}}));
  write_text(dir_.file("x.csv"), "d\n1\n");
  write_text(dir_.file("x.tsv"), "I1\tC1\n1\t2\n");
  write_text(dir_.file("criteo.tsv"), "1\t2\t3\n");
  const auto choose = [&](const char* name, const char* learnt) {
    ReaderOptions options;
    options.format = learnt;
    options.schema.dense = {"I1"};
    return choose_format(std::vector{dir_.file(name)}, options);
  };
  EXPECT_EQ(choose("x.data", "csv"), "parquet");
  EXPECT_EQ(choose("x.csv", "parquet"), "csv");
  EXPECT_EQ(choose("x.csv", "csv"), "csv");
  EXPECT_EQ(choose("x.tsv", "csv"), "tsv");
  EXPECT_EQ(choose("x.tsv", "criteo"), "tsv") << "its first line names the columns";
  EXPECT_EQ(choose("criteo.tsv", "criteo"), "criteo");
  EXPECT_EQ(choose("none.csv", "parquet"), "csv");
}

TEST_F(Parts, MarksOfFilesChangeWithTheirContentAlone) {
  const std::string path = write("x.csv", 300);
  const std::vector<std::string> entries = {path + "[0%:50%]", dir_.file("part-*.csv")};
  const std::vector<std::string> before = file_marks(entries);
  write("x.csv", 300);  // at another time
  EXPECT_THAT(mark_difference(before, file_marks(entries)), IsEmpty());
  std::string text = read_text(path);
  text[text.size() / 2] = text[text.size() / 2] == '1' ? '2' : '1';
  write_text(path, text);
  EXPECT_EQ(mark_difference(before, file_marks(entries)), path + " has other content");
  write("x.csv", 300);
  write("part-1.csv", 3);
  EXPECT_THAT(mark_difference(before, file_marks(entries)), HasSubstr("part-1.csv was not there"));
  std::filesystem::remove(path);
  EXPECT_EQ(mark_difference(before, file_marks(entries)), path + " is no longer there");
}

// Nobody writes into the pipe: whatever opened it would not come back.
TEST_F(Parts, APipeIsNoDataFile) {
  const std::string pipe = dir_.file("pipe.csv");
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  ReaderOptions learnt = reading(pipe);
  for (const char* format : {"auto", "parquet", "arrow", "csv", "criteo"}) {
    learnt.format = format;
    for (const std::string& path : {pipe, pipe + "[0%:50%]", std::string("/dev/zero")}) {
      ReaderOptions options = learnt;
      options.files = {path};
      (void)choose_format(options.files, learnt);  // comes back
      if (path == "/dev/zero" && options.format == "auto") options.format = "csv";
      const auto [kind, message] = error_of([&] { (void)read_all(options); });
      EXPECT_EQ(kind, ErrorKind::kIo) << message;
      EXPECT_THAT(message, HasSubstr("expected a file, found a pipe or device"));
    }
  }
  for (const auto& call : std::vector<std::function<void()>>{
           [&] { (void)guess_schema(pipe); }, [&] { (void)learn_profile(learnt, {}); },
           [&] { (void)detect_image_format(pipe); }, [&] { (void)read_row_table(pipe, 4); },
           [&] { (void)describe_table(pipe); }}) {
    EXPECT_THAT(error_of(call).second, HasSubstr("found a pipe or device"));
  }
  EXPECT_FALSE(holds_images(pipe));
  EXPECT_THAT(file_marks(std::vector{pipe}), ElementsAre(HasSubstr("no file")));
}

TEST_F(Parts, ALabelsThresholdIsComparedInDouble) {
  write_text(dir_.file("t.csv"), "d\n1700000000.25\n1700000000.5\n1700000000.75\n");
  ReaderOptions options;
  options.files = {dir_.file("t.csv")};
  options.schema.label = "d >= 1700000000.5";
  EXPECT_THAT(read_all(options).labels, ElementsAre(0, 1, 1));
  write_parquet(dir_.file("t.parquet"),
                *make_table({{"d", arrow::int64(), "[16777216, 16777217, 16777218]"}}));
  options.files = {dir_.file("t.parquet")};
  options.schema.label = "d >= 16777217";
  EXPECT_THAT(read_all(options).labels, ElementsAre(0, 1, 1));
}

}  // namespace
}  // namespace taut::data
