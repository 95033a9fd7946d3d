#pragma once
// Opening Parquet files, and its errors as ours.

#include <parquet/arrow/reader.h>
#include <parquet/arrow/schema.h>
#include <parquet/exception.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "source.h"

namespace taut::data {

/// Throws kFormat: the file is broken.
[[noreturn]] void throw_broken_parquet(const std::string& reason, const std::string& where);

/// What fn's arrow::Result holds. Parquet reports by status and by exception; both become kFormat.
template <typename Fn>
auto guarded(const std::string& where, Fn&& fn) {
  try {
    auto result = fn();
    if (!result.ok()) throw_broken_parquet(result.status().message(), where);
    return std::move(result).ValueUnsafe();
  } catch (const parquet::ParquetException& error) {
    throw_broken_parquet(error.what(), where);
  }
}

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

/// Opens the file; with metadata already there the footer is not read again.
[[nodiscard]] std::unique_ptr<parquet::arrow::FileReader> open_reader(const ParquetFile& file);

/// Reads the footer and finds the columns. Errors: kFormat, kIo, kNotFound, kData (column type).
[[nodiscard]] ParquetFile inspect_parquet(const std::string& path,
                                          const std::vector<ColumnRole>& roles);

}  // namespace taut::data
