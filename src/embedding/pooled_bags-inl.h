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
#include "repeated_ids.h"
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

// Rows of some ids that are placed, asked for and found in turn, each some rows behind the one
// before, so that memory is on its way meanwhile. Rows says how far Rows::kAhead it looks, and
// numbers the ids from 0 on:
//   place(ids, row)           works out what a block of kPlacedTogether rows is found by; ids from
//                             row on, one at least
//   ask(row)                  asks for the memory that says where a row is
//   find(row)                 reads that, and asks for the row's memory
//   add(row, weight, sums)    sums [dim, rounded up to 16, aligned] += weight * row; what lies
//                             behind dim may be written
template <typename Rows>
class RowsInTurn {
 public:
  HWY_INLINE RowsInTurn(Rows& rows, std::span<const std::uint64_t> ids) : rows_(rows), ids_(ids) {
    static_assert(kAhead.placed % kPlacedTogether == 0 && kAhead.asked <= kAhead.placed);
    for (std::size_t row = 0; row < kAhead.placed; row += kPlacedTogether) place(row);
    for (std::size_t row = 0; row < kAhead.asked; ++row) ask(row);
    for (std::size_t row = 0; row < kAhead.found; ++row) find(row);
  }
  // sums += weight * row; rows come in their order.
  HWY_INLINE void add(std::size_t row, float weight, float* sums) {
    if (row % kPlacedTogether == 0) place(row + kAhead.placed);
    ask(row + kAhead.asked);
    find(row + kAhead.found);
    rows_.add(row, weight, sums);
  }

 private:
  static constexpr RowsAhead kAhead = Rows::kAhead;

  HWY_INLINE void place(std::size_t row) {
    if (row < ids_.size()) rows_.place(ids_.subspan(row), row);
  }
  HWY_INLINE void ask(std::size_t row) {
    if (row < ids_.size()) rows_.ask(row);
  }
  HWY_INLINE void find(std::size_t row) {
    if (row < ids_.size()) rows_.find(row);
  }

  Rows& rows_;
  std::span<const std::uint64_t> ids_;
};

// Bags of a table whose sums are wanted: their ids, and where sums go.
struct WantedBags {
  std::span<const std::uint64_t> ids;
  const float* weights;         // of ids, or null
  const std::int64_t* offsets;  // of the first bag and those behind it
  std::int64_t bags;
  float* sums;         // of the first bag
  std::size_t stride;  // values from one bag's sums to the next one's
  std::size_t dim;

  HWY_INLINE std::size_t begin(std::int64_t bag) const {
    return static_cast<std::size_t>(offsets[bag] - offsets[0]);
  }
  HWY_INLINE float weight(std::size_t i) const { return weights == nullptr ? 1.0f : weights[i]; }
};

// Each row is read where its id stands.
template <typename Rows>
HWY_INLINE void sum_in_turn(Rows& rows, const WantedBags& wanted) {
  RowsInTurn<Rows> turn(rows, wanted.ids);
  // A bag's sums grow here in whole vectors: what a masked store has written cannot be read again
  // at once.
  HWY_ALIGN float bag_sums[kLongestRow];
  const auto padded = static_cast<int>((wanted.dim + 15) / 16 * 16);
  for (std::int64_t bag = 0; bag < wanted.bags; ++bag) {
    fill_zeros(padded, bag_sums);
    for (std::size_t i = wanted.begin(bag); i < wanted.begin(bag + 1); ++i) {
      turn.add(i, wanted.weight(i), bag_sums);
    }
    copy_values(bag_sums, static_cast<int>(wanted.dim),
                wanted.sums + static_cast<std::size_t>(bag) * wanted.stride);
  }
}

// sums [kVectors * 16] += weight * rows of these numbers, `column` values behind their beginning.
template <int kVectors>
HWY_INLINE void add_read(ReadRows& read, const std::uint32_t* numbers, const float* weights,
                         std::size_t count, std::size_t column, float* sums) {
  const hn::CappedTag<float, 16> d;
  constexpr std::size_t kLanes = hn::MaxLanes(d);
  constexpr std::size_t kParts = kVectors * 16 / kLanes;
  hn::Vec<decltype(d)> parts[kParts];
  for (std::size_t k = 0; k < kParts; ++k) parts[k] = hn::Load(d, sums + k * kLanes);
  for (std::size_t i = 0; i < count; ++i) {
    const float* values = read.row(numbers[i]) + column;
    const auto weight = hn::Set(d, weights == nullptr ? 1.0f : weights[i]);
    for (std::size_t k = 0; k < kParts; ++k) {
      parts[k] = hn::Add(parts[k], hn::Mul(weight, hn::Load(d, values + k * kLanes)));
    }
  }
  for (std::size_t k = 0; k < kParts; ++k) hn::Store(parts[k], d, sums + k * kLanes);
}

// Each row is read once, into `read`, and added from there: the same bits, as a sum begins with 0
// and a value times 1 is itself.
template <typename Rows>
HWY_INLINE void sum_from_read(Rows& rows, ReadRows& read, const WantedBags& wanted) {
  std::uint32_t numbers[ReadRows::kBlock];
  std::uint64_t missing[ReadRows::kBlock];
  HWY_ALIGN float bag_sums[kLongestRow];
  const std::size_t padded = (wanted.dim + 15) / 16 * 16;
  const std::size_t most = read.most_ids();
  std::int64_t bag = 0;
  for (std::size_t first = 0; bag < wanted.bags; first += most) {
    const auto ids = wanted.ids.subspan(first, std::min(most, wanted.ids.size() - first));
    std::uint32_t first_read = 0;
    const std::size_t count = read.number(ids, numbers, missing, first_read);
    RowsInTurn<Rows> turn(rows, std::span(missing, count));
    for (std::size_t i = 0; i < count; ++i) {
      float* values = read.row(first_read + i);
      fill_zeros(static_cast<int>(padded), values);
      turn.add(i, 1.0f, values);
    }
    // What bags have of this block; one may have begun before it or go on behind it.
    const std::size_t end = first + ids.size();
    for (; bag < wanted.bags; ++bag) {
      const std::size_t begin = std::max(wanted.begin(bag), first);
      const std::size_t bag_end = wanted.begin(bag + 1);
      if (wanted.begin(bag) >= first) fill_zeros(static_cast<int>(padded), bag_sums);
      const std::size_t here = std::min(bag_end, end) - begin;
      const float* weights = wanted.weights == nullptr ? nullptr : wanted.weights + begin;
      std::size_t column = 0;
      for (; column + 64 <= padded; column += 64) {
        add_read<4>(read, numbers + (begin - first), weights, here, column, bag_sums + column);
      }
      for (; column < padded; column += 16) {
        add_read<1>(read, numbers + (begin - first), weights, here, column, bag_sums + column);
      }
      if (bag_end > end) break;
      copy_values(bag_sums, static_cast<int>(wanted.dim),
                  wanted.sums + static_cast<std::size_t>(bag) * wanted.stride);
    }
  }
}

// The pooled sums of some bags of a table into sums [batch, tables, dim]. weights: the table's, or
// null. Rows: as RowsInTurn has them.
template <typename Rows>
HWY_INLINE void pooled_bags(Rows& rows, std::span<const JaggedIds> tables, const BagRange& range,
                            const float* weights, std::size_t dim, float* sums) {
  const JaggedIds& table = tables[range.table];
  const std::int64_t* offsets = table.offsets.data() + range.first;
  const std::int64_t bags = range.end - range.first;
  const auto first = static_cast<std::size_t>(offsets[0]);
  const std::size_t stride = tables.size() * dim;
  const WantedBags wanted{
      .ids = table.ids.subspan(first, static_cast<std::size_t>(offsets[bags]) - first),
      .weights = weights == nullptr ? nullptr : weights + first,
      .offsets = offsets,
      .bags = bags,
      .sums = sums + static_cast<std::size_t>(range.first) * stride + range.table * dim,
      .stride = stride,
      .dim = dim};
  if constexpr (Rows::kReadOnce) {
    ReadRows& read = ReadRows::of_this_thread();
    // A row that is not whole adds nothing behind its values, where a read one has zeros.
    if (read.start(range.call, range.table, dim, table.ids) &&
        (weights == nullptr || all_finite(std::span(wanted.weights, wanted.ids.size())))) {
      sum_from_read(rows, read, wanted);
      return;
    }
  }
  sum_in_turn(rows, wanted);
}

}  // namespace taut::embedding::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
