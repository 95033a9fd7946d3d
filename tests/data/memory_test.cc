// Files larger than what may be held: reading takes the same memory whatever their size.

#include <arrow/memory_pool.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "data/table_writer.h"
#include "taut/core/hash.h"
#include "test_files.h"

namespace taut::data {
namespace {

using namespace testing;  // NOLINT: helpers of these tests

constexpr std::int64_t kMiB = std::int64_t{1} << 20;
constexpr int kIdColumns = 6;

// A field of /proc/self/status, in bytes.
std::int64_t status_bytes(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with(field + ":")) continue;
    std::istringstream text(line.substr(field.size() + 1));
    std::int64_t kibibytes = 0;
    text >> kibibytes;
    return 1024 * kibibytes;
  }
  return 0;
}

// The most that the process grows by during a call.
template <typename Fn>
std::int64_t growth_bytes(Fn&& fn) {
  malloc_trim(0);
  arrow::default_memory_pool()->ReleaseUnused();
  const std::int64_t before = status_bytes("VmRSS");
  std::ofstream("/proc/self/clear_refs") << 5;  // forgets the peak
  fn();
  return status_bytes("VmHWM") - before;
}

// Rows of six columns of ids that all differ, written a block at a time.
void write_large(const std::string& path, std::int64_t rows) {
  constexpr std::int64_t kBlock = 1 << 16;
  std::vector<OutputColumn> columns{{"label", OutputType::kInt8}};
  for (int c = 0; c < kIdColumns; ++c)
    columns.push_back({"c_" + std::to_string(c), OutputType::kInt64});
  const auto table = open_table(path, columns);
  for (std::int64_t first = 0; first < rows; first += kBlock) {
    const std::int64_t size = std::min(kBlock, rows - first);
    std::vector<OutputValues> values{std::vector<std::int8_t>(static_cast<std::size_t>(size), 1)};
    for (int c = 0; c < kIdColumns; ++c) {
      std::vector<std::int64_t> ids;
      for (std::int64_t row = first; row < first + size; ++row) {
        ids.push_back(static_cast<std::int64_t>(
            mix64(static_cast<std::uint64_t>(kIdColumns * row + c)) >> 20));
      }
      values.emplace_back(std::move(ids));
    }
    table->write(values, size);
  }
  table->commit();
}

ReaderOptions large_options(const std::string& path) {
  ReaderOptions options;
  options.files = {path};
  options.schema.label = "label";
  for (int c = 0; c < kIdColumns; ++c)
    options.schema.categorical.push_back("c_" + std::to_string(c));
  return options;
}

std::int64_t count_rows(const ReaderOptions& options) {
  BatchReader reader(options);
  std::int64_t rows = 0;
  for (Batch batch; reader.next(batch);) rows += batch.size;
  return rows;
}

TEST(Memory, ReadingFourMillionRowsOfParquetTakesAFewBlocks) {
  const test::TemporaryDirectory dir;
  const std::string path = dir.file("x.parquet");
  const std::int64_t rows = 4000000;  // 200 MB when decoded
  write_large(path, rows);
  ASSERT_GT(std::filesystem::file_size(path), 100 * kMiB);
  ReaderOptions options = large_options(path);
  for (const std::int64_t shuffle : {0, 65536}) {
    options.shuffle_rows = shuffle;
    std::int64_t read = 0;
    EXPECT_LT(growth_bytes([&] { read = count_rows(options); }), 100 * kMiB)
        << "shuffle " << shuffle;
    EXPECT_EQ(read, rows);
  }
}

TEST(Memory, ReadingCsvTakesAFewChunks) {
  const test::TemporaryDirectory dir;
  const std::string path = dir.file("x.csv");
  const std::int64_t rows = 1500000;
  write_large(path, rows);
  ASSERT_GT(std::filesystem::file_size(path), 100 * kMiB);
  std::int64_t read = 0;
  EXPECT_LT(growth_bytes([&] { read = count_rows(large_options(path)); }), 60 * kMiB);
  EXPECT_EQ(read, rows);
}

}  // namespace
}  // namespace taut::data
