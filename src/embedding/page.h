#pragma once
// A page of the store: whole rows of any width packed side by side, found by 16-bit tags.
//
//   offset 0          u16 rows, u16 bytes of values
//   4                 columns, each of all rows: tags, u16; shapes, u8 (width, precision, upper two
//                     bits of the importance); the importance's lower bits, u8; scales, u8
//                     (integers); the optimizer's, u16 (Adam's second moment); keys, u64 (exact
//                     keys)
//   ...               free
//   page end          rows, row 0 last: row i ends where row i - 1 begins. Of each row first its
//                     values, then what the optimizer keeps for them (Adagrad, Adam: bf16 each)
//
// 5 bytes a row beside its values, with tags and integers. Whatever happens to a row moves bytes
// within its page only.

#include <array>
#include <cstdint>
#include <cstring>

#include "codec.h"

namespace taut::embedding {

/// What a row's two bytes of state say.
struct RowState {
  int width = 0;         ///< chunks held, 1 .. 32
  bool precise = false;  ///< 16-bit values in a table that mixes 8 and 16
  int importance = 0;    ///< an ImportanceCode

  [[nodiscard]] TAUT_INLINE std::uint16_t pack() const noexcept {
    return static_cast<std::uint16_t>(importance | (precise ? 1 << 10 : 0) | ((width - 1) << 11));
  }
  [[nodiscard]] TAUT_INLINE static RowState unpack(std::uint16_t bits) noexcept {
    return {
        .width = (bits >> 11) + 1, .precise = (bits & (1 << 10)) != 0, .importance = bits & 0x3FF};
  }
};

/// What all pages of a table have in common.
struct PageLayout {
  int page_bytes = 0;
  int chunk = 0;   ///< values a chunk
  int chunks = 0;  ///< chunks of a full row
  Storage low = Storage::kInt8;
  Storage high = Storage::kInt16;  ///< of precise rows
  bool mixed = false;
  bool exact = false;
  bool value_state = false;  ///< the optimizer keeps something for each value
  bool row_state = false;    ///< and for each row, beside the importance

  /// How the optimizer's state is written.
  static constexpr Storage kState = Storage::kBFloat16;
  static constexpr int kStateBytes = 2;
  static constexpr int kHeaderBytes = 4;
  static constexpr int kTagBytes = 2;
  static constexpr int kBytesBeforeScales = kTagBytes + 2;

  [[nodiscard]] int dim() const noexcept { return chunk * chunks; }
  [[nodiscard]] Storage storage(bool precise) const noexcept { return precise ? high : low; }
  /// Bytes of a chunk: values and their state.
  [[nodiscard]] int chunk_bytes(bool precise) const noexcept {
    return chunk * (bytes_per_value(storage(precise)) + (value_state ? kStateBytes : 0));
  }
  /// Bytes of a row's values and their state.
  [[nodiscard]] int value_bytes(const RowState& row) const noexcept {
    return row.width * chunk_bytes(row.precise);
  }
  /// The state's part of value_bytes().
  [[nodiscard]] int state_bytes(const RowState& row) const noexcept {
    return value_state ? row.width * chunk * kStateBytes : 0;
  }
  /// The columns of a page: bytes of a row in each, 0 where there is none.
  enum Column : std::uint8_t { kTags, kShapes, kImportances, kScales, kRowStates, kKeys, kColumns };
  [[nodiscard]] constexpr int column_bytes(int column) const noexcept {
    switch (column) {
      case kTags:
        return kTagBytes;
      case kScales:
        return is_scaled(low) ? 1 : 0;
      case kRowStates:
        return row_state ? kStateBytes : 0;
      case kKeys:
        return exact ? 8 : 0;
      default:
        return 1;
    }
  }
  /// Bytes of a row in the columns before this one.
  [[nodiscard]] constexpr int bytes_before(int column) const noexcept {
    if (column <= kScales) return column == kTags ? 0 : kTagBytes + column - kShapes;
    int bytes = kBytesBeforeScales;
    for (int i = kScales; i < column; ++i) bytes += column_bytes(i);
    return bytes;
  }
  /// Rows hold what only the optimizer needs.
  [[nodiscard]] bool has_state() const noexcept { return value_state || row_state; }
  /// The same rows without it.
  [[nodiscard]] PageLayout without_state() const noexcept {
    PageLayout bare = *this;
    bare.value_state = false;
    bare.row_state = false;
    return bare;
  }
  /// Bytes of a row beside its values.
  [[nodiscard]] int overhead_bytes() const noexcept { return bytes_before(kColumns); }
  [[nodiscard]] RowState widest() const noexcept {
    return {.width = chunks, .precise = mixed, .importance = 0};
  }
  /// The smallest page that holds one full row.
  [[nodiscard]] int least_page_bytes() const noexcept {
    return kHeaderBytes + overhead_bytes() + value_bytes(widest());
  }
};

/// The two pages where a key may lie, and its tag in each.
struct KeyPages {
  const std::uint8_t* pages[2];
  std::uint16_t tags[2];
};

/// Reads one page.
class PageView {
 public:
  PageView(const std::uint8_t* bytes, const PageLayout& layout) noexcept
      : bytes_(bytes), layout_(&layout) {}

  [[nodiscard]] int rows() const noexcept { return load<std::uint16_t>(0); }
  [[nodiscard]] int used_value_bytes() const noexcept { return load<std::uint16_t>(2); }
  [[nodiscard]] int free_bytes() const noexcept {
    return layout_->page_bytes - PageLayout::kHeaderBytes - rows() * layout_->overhead_bytes() -
           used_value_bytes();
  }
  [[nodiscard]] std::uint16_t tag(int row) const noexcept {
    return load<std::uint16_t>(at(PageLayout::kTags, row));
  }
  [[nodiscard]] RowState state(int row) const noexcept {
    const unsigned shape = bytes_[at(PageLayout::kShapes, row)];
    const unsigned importance = bytes_[at(PageLayout::kImportances, row)];
    return RowState::unpack(static_cast<std::uint16_t>(shape << 8 | importance));
  }
  /// Columns of what state() says: shapes, and the importances' lower bits.
  [[nodiscard]] const std::uint8_t* shapes() const noexcept {
    return bytes_ + at(PageLayout::kShapes, 0);
  }
  [[nodiscard]] const std::uint8_t* importances() const noexcept {
    return bytes_ + at(PageLayout::kImportances, 0);
  }
  [[nodiscard]] std::uint8_t scale(int row) const noexcept {
    return is_scaled(layout_->low) ? bytes_[at(PageLayout::kScales, row)] : std::uint8_t{0};
  }
  [[nodiscard]] float scale_step(int row, bool precise) const noexcept {
    return is_scaled(layout_->low) ? ScaleCode::step(scale(row), layout_->storage(precise)) : 0.0f;
  }
  /// Exact keys only.
  [[nodiscard]] std::uint64_t key(int row) const noexcept {
    return load<std::uint64_t>(at(PageLayout::kKeys, row));
  }
  /// The row of this tag (and key, if keys are exact), or -1.
  [[nodiscard]] int find(std::uint16_t tag, std::uint64_t key) const noexcept;
  /// Where the row's values begin.
  [[nodiscard]] const std::uint8_t* values(int row) const noexcept {
    return bytes_ + values_offset(row);
  }
  /// Where the state of its values begins.
  [[nodiscard]] const std::uint8_t* value_states(int row) const noexcept {
    return values(row) + values_alone(state(row));
  }
  /// The row's own state: bits as PageLayout::kState has them.
  [[nodiscard]] std::uint16_t row_state(int row) const noexcept {
    return layout_->row_state ? load<std::uint16_t>(at(PageLayout::kRowStates, row))
                              : std::uint16_t{0};
  }
  /// Counts, tags and widths agree with each other and the page's size.
  [[nodiscard]] bool valid() const noexcept;

 protected:
  template <typename T>
  [[nodiscard]] T load(int offset) const noexcept {
    T value;
    std::memcpy(&value, bytes_ + offset, sizeof(T));
    return value;
  }
  // Where a row's bytes of a column begin.
  [[nodiscard]] int at(PageLayout::Column column, int row) const noexcept {
    return PageLayout::kHeaderBytes + rows() * layout_->bytes_before(column) +
           row * layout_->column_bytes(column);
  }
  [[nodiscard]] int values_offset(int row) const noexcept;
  [[nodiscard]] int values_alone(const RowState& row) const noexcept {
    return layout_->value_bytes(row) - layout_->state_bytes(row);
  }

  const std::uint8_t* bytes_;
  const PageLayout* layout_;
};

/// Changes one page. The caller has made sure of the room.
class Page : public PageView {
 public:
  Page(std::uint8_t* bytes, const PageLayout& layout) noexcept
      : PageView(bytes, layout), data_(bytes) {}

  void clear() noexcept { std::memset(data_, 0, PageLayout::kHeaderBytes); }
  /// Adds a row behind the others, its values not yet written, its optimizer state 0; returns its
  /// number.
  int append(std::uint16_t tag, std::uint64_t key, const RowState& state) noexcept;
  void remove(int row) noexcept;
  /// Gives the row another width or precision. Of its values the first ones stay as bytes, and so
  /// does their state; that of new ones is 0.
  void resize(int row, const RowState& state) noexcept;
  /// Importance alone: no byte moves.
  void set_state(int row, const RowState& state) noexcept {
    const std::uint16_t bits = state.pack();
    data_[at(PageLayout::kShapes, row)] = static_cast<std::uint8_t>(bits >> 8);
    data_[at(PageLayout::kImportances, row)] = static_cast<std::uint8_t>(bits);
  }
  void set_scale(int row, std::uint8_t scale) noexcept {
    if (is_scaled(layout_->low)) data_[at(PageLayout::kScales, row)] = scale;
  }
  [[nodiscard]] std::uint8_t* values(int row) noexcept { return data_ + values_offset(row); }
  [[nodiscard]] std::uint8_t* value_states(int row) noexcept {
    return values(row) + values_alone(state(row));
  }
  void set_row_state(int row, std::uint16_t bits) noexcept {
    if (layout_->row_state) store(at(PageLayout::kRowStates, row), bits);
  }

 private:
  template <typename T>
  void store(int offset, T value) noexcept {
    std::memcpy(data_ + offset, &value, sizeof(T));
  }
  void set_counts(int rows, int value_bytes) noexcept {
    store(0, static_cast<std::uint16_t>(rows));
    store(2, static_cast<std::uint16_t>(value_bytes));
  }
  void resize_bytes(int row, int old_bytes, int new_bytes) noexcept;
  // Moves the values of all rows behind `row` by -delta (delta bytes more for `row`).
  void shift_values_behind(int row, int delta) noexcept;

  std::uint8_t* data_;
};

}  // namespace taut::embedding
