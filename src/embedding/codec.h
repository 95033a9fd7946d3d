#pragma once
// How values, scales and importances are written in few bits.

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "taut/core/hash.h"
#include "taut/core/random.h"

namespace taut::embedding {

/// Values of a row, at most.
inline constexpr int kLongestRow = 512;

/// How the values of one row lie in memory.
enum class Storage : std::uint8_t { kFloat32, kBFloat16, kFloat16, kInt8, kInt16 };

[[nodiscard]] TAUT_INLINE constexpr int bytes_per_value(Storage storage) noexcept {
  return storage == Storage::kFloat32 ? 4 : storage == Storage::kInt8 ? 1 : 2;
}

/// Integers need a scale beside them.
[[nodiscard]] TAUT_INLINE constexpr bool is_scaled(Storage storage) noexcept {
  return storage == Storage::kInt8 || storage == Storage::kInt16;
}

/// 16 uniform bits at a time for stochastic rounding, named by (seed, step, row): no state outlives
/// the row's update.
class RowRandom {
 public:
  explicit RowRandom(std::uint64_t key) noexcept : key_(key) {}
  /// The numbers are the 16-bit parts, lowest first, of mix64(key), mix64(key + 1), ...
  [[nodiscard]] std::uint64_t key() const noexcept { return key_; }
  [[nodiscard]] std::uint32_t next16() noexcept {
    if (left_ == 0) {
      word_ = mix64(key_ + counter_++);
      left_ = 4;
    }
    const auto bits = static_cast<std::uint32_t>(word_ & 0xFFFF);
    word_ >>= 16;
    --left_;
    return bits;
  }
  /// out[0 .. size) = the next numbers, as next16() gives them.
  void fill(std::uint16_t* out, int size) noexcept {
    for (; size > 0 && left_ > 0; --size) *out++ = static_cast<std::uint16_t>(next16());
    for (; size >= 4; size -= 4, out += 4) {
      const std::uint64_t word = mix64(key_ + counter_++);
      for (int i = 0; i < 4; ++i) out[i] = static_cast<std::uint16_t>(word >> (16 * i));
    }
    for (; size > 0; --size) *out++ = static_cast<std::uint16_t>(next16());
  }
  /// Uniform in [0, 1).
  [[nodiscard]] float next() noexcept { return static_cast<float>(next16()) * 0x1.0p-16f; }

 private:
  std::uint64_t key_;
  std::uint64_t counter_ = 0;
  std::uint64_t word_ = 0;
  int left_ = 0;
};

/// The random key of a row at a step.
[[nodiscard]] inline RowRandom row_random(std::uint64_t seed, std::int64_t step,
                                          std::uint64_t key) noexcept {
  return RowRandom(hash_combine(mix64(seed) + static_cast<std::uint64_t>(step), key));
}

/// The largest magnitudes that 16-bit floats are rounded to.
inline constexpr float kLargestBFloat16 = 3.3895314e38f;
inline constexpr float kLargestFloat16 = 65504.0f;

/// out[i] = value i. scale is read for integers only. What row_kernels.h must give, to the bit.
void read_values_reference(Storage storage, const std::uint8_t* source, float scale, int size,
                           float* out) noexcept;
/// Stochastic rounding, right in expectation; what is out of range is clamped. fp32 is exact.
void write_values_reference(Storage storage, const float* values, float scale, int size,
                            RowRandom& random, std::uint8_t* target) noexcept;

/// A row's scale in 8 bits: its integers hold magnitudes up to m = 2^(code / 8 - 20), which goes
/// from 2^-20 to 3800 in steps of 9 %.
class ScaleCode {
 public:
  /// The value of one integer step.
  [[nodiscard]] TAUT_INLINE static float step(std::uint8_t code, Storage storage) noexcept {
    return step(code, storage == Storage::kInt16 ? 1 : 0);
  }
  /// The same by number: 0 for 8 bits, 1 for 16.
  [[nodiscard]] TAUT_INLINE static float step(std::uint8_t code, int wide) noexcept {
    return kMagnitudes[code] * kOfLargest[static_cast<std::size_t>(wide)];
  }
  /// A code that holds largest: the old one while it is at most 30 % too wide, else the tightest.
  [[nodiscard]] TAUT_INLINE static std::uint8_t fit(float largest, std::uint8_t old) noexcept {
    const float held = kMagnitudes[old];
    return held >= largest && held <= 1.3f * largest ? old : tightest(largest);
  }

 private:
  static constexpr int kCodes = 256;
  static constexpr int kPerOctave = 8;
  static constexpr int kLeastExponent = 20;  // m of code 0 is 2 to the minus this

  [[nodiscard]] static std::uint8_t tightest(float largest) noexcept;

  static const std::array<float, kCodes> kMagnitudes;  // m of every code
  static constexpr std::array<float, 2> kOfLargest = {1.0f / 127.0f, 1.0f / 32767.0f};
};

/// An importance or Adagrad state in `Codes` logarithmic steps: code 0 is 0, the others go from
/// 2^-14 up in steps of 2^(1 / PerOctave). Adding rounds stochastically (a Morris counter: right in
/// expectation; relative spread about sqrt(0.35 / PerOctave)).
template <int Codes, int PerOctave>
class LogCode {
 public:
  static constexpr int kCodes = Codes;
  static constexpr int kPerOctave = PerOctave;

  [[nodiscard]] TAUT_INLINE static float value(int code) noexcept {
    return kValues[static_cast<std::size_t>(code)];
  }
  /// value() of every code.
  [[nodiscard]] static std::span<const float, Codes> values() noexcept { return kValues; }
  /// The largest code whose value is at most x.
  [[nodiscard]] TAUT_INLINE static int floor(float x) noexcept {
    if (!(x >= kValues[1])) return 0;
    if (x >= kValues[Codes - 1]) return Codes - 1;
    const auto bits = std::bit_cast<std::uint32_t>(x);
    const int octave = static_cast<int>(bits >> 23) - 127 + 14;
    auto code = static_cast<std::size_t>(1 + octave * PerOctave + kSteps[bits >> 16 & 0x7F]);
    while (kValues[code + 1] <= x) ++code;  // once or twice at most
    while (kValues[code] > x) --code;
    return static_cast<int>(code);
  }
  /// low = floor(x), below the last code, or the next one, so that the mean of uniform dice in
  /// [0, 1) is x.
  [[nodiscard]] TAUT_INLINE static int round_up(int low, float x, float dice) noexcept {
    const float bottom = value(low);
    const float share = (x - bottom) / (value(low + 1) - bottom);
    return dice < share ? low + 1 : low;
  }
  /// The code of x, rounded up or down so that the mean is x. Takes no number for the last code.
  [[nodiscard]] static int round(float x, RowRandom& random) noexcept {
    const int low = floor(x);
    return low + 1 >= Codes ? low : round_up(low, x, random.next());
  }

 private:
  static const std::array<float, Codes> kValues;
  /// Whole steps from 1 to the number that the upper 7 bits of a mantissa say.
  static const std::array<std::uint8_t, 128> kSteps;
};

/// 10 bits, up to 2^25.3.
using ImportanceCode = LogCode<1024, 26>;
/// 8 bits, up to 2^22.3: cold pool state.
using PoolCode = LogCode<256, 7>;
/// 8 bits, up to 2^9: counters of the admission sketch.
using SketchCode = LogCode<256, 11>;

/// Values 4i .. 4i + 3 of a row's start: uniform(-bound, bound) from (seed, key, dimension).
[[nodiscard]] inline std::array<float, 4> initial_values(std::uint64_t seed, std::uint64_t key,
                                                         int quad, float bound) noexcept {
  std::uint64_t bits = CounterRandom(seed).with(key).bits(static_cast<std::uint64_t>(quad));
  std::array<float, 4> values;
  for (float& value : values) {
    value = (static_cast<float>(bits & 0xFFFF) + 0.5f) * (bound * 0x1.0p-15f) - bound;
    bits >>= 16;
  }
  return values;
}

/// out[0 .. size) = initial values of dimensions first .. first + size.
void initial_range(std::uint64_t seed, std::uint64_t key, int first, int size, float bound,
                   float* out) noexcept;

/// What row_key() of all ids of a table has in common.
[[nodiscard]] TAUT_INLINE std::uint64_t row_key_salt(std::size_t table) noexcept {
  return mix64(static_cast<std::uint64_t>(table) + 0x7461757400ull);
}
[[nodiscard]] TAUT_INLINE std::uint64_t salted_row_key(std::uint64_t salt,
                                                       std::uint64_t id) noexcept {
  return mix64(id ^ salt);
}

/// The 64-bit name of a row in all tables: a bijection of id within a table.
[[nodiscard]] TAUT_INLINE std::uint64_t row_key(std::size_t table, std::uint64_t id) noexcept {
  return salted_row_key(row_key_salt(table), id);
}

}  // namespace taut::embedding
