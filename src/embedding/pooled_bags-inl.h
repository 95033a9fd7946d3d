// Pooled sums of rows that are placed, asked for, found and added in turn, once for each
// instruction set: to be included after foreach_target.h. No `pragma once`: every instruction set
// reads it.
#if defined(TAUT_EMBEDDING_POOLED_BAGS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TAUT_EMBEDDING_POOLED_BAGS_INL_H
#undef TAUT_EMBEDDING_POOLED_BAGS_INL_H
#else
#define TAUT_EMBEDDING_POOLED_BAGS_INL_H
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "batch.h"
#include "row_kernels-inl.h"

HWY_BEFORE_NAMESPACE();
namespace taut::embedding::HWY_NAMESPACE {

constexpr std::size_t kPlacedTogether = 8;  // rows

// How many rows before it is added a row is placed (a multiple of kPlacedTogether), asked for and
// found.
struct RowsAhead {
  std::size_t placed;
  std::size_t asked;
  std::size_t found;

  // How many of them are remembered, by their number modulo this: powers of two.
  [[nodiscard]] constexpr std::size_t placed_room() const {
    return std::bit_ceil(placed + kPlacedTogether);
  }
  [[nodiscard]] constexpr std::size_t found_room() const { return std::bit_ceil(found + 1); }
};

// Asks for ids that are placed some blocks later. ids: from the row that is placed now on, one at
// least.
HWY_INLINE void prefetch_ids(std::span<const std::uint64_t> ids) {
  constexpr std::size_t kIdsAhead = 128;
  __builtin_prefetch(ids.data() + std::min(ids.size() - 1, kIdsAhead));
}

// The pooled sums of some bags of a table into sums [batch, tables, dim]. weights: the table's, or
// null. Rows says how far Rows::kAhead it looks, and numbers the ids of these bags from 0 on:
//   place(ids, row)           works out what a block of kPlacedTogether rows is found by; ids from
//                             row on, one at least
//   ask(row)                  asks for the memory that says where a row is
//   find(row)                 reads that, and asks for the row's memory
//   add(row, weight, sums)    sums [dim, rounded up to 16, aligned] += weight * row; what lies
//                             behind dim may be written
template <typename Rows>
HWY_INLINE void pooled_bags(Rows& rows, std::span<const JaggedIds> tables, const BagRange& range,
                            const float* weights, std::size_t dim, float* sums) {
  const JaggedIds& table = tables[range.table];
  const std::size_t outputs = tables.size();
  const auto* offsets = table.offsets.data();
  const auto first = static_cast<std::size_t>(offsets[range.first]);
  const auto ids = table.ids.subspan(first, static_cast<std::size_t>(offsets[range.end]) - first);
  const auto place = [&](std::size_t row) HWY_ATTR __attribute__((always_inline)) {
    if (row < ids.size()) rows.place(ids.subspan(row), row);
  };
  const auto ask = [&](std::size_t row) HWY_ATTR __attribute__((always_inline)) {
    if (row < ids.size()) rows.ask(row);
  };
  const auto find = [&](std::size_t row) HWY_ATTR __attribute__((always_inline)) {
    if (row < ids.size()) rows.find(row);
  };
  constexpr RowsAhead kAhead = Rows::kAhead;
  static_assert(kAhead.placed % kPlacedTogether == 0 && kAhead.asked <= kAhead.placed);
  for (std::size_t row = 0; row < kAhead.placed; row += kPlacedTogether) place(row);
  for (std::size_t row = 0; row < kAhead.asked; ++row) ask(row);
  for (std::size_t row = 0; row < kAhead.found; ++row) find(row);
  // A bag's sums grow here in whole vectors: what a masked store has written cannot be read again
  // at once.
  HWY_ALIGN float bag_sums[kLongestRow];
  const auto padded = static_cast<int>((dim + 15) / 16 * 16);
  for (std::int64_t bag = range.first; bag < range.end; ++bag) {
    float* out = sums + (static_cast<std::size_t>(bag) * outputs + range.table) * dim;
    fill_zeros(padded, bag_sums);
    const std::size_t bag_end = static_cast<std::size_t>(offsets[bag + 1]) - first;
    for (std::size_t row = static_cast<std::size_t>(offsets[bag]) - first; row < bag_end; ++row) {
      if (row % kPlacedTogether == 0) place(row + kAhead.placed);
      ask(row + kAhead.asked);
      find(row + kAhead.found);
      rows.add(row, weights == nullptr ? 1.0f : weights[first + row], bag_sums);
    }
    copy_values(bag_sums, static_cast<int>(dim), out);
  }
}

}  // namespace taut::embedding::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
