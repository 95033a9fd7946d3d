#include "infer/value_kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "infer/plain_values.h"
#include "support/every_target.h"
#include "taut/core/random.h"

namespace taut::infer {
namespace {

using graph::Arithmetic;
using graph::Function;
using graph::Pointwise;

constexpr float kBeside = 4321.0f;
constexpr float kInfinite = std::numeric_limits<float>::infinity();

const std::vector<Pointwise>& all_functions() {
  static const std::vector<Pointwise> kFunctions = {{Function::kClip, -1.5f, 2.25f},
                                                    {Function::kClip, -kInfinite, 0.5f},
                                                    {Function::kLeakyRelu, 0.1f},
                                                    {Function::kSigmoid},
                                                    {Function::kSilu, 1},
                                                    {Function::kSilu, 1.7f},
                                                    {Function::kHardSigmoid, 0.2f, 0.5f},
                                                    {Function::kHardSwish, 1.0f / 6, 0.5f},
                                                    {Function::kTanh},
                                                    {Function::kErf},
                                                    {Function::kGelu},
                                                    {Function::kGeluTanh}};
  return kFunctions;
}

// All sizes from tiny to huge, both signs.
std::vector<float> values_of_every_size() {
  std::vector<float> values = {0.0f, -0.0f, 1.0f, -1.0f, 1.4142135f, -1.4142135f, 3e38f, -3e38f};
  for (float size = 1e-30f; size < 1e4f; size *= 1.07f) {
    values.push_back(size);
    values.push_back(-size);
  }
  for (int i = -1200; i <= 1200; ++i) values.push_back(static_cast<float>(i) / 100);
  return values;
}

class ValueKernels : public test::EveryTarget {};

TEST_P(ValueKernels, FunctionsAreTheirDefinitionsForValuesOfEverySize) {
  const std::vector<float> x = values_of_every_size();
  const auto count = static_cast<std::int64_t>(x.size());
  for (const Pointwise& of : all_functions()) {
    std::vector<float> y = x;
    apply_function(of, 1, count, count, y.data());
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double wanted = test_support::plain_function(of, x[i]);
      // As value_kernels.h promises.
      ASSERT_NEAR(y[i], wanted, 2e-6 * std::max(1.0, std::abs(wanted)))
          << spelling_of(of.function) << " of " << x[i];
    }
  }
}

TEST_P(ValueKernels, FunctionsKeepSmallValuesAndSigns) {
  for (const Pointwise& of : {Pointwise{Function::kErf}, Pointwise{Function::kTanh},
                              Pointwise{Function::kGelu}, Pointwise{Function::kSilu, 1}}) {
    for (const float x : {1e-30f, -1e-20f, 1e-9f, -1e-6f, 1e-3f, -0.3f}) {
      float y = x;
      apply_function(of, 1, 1, 1, &y);
      const double wanted = test_support::plain_function(of, x);
      EXPECT_NEAR(y / wanted, 1, 2e-6) << spelling_of(of.function) << " of " << x;
    }
  }
}

TEST_P(ValueKernels, WhatIsNoNumberStaysAndInfinitiesHaveTheirLimits) {
  for (const Pointwise& of : all_functions()) {
    std::array<float, 3> y = {std::numeric_limits<float>::quiet_NaN(), kInfinite, -kInfinite};
    apply_function(of, 1, 3, 3, y.data());
    EXPECT_TRUE(std::isnan(y[0])) << spelling_of(of.function);
    const std::array<double, 2> wanted = {test_support::plain_function(of, kInfinite),
                                          test_support::plain_function(of, -kInfinite)};
    EXPECT_EQ(y[1], static_cast<float>(wanted[0])) << spelling_of(of.function);
    const bool none = std::isnan(wanted[1]);
    EXPECT_TRUE(none ? std::isnan(y[2]) : y[2] == static_cast<float>(wanted[1]))
        << spelling_of(of.function) << ": " << y[2] << ", not " << wanted[1];
  }
}

TEST_P(ValueKernels, AResultHasTheSameBitsWhereverItLies) {
  constexpr std::int64_t kRows = 3;
  for (const Pointwise& of : all_functions()) {
    for (const std::int64_t columns : {1, 7, 16, 33}) {
      const std::int64_t stride = columns + 2;
      std::vector<float> y(static_cast<std::size_t>(kRows * stride), kBeside);
      const auto x_at = [](std::int64_t row, std::int64_t c) {
        return static_cast<float>(CounterRandom(9).normal(static_cast<std::uint64_t>(row + c)));
      };
      const auto place = [&](std::int64_t row, std::int64_t c) {
        return static_cast<std::size_t>(row * stride + c);
      };
      for (std::int64_t row = 0; row < kRows; ++row) {
        for (std::int64_t c = 0; c < columns; ++c) y[place(row, c)] = x_at(row, c);
      }
      apply_function(of, kRows, columns, stride, y.data());
      for (std::int64_t row = 0; row < kRows; ++row) {
        for (std::int64_t c = 0; c < columns; ++c) {
          float alone = x_at(row, c);
          apply_function(of, 1, 1, 1, &alone);
          ASSERT_EQ(std::bit_cast<std::uint32_t>(y[place(row, c)]),
                    std::bit_cast<std::uint32_t>(alone))
              << spelling_of(of.function) << ", " << columns << " columns";
        }
        EXPECT_EQ(y[place(row, columns)], kBeside);
        EXPECT_EQ(y[place(row, columns + 1)], kBeside);
      }
    }
  }
}

TEST_P(ValueKernels, ArithmeticSpreadsEitherSideOverPositionsAndChannels) {
  constexpr std::array kAll = {Arithmetic::kAdd, Arithmetic::kSubtract, Arithmetic::kMultiply,
                               Arithmetic::kDivide};
  for (const std::int64_t width : {1, 3}) {
    for (const std::int64_t channels : {1, 5, 16, 37}) {
      const auto count = static_cast<std::size_t>(width * channels);
      std::vector<float> a(count);
      std::vector<float> b(count);
      for (std::size_t i = 0; i < count; ++i) {
        a[i] = static_cast<float>(CounterRandom(1).normal(i));
        b[i] = static_cast<float>(CounterRandom(2).normal(i));
      }
      // Both sides by every way in which they can lie.
      for (int way = 0; way < 16; ++way) {
        const auto lies = [&](const std::vector<float>& values, int bits) {
          const std::int64_t channel = bits & 1;
          return RowOperand{values.data(), (bits & 2) == 0 ? 0 : (channel == 1 ? channels : 1),
                            channel};
        };
        const RowOperand left = lies(a, way & 3);
        const RowOperand right = lies(b, way >> 2);
        for (const Arithmetic how : kAll) {
          std::vector<float> y(count + 1, kBeside);
          combine_row(how, left, right, width, channels, y.data());
          EXPECT_EQ(y.back(), kBeside);
          for (std::int64_t i = 0; i < width * channels; ++i) {
            const auto side = [&](const RowOperand& of) {
              return of.values[i / channels * of.position + i % channels * of.channel];
            };
            const auto wanted =
                static_cast<float>(test_support::plain_arithmetic(how, side(left), side(right)));
            ASSERT_EQ(y[static_cast<std::size_t>(i)], wanted)
                << spelling_of(how) << ", way " << way << ", " << width << " x " << channels;
          }
        }
      }
    }
  }
}

TEST_P(ValueKernels, NormsOfRowsAreTheirOwn) {
  constexpr std::int64_t kRows = 3;
  for (const std::int64_t columns : {1, 3, 16, 63, 65}) {
    std::vector<float> x(static_cast<std::size_t>(kRows * columns));
    for (std::size_t i = 0; i < x.size(); ++i) {
      x[i] = static_cast<float>(CounterRandom(3).normal(i)) + 5;
    }
    const std::vector<float> scale(static_cast<std::size_t>(columns), 1.5f);
    const std::vector<float> shift(static_cast<std::size_t>(columns), -2);
    const RowNorm norm{scale.data(), shift.data(), 1e-3f, columns};
    std::vector<float> y(x.size() + 1, kBeside);
    normalize_rows(norm, x.data(), kRows, y.data());
    EXPECT_EQ(y.back(), kBeside);
    const auto count = static_cast<double>(columns);
    for (std::int64_t row = 0; row < kRows; ++row) {
      const float* of = x.data() + row * columns;
      const double mean = std::accumulate(of, of + columns, 0.0) / count;
      double variance = 0;
      for (std::int64_t c = 0; c < columns; ++c) variance += std::pow(of[c] - mean, 2) / count;
      for (std::int64_t c = 0; c < columns; ++c) {
        const double wanted = (of[c] - mean) / std::sqrt(variance + 1e-3) * 1.5 - 2;
        // Values of size 6 are known to 5e-7, of one column their deviation is 0 and its factor 32.
        ASSERT_NEAR(y[static_cast<std::size_t>(row * columns + c)], wanted, 5e-5) << columns;
      }
    }
    normalize_rows(norm, x.data(), kRows, x.data());
    EXPECT_TRUE(std::equal(x.begin(), x.end(), y.begin())) << "in place";
  }
}

INSTANTIATE_TEST_SUITE_P(EveryIsa, ValueKernels, test::every_target(), test::target_name);

}  // namespace
}  // namespace taut::infer
