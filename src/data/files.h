#pragma once
// Which files to read and in which format.

#include <span>
#include <string>
#include <vector>

#include "row_part.h"

namespace taut::data {

enum class Format { kParquet, kCsv, kTsv, kCriteo };

struct InputFile {
  std::string path;
  Format format;
  RowPart part = {};
};

/// The paths that a glob stands for, in name order; a path without glob characters, or of a file
/// that is there, stands for itself. kNotFound for a glob without match.
[[nodiscard]] std::vector<std::string> expand_glob(const std::string& pattern);

/// Expands globs, takes parts of rows (row_part.h) off and finds out formats. format: "auto" (by
/// ending), "parquet", "csv", "tsv" or "criteo". Errors: kConfig (no files, unknown format or
/// ending), kNotFound (no such file, glob without match), kIo (a directory, not readable), kFormat
/// (an empty file).
[[nodiscard]] std::vector<InputFile> resolve_files(std::span<const std::string> patterns,
                                                   const std::string& format);

/// Where a named column is in the columns that a file has. Throws kNotFound with the nearest name.
[[nodiscard]] std::size_t find_column(const std::string& name, std::span<const std::string> columns,
                                      const std::string& path);

}  // namespace taut::data
