#include "stray_cells.h"

#include <algorithm>
#include <cctype>

#include "taut/core/text.h"
#include "text_cells.h"

namespace taut::data {
namespace {

constexpr std::int64_t kCellsForAStray = 100;

// A number with a comma before every third digit of its whole part.
bool has_thousands(std::string_view text) {
  const std::size_t end = std::min(text.find('.'), text.size());
  std::string without;
  std::size_t since_comma = 0;
  bool comma = false;
  for (std::size_t i = 0; i < end; ++i) {
    if (text[i] == ',') {
      if (since_comma == 0 || since_comma > 3 || (comma && since_comma != 3)) return false;
      comma = true;
      since_comma = 0;
      continue;
    }
    without += text[i];
    since_comma += std::isdigit(static_cast<unsigned char>(text[i])) != 0 ? 1 : 0;
  }
  without += text.substr(end);
  return comma && since_comma == 3 && parse_number(without).has_value();
}

}  // namespace

void StrayCells::add(std::string_view cell, std::int64_t row) {
  if (count_++ == 0) {
    first_row_ = row;
    first_ = shown(cell);
  }
  thousands_ += has_thousands(cell) ? 1 : 0;
}

bool StrayCells::are_few(std::int64_t cells) const noexcept {
  return count_ * kCellsForAStray <= cells;
}

bool StrayCells::leave_numbers(std::int64_t cells) const noexcept {
  return are_few(cells) || are_thousands();
}

std::string StrayCells::text() const {
  const std::string what = are_thousands() ? " commas between thousands" : " no number";
  const std::string verb = are_thousands() ? (count_ == 1 ? " cell has" : " cells have")
                                           : (count_ == 1 ? " cell is" : " cells are");
  return concat(count_, verb, what, count_ == 1 ? ", in row " : ", the first in row ", first_row_,
                ": ", first_);
}

}  // namespace taut::data
