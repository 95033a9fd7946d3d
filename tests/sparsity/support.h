#pragma once
// Activations for tests, fp32 and bf16, and the reference beside them.

#include <bit>
#include <cstdint>
#include <string>
#include <vector>

#include "sparsity/winners_reference.h"
#include "taut/core/random.h"
#include "taut/sparsity/winners.h"

namespace taut::sparsity::test {

inline float from_bits(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}
inline std::uint16_t to_bits(float value) {  // towards zero: any bf16 will do
  return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16);
}

inline std::vector<float> normal_values(std::int64_t count, std::uint64_t seed) {
  std::vector<float> values;
  for (std::int64_t i = 0; i < count; ++i) {
    values.push_back(static_cast<float>(CounterRandom(seed).normal(static_cast<std::uint64_t>(i))));
  }
  return values;
}

/// What activations look like: signed, after a ReLU, and on a few levels so that many are tied.
enum class Look { kSigned, kRelu, kLevels };

inline std::vector<float> activations(Look look, std::int64_t count, std::uint64_t seed) {
  std::vector<float> values = normal_values(count, seed);
  for (float& value : values) {
    if (look == Look::kRelu && value < 0) value = -0.0f;
    if (look == Look::kLevels) value = std::nearbyint(2 * value) / 2;
  }
  return values;
}

inline std::vector<std::uint16_t> to_bfloat16(const std::vector<float>& values) {
  std::vector<std::uint16_t> bits;
  for (const float value : values) bits.push_back(to_bits(value));
  return bits;
}
inline std::vector<float> to_float(const std::vector<std::uint16_t>& bits) {
  std::vector<float> values;
  for (const std::uint16_t value : bits) values.push_back(from_bits(value));
  return values;
}

inline std::vector<float> reference(const Shape& shape, Layout layout,
                                    const WinnersOptions& options, const std::vector<float>& x) {
  std::vector<float> y(x.size());
  winners_reference(UnitMap(shape, layout, options), options, x.data(), y.data());
  return y;
}

/// [batch, channels, positions] to [batch, positions, channels].
template <typename Value>
std::vector<Value> channels_last(const Shape& shape, const std::vector<Value>& x) {
  std::vector<Value> turned(x.size());
  std::size_t to = 0;
  for (std::int64_t b = 0; b < shape.batch; ++b) {
    for (std::int64_t p = 0; p < shape.positions(); ++p) {
      for (std::int64_t c = 0; c < shape.channels; ++c) {
        const std::int64_t from = b * shape.example_size() + c * shape.positions() + p;
        turned[to++] = x[static_cast<std::size_t>(from)];
      }
    }
  }
  return turned;
}

inline std::string describe(const Shape& s, Layout layout, const WinnersOptions& o) {
  return to_string(o.unit) + " " + to_string(o.score) + " rate " + std::to_string(o.rate) + " of " +
         std::to_string(s.batch) + "x" + std::to_string(s.channels) + "x" +
         std::to_string(s.height) + "x" + std::to_string(s.width) +
         (layout == Layout::kChannelsLast ? " channels-last" : "");
}

}  // namespace taut::sparsity::test
