#pragma once
// A text file read in pieces of whole records.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "files.h"
#include "text_index.h"

namespace taut::data {

/// How a format of text files is written.
[[nodiscard]] TextDialect dialect_of(Format format) noexcept;

/// A text file, opened at its first row. Errors: kIo, kFormat (not text, no header).
class TextFile {
 public:
  explicit TextFile(const InputFile& file);
  ~TextFile();
  TextFile(TextFile&& other) noexcept;
  TextFile& operator=(TextFile&&) = delete;

  /// Names in the header; for Criteo label, I1 .. I13, C1 .. C26; without label where the
  /// first line has one field less.
  [[nodiscard]] const std::vector<std::string>& columns() const noexcept { return columns_; }
  [[nodiscard]] const std::string& path() const noexcept { return file_.path; }
  [[nodiscard]] const TextDialect& dialect() const noexcept { return dialect_; }

  /// The next pieces of whole records, empty at the end. Valid until the next call. A last record
  /// without newline gets one. Throws kFormat for a record too long to be one.
  [[nodiscard]] std::vector<std::string_view> next_pieces();

 private:
  void read_header();
  bool read_more();  // appends a chunk to the buffer; false at the end of the file

  InputFile file_;
  TextDialect dialect_;
  std::vector<std::string> columns_;
  int descriptor_ = -1;
  std::string buffer_;
  std::size_t begin_ = 0;  // of what is not given out yet
  bool at_end_ = false;
};

}  // namespace taut::data
