#pragma once
// What a table holds: what `taut info` says of Parquet, CSV and TSV files.

#include <cstdint>
#include <string>
#include <vector>

#include "taut/data/init.h"

namespace taut::data {

struct TableInfo {
  std::string path;
  std::string format;          ///< as ReaderOptions::format
  std::string separator = {};  ///< of text, as messages show it; "" for Parquet
  std::int64_t rows = 0;
  bool rows_exact = true;  ///< false: estimated, the file is very large
  /// In the file's order. Of a table in which no label was found all roles but those of columns
  /// that are not read are unknown: then `problem` says why.
  std::vector<ColumnGuess> columns = {};
  std::string problem = {};  ///< why `taut init` would refuse the table; "" where it would not
};

/// True if the path ends as tables do (.parquet, .csv, .tsv, .txt, .inter), or the file is Parquet
/// or of another kind that describe_table() can name (Arrow, gzip, ORC ...) when it refuses it.
[[nodiscard]] bool is_table(const std::string& path);

/// Looks at a table as guess_schema() does, and counts its rows. Errors: as BatchReader.
[[nodiscard]] TableInfo describe_table(const std::string& path);

}  // namespace taut::data
