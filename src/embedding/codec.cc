#include "codec.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace taut::embedding {
namespace {

template <typename T>
T load(const std::uint8_t* source, int index) noexcept {
  T value;
  std::memcpy(&value, source + static_cast<std::size_t>(index) * sizeof(T), sizeof(T));
  return value;
}

template <typename T>
void store(std::uint8_t* target, int index, T value) noexcept {
  std::memcpy(target + static_cast<std::size_t>(index) * sizeof(T), &value, sizeof(T));
}

float from_bfloat16(std::uint16_t bits) noexcept {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

std::uint16_t to_bfloat16(float value, std::uint32_t random16) noexcept {
  const float clamped = std::clamp(value, -kLargestBFloat16, kLargestBFloat16);
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(clamped);
  const std::uint32_t largest = (bits & 0x80000000u) | 0x7F7F0000u;
  return static_cast<std::uint16_t>(std::min(bits + random16, largest | 0xFFFFu) >> 16);
}

float from_float16(std::uint16_t half) noexcept {
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000u) << 16;
  const std::uint32_t rest = half & 0x7FFFu;
  // 2^112 moves the exponent's bias from 15 to 127; subnormals come out right by the product.
  const float magnitude = std::bit_cast<float>(rest << 13) * 0x1.0p112f;
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(magnitude) | sign);
}

std::uint16_t to_float16(float value, std::uint32_t random16) noexcept {
  const float magnitude = std::min(std::fabs(value), kLargestFloat16);
  const std::uint32_t sign = (std::bit_cast<std::uint32_t>(value) >> 16) & 0x8000u;
  std::uint32_t half = 0;
  if (magnitude < 0x1.0p-14f) {  // subnormal: steps of 2^-24
    half = static_cast<std::uint32_t>(magnitude * 0x1.0p24f +
                                      static_cast<float>(random16) * 0x1.0p-16f);
  } else {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(magnitude) + (random16 >> 3);
    half = (bits >> 13) - (112u << 10);
  }
  return static_cast<std::uint16_t>(std::min(half, 0x7BFFu) | sign);
}

template <typename Integer>
Integer to_integer(float value, float inverse, float limit, RowRandom& random) noexcept {
  const float scaled = std::floor(value * inverse + random.next());
  return static_cast<Integer>(std::clamp(scaled, -limit, limit));
}

float read_value(Storage storage, const std::uint8_t* source, float scale, int i) noexcept {
  switch (storage) {
    case Storage::kFloat32:
      return load<float>(source, i);
    case Storage::kBFloat16:
      return from_bfloat16(load<std::uint16_t>(source, i));
    case Storage::kFloat16:
      return from_float16(load<std::uint16_t>(source, i));
    case Storage::kInt8:
      return static_cast<float>(load<std::int8_t>(source, i)) * scale;
    case Storage::kInt16:
      return static_cast<float>(load<std::int16_t>(source, i)) * scale;
  }
  return 0;
}

std::array<float, 256> scale_table() noexcept {
  std::array<float, 256> values;
  for (int code = 0; code < 256; ++code) {
    values[static_cast<std::size_t>(code)] = std::exp2(static_cast<float>(code) / 8.0f - 20.0f);
  }
  return values;
}

}  // namespace

void read_values_reference(Storage storage, const std::uint8_t* source, float scale, int size,
                           float* out) noexcept {
  for (int i = 0; i < size; ++i) out[i] = read_value(storage, source, scale, i);
}

void write_values_reference(Storage storage, const float* values, float scale, int size,
                            RowRandom& random, std::uint8_t* target) noexcept {
  const float inverse = is_scaled(storage) ? 1.0f / scale : 0.0f;
  for (int i = 0; i < size; ++i) {
    switch (storage) {
      case Storage::kFloat32:
        store(target, i, values[i]);
        break;
      case Storage::kBFloat16:
        store(target, i, to_bfloat16(values[i], random.next16()));
        break;
      case Storage::kFloat16:
        store(target, i, to_float16(values[i], random.next16()));
        break;
      case Storage::kInt8:
        store(target, i, to_integer<std::int8_t>(values[i], inverse, 127.0f, random));
        break;
      case Storage::kInt16:
        store(target, i, to_integer<std::int16_t>(values[i], inverse, 32767.0f, random));
        break;
    }
  }
}

const std::array<float, 256> ScaleCode::kMagnitudes = scale_table();

std::uint8_t ScaleCode::tightest(float largest) noexcept {
  constexpr std::size_t kLast = kCodes - 1;
  if (!(largest > kMagnitudes[0])) return 0;
  if (largest > kMagnitudes[kLast - 1]) return kLast;
  // An octave has 8 codes, and the mantissa's upper 3 bits are at most as many steps.
  const auto bits = std::bit_cast<std::uint32_t>(largest);
  const auto octave = static_cast<int>(bits >> 23) - 127 + kLeastExponent;
  auto code = static_cast<std::size_t>(octave * kPerOctave + static_cast<int>(bits >> 20 & 7));
  while (kMagnitudes[code] < largest) ++code;  // twice at most
  while (kMagnitudes[code - 1] >= largest) --code;
  return static_cast<std::uint8_t>(code);
}

template <int Codes, int PerOctave>
const std::array<float, Codes> LogCode<Codes, PerOctave>::kValues = [] {
  std::array<float, Codes> made{};
  for (int code = 1; code < Codes; ++code) {
    made[static_cast<std::size_t>(code)] =
        static_cast<float>(std::exp2(static_cast<double>(code - 1) / PerOctave - 14.0));
  }
  return made;
}();

template <int Codes, int PerOctave>
const std::array<std::uint8_t, 128> LogCode<Codes, PerOctave>::kSteps = [] {
  std::array<std::uint8_t, 128> made{};
  for (std::size_t i = 0; i < made.size(); ++i) {
    made[i] =
        static_cast<std::uint8_t>(PerOctave * std::log2(1.0 + static_cast<double>(i) / 128.0));
  }
  return made;
}();

template class LogCode<1024, 26>;
template class LogCode<256, 7>;
template class LogCode<256, 11>;

void initial_range(std::uint64_t seed, std::uint64_t key, int first, int size, float bound,
                   float* out) noexcept {
  const int end = first + size;
  for (int quad = first / 4; quad * 4 < end; ++quad) {
    const std::array<float, 4> values = initial_values(seed, key, quad, bound);
    for (int i = std::max(first, quad * 4); i < std::min(end, quad * 4 + 4); ++i) {
      out[i - first] = values[static_cast<std::size_t>(i - quad * 4)];
    }
  }
}

}  // namespace taut::embedding
