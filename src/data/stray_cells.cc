#include "stray_cells.h"

#include "taut/core/text.h"
#include "text_cells.h"

namespace taut::data {
namespace {

constexpr std::int64_t kCellsForAStray = 100;

}  // namespace

void StrayCells::add(std::string_view cell, std::int64_t row) {
  if (count_++ == 0) {
    first_row_ = row;
    first_ = shown(cell);
  }
  const char mark = thousands_mark(cell);
  if (mark == 0) return;
  mark_ = thousands_++ == 0 || mark_ == mark ? mark : '\0';
}

bool StrayCells::are_few(std::int64_t cells) const noexcept {
  return count_ * kCellsForAStray <= cells;
}

bool StrayCells::leave_numbers(std::int64_t cells) const noexcept {
  return are_few(cells) || are_thousands();
}

std::string StrayCells::text() const {
  const std::string what = are_thousands() ? " marks between thousands" : " no number";
  const std::string verb = are_thousands() ? (count_ == 1 ? " cell has" : " cells have")
                                           : (count_ == 1 ? " cell is" : " cells are");
  return concat(count_, verb, what, count_ == 1 ? ", in row " : ", the first in row ", first_row_,
                ": ", first_);
}

}  // namespace taut::data
