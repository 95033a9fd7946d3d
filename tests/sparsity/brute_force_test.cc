// Winners, masks and codes against definitions written down anew: sorts, loops, exhaustive search.
#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "sparsity/support.h"
#include "support/every_target.h"
#include "taut/sparsity/prune.h"
#include "taut/sparsity/quantize.h"

namespace taut::sparsity {
namespace {

using namespace test;  // NOLINT: the helpers of this folder

class Numbers {
 public:
  explicit Numbers(std::uint64_t seed) : random_(seed) {}
  std::int64_t in(std::int64_t least, std::int64_t most) {
    return least + static_cast<std::int64_t>(
                       random_.below(counter_++, static_cast<std::uint64_t>(most - least + 1)));
  }
  double uniform() { return random_.uniform(counter_++); }
  float real() { return static_cast<float>(random_.normal(counter_++)); }

 private:
  CounterRandom random_;
  std::uint64_t counter_ = 0;
};

// Who wins one choice, by sorting: NaN above all, zeros never, the lower index among equals.
std::vector<bool> winners_by_sort(const std::vector<float>& scores, std::int64_t count) {
  const auto rank = [&](std::size_t i) {
    return std::isnan(scores[i]) ? std::numeric_limits<double>::infinity() * 1.0
                                 : static_cast<double>(scores[i]);
  };
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    if (std::isnan(scores[a]) != std::isnan(scores[b])) return std::isnan(scores[a]);
    return rank(a) > rank(b);
  });
  std::vector<bool> won(scores.size(), false);
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    won[order[i]] = scores[order[i]] != 0;
  }
  return won;
}

/// Values that are hard to order: few levels, tiny and huge, both zeros, infinities, NaN.
std::vector<float> hard_values(Numbers& numbers, std::int64_t count, bool odd_ones) {
  std::vector<float> values;
  const auto style = numbers.in(0, 3);
  for (std::int64_t i = 0; i < count; ++i) {
    float value = numbers.real();
    if (style == 1) value = std::nearbyint(value);
    if (style == 2) value = std::ldexp(value, static_cast<int>(numbers.in(-140, 100)));
    if (style == 3 && value < 0) value = -0.0f;
    if (odd_ones && numbers.in(0, 30) == 0) {
      value = numbers.in(0, 1) == 0 ? std::numeric_limits<float>::quiet_NaN()
                                    : -std::numeric_limits<float>::infinity();
    }
    values.push_back(value);
  }
  return values;
}

class EveryIsa : public taut::test::EveryTarget {};

bool same_value(float a, float b) {
  return a == b || (std::isnan(a) && std::isnan(b));
}

// Neurons and positions: one value a unit, so a score is its magnitude and a sort says all.
TEST_P(EveryIsa, SingleValuesThatWinAreTheFirstOfASort) {
  ThreadPool pool(1);
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    Numbers numbers(seed);
    Shape shape{.batch = numbers.in(1, 4), .channels = numbers.in(1, 150)};
    const Unit unit = seed % 2 == 0 ? Unit::kNeuron : Unit::kPosition;
    if (unit == Unit::kPosition) {
      shape.height = numbers.in(1, 5);
      shape.width = numbers.in(1, 5);
    }
    const Layout layout = numbers.in(0, 1) == 0 ? Layout::kChannelsFirst : Layout::kChannelsLast;
    const WinnersOptions options{.unit = unit, .rate = 1e-3 + 0.999 * numbers.uniform()};
    const std::vector<float> x = hard_values(numbers, shape.size(), numbers.in(0, 1) == 0);
    std::vector<float> y(x.size());
    winners(WinnerSelector(shape, layout, options), x.data(), y.data(), pool);
    const std::int64_t count = winner_count(shape.channels, options.rate);
    for (std::int64_t b = 0; b < shape.batch; ++b) {
      for (std::int64_t p = 0; p < shape.positions(); ++p) {
        const auto at = [&](std::int64_t c) {
          return static_cast<std::size_t>(b * shape.example_size() +
                                          (layout == Layout::kChannelsLast
                                               ? p * shape.channels + c
                                               : c * shape.positions() + p));
        };
        std::vector<float> scores;
        for (std::int64_t c = 0; c < shape.channels; ++c) scores.push_back(std::fabs(x[at(c)]));
        const std::vector<bool> won = winners_by_sort(scores, count);
        for (std::int64_t c = 0; c < shape.channels; ++c) {
          const float wanted = won[static_cast<std::size_t>(c)] ? x[at(c)] : 0.0f;
          ASSERT_TRUE(same_value(y[at(c)], wanted))
              << "seed " << seed << ", " << describe(shape, layout, options) << ", channel " << c
              << ": " << y[at(c)] << " for " << x[at(c)];
        }
      }
    }
  }
}

// The choice does not change when it is made again on what won, and backward lets through no more.
TEST_P(EveryIsa, ChoosingAgainChangesNothing) {
  ThreadPool pool(2);
  for (std::uint64_t seed = 1; seed <= 120; ++seed) {
    Numbers numbers(1000 + seed);
    const Shape shape{.batch = numbers.in(1, 3),
                      .channels = 6 * numbers.in(1, 12),
                      .height = numbers.in(1, 6),
                      .width = numbers.in(1, 6)};
    const Unit unit = static_cast<Unit>(numbers.in(1, 4));
    const WinnersOptions options{.unit = unit,
                                 .score = static_cast<Score>(numbers.in(0, 2)),
                                 .rate = 0.02 + 0.9 * numbers.uniform(),
                                 .block = numbers.in(0, 1) == 0 ? 2 : 6};
    const Layout layout = numbers.in(0, 1) == 0 ? Layout::kChannelsFirst : Layout::kChannelsLast;
    const WinnerSelector selector(shape, layout, options);
    const std::vector<float> x = hard_values(numbers, shape.size(), false);
    std::vector<float> y(x.size());
    std::vector<float> again(x.size());
    std::vector<float> through(x.size());
    winners(selector, x.data(), y.data(), pool);
    winners(selector, y.data(), again.data(), pool);
    ASSERT_EQ(again, y) << "seed " << seed << ", " << describe(shape, layout, options);
    winners_backward(selector, x.data(), y.data(), through.data(), pool);
    for (std::size_t i = 0; i < x.size(); ++i) {
      ASSERT_TRUE(y[i] == 0 || y[i] == x[i]) << "seed " << seed;
      ASSERT_TRUE(y[i] == 0 || through[i] == x[i]) << "seed " << seed;
    }
  }
}

// Wherever in a map it lies, in whatever lane of a vector.
TEST_P(EveryIsa, AMapWithANanWins) {
  ThreadPool pool(1);
  constexpr std::int64_t kSide = 7;
  const Shape shape{.batch = 1, .channels = 20, .height = kSide, .width = kSide};
  for (const Score score : {Score::kMeanMagnitude, Score::kMaxMagnitude, Score::kMeanSquare}) {
    for (const Layout layout : {Layout::kChannelsFirst, Layout::kChannelsLast}) {
      const WinnersOptions options{.unit = Unit::kChannel, .score = score, .rate = 0.05};
      const WinnerSelector selector(shape, layout, options);
      for (std::int64_t p = 0; p < shape.positions(); ++p) {
        const std::int64_t channel = p % shape.channels;
        const std::int64_t at = layout == Layout::kChannelsLast ? p * shape.channels + channel
                                                                : channel * shape.positions() + p;
        std::vector<float> x(static_cast<std::size_t>(shape.size()), 1.0f);
        std::vector<float> y(x.size());
        x[static_cast<std::size_t>(at)] = std::numeric_limits<float>::quiet_NaN();
        winners(selector, x.data(), y.data(), pool);
        ASSERT_TRUE(std::isnan(y[static_cast<std::size_t>(at)]))
            << describe(shape, layout, options) << ", position " << p;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, EveryIsa, testing::ValuesIn([] {
                           std::vector<std::int64_t> targets;
                           for (std::int64_t all = hwy::SupportedTargets(); all != 0;
                                all &= all - 1) {
                             targets.push_back(all & -all);
                           }
                           return targets;
                         }()),
                         taut::test::target_name);

// Of each m consecutive inputs the n that a search over all choices finds worth most.
TEST(BruteForce, NOfMKeepsTheLargestSumOfAllChoices) {
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    Numbers numbers(seed);
    const int m = static_cast<int>(numbers.in(1, 8));
    const int n = static_cast<int>(numbers.in(1, m));
    const std::int64_t outputs = numbers.in(1, 5);
    const std::int64_t inputs = m * numbers.in(1, 5);
    const std::int64_t taps = numbers.in(1, 4);
    std::vector<float> values;
    for (std::int64_t i = 0; i < outputs * inputs * taps; ++i) {
      values.push_back(std::nearbyint(4 * numbers.real()) / 4);
    }
    const Weight weight{.values = values, .outputs = outputs, .inputs = inputs, .taps = taps};
    const Mask mask =
        prune_masks(std::span(&weight, 1), {.prune = Prune::kNOfM, .n = n, .m = m}).at(0);
    for (std::int64_t o = 0; o < outputs; ++o) {
      for (std::int64_t tap = 0; tap < taps; ++tap) {
        for (std::int64_t group = 0; group < inputs; group += m) {
          const auto at = [&](int i) {
            return static_cast<std::size_t>((o * inputs + group + i) * taps + tap);
          };
          double best = -1;
          std::uint32_t chosen = 0;  // the lowest indices among equally good choices
          for (std::uint32_t bits = 0; bits < (1u << m); ++bits) {
            if (std::popcount(bits) != n) continue;
            double sum = 0;
            std::uint32_t reversed = 0;
            for (int i = 0; i < m; ++i) {
              if ((bits >> i & 1u) == 0) continue;
              sum += std::fabs(values[at(i)]);
              reversed |= 1u << (m - 1 - i);
            }
            if (sum > best || (sum == best && reversed > chosen)) {
              best = sum;
              chosen = reversed;
            }
          }
          for (int i = 0; i < m; ++i) {
            ASSERT_EQ(mask[at(i)], chosen >> (m - 1 - i) & 1u)
                << "seed " << seed << ", " << n << " of " << m << ", output " << o << ", group "
                << group << ", tap " << tap;
          }
        }
      }
    }
  }
}

// Blocks and outputs by sorting mean magnitudes, at sizes that leave smaller blocks at the ends.
TEST(BruteForce, BlocksAndOutputsGoByTheirMeanMagnitude) {
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    Numbers numbers(500 + seed);
    const std::int64_t outputs = numbers.in(1, 20);
    const std::int64_t inputs = numbers.in(1, 20);
    const std::int64_t taps = numbers.in(1, 3);
    PruneOptions options{.prune = seed % 2 == 0 ? Prune::kBlock : Prune::kOutputs,
                         .share = 0.98 * numbers.uniform(),
                         .block_outputs = numbers.in(1, 7),
                         .block_inputs = numbers.in(1, 7)};
    std::vector<float> values;  // eighths: sums are exact in any order
    for (std::int64_t i = 0; i < outputs * inputs * taps; ++i) {
      values.push_back(std::nearbyint(8 * numbers.real()) / 8);
    }
    const std::int64_t rows = options.prune == Prune::kBlock ? options.block_outputs : 1;
    const std::int64_t columns = options.prune == Prune::kBlock ? options.block_inputs : inputs;
    struct Block {
      double sum = 0;
      double size = 0;
      std::vector<std::size_t> values;
    };
    const std::int64_t across = (inputs + columns - 1) / columns;
    const std::int64_t depth = options.prune == Prune::kBlock ? taps : 1;
    std::vector<Block> blocks(
        static_cast<std::size_t>((outputs + rows - 1) / rows * across * depth));
    for (std::int64_t o = 0; o < outputs; ++o) {
      for (std::int64_t i = 0; i < inputs; ++i) {
        for (std::int64_t tap = 0; tap < taps; ++tap) {
          const auto at = static_cast<std::size_t>((o * inputs + i) * taps + tap);
          Block& block = blocks[static_cast<std::size_t>((o / rows * across + i / columns) * depth +
                                                         (depth == 1 ? 0 : tap))];
          block.sum += std::fabs(values[at]);
          block.size += 1;
          block.values.push_back(at);
        }
      }
    }
    const Weight weight{.values = values, .outputs = outputs, .inputs = inputs, .taps = taps};
    const Mask mask = prune_masks(std::span(&weight, 1), options).at(0);
    double least_kept = std::numeric_limits<double>::infinity();
    double most_pruned = 0;
    std::int64_t pruned = 0;
    for (const Block& block : blocks) {
      for (const std::size_t at : block.values) {
        ASSERT_EQ(mask[at], mask[block.values[0]]) << "seed " << seed << ": a block was cut";
      }
      const double mean = block.sum / block.size;
      if (mask[block.values[0]] == 0) {
        ++pruned;
        most_pruned = std::max(most_pruned, mean);
      } else {
        least_kept = std::min(least_kept, mean);
      }
    }
    EXPECT_EQ(pruned, pruned_count(static_cast<std::int64_t>(blocks.size()), options.share))
        << "seed " << seed;
    // means of fp32 beside double: one rounding
    EXPECT_LE(most_pruned, least_kept * (1 + 1e-6)) << "seed " << seed;
  }
}

TEST(BruteForce, EveryCodeComesBackFromItsValueAndNoneIsNearer) {
  for (const float scale : {0.0371f, 1.0f, 3e-5f, 1024.0f}) {
    for (const Codes codes : {Codes::kSigned, Codes::kUnsigned}) {
      std::vector<float> exact;
      for (int code = least_code(codes); code <= largest_code(codes); ++code) {
        exact.push_back(static_cast<float>(code) * scale);
      }
      std::vector<float> out(exact.size());
      fake_quantize(exact, scale, codes, out);
      EXPECT_EQ(out, exact) << scale;
      Numbers numbers(7);
      std::vector<float> x;
      for (int i = 0; i < 3000; ++i) x.push_back(scale * 150.0f * numbers.real());
      out.resize(x.size());
      fake_quantize(x, scale, codes, out);
      for (std::size_t i = 0; i < x.size(); ++i) {
        double nearest = std::numeric_limits<double>::infinity();
        for (const float value : exact) {
          nearest = std::min(nearest, std::fabs(static_cast<double>(value) - x[i]));
        }
        // x / scale is rounded before its code is: half a unit of its 24 bits
        ASSERT_LE(std::fabs(static_cast<double>(out[i]) - x[i]), nearest + scale * 2e-5) << x[i];
        ASSERT_NE(std::find(exact.begin(), exact.end(), out[i]), exact.end());
      }
      std::vector<float> twice(out.size());
      fake_quantize(out, scale, codes, twice);
      EXPECT_EQ(twice, out);
    }
  }
}

TEST(BruteForce, QuantizedWeightsAreWithinHalfAStepAndUseTheWholeRange) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    Numbers numbers(seed);
    const std::int64_t outputs = numbers.in(1, 9);
    const std::int64_t each = numbers.in(1, 67);
    std::vector<float> values;
    for (std::int64_t o = 0; o < outputs; ++o) {
      const float size =
          numbers.in(0, 5) == 0 ? 0.0f : std::ldexp(1.0f, static_cast<int>(numbers.in(-30, 20)));
      for (std::int64_t i = 0; i < each; ++i) values.push_back(size * numbers.real());
    }
    const QuantizedWeight quantized = quantize_weight(values, outputs);
    ASSERT_EQ(quantized.codes.size(), values.size());
    ASSERT_EQ(quantized.scales, weight_scales(values, outputs));
    for (std::int64_t o = 0; o < outputs; ++o) {
      const float scale = quantized.scales[static_cast<std::size_t>(o)];
      int largest = 0;
      float magnitude = 0;
      for (std::int64_t i = 0; i < each; ++i) {
        const auto at = static_cast<std::size_t>(o * each + i);
        largest = std::max(largest, std::abs(static_cast<int>(quantized.codes[at])));
        magnitude = std::max(magnitude, std::fabs(values[at]));
        const double error =
            std::fabs(static_cast<double>(quantized.codes[at]) * scale - values[at]);
        ASSERT_LE(error, 0.5001 * scale) << "seed " << seed;
      }
      EXPECT_EQ(largest, magnitude == 0 ? 0 : 127) << "seed " << seed << ", output " << o;
    }
  }
}

}  // namespace
}  // namespace taut::sparsity
