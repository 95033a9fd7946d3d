#pragma once
// A part of a file's rows, as entries of files name it: FILE[0%:80%] or FILE[time=A:B].

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

namespace taut::data {

/// Which rows of a file are read.
struct RowPart {
  enum class Kind { kAll, kShare, kTime };

  Kind kind = Kind::kAll;
  /// kShare: rows whose hash of their number, as a share of all hashes, is in [from, to).
  double from = 0;
  double to = 1;
  /// kTime: rows with begin <= time < end, in the unit of the column.
  std::string column = {};
  std::int64_t begin = std::numeric_limits<std::int64_t>::min();
  std::int64_t end = std::numeric_limits<std::int64_t>::max();

  friend bool operator==(const RowPart&, const RowPart&) = default;
};

/// An entry without what stands in brackets at its end, and the part that this means.
struct FileEntry {
  std::string path;
  RowPart part;
};

/// Errors: kConfig for bounds that are none, or an empty part. Brackets without a % or = inside,
/// and those of a file that is there under that name, belong to the path.
[[nodiscard]] FileEntry parse_file_entry(const std::string& entry);

/// Whether a row is in a part by its number in the file (kShare; others: true).
[[nodiscard]] bool is_in_share(const RowPart& part, std::int64_t row) noexcept;

}  // namespace taut::data
