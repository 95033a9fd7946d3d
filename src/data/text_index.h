#pragma once
// Where the fields of delimited text begin and end.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace taut::data {

/// How a text file is cut into fields.
struct TextDialect {
  char delimiter = ',';
  bool quotes = true;  ///< a field may stand in double quotes, a quote inside is written twice
};

/// Rows and fields of a piece of text that consists of whole records.
class TextIndex {
 public:
  /// The text must outlive the index and end with a newline; less than 4 GiB.
  void build(std::string_view text, const TextDialect& dialect);

  /// Records; blank lines are none.
  [[nodiscard]] std::int64_t rows() const noexcept {
    return static_cast<std::int64_t>(rows_.size());
  }
  [[nodiscard]] std::int64_t fields(std::int64_t row) const noexcept { return rows_[row].fields; }
  /// The text of a field as it stands in the file, less the \r of a line's end.
  [[nodiscard]] std::string_view raw(std::int64_t row, std::int64_t field) const noexcept {
    const std::uint32_t* bounds = bounds_.data() + rows_[row].first + field;
    const char* begin = text_.data() + bounds[0];
    const char* end = text_.data() + bounds[1] - 1;
    if (field + 1 == rows_[row].fields && begin != end && end[-1] == '\r') --end;
    return {begin, static_cast<std::size_t>(end - begin)};
  }
  /// The value of a field: raw() without its quotes. scratch: memory for values with quotes inside.
  [[nodiscard]] std::string_view value(std::int64_t row, std::int64_t field,
                                       std::string& scratch) const {
    const std::string_view text = raw(row, field);
    return has_quotes_ && !text.empty() && text.front() == '"' ? unquote(text, scratch) : text;
  }
  /// Leaves the last field out of the rows that have one more than `fields` and hold nothing there.
  void drop_empty_tails(std::int64_t fields);
  /// True if the last record's quote is never closed.
  [[nodiscard]] bool open_quote() const noexcept { return open_quote_; }

 private:
  struct Row {
    std::uint32_t first;  // in bounds_: field f is [bounds_[first + f], bounds_[first + f + 1] - 1)
    std::uint32_t fields;
  };

  static std::string_view unquote(std::string_view text, std::string& scratch);
  void scan_with_quotes(char delimiter);
  void find_rows();

  std::string_view text_;
  std::vector<std::uint32_t> bounds_;  // 0, then the position after each delimiter and newline
  std::vector<Row> rows_;
  bool has_quotes_ = false;
  bool open_quote_ = false;
};

/// Cuts text into pieces of whole records, each of about piece_bytes: the ends of the pieces, in
/// order. What follows the last end is the beginning of a record.
[[nodiscard]] std::vector<std::size_t> cut_pieces(std::string_view text, std::size_t piece_bytes,
                                                  const TextDialect& dialect);

}  // namespace taut::data
