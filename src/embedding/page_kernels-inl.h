// Searching a page's columns, once for each instruction set: to be included after
// foreach_target.h. No `pragma once`: every instruction set reads it.
#if defined(TAUT_EMBEDDING_PAGE_KERNELS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TAUT_EMBEDDING_PAGE_KERNELS_INL_H
#undef TAUT_EMBEDDING_PAGE_KERNELS_INL_H
#else
#define TAUT_EMBEDDING_PAGE_KERNELS_INL_H
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "page.h"

HWY_BEFORE_NAMESPACE();
namespace taut::embedding::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR
HWY_INLINE int first_tag(const std::uint8_t* tags, int count, int first, std::uint16_t tag) {
  for (int row = first; row < count; ++row) {
    std::uint16_t other;
    std::memcpy(&other, tags + row * 2, sizeof(other));
    if (other == tag) return row;
  }
  return -1;
}

HWY_INLINE int value_bytes_of(const std::uint8_t* shapes, int rows, int chunk_bytes,
                              int precise_chunk_bytes) {
  int bytes = 0;
  for (int row = 0; row < rows; ++row) {
    bytes +=
        ((shapes[row] >> 3) + 1) * ((shapes[row] & 4) != 0 ? precise_chunk_bytes : chunk_bytes);
  }
  return bytes;
}
#else
// The first `count` of a vector's lanes from `at` on, the others 0; no byte behind them is read.
template <typename D, typename T = hn::TFromD<D>>
HWY_INLINE hn::Vec<D> load_first(D d, const std::uint8_t* at, std::size_t count) {
#if HWY_TARGET <= HWY_AVX3
  return hn::MaskedLoad(hn::FirstN(d, count), d, reinterpret_cast<const T*>(at));
#else
  HWY_ALIGN T lanes[hn::MaxLanes(d)] = {};
  std::memcpy(lanes, at, count * sizeof(T));
  return hn::Load(d, lanes);
#endif
}

HWY_INLINE int first_tag(const std::uint8_t* tags, int count, int first, std::uint16_t tag) {
  const hn::ScalableTag<std::uint16_t> d;
  const auto lanes = static_cast<int>(hn::Lanes(d));
  const auto wanted = hn::Set(d, tag);
  for (int at = first; at < count; at += lanes) {
    const auto left = static_cast<std::size_t>(std::min(count - at, lanes));
    const std::uint8_t* from = tags + at * 2;
    const auto block = left == static_cast<std::size_t>(lanes)
                           ? hn::LoadU(d, reinterpret_cast<const std::uint16_t*>(from))
                           : load_first(d, from, left);
    const auto found = hn::FindFirstTrue(d, hn::Eq(block, wanted));
    if (found >= 0 && found < static_cast<std::ptrdiff_t>(left))
      return at + static_cast<int>(found);
  }
  return -1;
}

HWY_INLINE int value_bytes_of(const std::uint8_t* shapes, int rows, int chunk_bytes,
                              int precise_chunk_bytes) {
  const hn::CappedTag<std::uint8_t, 32> d;
  const hn::Repartition<std::uint64_t, decltype(d)> sums;
  const hn::Repartition<std::uint16_t, decltype(d)> halves;
  const auto lanes = static_cast<int>(hn::Lanes(d));
  auto chunks = hn::Zero(sums);  // less one for each row
  auto precise_chunks = hn::Zero(sums);
  for (int at = 0; at < rows; at += lanes) {
    const int left = std::min(rows - at, lanes);
    const auto shape = left == lanes ? hn::LoadU(d, shapes + at)
                                     : load_first(d, shapes + at, static_cast<std::size_t>(left));
    const auto width = hn::And(hn::BitCast(d, hn::ShiftRight<3>(hn::BitCast(halves, shape))),
                               hn::Set(d, std::uint8_t{31}));
    const auto bit = hn::Set(d, std::uint8_t{4});
    const auto precise =
        hn::IfThenElseZero(hn::TestBit(shape, bit), hn::Add(width, hn::Set(d, std::uint8_t{1})));
    chunks = hn::Add(chunks, hn::SumsOf8(width));
    precise_chunks = hn::Add(precise_chunks, hn::SumsOf8(precise));
  }
  // Both sums in one: neither has more than 16 bits.
  const auto both = hn::SumOfLanes(sums, hn::Or(chunks, hn::ShiftLeft<32>(precise_chunks)));
  const std::uint64_t bits = hn::GetLane(both);
  return (static_cast<int>(bits & 0xFFFFFFFF) + rows) * chunk_bytes +
         static_cast<int>(bits >> 32) * (precise_chunk_bytes - chunk_bytes);
}
#endif

// What finding rows needs to know of all pages of a table, at hand.
struct PageShape {
  explicit PageShape(const PageLayout& layout)
      : page_bytes(layout.page_bytes),
        chunk_bytes(layout.chunk_bytes(false)),
        precise_chunk_bytes(layout.chunk_bytes(true)),
        before_keys(layout.bytes_before(PageLayout::kKeys)),
        exact(layout.exact) {}

  int page_bytes;
  int chunk_bytes;
  int precise_chunk_bytes;
  int before_keys;
  bool exact;
};

HWY_INLINE int rows_of(const std::uint8_t* page) {
  std::uint16_t rows;
  std::memcpy(&rows, page, sizeof(rows));
  return rows;
}

// PageView::find().
HWY_INLINE int find_in_page(const std::uint8_t* page, const PageShape& shape, std::uint16_t tag,
                            std::uint64_t key) {
  const std::uint8_t* columns = page + PageLayout::kHeaderBytes;
  const int rows = rows_of(page);
  int row = first_tag(columns, rows, 0, tag);
  if (!shape.exact) return row;
  for (; row >= 0; row = first_tag(columns, rows, row + 1, tag)) {
    std::uint64_t other;
    std::memcpy(&other, columns + rows * shape.before_keys + row * sizeof(other), sizeof(other));
    if (other == key) break;
  }
  return row;
}

struct PageRow {
  const std::uint8_t* page;
  int row;  // -1: not there
};

// What a page says of a row, beside its importance.
struct RowShape {
  int width;
  bool precise;
};

HWY_INLINE RowShape shape_of(const std::uint8_t* page, int row) {
  const std::uint8_t bits =
      page[PageLayout::kHeaderBytes + rows_of(page) * PageLayout::kTagBytes + row];
  return {.width = (bits >> 3) + 1, .precise = (bits & 4) != 0};
}

// The key's row, or the first page and -1.
HWY_INLINE PageRow find_in_pages(const KeyPages& where, const PageShape& shape, std::uint64_t key) {
  const auto& [pages, tags] = where;
#if HWY_TARGET <= HWY_AVX3
  // Which page it is cannot be foretold: both are compared, and nothing branches.
  const hn::ScalableTag<std::uint16_t> d;
  const int rows[2] = {rows_of(pages[0]), rows_of(pages[1])};
  if (!shape.exact && rows[0] <= static_cast<int>(hn::Lanes(d)) &&
      rows[1] <= static_cast<int>(hn::Lanes(d))) {
    std::uint64_t found[2] = {0, 0};
    for (int i = 0; i < 2; ++i) {
      const auto some = hn::FirstN(d, static_cast<std::size_t>(rows[i]));
      const auto* column =
          reinterpret_cast<const std::uint16_t*>(pages[i] + PageLayout::kHeaderBytes);
      const auto equal = hn::Eq(hn::MaskedLoad(some, d, column), hn::Set(d, tags[i]));
      hn::StoreMaskBits(d, hn::And(some, equal), reinterpret_cast<std::uint8_t*>(&found[i]));
    }
    const bool second = found[0] == 0;
    const std::uint64_t bits = second ? found[1] : found[0];
    if (bits == 0) return {.page = pages[0], .row = -1};
    return {.page = second ? pages[1] : pages[0], .row = std::countr_zero(bits)};
  }
#endif
  for (int i = 0; i < 2; ++i) {
    const int row = find_in_page(pages[i], shape, tags[i], key);
    if (row >= 0) return {.page = pages[i], .row = row};
  }
  return {.page = pages[0], .row = -1};
}

// PageView::values().
HWY_INLINE const std::uint8_t* values_in_page(const std::uint8_t* page, const PageShape& shape,
                                              int row) {
  const std::uint8_t* shapes =
      page + PageLayout::kHeaderBytes + rows_of(page) * PageLayout::kTagBytes;
  return page + shape.page_bytes -
         value_bytes_of(shapes, row + 1, shape.chunk_bytes, shape.precise_chunk_bytes);
}

}  // namespace taut::embedding::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
