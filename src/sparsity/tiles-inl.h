// The channels of each position as one contiguous row, whatever the layout.
// Included once for each instruction set.

#if defined(TAUT_SPARSITY_TILES_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TAUT_SPARSITY_TILES_INL_H
#undef TAUT_SPARSITY_TILES_INL_H
#else
#define TAUT_SPARSITY_TILES_INL_H
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "taut/sparsity/winners.h"

HWY_BEFORE_NAMESPACE();
namespace taut::sparsity::HWY_NAMESPACE {

// Positions that are turned at once: at least a cache line of floats, more for few channels, since
// lines that follow one another are fetched ahead.
inline std::int64_t tile_of(const Shape& shape) {
  return std::clamp<std::int64_t>(4096 / shape.channels, 16, 64);
}

// Distance between rows: a cache line more than a row, so that rows of a power of two in size do
// not evict one another from the cache.
template <typename Value>
std::int64_t row_stride(std::int64_t channels) {
  return channels + 64 / static_cast<std::int64_t>(sizeof(Value));
}

template <typename Value>
std::vector<Value> tile_rows(const Shape& shape) {
  return std::vector<Value>(
      static_cast<std::size_t>(tile_of(shape) * row_stride<Value>(shape.channels)));
}

// Channels ahead whose lines are fetched, since channels lie far apart.
constexpr std::int64_t kAhead = 12;

// Calls body(channel, position) for count positions of each channel; values is what is touched.
template <typename Value, class Body>
void for_tile(const Value* values, std::int64_t stride, std::int64_t channels, std::int64_t count,
              Body&& body) {
  constexpr std::int64_t kLine = 16;
  for (std::int64_t c = 0; c < channels; ++c) {
    std::int64_t p = 0;
    for (; p + kLine <= count; p += kLine) {
      hwy::Prefetch(values + std::min(c + kAhead, channels - 1) * stride + p);
      for (std::int64_t i = p; i < p + kLine; ++i) body(c, i);
    }
    for (; p < count; ++p) body(c, p);
  }
}

// rows [count, row_stride] = values [channels, stride], the first count of each.
template <typename Value>
void turn_in(const Value* values, std::int64_t stride, std::int64_t channels, std::int64_t count,
             Value* rows) {
  const std::int64_t row = row_stride<Value>(channels);
  for_tile(values, stride, channels, count,
           [=](std::int64_t c, std::int64_t p) { rows[p * row + c] = values[c * stride + p]; });
}

template <typename Value>
void turn_out(const Value* rows, std::int64_t stride, std::int64_t channels, std::int64_t count,
              Value* values) {
  const std::int64_t row = row_stride<Value>(channels);
  for_tile(values, stride, channels, count,
           [=](std::int64_t c, std::int64_t p) { values[c * stride + p] = rows[p * row + c]; });
}

// Calls body(example's first value, position, count) for tiles of the positions [begin, end) of all
// examples.
template <class Body>
void for_tiles(const Shape& shape, std::int64_t begin, std::int64_t end, Body&& body) {
  const std::int64_t positions = shape.positions();
  for (std::int64_t at = begin; at < end;) {
    const std::int64_t position = at % positions;
    const std::int64_t count = std::min({tile_of(shape), positions - position, end - at});
    body(at / positions * shape.example_size() + position, count);
    at += count;
  }
}

// Calls body(rows of x, rows of y, stride, count) until all positions had their turn; a row is
// `channels` values at one position, rows are `stride` apart, and what body wrote to them goes to
// y.
template <typename Value, class Body>
void for_position_rows(const Shape& shape, Layout layout, std::int64_t begin, std::int64_t end,
                       const Value* x, Value* y, Body&& body) {
  const std::int64_t channels = shape.channels;
  if (layout == Layout::kChannelsLast || shape.positions() == 1) {
    body(x + begin * channels, y + begin * channels, channels, end - begin);
    return;
  }
  std::vector<Value> rows = tile_rows<Value>(shape);
  const std::int64_t stride = row_stride<Value>(channels);
  for_tiles(shape, begin, end, [&](std::int64_t first, std::int64_t count) {
    turn_in(x + first, shape.positions(), channels, count, rows.data());
    body(rows.data(), rows.data(), stride, count);
    turn_out(rows.data(), shape.positions(), channels, count, y + first);
  });
}

// Calls body(row of x) for each position of all examples, in order.
template <typename Value, class Body>
void read_position_rows(const Shape& shape, Layout layout, const Value* x, Body&& body) {
  const std::int64_t channels = shape.channels;
  const std::int64_t all = shape.batch * shape.positions();
  if (layout == Layout::kChannelsLast || shape.positions() == 1) {
    for (std::int64_t at = 0; at < all; ++at) body(x + at * channels);
    return;
  }
  std::vector<Value> rows = tile_rows<Value>(shape);
  const std::int64_t stride = row_stride<Value>(channels);
  for_tiles(shape, 0, all, [&](std::int64_t first, std::int64_t count) {
    turn_in(x + first, shape.positions(), channels, count, rows.data());
    for (std::int64_t p = 0; p < count; ++p) body(rows.data() + p * stride);
  });
}

}  // namespace taut::sparsity::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // TAUT_SPARSITY_TILES_INL_H
