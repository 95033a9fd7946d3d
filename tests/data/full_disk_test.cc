// Everything that data writes, on disks that are full after any number of bytes: an error that
// names the file, the last whole file in place, nothing beside it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "data/table_writer.h"
#include "support/full_disk.h"
#include "support/temporary_directory.h"
#include "taut/core/file.h"
#include "taut/data/row_table.h"
#include "taut/data/score_writer.h"
#include "taut/data/synth.h"

namespace taut::data {
namespace {

struct Writer {
  std::string name;  // of the test
  std::string file;  // that it writes
  std::function<void(const std::string&)> write;
};

void PrintTo(const Writer& writer, std::ostream* stream) {
  *stream << writer.name;
}

void write_scores(const std::string& path) {
  const auto scores = open_scores(path, {{.name = "probability"}});
  std::vector<float> values(5000);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = 1.0f / static_cast<float>(i + 3);
  const std::vector<ScoreValues> columns = {values};
  for (int i = 0; i < 4; ++i) scores->write(columns, std::ssize(values));
  scores->commit();
}

void write_row_table(const std::string& path) {
  const auto table = open_row_table(path, 4);
  for (int block = 0; block < 3; ++block) {
    RowTable rows;
    for (std::uint64_t i = 0; i < 2000; ++i) {
      rows.tables.push_back("t" + std::to_string(i % 3));
      rows.ids.push_back(i * 7919);
      rows.widths.push_back(4);
      rows.masks.push_back(15);
      rows.importances.push_back(static_cast<float>(i) * 0.37f);
      for (int d = 0; d < 4; ++d) rows.vectors.push_back(static_cast<float>(i + 1) / 7.0f);
    }
    table->write(std::move(rows));
  }
  (void)table->commit();
}

void write_synth_file(const std::string& path) {
  SynthOptions options;
  options.path = path;
  options.rows = 3000;
  options.ids = {2000};
  options.threads = 1;
  (void)write_synthetic(options);
}

class FullDisk : public ::testing::TestWithParam<Writer> {};

TEST_P(FullDisk, LeavesTheOldFileAndNamesTheNew) {
  const Writer& writer = GetParam();
  const test::TemporaryDirectory folder;
  const std::string path = folder.file(writer.file);
  write_file(path, "old");
  const int failed = test::fill_disk(
      path, 2.3, [&] { writer.write(path); },
      [&](bool ended) {
        EXPECT_EQ(read_file(path) == "old", !ended);
        EXPECT_EQ(folder.names(), std::vector<std::string>{writer.file});
      });
  EXPECT_GT(failed, 8);
}

INSTANTIATE_TEST_SUITE_P(Writers, FullDisk,
                         ::testing::Values(Writer{"scores_csv", "s.csv", write_scores},
                                           Writer{"scores_parquet", "s.parquet", write_scores},
                                           Writer{"rows_csv", "r.csv", write_row_table},
                                           Writer{"rows_parquet", "r.parquet", write_row_table},
                                           Writer{"synth_csv", "x.csv", write_synth_file},
                                           Writer{"synth_parquet", "x.parquet", write_synth_file}),
                         [](const auto& one) { return one.param.name; });

TEST(Writers, WithoutCommitLeaveNothing) {
  for (const char* name : {"a.csv", "a.parquet"}) {
    const test::TemporaryDirectory folder;
    {
      const auto scores = open_scores(folder.file(name), {{.name = "probability"}});
      const std::vector<ScoreValues> columns = {std::vector<float>(100, 0.5f)};
      scores->write(columns, 100);
    }
    EXPECT_EQ(folder.names(), std::vector<std::string>{}) << name;
  }
}

TEST(Writers, NameWhatTheyCannotWrite) {
  const test::TemporaryDirectory folder;
  const std::vector<OutputColumn> columns = {{"x", OutputType::kInt64}};
  for (const std::string& path : {folder.file("none/a.csv"), folder.file("none/a.parquet")}) {
    const auto open = [&] { (void)open_table(path, columns); };
    EXPECT_THAT(test::error_of(open), test::IsError(ErrorKind::kNotFound, path));
  }
  const auto odd = [&] { (void)open_table(folder.file("a.json"), columns); };
  EXPECT_THAT(test::error_of(odd), test::IsError(ErrorKind::kUnsupported, "a.json"));
}

}  // namespace
}  // namespace taut::data
