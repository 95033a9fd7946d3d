#pragma once
// Which files to read and in which format.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "row_part.h"
#include "taut/core/spelling.h"
#include "taut/data/reader.h"

namespace taut::data {

/// kText: .txt and .inter, whose separator is told by looking.
enum class Format { kParquet, kArrow, kCsv, kTsv, kText, kCriteo };
/// As configs name them; kText has no other name than that of a look at the file.
constexpr auto spellings(std::type_identity<Format>) {
  return std::to_array<Spelling<Format>>({{"parquet", Format::kParquet},
                                          {"arrow", Format::kArrow},
                                          {"csv", Format::kCsv},
                                          {"tsv", Format::kTsv},
                                          {"criteo", Format::kCriteo},
                                          {"auto", Format::kText}});
}
[[nodiscard]] constexpr std::string_view to_string(Format format) noexcept {
  return spelling_of(format);
}

struct InputFile {
  std::string path;
  Format format;
  char separator = 0;                   ///< of fields of text; 0: by looking
  Encoding encoding = Encoding::kAuto;  ///< of text
  RowPart part = {};
};

/// The paths that a glob stands for, in name order; a path without glob characters, or of a file
/// that is there, stands for itself. kNotFound for a glob without match.
[[nodiscard]] std::vector<std::string> expand_glob(const std::string& pattern);

/// Expands globs, takes parts of rows (row_part.h) off and finds out formats. format: "auto" (by
/// ending), "parquet", "arrow", "csv", "tsv" or "criteo". Errors: kConfig (no files, unknown format
/// or ending), kNotFound (no such file, glob without match), kIo (a directory, pipe or device, not
/// readable), kFormat (an empty file).
[[nodiscard]] std::vector<InputFile> resolve_files(std::span<const std::string> patterns,
                                                   const std::string& format);

/// The same with what the reader's options say of text.
[[nodiscard]] std::vector<InputFile> resolve_files(const ReaderOptions& options);

/// True if a path ends as tables do (.parquet, .arrow, .feather, .csv, .tsv, .txt, .inter).
[[nodiscard]] bool ends_like_table(const std::string& path) noexcept;

/// Where a named column is in the columns that a file has. Throws kNotFound with the nearest name.
[[nodiscard]] std::size_t find_column(const std::string& name, std::span<const std::string> columns,
                                      const std::string& path);

}  // namespace taut::data
