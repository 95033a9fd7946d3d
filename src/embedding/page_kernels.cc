#include "page_kernels.h"

#include <climits>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "embedding/page_kernels.cc"
#include <hwy/foreach_target.h>
// Must come after foreach_target.h.
#include <hwy/highway.h>

#include "page_kernels-inl.h"

HWY_BEFORE_NAMESPACE();
namespace taut::embedding::HWY_NAMESPACE {
int find_tag(const std::uint8_t* tags, int count, int first, std::uint16_t tag) {
  return first_tag(tags, count, first, tag);
}

int sum_value_bytes(const std::uint8_t* shapes, int rows, int chunk_bytes,
                    int precise_chunk_bytes) {
  return value_bytes_of(shapes, rows, chunk_bytes, precise_chunk_bytes);
}

#if HWY_TARGET == HWY_SCALAR
CheapestRow cheapest_row(const std::uint8_t* shapes, const std::uint8_t* importances, int rows,
                         int keep, const RowWorths& worths) {
  return cheapest_row_reference(shapes, importances, rows, keep, worths);
}
#else
CheapestRow cheapest_row(const std::uint8_t* shapes, const std::uint8_t* importances, int rows,
                         int keep, const RowWorths& worths) {
  const hn::CappedTag<float, 16> d;
  const hn::RebindToSigned<decltype(d)> integers;
  const hn::Rebind<std::uint8_t, decltype(d)> bytes;
  const auto lanes = static_cast<int>(hn::Lanes(d));
  const auto none = hn::Set(d, INFINITY);
  auto least = none;
  auto least_rows = hn::Set(integers, INT_MAX);
  for (int at = 0; at < rows; at += lanes) {
    const auto count = static_cast<std::size_t>(std::min(rows - at, lanes));
    const auto shape = hn::PromoteTo(integers, load_first(bytes, shapes + at, count));
    const auto low = hn::PromoteTo(integers, load_first(bytes, importances + at, count));
    const auto high = hn::ShiftLeft<8>(hn::And(shape, hn::Set(integers, 3)));
    const auto width = hn::Add(hn::ShiftRight<3>(shape), hn::Set(integers, 1));
    const auto importance = hn::GatherIndex(d, worths.importances, hn::Or(low, high));
    const auto chunk = hn::Mul(importance, hn::GatherIndex(d, worths.chunks, width));
    const auto precision = hn::Mul(importance, hn::Set(d, worths.precision));
    const auto is_precise = hn::RebindMask(d, hn::TestBit(shape, hn::Set(integers, 4)));
    const auto worth = hn::IfThenElse(is_precise, hn::Min(chunk, precision), chunk);
    const auto row = hn::Iota(integers, at);
    const auto there =
        hn::And(hn::Lt(row, hn::Set(integers, rows)), hn::Ne(row, hn::Set(integers, keep)));
    const auto less = hn::And(hn::RebindMask(d, there), hn::Lt(worth, least));
    least = hn::IfThenElse(less, worth, least);
    least_rows = hn::IfThenElse(hn::RebindMask(integers, less), row, least_rows);
  }
  const auto least_of_all = hn::MinOfLanes(d, least);
  const auto is_least = hn::RebindMask(integers, hn::Eq(least, least_of_all));
  const auto first =
      hn::MinOfLanes(integers, hn::IfThenElse(is_least, least_rows, hn::Set(integers, INT_MAX)));
  const int row = hn::GetLane(first);
  return {.row = row == INT_MAX ? -1 : row, .worth = hn::GetLane(least_of_all)};
}
#endif

}  // namespace taut::embedding::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace taut::embedding {

HWY_EXPORT(find_tag);
HWY_EXPORT(sum_value_bytes);
HWY_EXPORT(cheapest_row);

int find_tag(const std::uint8_t* tags, int count, int first, std::uint16_t tag) noexcept {
  return HWY_DYNAMIC_DISPATCH(find_tag)(tags, count, first, tag);
}

int sum_value_bytes(const std::uint8_t* shapes, int rows, int chunk_bytes,
                    int precise_chunk_bytes) noexcept {
  return HWY_DYNAMIC_DISPATCH(sum_value_bytes)(shapes, rows, chunk_bytes, precise_chunk_bytes);
}

CheapestRow cheapest_row(const std::uint8_t* shapes, const std::uint8_t* importances, int rows,
                         int keep, const RowWorths& worths) noexcept {
  return HWY_DYNAMIC_DISPATCH(cheapest_row)(shapes, importances, rows, keep, worths);
}

CheapestRow cheapest_row_reference(const std::uint8_t* shapes, const std::uint8_t* importances,
                                   int rows, int keep, const RowWorths& worths) noexcept {
  CheapestRow cheapest{.row = -1, .worth = INFINITY};
  for (int row = 0; row < rows; ++row) {
    const RowState state =
        RowState::unpack(static_cast<std::uint16_t>(shapes[row] << 8 | importances[row]));
    const float importance = worths.importances[state.importance];
    float worth = importance * worths.chunks[state.width];
    if (state.precise) worth = std::min(worth, importance * worths.precision);
    if (worth < cheapest.worth && row != keep) cheapest = {.row = row, .worth = worth};
  }
  return cheapest;
}

}  // namespace taut::embedding
#endif  // HWY_ONCE
