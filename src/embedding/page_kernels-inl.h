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

// Sums over rows of their chunks less one, and of the chunks of precise ones.
template <int kMost>
struct ShapeSums {
  using D = hn::CappedTag<std::uint8_t, kMost>;
  using Sums = hn::Repartition<std::uint64_t, D>;

  HWY_INLINE ShapeSums() : chunks(hn::Zero(Sums())), precise_chunks(hn::Zero(Sums())) {}

  // Lanes of no row are 0.
  HWY_INLINE void add(hn::Vec<D> shapes) {
    const D d;
    const hn::Repartition<std::uint16_t, D> halves;
    const auto width = hn::And(hn::BitCast(d, hn::ShiftRight<3>(hn::BitCast(halves, shapes))),
                               hn::Set(d, std::uint8_t{31}));
    const auto bit = hn::Set(d, std::uint8_t{4});
    const auto precise =
        hn::IfThenElseZero(hn::TestBit(shapes, bit), hn::Add(width, hn::Set(d, std::uint8_t{1})));
    chunks = hn::Add(chunks, hn::SumsOf8(width));
    precise_chunks = hn::Add(precise_chunks, hn::SumsOf8(precise));
  }
  // Bytes of so many rows.
  HWY_INLINE int bytes(int rows, int chunk_bytes, int precise_chunk_bytes) const {
    // Both sums in one: neither has more than 16 bits.
    const auto both = hn::SumOfLanes(Sums(), hn::Or(chunks, hn::ShiftLeft<32>(precise_chunks)));
    const std::uint64_t bits = hn::GetLane(both);
    return (static_cast<int>(bits & 0xFFFFFFFF) + rows) * chunk_bytes +
           static_cast<int>(bits >> 32) * (precise_chunk_bytes - chunk_bytes);
  }

  hn::Vec<Sums> chunks;
  hn::Vec<Sums> precise_chunks;
};

HWY_INLINE int value_bytes_of(const std::uint8_t* shapes, int rows, int chunk_bytes,
                              int precise_chunk_bytes) {
  const hn::CappedTag<std::uint8_t, 32> d;
  const auto lanes = static_cast<int>(hn::Lanes(d));
  ShapeSums<32> sums;
  for (int at = 0; at < rows; at += lanes) {
    const int left = std::min(rows - at, lanes);
    sums.add(left == lanes ? hn::LoadU(d, shapes + at)
                           : load_first(d, shapes + at, static_cast<std::size_t>(left)));
  }
  return sums.bytes(rows, chunk_bytes, precise_chunk_bytes);
}
#endif

constexpr int kLineBytes = 64;
// Tags in the first line of a page, behind its counts.
constexpr int kLineTags = (kLineBytes - PageLayout::kHeaderBytes) / PageLayout::kTagBytes;

// `second` (0 or 1) of two numbers. By arithmetic, where which one it is cannot be foretold:
// compilers make branches of conditions.
template <typename T>
HWY_INLINE T chosen(int second, T zero, T one) {
  return zero ^ ((zero ^ one) & (T{0} - static_cast<T>(second)));
}

// What a page says of a row, beside its importance.
struct RowShape {
  int width;
  int precise;  // 0 or 1
};

// What finding rows needs to know of all pages of a table, at hand.
struct PageShape {
  explicit PageShape(const PageLayout& layout)
      : page_bytes(layout.page_bytes),
        chunk_bytes(layout.chunk_bytes(false)),
        precise_chunk_bytes(layout.chunk_bytes(true)),
        most_bytes(layout.value_bytes(layout.widest())),
        before_keys(layout.bytes_before(PageLayout::kKeys)),
        exact(layout.exact) {}

  HWY_INLINE int bytes_of(const RowShape& row) const {
    return row.width * chosen(row.precise, chunk_bytes, precise_chunk_bytes);
  }

  int page_bytes;
  int chunk_bytes;
  int precise_chunk_bytes;
  int most_bytes;  // of a row's values
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

HWY_INLINE RowShape shape_of(const std::uint8_t* page, int row) {
  const std::uint8_t bits =
      page[PageLayout::kHeaderBytes + rows_of(page) * PageLayout::kTagBytes + row];
  return {.width = (bits >> 3) + 1, .precise = bits >> 2 & 1};
}

#if HWY_TARGET != HWY_SCALAR
// Bit i: tag i of a page, all in its first line, is this one.
HWY_INLINE std::uint64_t tags_in_line(const std::uint8_t* page, int rows, std::uint16_t tag) {
  constexpr int kWords = kLineBytes / 2;
  const hn::CappedTag<std::uint16_t, kWords> d;
  const auto wanted = hn::Set(d, tag);
  std::uint64_t equal = 0;
  for (int at = 0; at < kWords; at += static_cast<int>(hn::MaxLanes(d))) {
    const auto words = hn::LoadU(d, reinterpret_cast<const std::uint16_t*>(page) + at);
    std::uint64_t part = 0;
    hn::StoreMaskBits(d, hn::Eq(words, wanted), reinterpret_cast<std::uint8_t*>(&part));
    equal |= part << at;
  }
  return equal >> (PageLayout::kHeaderBytes / 2) & ((std::uint64_t{1} << rows) - 1);
}
#endif

// The key's row, or one of the pages and -1.
HWY_INLINE PageRow find_in_pages(const KeyPages& where, const PageShape& shape, std::uint64_t key) {
  const auto& [pages, tags] = where;
#if HWY_TARGET != HWY_SCALAR
  // Which page it is cannot be foretold: both are compared, and nothing branches. Only the first
  // line of each has been asked for; a load that goes beyond it waits for the second one, even
  // where its mask leaves that out.
  const int rows[2] = {rows_of(pages[0]), rows_of(pages[1])};
  if (!shape.exact && shape.page_bytes >= kLineBytes && std::max(rows[0], rows[1]) <= kLineTags) {
    // Bits of the second page behind those of the first, and one behind all, of no row.
    const std::uint64_t found = tags_in_line(pages[0], rows[0], tags[0]) |
                                tags_in_line(pages[1], rows[1], tags[1]) << 32 |
                                std::uint64_t{1} << 63;
    const int first = std::countr_zero(found);
    const std::ptrdiff_t between = pages[1] - pages[0];  // both are of one shard
    return {.page = pages[0] + chosen(first >> 5, std::ptrdiff_t{0}, between),
            .row = (first & 31) | ((62 - first) >> 31)};
  }
#endif
  for (int i = 0; i < 2; ++i) {
    const int row = find_in_page(pages[i], shape, tags[i], key);
    if (row >= 0) return {.page = pages[i], .row = row};
  }
  return {.page = pages[0], .row = -1};
}

// Where the row's values begin, from the page on.
HWY_INLINE int values_offset(const std::uint8_t* page, const PageShape& shape, int row) {
  const int begin = PageLayout::kHeaderBytes + rows_of(page) * PageLayout::kTagBytes;
#if HWY_TARGET != HWY_SCALAR
  // Shapes up to the row's that lie in the first line are read without what is behind it.
  if (shape.page_bytes >= kLineBytes && begin + 16 <= kLineBytes && row < 16) {
    const hn::CappedTag<std::uint8_t, 16> d;
    ShapeSums<16> sums;
    const auto until = hn::FirstN(d, static_cast<std::size_t>(row) + 1);
    sums.add(hn::IfThenElseZero(until, hn::LoadU(d, page + begin)));
    return shape.page_bytes - sums.bytes(row + 1, shape.chunk_bytes, shape.precise_chunk_bytes);
  }
#endif
#if HWY_TARGET <= HWY_AVX2
  if (shape.page_bytes >= kLineBytes && begin + row < kLineBytes && row < kLineBytes / 2) {
    const hn::CappedTag<std::uint8_t, 32> d;
    const int from = std::min(begin, kLineBytes / 2);
    const auto skipped = static_cast<std::size_t>(begin - from);
    const auto until = hn::FirstN(d, skipped + static_cast<std::size_t>(row) + 1);
    const auto wanted = hn::AndNot(hn::FirstN(d, skipped), until);
    ShapeSums<32> sums;
    sums.add(hn::IfThenElseZero(wanted, hn::LoadU(d, page + from)));
    return shape.page_bytes - sums.bytes(row + 1, shape.chunk_bytes, shape.precise_chunk_bytes);
  }
#endif
  return shape.page_bytes -
         value_bytes_of(page + begin, row + 1, shape.chunk_bytes, shape.precise_chunk_bytes);
}

// PageView::values().
HWY_INLINE const std::uint8_t* values_in_page(const std::uint8_t* page, const PageShape& shape,
                                              int row) {
  return page + values_offset(page, shape, row);
}

}  // namespace taut::embedding::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
