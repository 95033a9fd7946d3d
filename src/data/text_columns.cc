#include "text_columns.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "taut/core/text.h"
#include "text_cells.h"

namespace taut::data {
namespace {

void append_parts(std::string_view cell, char separator, std::vector<std::uint64_t>& ids) {
  std::size_t begin = 0;
  while (begin <= cell.size()) {
    const std::size_t end = std::min(cell.find(separator, begin), cell.size());
    if (end > begin) ids.push_back(id_of_text(cell.substr(begin, end - begin)));
    begin = end + 1;
  }
}

}  // namespace

void TextColumn::labels(std::vector<float>& values, BadCells& bad) const {
  values.assign(static_cast<std::size_t>(index_.rows()), 0);
  each([&](std::int64_t row, std::string_view cell) {
    const std::string_view text = trim(cell);
    const std::optional<float> label = parse_label(text);
    if (label) {
      values[row] = *label;
    } else if (text.empty()) {
      bad.add(row, [] { return std::string("the label is missing"); });
    } else {
      bad.add(row, [&] { return concat("the label is ", shown(text), ", must be 0 or 1"); });
    }
  });
}

void TextColumn::time(std::vector<std::int64_t>& values, BadCells& bad) const {
  values.assign(static_cast<std::size_t>(index_.rows()), 0);
  each([&](std::int64_t row, std::string_view cell) {
    const std::string_view text = trim(cell);
    const std::optional<std::int64_t> time = parse_integer(text);
    if (time) {
      values[row] = *time;
    } else if (text.empty()) {
      bad.add(row, [] { return std::string("the time is missing"); });
    } else {
      bad.add(row, [&] { return concat("the time is ", shown(text), ", must be a whole number"); });
    }
  });
}

void TextColumn::dense(std::vector<float>& values, BadCells& bad) const {
  values.assign(static_cast<std::size_t>(index_.rows()), 0);
  each([&](std::int64_t row, std::string_view cell) {
    const std::string_view text = trim(cell);
    if (text.empty()) {
      values[row] = std::numeric_limits<float>::quiet_NaN();
      return;
    }
    const std::optional<double> number = parse_number(text);
    if (!number) {
      bad.add(row, [&] { return concat(shown(text), " is not a number"); });
      return;
    }
    values[row] = static_cast<float>(*number);
    if (!std::isfinite(values[row])) {
      bad.add(row,
              [&] { return concat("the value is ", shown(text), ", must be a finite number"); });
    }
  });
}

void TextColumn::ids(char separator, IdRows& column) const {
  const std::int64_t rows = index_.rows();
  column.clear();
  column.ids.assign(static_cast<std::size_t>(rows), kMissingId);
  bool single = true;
  each([&](std::int64_t row, std::string_view cell) {
    if (separator != 0 && cell.find(separator) != std::string_view::npos) single = false;
    if (single) column.ids[row] = id_of_text(cell);
  });
  if (single) return;
  column.ids.clear();
  column.offsets.assign(static_cast<std::size_t>(rows) + 1, 0);
  std::int64_t done = 0;  // offsets are written up to this row
  const auto fill_to = [&](std::int64_t row) {
    while (done <= row) column.offsets[done++] = static_cast<std::int64_t>(column.ids.size());
  };
  each([&](std::int64_t row, std::string_view cell) {
    fill_to(row);
    if (cell.empty()) {
      column.ids.push_back(kMissingId);
    } else {
      append_parts(cell, separator, column.ids);
    }
  });
  fill_to(rows);
}

}  // namespace taut::data
