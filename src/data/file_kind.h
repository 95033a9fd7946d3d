#pragma once
// What a file is, told by its first and last bytes: for messages about files that are not what
// their names say.

#include <optional>
#include <string>
#include <string_view>

namespace taut::data {

/// A kind of file that is known but not read.
struct FileKind {
  std::string_view what;  ///< "a gzip file"
  std::string_view mend;  ///< "unpack it"
};

/// How a Parquet file that may well be read is called.
inline constexpr std::string_view kParquetKind = "a Parquet file";
/// The same of an Arrow file.
inline constexpr std::string_view kArrowKind = "an Arrow file (IPC, Feather)";

/// head: the first bytes (64 are enough), tail: the last four. Nothing for other files.
[[nodiscard]] std::optional<FileKind> known_kind(std::string_view head, std::string_view tail = {});

/// The same of the file at a path; nothing also where it cannot be read, or is a pipe.
[[nodiscard]] std::optional<FileKind> kind_of_file(const std::string& path);

/// Throws kIo for a pipe or device, without opening it: data is read more than once (its format,
/// its columns, its rows), and what a pipe has given it does not give again. Anything else is left
/// to whoever opens it.
void refuse_stream(const std::string& path);

}  // namespace taut::data
