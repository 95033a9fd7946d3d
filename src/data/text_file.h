#pragma once
// A text file read in pieces of whole records.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "files.h"
#include "text_encoding.h"
#include "text_index.h"
#include "text_sniff.h"

namespace taut::data {

/// A text file, opened at its first row. Errors: kIo; kFormat (not text, no header, column names
/// that are not UTF-8); kUnsupported, kConfig (encoding).
class TextFile {
 public:
  explicit TextFile(const InputFile& file);
  ~TextFile();
  TextFile(const TextFile&) = delete;
  TextFile& operator=(const TextFile&) = delete;

  /// Names in the header; for Criteo label, I1 .. I13, C1 .. C26; without label where the
  /// first line has one field less.
  [[nodiscard]] const std::vector<std::string>& columns() const noexcept { return columns_; }
  [[nodiscard]] const std::string& path() const noexcept { return file_.path; }
  [[nodiscard]] const TextDialect& dialect() const noexcept { return dialect_; }
  /// What the header says of each column.
  [[nodiscard]] const std::vector<DeclaredType>& declared() const noexcept { return declared_; }
  /// Bytes of the whole file, and how many of them have been read; more than were given out.
  [[nodiscard]] std::int64_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] bool at_end() const noexcept { return at_end_ && begin_ == buffer_.size(); }

  /// Finds rows and fields of a piece; an empty field behind the last is left out where the file's
  /// rows have one.
  void index(std::string_view piece, TextIndex& index) const;

  /// The next pieces of whole records, empty at the end. Valid until the next call. A last record
  /// without newline gets one. Throws kFormat for a record too long to be one.
  [[nodiscard]] std::vector<std::string_view> next_pieces();

 private:
  void check_text() const;
  void read_header();
  bool read_more();  // appends a chunk to the buffer; false at the end of the file

  InputFile file_;
  TextDialect dialect_;
  std::optional<TextDecoder> decoder_;  // from the first chunk on
  std::string chunk_;                   // bytes to decode
  std::vector<std::string> columns_;
  std::vector<DeclaredType> declared_;
  bool empty_tails_ = false;
  std::int64_t bytes_ = 0;
  int descriptor_ = -1;
  std::string buffer_;
  std::size_t begin_ = 0;  // of what is not given out yet
  bool at_end_ = false;
};

}  // namespace taut::data
