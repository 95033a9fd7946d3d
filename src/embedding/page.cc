#include "page.h"

#include "taut/core/error.h"

namespace taut::embedding {
namespace {

constexpr std::size_t kMostStateBytes = std::size_t{512} * PageLayout::kStateBytes;

}  // namespace

int PageView::find(std::uint16_t tag, std::uint64_t key) const noexcept {
  const int count = rows();
  const std::uint8_t* tags = bytes_ + PageLayout::kHeaderBytes;
  constexpr int kBlock = 16;  // compared without branches, so that the compiler uses vectors
  for (int first = 0; first < count; first += kBlock) {
    std::array<std::uint16_t, kBlock> block;
    const int size = std::min(kBlock, count - first);
    if (size == kBlock) {
      std::memcpy(block.data(), tags + first * PageLayout::kTagBytes, sizeof(block));
    } else {
      block.fill(static_cast<std::uint16_t>(~tag));
      std::memcpy(block.data(), tags + first * PageLayout::kTagBytes,
                  static_cast<std::size_t>(size) * PageLayout::kTagBytes);
    }
    std::uint16_t any = 0;
    for (const std::uint16_t other : block) any |= static_cast<std::uint16_t>(-(other == tag));
    if (any == 0) continue;
    for (int i = 0; i < size; ++i) {
      if (block[static_cast<std::size_t>(i)] != tag) continue;
      if (!layout_->exact || this->key(first + i) == key) return first + i;
    }
  }
  return -1;
}

int PageView::values_offset(int row) const noexcept {
  int offset = layout_->page_bytes;
  const int stride = layout_->record_bytes();
  const std::uint8_t* records = bytes_ + record(0);
  const int low = layout_->chunk_bytes(false);
  const int high = layout_->chunk_bytes(true);
  for (int i = 0; i <= row; ++i) {
    const std::uint8_t top = records[i * stride + 1];  // width and precision are in this byte
    offset -= ((top >> 3) + 1) * ((top & 4) != 0 ? high : low);
  }
  return offset;
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
  const int stride = layout_->record_bytes();
  const int old_records = record(0);
  std::memmove(data_ + old_records + PageLayout::kTagBytes, data_ + old_records,
               static_cast<std::size_t>(row * stride));
  store(old_records, tag);
  set_counts(row + 1, used_value_bytes() + value_bytes);
  std::memset(data_ + record(row), 0, static_cast<std::size_t>(stride));
  store(record(row), state.pack());
  if (layout_->exact) store(record(row) + stride - 8, key);
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
  const int stride = layout_->record_bytes();
  const int tags = PageLayout::kHeaderBytes;
  const int records = record(0);
  const int hole = records + row * stride;
  // Tags behind the row and records before it go down by a tag; records behind by a record too.
  std::memmove(data_ + tags + row * PageLayout::kTagBytes,
               data_ + tags + (row + 1) * PageLayout::kTagBytes,
               static_cast<std::size_t>(hole - tags - (row + 1) * PageLayout::kTagBytes));
  std::memmove(data_ + hole - PageLayout::kTagBytes, data_ + hole + stride,
               static_cast<std::size_t>((count - row - 1) * stride));
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
