#include "text_columns.h"

namespace taut::data {

void TextColumn::labels(std::vector<float>& values, BadCells& bad) const {
  values.assign(static_cast<std::size_t>(index_.rows()), 0);
  each(
      [&](std::int64_t row, std::string_view cell) { values[row] = rules_.label(row, cell, bad); });
}

void TextColumn::time(std::vector<std::int64_t>& values, BadCells& bad) const {
  values.assign(static_cast<std::size_t>(index_.rows()), 0);
  each([&](std::int64_t row, std::string_view cell) { values[row] = rules_.time(row, cell, bad); });
}

void TextColumn::dense(std::vector<double>& values, BadCells& bad) const {
  values.assign(static_cast<std::size_t>(index_.rows()), 0);
  each(
      [&](std::int64_t row, std::string_view cell) { values[row] = rules_.dense(row, cell, bad); });
}

void TextColumn::ids(char separator, IdRows& column) const {
  read_id_cells(rules_, index_.rows(), separator, [&](auto&& fn) { each(fn); }, column);
}

}  // namespace taut::data
