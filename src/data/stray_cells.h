#pragma once
// Cells that are no numbers in a column of text that otherwise holds numbers.

#include <cstdint>
#include <string>
#include <string_view>

namespace taut::data {

/// Threads: one call at a time.
class StrayCells {
 public:
  /// A cell that is neither missing nor a number. row: from 1.
  void add(std::string_view cell, std::int64_t row);

  [[nodiscard]] std::int64_t count() const noexcept { return count_; }
  /// Whether all of them are numbers but for marks between their thousands ("1,234.5").
  [[nodiscard]] bool are_thousands() const noexcept { return count_ > 0 && thousands_ == count_; }
  /// The mark of all of them; 0 where they are other texts, or their marks differ.
  [[nodiscard]] char mark() const noexcept { return are_thousands() ? mark_ : '\0'; }
  /// Whether they are so few among the column's cells that it is one of numbers with mistakes, or
  /// are all numbers with commas.
  [[nodiscard]] bool leave_numbers(std::int64_t cells) const noexcept;
  /// Whether leaving out their rows costs next to nothing: at most one row in a hundred.
  [[nodiscard]] bool are_few(std::int64_t cells) const noexcept;
  /// "1 cell is no number, the first in row 4001: "oops"".
  [[nodiscard]] std::string text() const;

 private:
  std::int64_t count_ = 0;
  std::int64_t thousands_ = 0;
  char mark_ = 0;  // of the first with thousands; 0 once another differs
  std::int64_t first_row_ = 0;
  std::string first_;  // as messages show it
};

}  // namespace taut::data
