#include "page.h"
#include "page_kernels.h"
#include "taut/core/error.h"

namespace taut::embedding {
namespace {

constexpr std::size_t kMostStateBytes = std::size_t{kLongestRow} * PageLayout::kStateBytes;

}  // namespace

int PageView::find(std::uint16_t tag, std::uint64_t key) const noexcept {
  const std::uint8_t* tags = bytes_ + PageLayout::kHeaderBytes;
  const int count = rows();
  int row = find_tag(tags, count, 0, tag);
  if (!layout_->exact) return row;
  while (row >= 0 && this->key(row) != key) row = find_tag(tags, count, row + 1, tag);
  return row;
}

int PageView::values_offset(int row) const noexcept {
  return layout_->page_bytes - sum_value_bytes(bytes_ + at(PageLayout::kShapes, 0), row + 1,
                                               layout_->chunk_bytes(false),
                                               layout_->chunk_bytes(true));
}

bool PageView::valid() const noexcept {
  const int count = rows();
  if (free_bytes() < 0) return false;
  int bytes = 0;
  for (int row = 0; row < count; ++row) {
    const RowState state = this->state(row);
    if (state.width > layout_->chunks || (state.precise && !layout_->mixed)) return false;
    bytes += layout_->value_bytes(state);
  }
  return bytes == used_value_bytes();
}

int Page::append(std::uint16_t tag, std::uint64_t key, const RowState& state) noexcept {
  const int row = rows();
  const int value_bytes = layout_->value_bytes(state);
  TAUT_ASSERT(free_bytes() >= layout_->overhead_bytes() + value_bytes);
  for (int column = PageLayout::kColumns - 1; column > 0; --column) {  // the last ones move first
    const int before = layout_->bytes_before(column);
    std::uint8_t* old = data_ + PageLayout::kHeaderBytes + row * before;
    std::memmove(old + before, old, static_cast<std::size_t>(row * layout_->column_bytes(column)));
  }
  set_counts(row + 1, used_value_bytes() + value_bytes);
  store(at(PageLayout::kTags, row), tag);
  set_state(row, state);
  set_scale(row, 0);
  set_row_state(row, 0);
  if (layout_->exact) store(at(PageLayout::kKeys, row), key);
  if (layout_->value_state) {
    std::memset(value_states(row), 0, static_cast<std::size_t>(layout_->state_bytes(state)));
  }
  return row;
}

void Page::shift_values_behind(int row, int delta) noexcept {
  const int last = rows() - 1;
  if (row == last || delta == 0) return;
  const int from = values_offset(last);
  const int to = values_offset(row);
  std::memmove(data_ + from - delta, data_ + from, static_cast<std::size_t>(to - from));
}

void Page::remove(int row) noexcept {
  const int count = rows();
  const int value_bytes = layout_->value_bytes(state(row));
  shift_values_behind(row, -value_bytes);
  for (int column = 0; column < PageLayout::kColumns; ++column) {
    const int before = layout_->bytes_before(column);
    const int bytes = layout_->column_bytes(column);
    const std::uint8_t* from = data_ + PageLayout::kHeaderBytes + count * before;
    std::uint8_t* to = data_ + PageLayout::kHeaderBytes + (count - 1) * before;
    std::memmove(to, from, static_cast<std::size_t>(row * bytes));
    std::memmove(to + row * bytes, from + (row + 1) * bytes,
                 static_cast<std::size_t>((count - row - 1) * bytes));
  }
  set_counts(count - 1, used_value_bytes() - value_bytes);
}

// The row keeps its end, so its first bytes move with its beginning.
void Page::resize_bytes(int row, int old_bytes, int new_bytes) noexcept {
  const int delta = new_bytes - old_bytes;
  TAUT_ASSERT(free_bytes() >= delta);
  const int begin = values_offset(row);
  if (delta > 0) {
    shift_values_behind(row, delta);
    std::memmove(data_ + begin - delta, data_ + begin, static_cast<std::size_t>(old_bytes));
  } else {
    std::memmove(data_ + begin - delta, data_ + begin, static_cast<std::size_t>(new_bytes));
    shift_values_behind(row, delta);
  }
  set_counts(rows(), used_value_bytes() + delta);
}

void Page::resize(int row, const RowState& state) noexcept {
  const RowState held = this->state(row);
  if (held.width == state.width && held.precise == state.precise) {
    set_state(row, state);
    return;
  }
  std::array<std::uint8_t, kMostStateBytes> optimizer;
  const auto kept = static_cast<std::size_t>(layout_->state_bytes(held));
  const auto wanted = static_cast<std::size_t>(layout_->state_bytes(state));
  if (kept > 0) std::memcpy(optimizer.data(), value_states(row), kept);
  if (wanted > kept) std::memset(optimizer.data() + kept, 0, wanted - kept);
  resize_bytes(row, layout_->value_bytes(held), layout_->value_bytes(state));
  set_state(row, state);
  if (wanted > 0) std::memcpy(value_states(row), optimizer.data(), wanted);
}

}  // namespace taut::embedding
