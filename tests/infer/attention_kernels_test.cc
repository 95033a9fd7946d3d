#include "infer/attention_kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "support/every_target.h"
#include "taut/core/random.h"

namespace taut::infer {
namespace {

constexpr float kBeside = 4321.0f;
constexpr float kInfinite = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<float> numbers(std::int64_t count, std::uint64_t seed) {
  std::vector<float> made(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < made.size(); ++i) {
    made[i] = static_cast<float>(CounterRandom(seed).normal(i));
  }
  return made;
}

std::size_t index(std::int64_t at) {
  return static_cast<std::size_t>(at);
}

class AttentionKernels : public test::EveryTarget {};

TEST_P(AttentionKernels, ProductsOfOddSizesAreTheirDefinition) {
  for (const std::int64_t rows : {1, 2, 5, 6, 11}) {
    for (const std::int64_t inner : {1, 3, 64}) {
      for (const std::int64_t columns : {1, 4, 13, 16, 33, 47}) {
        SCOPED_TRACE(testing::Message() << rows << " x " << inner << " x " << columns);
        const std::int64_t a_stride = inner + 3;
        const std::int64_t b_stride = columns + 2;
        const std::int64_t y_stride = columns + 1;
        const std::vector<float> a = numbers(rows * a_stride, 1);
        const std::vector<float> b = numbers(inner * b_stride, 2);
        std::vector<float> y(index(rows * y_stride), kBeside);
        multiply_rows({a.data(), a_stride}, {b.data(), b_stride}, rows, inner, columns, y_stride,
                      y.data());
        for (std::int64_t r = 0; r < rows; ++r) {
          for (std::int64_t c = 0; c < columns; ++c) {
            double wanted = 0;
            double size = 0;
            for (std::int64_t i = 0; i < inner; ++i) {
              const double product =
                  static_cast<double>(a[index(r * a_stride + i)]) * b[index(i * b_stride + c)];
              wanted += product;
              size += std::abs(product);
            }
            // Each of up to 64 additions rounds by half a unit of 2^-23.
            ASSERT_NEAR(y[index(r * y_stride + c)], wanted, 4e-6 * size) << r << ", " << c;
          }
          EXPECT_EQ(y[index(r * y_stride + columns)], kBeside) << "behind row " << r;
        }
      }
    }
  }
}

TEST_P(AttentionKernels, AProductHasTheSameBitsWhateverIsBesideIt) {
  constexpr std::int64_t kRows = 11;
  constexpr std::int64_t kInner = 37;
  constexpr std::int64_t kColumns = 45;
  const std::vector<float> a = numbers(kRows * kInner, 3);
  const std::vector<float> b = numbers(kInner * kColumns, 4);
  std::vector<float> all(index(kRows * kColumns));
  multiply_rows({a.data(), kInner}, {b.data(), kColumns}, kRows, kInner, kColumns, kColumns,
                all.data());
  for (std::int64_t r = 0; r < kRows; ++r) {
    for (std::int64_t c = 0; c < kColumns; ++c) {
      float alone = 0;
      multiply_rows({a.data() + r * kInner, kInner}, {b.data() + c, kColumns}, 1, kInner, 1, 1,
                    &alone);
      ASSERT_EQ(alone, all[index(r * kColumns + c)]) << r << ", " << c;
    }
  }
}

TEST_P(AttentionKernels, RowsBecomeColumns) {
  for (const std::int64_t rows : {1, 16, 19}) {
    for (const std::int64_t columns : {1, 7, 64}) {
      const std::int64_t stride = columns + 5;
      const std::vector<float> from = numbers(rows * stride, 5);
      std::vector<float> to(index(rows * columns + 1), kBeside);
      turn_rows({from.data(), stride}, rows, columns, to.data());
      for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t c = 0; c < columns; ++c) {
          ASSERT_EQ(to[index(c * rows + r)], from[index(r * stride + c)]);
        }
      }
      EXPECT_EQ(to.back(), kBeside);
    }
  }
}

TEST_P(AttentionKernels, SoftmaxOfScaledAndMaskedRows) {
  constexpr std::int64_t kRows = 3;
  for (const std::int64_t columns : {1, 2, 15, 16, 17, 50}) {
    for (const int kind : {0, 1, 2}) {  // none, added, replacing
      SCOPED_TRACE(testing::Message() << columns << " columns, mask " << kind);
      const std::vector<float> x = numbers(kRows * columns, 6);
      const std::int64_t stride = columns + 1;
      std::vector<float> mask = numbers(kRows * stride, 7);
      for (std::size_t i = 0; i < mask.size(); i += 3) mask[i] = kind == 2 ? kNan : 0.0f;
      for (std::int64_t i = 1; i < columns; i += 4) mask[index(stride + i)] = -kInfinite;
      ScoreRule rule{.scale = 2.5f};
      if (kind > 0) {
        rule.mask = {mask.data(), stride};
        rule.replaces = kind == 2;
      }
      std::vector<float> y = x;
      y.push_back(kBeside);
      softmax_rows(rule, kRows, columns, y.data());
      EXPECT_EQ(y.back(), kBeside);
      for (std::int64_t r = 0; r < kRows; ++r) {
        std::vector<double> scores;
        for (std::int64_t c = 0; c < columns; ++c) {
          double score = 2.5 * x[index(r * columns + c)];
          const double given = mask[index(r * stride + c)];
          if (kind == 1) score += given;
          if (kind == 2 && !std::isnan(given)) score = given;
          scores.push_back(score);
        }
        const double most = *std::max_element(scores.begin(), scores.end());
        double whole = 0;
        for (const double score : scores) whole += std::exp(score - most);
        for (std::int64_t c = 0; c < columns; ++c) {
          const double wanted = std::exp(scores[index(c)] - most) / whole;
          ASSERT_NEAR(y[index(r * columns + c)], wanted, 2e-6) << r << ", " << c;
        }
        // By itself, to the bit.
        std::vector<float> alone(x.begin() + r * columns, x.begin() + (r + 1) * columns);
        ScoreRule own = rule;
        if (kind > 0) own.mask.values += r * stride;
        softmax_rows(own, 1, columns, alone.data());
        EXPECT_TRUE(std::equal(alone.begin(), alone.end(), y.begin() + r * columns));
      }
    }
  }
}

TEST_P(AttentionKernels, SoftmaxOfWhatIsNoNumberIsNone) {
  for (const std::int64_t columns : {3, 40}) {
    for (const float odd : {kNan, kInfinite}) {
      for (const std::int64_t place : {std::int64_t{0}, columns - 1}) {
        std::vector<float> y = numbers(columns, 8);
        y[index(place)] = odd;
        softmax_rows({}, 1, columns, y.data());
        EXPECT_TRUE(std::all_of(y.begin(), y.end(), [](float v) { return std::isnan(v); }))
            << odd << " at " << place << " of " << columns;
      }
    }
    std::vector<float> none(index(columns), -kInfinite);
    softmax_rows({}, 1, columns, none.data());
    EXPECT_TRUE(std::isnan(none[0])) << "nothing to choose from";
    std::vector<float> one(index(columns), -kInfinite);
    one[1] = -3e38f;
    softmax_rows({}, 1, columns, one.data());
    EXPECT_EQ(one[1], 1);
    EXPECT_EQ(one[0], 0);
  }
}

INSTANTIATE_TEST_SUITE_P(EveryIsa, AttentionKernels, test::every_target(), test::target_name);

}  // namespace
}  // namespace taut::infer
