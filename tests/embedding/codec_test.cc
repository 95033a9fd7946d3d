#include "embedding/codec.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "embedding/row_kernels.h"

namespace taut::embedding {
namespace {

constexpr Storage kAll[] = {Storage::kFloat32, Storage::kBFloat16, Storage::kFloat16,
                            Storage::kInt8, Storage::kInt16};

// One value written and read back, many times with other random bits.
double mean_after_rounding(Storage storage, float value, float scale) {
  constexpr int kTimes = 20000;
  double sum = 0;
  for (int i = 0; i < kTimes; ++i) {
    RowRandom random = row_random(7, i, 3);
    std::uint8_t bytes[4];
    float back = 0;
    write_values(storage, &value, scale, 1, random, bytes);
    read_values(storage, bytes, scale, 1, &back);
    sum += back;
  }
  return sum / kTimes;
}

TEST(Codec, RoundingIsRightInExpectation) {
  for (const Storage storage : kAll) {
    for (const float value : {0.1f, -0.1f, 0.033333f, -0.7f, 0.0f, 3e-6f}) {
      // One step of the type near the value; the mean of 20000 roundings lies well within 2 % of
      // it.
      const float unit = storage == Storage::kFloat32    ? 0.0f
                         : storage == Storage::kBFloat16 ? std::fabs(value) / 128.0f
                         : storage == Storage::kFloat16
                             ? std::max(std::fabs(value) / 1024.0f, 0x1.0p-24f)
                             : 0.01f;
      EXPECT_NEAR(mean_after_rounding(storage, value, 0.01f), value, 0.02 * unit)
          << static_cast<int>(storage) << " " << value;
    }
  }
}

TEST(Codec, WhatTheTypeCanHoldComesBackUnchanged) {
  for (int bits = 0; bits < 0x7C00; ++bits) {  // every finite half of positive sign
    const auto half = static_cast<std::uint16_t>(bits);
    std::uint8_t bytes[2];
    std::memcpy(bytes, &half, 2);
    float value = 0;
    read_values(Storage::kFloat16, bytes, 0, 1, &value);
    for (const float signed_value : {value, -value}) {
      RowRandom random = row_random(1, bits, 2);
      write_values(Storage::kFloat16, &signed_value, 0, 1, random, bytes);
      float back = 0;
      read_values(Storage::kFloat16, bytes, 0, 1, &back);
      ASSERT_EQ(back, signed_value) << bits;
    }
  }
  for (int q = -127; q <= 127; ++q) {
    const float value = static_cast<float>(q) * 0.25f;
    RowRandom random = row_random(1, q, 2);
    std::uint8_t byte = 0;
    float back = 0;
    write_values(Storage::kInt8, &value, 0.25f, 1, random, &byte);
    read_values(Storage::kInt8, &byte, 0.25f, 1, &back);
    ASSERT_EQ(back, value);
  }
}

TEST(Codec, ValuesOutOfRangeAreClamped) {
  for (const Storage storage : kAll) {
    if (storage == Storage::kFloat32) continue;
    for (const float value : {1e38f, 3.4e38f, -3.4e38f}) {
      RowRandom random = row_random(1, 1, 1);
      std::uint8_t bytes[2];
      float back = 0;
      write_values(storage, &value, 0.5f, 1, random, bytes);
      read_values(storage, bytes, 0.5f, 1, &back);
      EXPECT_TRUE(std::isfinite(back));
      EXPECT_EQ(std::signbit(back), std::signbit(value));
    }
  }
}

TEST(Codec, AScaleHoldsTheLargestValueAndStaysWhileItFits) {
  std::uint8_t code = 0;
  for (float largest = 1e-5f; largest < 3000.0f; largest *= 1.03f) {
    const std::uint8_t next = ScaleCode::fit(largest, code);
    const float held = 127.0f * ScaleCode::step(next, Storage::kInt8);
    EXPECT_GE(held, largest * 0.999999f);
    EXPECT_LE(held, largest * 1.31f);
    EXPECT_EQ(ScaleCode::fit(largest, next), next);
    code = next;
  }
}

TEST(Codec, AScaleIsTheSmallestThatHoldsTheLargestValue) {
  const auto magnitude = [](int code) {
    return static_cast<float>(std::exp2(static_cast<double>(code) / 8 - 20));
  };
  for (int code = 1; code < 255; ++code) {
    const float held = magnitude(code);
    EXPECT_EQ(ScaleCode::fit(held, 0), code);
    EXPECT_EQ(ScaleCode::fit(std::nextafter(held, 0.0f), 0), code);
    EXPECT_EQ(ScaleCode::fit(std::nextafter(held, 1e9f), 0), code + 1);
  }
  EXPECT_EQ(ScaleCode::fit(0.0f, 255), 0);
  EXPECT_EQ(ScaleCode::fit(1e-40f, 255), 0);
  EXPECT_EQ(ScaleCode::fit(NAN, 0), 0);
  EXPECT_EQ(ScaleCode::fit(1e30f, 0), 255);
  EXPECT_EQ(ScaleCode::fit(INFINITY, 0), 255);
}

TEST(Codec, AddingToALogCodeIsRightInExpectation) {
  constexpr int kRuns = 4000;
  double sum = 0;
  for (int run = 0; run < kRuns; ++run) {
    RowRandom random = row_random(11, run, 5);
    int code = 0;
    for (int i = 0; i < 50; ++i)
      code = ImportanceCode::round(ImportanceCode::value(code) + 0.03f, random);
    sum += ImportanceCode::value(code);
  }
  EXPECT_NEAR(sum / kRuns, 1.5, 0.015);  // spread of one run 12 %, of the mean 0.2 %
}

TEST(Codec, LogCodesAreMonotoneAndFloorFindsThem) {
  for (int code = 1; code < ImportanceCode::kCodes; ++code) {
    ASSERT_LT(ImportanceCode::value(code - 1), ImportanceCode::value(code));
    ASSERT_EQ(ImportanceCode::floor(ImportanceCode::value(code)), code);
  }
  EXPECT_EQ(ImportanceCode::floor(0.0f), 0);
  EXPECT_EQ(ImportanceCode::floor(1e30f), ImportanceCode::kCodes - 1);
}

TEST(Codec, InitialValuesFillTheirRangeAndDependOnKeyAndDimensionAlone) {
  std::vector<float> whole(64);
  initial_range(3, 99, 0, 64, 0.25f, whole.data());
  double sum = 0;
  for (int first = 0; first < 64; first += 6) {
    float part[6];
    initial_range(3, 99, first, std::min(6, 64 - first), 0.25f, part);
    for (int i = 0; i < std::min(6, 64 - first); ++i) {
      EXPECT_EQ(part[i], whole[static_cast<std::size_t>(first + i)]);
    }
  }
  for (std::uint64_t key = 0; key < 1000; ++key) {
    initial_range(3, key, 0, 64, 0.25f, whole.data());
    for (const float value : whole) {
      ASSERT_LE(std::fabs(value), 0.25f);
      sum += value;
    }
  }
  EXPECT_NEAR(sum / 64000, 0.0, 0.003);  // 5 standard errors
}

}  // namespace
}  // namespace taut::embedding
