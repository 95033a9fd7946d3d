#pragma once
// What tells a data file from one with other content, without reading all of it.

#include <span>
#include <string>
#include <vector>

namespace taut::data {

/// A line for each file that the entries stand for (paths, globs, folders with all that is in them,
/// images with a range): its path, bytes and a checksum of its first, middle and last 64 KiB. Not
/// its time: a copy is the same file. A path that is not there has a line that says so.
/// Errors: kIo for a file that cannot be read.
[[nodiscard]] std::vector<std::string> file_marks(std::span<const std::string> entries);

/// The path or glob of an entry, without a range or part of rows behind it.
[[nodiscard]] std::string path_of_entry(const std::string& entry);

/// The first difference between the marks that files had and have, as a message: "train.csv has
/// other content". "" when there is none.
[[nodiscard]] std::string mark_difference(std::span<const std::string> before,
                                          std::span<const std::string> now);

}  // namespace taut::data
