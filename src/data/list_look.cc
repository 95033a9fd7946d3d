#include "list_look.h"

#include <algorithm>

#include "text_cells.h"

namespace taut::data {
namespace {

bool are_whole_numbers(std::string_view text, char separator) noexcept {
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(separator, begin), text.size());
    if (end > begin && !parse_integer(text.substr(begin, end - begin))) return false;
    begin = end + 1;
  }
  return !has_thousands(text);
}

}  // namespace

void ListLook::add(std::string_view text) noexcept {
  ++texts_;
  for (std::size_t i = 0; i < kSeparators.size(); ++i) {
    if (text.find(kSeparators[i]) != std::string_view::npos) ++holding_[i];
    other_[i] = other_[i] || (i >= kStrong && !are_whole_numbers(text, kSeparators[i]));
  }
}

char ListLook::separator() const noexcept {
  for (std::size_t i = 0; i < kSeparators.size(); ++i) {
    if (holding_[i] > 0 && 2 * holding_[i] >= texts_ && !other_[i]) return kSeparators[i];
  }
  return 0;
}

bool ListLook::holds(char separator) const noexcept {
  const std::size_t i = kSeparators.find(separator);
  return i != std::string_view::npos && holding_[i] > 0;
}

}  // namespace taut::data
