#include "embedding/threshold.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "taut/core/random.h"

namespace taut::embedding {
namespace {

PageLayout mixed_layout() {
  return {.page_bytes = 512,
          .chunk = 4,
          .chunks = 4,
          .low = Storage::kInt8,
          .high = Storage::kInt16,
          .mixed = true,
          .exact = false};
}

PageLayout int8_layout(int chunk, int chunks) {
  return {.page_bytes = 512,
          .chunk = chunk,
          .chunks = chunks,
          .low = Storage::kInt8,
          .high = Storage::kInt8,
          .mixed = false,
          .exact = false};
}

ImportanceHistogram random_rows(std::uint64_t seed, int count) {
  ImportanceHistogram rows{};
  const CounterRandom random(seed);
  for (int i = 0; i < count; ++i) {  // a long tail, as real importances have
    const double u = random.uniform(static_cast<std::uint64_t>(i));
    ++rows[static_cast<std::size_t>(
        ImportanceCode::floor(static_cast<float>(0.02 / (u * u + 1e-4))))];
  }
  return rows;
}

TEST(WidthRule, GivesTheLargestWidthWhoseChunkIsWorthItsBytes) {
  WidthRule rule(mixed_layout(), 2.0, 64.0, 0.2);
  for (int threshold = 200; threshold < 700; threshold += 37) {
    rule.set_threshold_code(threshold);
    for (int code = threshold; code < ImportanceCode::kCodes; code += 11) {
      const float importance = ImportanceCode::value(code);
      int width = 1;
      for (int k = 2; k <= 4; ++k) {
        if (importance * std::pow(k, -2.0) >= rule.threshold() * 0.999999) width = k;
      }
      const RowState wanted = rule.wanted(code, {});
      EXPECT_EQ(wanted.width, width) << code << " at " << threshold;
      EXPECT_EQ(wanted.precise, importance >= 64.0f * rule.threshold());
    }
  }
}

TEST(WidthRule, WhatIsHeldStaysALittleLonger) {
  WidthRule rule(mixed_layout(), 2.0, 64.0, 0.2);
  rule.set_threshold_code(400);
  const float third = rule.threshold() * 9.0f;
  const int just_below = ImportanceCode::floor(third * 0.9f);
  const int far_below = ImportanceCode::floor(third * 0.8f);
  EXPECT_EQ(rule.wanted(just_below, {}).width, 2);
  EXPECT_EQ(rule.wanted(just_below, {.width = 3}).width, 3);
  EXPECT_EQ(rule.wanted(far_below, {.width = 3}).width, 2);
}

TEST(WidthRule, SolvedThresholdIsTheSmallestThatFits) {
  WidthRule rule(mixed_layout(), 2.0, 64.0, 0.2);
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    const ImportanceHistogram rows = random_rows(seed, 5000);
    const double everything = rule.bytes_at(rows, 0);
    for (const double share : {1.0, 0.5, 0.1, 0.01}) {
      const int code = rule.solve(rows, everything * share);
      EXPECT_LE(rule.bytes_at(rows, code), everything * share);
      if (code > 0) {
        EXPECT_GT(rule.bytes_at(rows, code - 1), everything * share);
      }
    }
  }
}

// Sum over held chunks of importance * k^-beta.
double value_of(const std::vector<float>& rows, const std::vector<int>& widths, double beta) {
  double value = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (int k = 1; k <= widths[i]; ++k) value += rows[i] * std::pow(k, -beta);
  }
  return value;
}

// The best value of any set of widths within the bytes, by dynamic programming over bytes.
double best_value(const std::vector<float>& rows, const PageLayout& layout, double beta,
                  int bytes) {
  std::vector<double> best(static_cast<std::size_t>(bytes) + 1, 0.0);
  for (const float importance : rows) {
    std::vector<double> next = best;
    double value = 0;
    for (int k = 1; k <= layout.chunks; ++k) {
      value += importance * std::pow(k, -beta);
      const int cost = layout.overhead_bytes() + k * layout.chunk_bytes(false);
      for (int b = cost; b <= bytes; ++b) {
        next[static_cast<std::size_t>(b)] = std::max(
            next[static_cast<std::size_t>(b)], best[static_cast<std::size_t>(b - cost)] + value);
      }
    }
    best = std::move(next);
  }
  return best.back();
}

TEST(WidthRule, IsWithinOnePercentOfTheBestSetOfWidths) {
  struct Case {
    PageLayout layout;
    double beta;
  };
  for (const Case& c :
       {Case{int8_layout(4, 4), 2.0}, Case{int8_layout(2, 8), 3.0}, Case{int8_layout(4, 8), 2.0}}) {
    for (std::uint64_t seed = 1; seed <= 6; ++seed) {
      const CounterRandom random(seed);
      std::vector<float> rows(400);
      ImportanceHistogram histogram{};
      for (std::size_t i = 0; i < rows.size(); ++i) {
        const double u = random.uniform(i);
        const int code = ImportanceCode::floor(static_cast<float>(0.02 / (u * u + 1e-3)));
        rows[i] = ImportanceCode::value(code);
        ++histogram[static_cast<std::size_t>(code)];
      }
      WidthRule rule(c.layout, c.beta, 64.0, 0.0);
      for (const int bytes : {800, 2000, 4000}) {
        rule.set_threshold_code(rule.solve(histogram, bytes));
        std::vector<int> widths;
        int used = 0;
        for (const float importance : rows) {
          const int code = ImportanceCode::floor(importance);
          widths.push_back(rule.worth_holding(code) ? rule.wanted(code, {}).width : 0);
          if (widths.back() > 0)
            used += c.layout.overhead_bytes() + widths.back() * c.layout.chunk_bytes(false);
        }
        ASSERT_LE(used, bytes);
        // Against the best for the bytes that the rule uses: the grid of thresholds leaves some
        // free.
        EXPECT_GE(value_of(rows, widths, c.beta), 0.99 * best_value(rows, c.layout, c.beta, used))
            << "beta " << c.beta << " bytes " << bytes << " seed " << seed;
      }
    }
  }
}

}  // namespace
}  // namespace taut::embedding
