#pragma once
// Opening Parquet files.

#include <parquet/arrow/reader.h>
#include <parquet/arrow/schema.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "arrow_guard.h"
#include "source.h"

namespace taut::data {

/// A column of the schema and the leaves of the file that hold it.
struct ParquetColumn {
  ColumnRole role;
  std::vector<int> leaves;
};

/// A file's footer, checked against the schema; the file itself is opened when its turn comes.
struct ParquetFile {
  std::string path;
  std::shared_ptr<parquet::FileMetaData> metadata;
  std::vector<ParquetColumn> columns;
  std::vector<int> dictionary_leaves;  ///< string columns to be read as dictionary and indices
};

/// Adds the leaves of the file that hold a field.
void collect_leaves(const parquet::arrow::SchemaField& field, std::vector<int>& leaves);

/// Rows of each row group.
[[nodiscard]] std::vector<std::int64_t> group_rows(const ParquetFile& file);
/// Rows of all of them.
[[nodiscard]] std::int64_t count_rows(const ParquetFile& file);

/// Opens the file; with metadata already there the footer is not read again. Checksums of pages are
/// verified where they have one. Errors: those of guarded(); kFormat for another kind of file,
/// which is named.
[[nodiscard]] std::unique_ptr<parquet::arrow::FileReader> open_reader(const ParquetFile& file);

/// Throws kFormat for a name that is not UTF-8.
void check_column_names(const std::vector<std::string>& names, const std::string& path);

/// The names of the columns. Errors: kFormat for one that is not UTF-8.
[[nodiscard]] std::vector<std::string> field_names(const parquet::arrow::FileReader& reader,
                                                   const std::string& path);

/// Reads the footer and finds the columns. Errors: those of open_reader(); kNotFound, kData (column
/// type); kFormat for column names that are not UTF-8.
[[nodiscard]] ParquetFile inspect_parquet(const std::string& path,
                                          const std::vector<ColumnRole>& roles);

}  // namespace taut::data
