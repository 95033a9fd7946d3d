#pragma once
// Files made by tests, and whole-stream reading.

#include <arrow/table.h>
#include <arrow/type.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/temporary_directory.h"
#include "taut/core/error.h"
#include "taut/data/reader.h"

namespace taut::data::testing {

/// A column given by its type and its values as JSON ("[1, null, 3]").
struct JsonColumn {
  std::string name;
  std::shared_ptr<arrow::DataType> type;
  std::string values;
};

[[nodiscard]] std::shared_ptr<arrow::Table> make_table(const std::vector<JsonColumn>& columns);

/// Writes a table with row groups of at most that many rows; dictionary: dictionary-encode pages.
void write_parquet(const std::string& path, const arrow::Table& table,
                   std::int64_t row_group_rows = 1 << 20, bool dictionary = true);

/// Writes a table as an Arrow file with record batches of at most that many rows.
void write_arrow(const std::string& path, const arrow::Table& table,
                 std::int64_t batch_rows = 1 << 20);

void write_text(const std::string& path, std::string_view text);
[[nodiscard]] std::string read_text(const std::string& path);

/// A Parquet file of `rows` rows with label = row % 2, time = row, d_row = row, c_row = row (int64)
/// and c_list (list of row % 4 elements, each the row).
void write_numbered(const std::string& path, std::int64_t rows, std::int64_t row_group_rows,
                    std::int64_t first = 0);
/// Options that read all columns of such files.
[[nodiscard]] ReaderOptions numbered_options(std::vector<std::string> files);

/// All rows in one batch.
[[nodiscard]] Batch read_all(const ReaderOptions& options);
/// All batches one after another.
[[nodiscard]] std::vector<Batch> read_batches(const ReaderOptions& options);
/// The ids of one column, row by row.
[[nodiscard]] std::vector<std::vector<std::uint64_t>> bags(const Batch& batch, std::size_t column);

/// The error that a call throws; fails the test if it throws none.
template <typename Fn>
[[nodiscard]] std::pair<ErrorKind, std::string> error_of(Fn&& fn) {
  try {
    fn();
  } catch (const Error& error) {
    return {error.kind(), error.what()};
  }
  return {ErrorKind::kInternal, "no error was thrown"};
}

}  // namespace taut::data::testing
