#pragma once
// What texts mean as labels, numbers, times and ids: the same in text files and in text columns of
// Parquet.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bad_rows.h"
#include "rows.h"
#include "taut/data/reader.h"

namespace taut::data {

/// True for the usual spellings of a missing value: NA, N/A, n/a, #N/A, <NA>, NULL, null, None, \N.
[[nodiscard]] bool is_usual_na(std::string_view text) noexcept;

/// True for the numbers that a dense column may have: finite, and no larger than float32 holds.
[[nodiscard]] bool is_dense_value(double value) noexcept;
/// What is wrong with one that is not. too_large: it is finite; shown: it as messages have it.
[[nodiscard]] std::string not_dense(bool too_large, std::string_view shown);

/// Reads cells one by one. Calls for a number give a placeholder and add a bad cell where the text
/// is not what it should be. Safe to share between threads.
class CellRules {
 public:
  CellRules() = default;
  /// Copies na_values.
  explicit CellRules(const ReaderOptions& options);

  [[nodiscard]] float label(std::int64_t row, std::string_view cell, BadCells& bad) const;
  [[nodiscard]] std::int64_t time(std::int64_t row, std::string_view cell, BadCells& bad) const;
  /// NaN for a missing value; NaN, infinity and what float32 cannot hold are bad cells.
  [[nodiscard]] double dense(std::int64_t row, std::string_view cell, BadCells& bad) const;
  [[nodiscard]] std::uint64_t id(std::string_view cell) const {
    return !na_values_.empty() && is_named_na(cell) ? kMissingId : id_of_text(cell);
  }
  /// A number as parse_number() reads it, or with marks between its thousands where they are told.
  [[nodiscard]] std::optional<double> number(std::string_view text) const;
  /// True for a text that stands for a missing number, bool or time.
  [[nodiscard]] bool is_missing_number(std::string_view text) const noexcept {
    return text.empty() || is_named_na(text) || is_usual_na(text);
  }
  /// Appends the ids of a cell's parts; kMissingId alone for a cell that is missing as a whole.
  void append_ids(std::string_view cell, char separator, std::vector<std::uint64_t>& ids) const;

 private:
  [[nodiscard]] bool is_named_na(std::string_view text) const noexcept;

  std::vector<std::string> na_values_;
  char thousands_ = 0;
};

/// Fills a column from cells: one id a row, or bags where a cell holds the separator (0: never).
/// each(fn) calls fn(row, cell) in ascending rows; those left out become kMissingId. It is
/// called once or twice.
template <typename EachCell>
void read_id_cells(const CellRules& rules, std::int64_t rows, char separator, EachCell&& each,
                   IdRows& column) {
  column.clear();
  column.ids.assign(static_cast<std::size_t>(rows), kMissingId);
  bool single = true;
  each([&](std::int64_t row, std::string_view cell) {
    if (separator != 0 && cell.find(separator) != std::string_view::npos) single = false;
    if (single) column.ids[static_cast<std::size_t>(row)] = rules.id(cell);
  });
  if (single) return;
  column.ids.clear();
  column.offsets.assign(1, 0);
  const auto end_bag = [&] {
    column.offsets.push_back(static_cast<std::int64_t>(column.ids.size()));
  };
  const auto skip_to = [&](std::int64_t row) {
    while (static_cast<std::int64_t>(column.offsets.size()) <= row) {
      column.ids.push_back(kMissingId);
      end_bag();
    }
  };
  each([&](std::int64_t row, std::string_view cell) {
    skip_to(row);
    rules.append_ids(cell, separator, column.ids);
    end_bag();
  });
  skip_to(rows);
}

}  // namespace taut::data
