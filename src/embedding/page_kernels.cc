#include "page_kernels.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "embedding/page_kernels.cc"
#include <hwy/foreach_target.h>
// Must come after foreach_target.h.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace taut::embedding::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR
int find_tag(const std::uint8_t* tags, int count, int first, std::uint16_t tag) {
  for (int row = first; row < count; ++row) {
    std::uint16_t other;
    std::memcpy(&other, tags + row * 2, sizeof(other));
    if (other == tag) return row;
  }
  return -1;
}

int sum_value_bytes(const std::uint8_t* shapes, int rows, int chunk_bytes,
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

int find_tag(const std::uint8_t* tags, int count, int first, std::uint16_t tag) {
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

int sum_value_bytes(const std::uint8_t* shapes, int rows, int chunk_bytes,
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

}  // namespace taut::embedding::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace taut::embedding {

HWY_EXPORT(find_tag);
HWY_EXPORT(sum_value_bytes);

int find_tag(const std::uint8_t* tags, int count, int first, std::uint16_t tag) noexcept {
  return HWY_DYNAMIC_DISPATCH(find_tag)(tags, count, first, tag);
}

int sum_value_bytes(const std::uint8_t* shapes, int rows, int chunk_bytes,
                    int precise_chunk_bytes) noexcept {
  return HWY_DYNAMIC_DISPATCH(sum_value_bytes)(shapes, rows, chunk_bytes, precise_chunk_bytes);
}

}  // namespace taut::embedding
#endif  // HWY_ONCE
