#include "taut/sparsity/winners.h"

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "sparsity/support.h"
#include "support/error_matchers.h"
#include "support/every_target.h"

namespace taut::sparsity {
namespace {

using taut::test::error_of;
using taut::test::IsError;
using namespace test;  // NOLINT: the helpers of this folder

constexpr float kGuard = 12345.0f;

struct Case {
  Shape shape;
  WinnersOptions options;
};

// Every unit at odd sizes, with each score where it is read.
std::vector<Case> cases() {
  std::vector<Case> all;
  for (const double rate : {0.01, 0.1, 0.3, 0.5, 0.97, 1.0}) {
    for (const std::int64_t n : {1, 2, 7, 31, 64, 100, 129, 1025, 3001}) {
      all.push_back({{.batch = 3, .channels = n}, {.unit = Unit::kNeuron, .rate = rate}});
    }
    for (const Shape& shape : {Shape{2, 5, 3, 7}, Shape{2, 33, 5, 5}, Shape{1, 64, 9, 1},
                               Shape{3, 70, 1, 1}, Shape{1, 24, 11, 13}}) {
      all.push_back({shape, {.unit = Unit::kPosition, .rate = rate}});
      all.push_back({shape, {.unit = Unit::kElement, .rate = rate}});
      for (const Score score : {Score::kMeanMagnitude, Score::kMaxMagnitude, Score::kMeanSquare}) {
        all.push_back({shape, {.unit = Unit::kChannel, .score = score, .rate = rate}});
        const std::int64_t block = shape.channels % 8 == 0 ? 8 : shape.channels % 5 == 0 ? 5 : 11;
        all.push_back(
            {shape, {.unit = Unit::kBlock, .score = score, .rate = rate, .block = block}});
      }
    }
  }
  return all;
}

// Maps are summed in another order than the reference does: where both choices are as good up to
// rounding they may differ. Levels of 0.5 add exactly, so there they may not.
bool sums_round(const WinnersOptions& options, Look look) {
  const bool summed = (options.unit == Unit::kChannel || options.unit == Unit::kBlock) &&
                      options.score != Score::kMaxMagnitude;
  return summed && look != Look::kLevels;
}

class WinnersEveryIsa : public taut::test::EveryTarget {};

TEST_P(WinnersEveryIsa, MatchTheReferenceInEveryUnitLayoutAndType) {
  ThreadPool pool(1);
  std::uint64_t seed = 1;
  for (const auto& [shape, options] : cases()) {
    for (const Look look : {Look::kSigned, Look::kRelu, Look::kLevels}) {
      const std::vector<float> first = activations(look, shape.size(), ++seed);
      if (sums_round(options, look) && shape.positions() > 16) continue;
      for (const Layout layout : {Layout::kChannelsFirst, Layout::kChannelsLast}) {
        const std::vector<float> x =
            layout == Layout::kChannelsLast ? channels_last(shape, first) : first;
        const WinnerSelector selector(shape, layout, options);
        std::vector<float> y(x.size() + 1, kGuard);
        winners(selector, x.data(), y.data(), pool);
        EXPECT_EQ(y.back(), kGuard);
        y.pop_back();
        ASSERT_EQ(y, reference(shape, layout, options, x)) << describe(shape, layout, options);

        const std::vector<std::uint16_t> bits = to_bfloat16(x);
        std::vector<std::uint16_t> small(bits.size() + 1, 0x4640);
        winners(selector, bits.data(), small.data(), pool);
        EXPECT_EQ(small.back(), 0x4640);
        small.pop_back();
        ASSERT_EQ(to_float(small), reference(shape, layout, options, to_float(bits)))
            << "bf16 " << describe(shape, layout, options);
      }
    }
  }
}

// Large maps, where sums round: the kept maps must score as high as the reference's, to rounding.
TEST_P(WinnersEveryIsa, KeepMapsOfTheLargestScores) {
  ThreadPool pool(1);
  const Shape shape{.batch = 2, .channels = 37, .height = 15, .width = 13};
  const std::vector<float> x = activations(Look::kRelu, shape.size(), 7);
  for (const Score score : {Score::kMeanMagnitude, Score::kMeanSquare}) {
    const WinnersOptions options{.unit = Unit::kChannel, .score = score, .rate = 0.3};
    std::vector<float> y(x.size());
    winners(WinnerSelector(shape, Layout::kChannelsFirst, options), x.data(), y.data(), pool);
    const std::vector<float> wanted = reference(shape, Layout::kChannelsFirst, options, x);
    double kept = 0;
    double best = 0;
    for (std::size_t i = 0; i < y.size(); ++i) {
      ASSERT_TRUE(y[i] == 0 || y[i] == x[i]);
      const bool square = score == Score::kMeanSquare;
      kept += square ? y[i] * y[i] : std::fabs(y[i]);
      best += square ? wanted[i] * wanted[i] : std::fabs(wanted[i]);
    }
    EXPECT_NEAR(kept, best, 1e-4 * best);
  }
}

TEST_P(WinnersEveryIsa, GradientsPassWinnersOnly) {
  ThreadPool pool(1);
  std::uint64_t seed = 100;
  for (const auto& [shape, options] : cases()) {
    const std::vector<float> gradient = normal_values(shape.size(), ++seed);
    const std::vector<float> x = activations(Look::kRelu, shape.size(), ++seed);
    for (const Layout layout : {Layout::kChannelsFirst, Layout::kChannelsLast}) {
      const WinnerSelector selector(shape, layout, options);
      std::vector<float> y(x.size());
      winners(selector, x.data(), y.data(), pool);
      std::vector<float> got(x.size() + 1, kGuard);
      winners_backward(selector, gradient.data(), y.data(), got.data(), pool);
      EXPECT_EQ(got.back(), kGuard);
      got.pop_back();
      std::vector<float> wanted(x.size());
      const UnitMap map(shape, layout, options);
      winners_backward_reference(map, gradient.data(), y.data(), wanted.data());
      ASSERT_EQ(got, wanted) << describe(shape, layout, options);

      const std::vector<std::uint16_t> gradient_bits = to_bfloat16(gradient);
      const std::vector<std::uint16_t> y_bits = to_bfloat16(y);
      std::vector<std::uint16_t> got_bits(x.size());
      winners_backward(selector, gradient_bits.data(), y_bits.data(), got_bits.data(), pool);
      winners_backward_reference(map, to_float(gradient_bits).data(), to_float(y_bits).data(),
                                 wanted.data());
      ASSERT_EQ(to_float(got_bits), wanted) << "bf16 " << describe(shape, layout, options);
    }
  }
}

TEST_P(WinnersEveryIsa, ScoresHaveTheSameBitsInBothLayoutsAndAsOnAnyOtherIsa) {
  const Shape shape{.batch = 2, .channels = 19, .height = 9, .width = 7};
  const std::vector<float> x = activations(Look::kSigned, shape.size(), 5);
  const std::vector<float> turned = channels_last(shape, x);
  for (const Score score : {Score::kMeanMagnitude, Score::kMaxMagnitude, Score::kMeanSquare}) {
    const WinnersOptions options{.unit = Unit::kChannel, .score = score};
    std::vector<float> first;
    std::vector<float> last;
    std::vector<float> best;
    WinnerSelector(shape, Layout::kChannelsFirst, options).append_scores(x.data(), first);
    WinnerSelector(shape, Layout::kChannelsLast, options).append_scores(turned.data(), last);
    hwy::SetSupportedTargetsForTest(0);  // the best of this machine
    WinnerSelector(shape, Layout::kChannelsFirst, options).append_scores(x.data(), best);
    hwy::SetSupportedTargetsForTest(GetParam());
    EXPECT_EQ(first, last);
    EXPECT_EQ(first, best);
    ASSERT_EQ(first.size(), 38u);
  }
}

// Rows of one call are searched together: what is in one must not change another, whether it is
// denormal, huge, infinite, no number, all zero or all but equal.
TEST_P(WinnersEveryIsa, MatchTheReferenceInRowsOfHardMagnitudes) {
  const auto bits_of = [](const std::vector<float>& values) {
    std::vector<std::uint32_t> bits;
    for (const float value : values) bits.push_back(std::bit_cast<std::uint32_t>(value));
    return bits;
  };
  ThreadPool pool(1);
  for (const std::int64_t n : {2, 3, 15, 16, 17, 63, 64, 65, 255, 256, 1023, 1024, 1025}) {
    const Shape shape{.batch = 1, .channels = n, .height = 1, .width = n > 300 ? 18 : 35};
    const CounterRandom random(static_cast<std::uint64_t>(n));
    std::vector<float> x;
    for (std::int64_t i = 0; i < shape.size(); ++i) {
      const auto at = static_cast<std::uint64_t>(i);
      const auto bits = static_cast<std::uint32_t>(random.below(at, 0x7F800000u));
      const float hard[] = {std::bit_cast<float>(bits),
                            std::bit_cast<float>(0x3F800000u + bits % 64),
                            bits % 97 == 0 ? 1e30f : std::bit_cast<float>(bits % 7),
                            std::fabs(static_cast<float>(random.normal(at))),
                            0.0f,
                            bits % 5 == 0 ? std::numeric_limits<float>::infinity() : 1.0f,
                            bits % 9 == 0 ? std::numeric_limits<float>::quiet_NaN() : 2.0f};
      const float value = hard[i / n % 7];
      x.push_back(bits % 2 == 0 ? value : -value);
    }
    for (const double rate : {0.001, 0.15, 0.5, 0.99}) {
      const WinnersOptions options{.unit = Unit::kPosition, .rate = rate};
      std::vector<float> y(x.size());
      winners(WinnerSelector(shape, Layout::kChannelsLast, options), x.data(), y.data(), pool);
      ASSERT_EQ(bits_of(y), bits_of(reference(shape, Layout::kChannelsLast, options, x)))
          << n << " " << rate;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, WinnersEveryIsa, taut::test::every_target(), taut::test::target_name);

std::vector<float> winners_of(const Shape& shape, const WinnersOptions& options,
                              const std::vector<float>& x, Layout layout = Layout::kChannelsFirst) {
  ThreadPool pool(1);
  std::vector<float> y(x.size());
  winners(WinnerSelector(shape, layout, options), x.data(), y.data(), pool);
  return y;
}

TEST(Winners, TheLowerIndexWinsATie) {
  const WinnersOptions options{.unit = Unit::kNeuron, .rate = 0.5};
  EXPECT_EQ(winners_of({.batch = 1, .channels = 6}, options, {1, -2, 1, -1, 1, 1}),
            (std::vector<float>{1, -2, 1, 0, 0, 0}));
}

TEST(Winners, TiesAreDecidedByTheChannelsFirstIndexInBothLayouts) {
  const Shape shape{.batch = 1, .channels = 3, .height = 2, .width = 2};
  const WinnersOptions options{.unit = Unit::kElement, .rate = 0.5};
  const std::vector<float> x(12, 1.0f);
  const std::vector<float> wanted = {1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0};
  EXPECT_EQ(winners_of(shape, options, x), wanted);
  EXPECT_EQ(winners_of(shape, options, x, Layout::kChannelsLast), channels_last(shape, wanted));
}

TEST(Winners, ZerosNeverWin) {
  const WinnersOptions options{.unit = Unit::kNeuron, .rate = 0.9};
  const std::vector<float> y =
      winners_of({.batch = 1, .channels = 4}, options, {-0.0f, 3.0f, 0.0f, -0.0f});
  EXPECT_EQ(y, (std::vector<float>{0, 3, 0, 0}));
  for (const float value : y) EXPECT_FALSE(std::signbit(value));
}

TEST(Winners, NanRanksAboveInfinity) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const WinnersOptions options{.unit = Unit::kNeuron, .rate = 0.25};
  const std::vector<float> y =
      winners_of({.batch = 1, .channels = 4}, options, {kInfinity, 1, kNan, -kInfinity});
  EXPECT_TRUE(std::isnan(y[2]));
  EXPECT_EQ(y[0], 0);
  for (const Score score : {Score::kMeanMagnitude, Score::kMaxMagnitude, Score::kMeanSquare}) {
    const WinnersOptions maps{.unit = Unit::kChannel, .score = score, .rate = 0.5};
    const std::vector<float> kept = winners_of({1, 2, 1, 2}, maps, {kInfinity, 1, kNan, 1});
    EXPECT_EQ(kept[0], 0);
    EXPECT_TRUE(std::isnan(kept[2]));
    EXPECT_EQ(kept[3], 1);
  }
}

// Values over all magnitudes, denormal to huge, and all but equal: splits by number do not help.
TEST(Winners, AreExactOnHardMagnitudes) {
  const Shape shape{.batch = 1, .channels = 5000};
  std::vector<std::vector<float>> hard(3);
  for (int i = 0; i < 5000; ++i) {
    const auto at = static_cast<std::uint32_t>(i);
    hard[0].push_back(std::bit_cast<float>(at * 429493u % 0x7F800000u));
    hard[1].push_back(std::bit_cast<float>(0x3F800000u + at * 2654435761u % 64u));
    hard[2].push_back(i % 1000 == 0 ? 1e30f : std::bit_cast<float>(at % 7u));
  }
  for (const std::vector<float>& x : hard) {
    for (const double rate : {0.0002, 0.001, 0.3, 0.5, 0.99}) {
      const WinnersOptions options{.unit = Unit::kNeuron, .rate = rate};
      ASSERT_EQ(winners_of(shape, options, x), reference(shape, Layout::kChannelsFirst, options, x))
          << rate;
    }
  }
}

TEST(Winners, MayBeWrittenOverTheirInput) {
  ThreadPool pool(1);
  for (const auto& [shape, options] : cases()) {
    for (const Layout layout : {Layout::kChannelsFirst, Layout::kChannelsLast}) {
      const std::vector<float> x = activations(Look::kLevels, shape.size(), 3);
      std::vector<float> y = x;
      winners(WinnerSelector(shape, layout, options), y.data(), y.data(), pool);
      ASSERT_EQ(y, winners_of(shape, options, x, layout)) << describe(shape, layout, options);
    }
  }
}

TEST(Winners, HaveTheSameBitsForAnyNumberOfThreads) {
  for (const Unit unit : {Unit::kChannel, Unit::kPosition, Unit::kElement, Unit::kBlock}) {
    const Shape shape{.batch = 9, .channels = 48, .height = 17, .width = 15};
    const WinnersOptions options{.unit = unit, .rate = 0.3};
    const std::vector<float> x = activations(Look::kLevels, shape.size(), 11);
    const std::vector<float> gradient = normal_values(shape.size(), 12);
    for (const Layout layout : {Layout::kChannelsFirst, Layout::kChannelsLast}) {
      const WinnerSelector selector(shape, layout, options);
      std::vector<std::vector<float>> results;
      for (const int threads : {1, 2, 3}) {
        ThreadPool pool(threads);
        std::vector<float> y(x.size());
        std::vector<float> passed(x.size());
        winners(selector, x.data(), y.data(), pool);
        winners_backward(selector, gradient.data(), y.data(), passed.data(), pool);
        y.insert(y.end(), passed.begin(), passed.end());
        results.push_back(y);
      }
      EXPECT_EQ(results[0], results[1]) << describe(shape, layout, options);
      EXPECT_EQ(results[0], results[2]) << describe(shape, layout, options);
    }
  }
}

TEST(Winners, ByThresholdKeepWhatReachesIt) {
  WinnersOptions options{.unit = Unit::kNeuron, .select = Select::kThreshold, .threshold = 0.5f};
  const Shape shape{.batch = 1, .channels = 5};
  EXPECT_EQ(winners_of(shape, options, {0.5f, -0.49f, -3, 0, 0.7f}),
            (std::vector<float>{0.5f, 0, -3, 0, 0.7f}));
  options.threshold = 0;
  EXPECT_EQ(winners_of(shape, options, {0.5f, -0.49f, -3, 0, 0.7f}),
            (std::vector<float>{0.5f, -0.49f, -3, 0, 0.7f}));
  for (const auto& [some, chosen] : cases()) {
    WinnersOptions by_threshold = chosen;
    by_threshold.select = Select::kThreshold;
    by_threshold.threshold = 0.75f;
    const std::vector<float> x = activations(Look::kLevels, some.size(), 2);
    ASSERT_EQ(winners_of(some, by_threshold, x),
              reference(some, Layout::kChannelsFirst, by_threshold, x))
        << describe(some, Layout::kChannelsFirst, by_threshold);
    ThreadPool pool(1);
    std::vector<std::uint16_t> small(x.size());
    by_threshold.threshold = 0.7512f;  // between two bf16
    winners(WinnerSelector(some, Layout::kChannelsFirst, by_threshold), to_bfloat16(x).data(),
            small.data(), pool);
    ASSERT_EQ(to_float(small),
              reference(some, Layout::kChannelsFirst, by_threshold, to_float(to_bfloat16(x))));
  }
}

struct BadOption {
  std::string name;
  Shape shape;
  WinnersOptions options;
  std::string message;
};

class BadWinnersOption : public testing::TestWithParam<BadOption> {};

TEST_P(BadWinnersOption, NamesTheArgumentAndBothValues) {
  const BadOption& bad = GetParam();
  const Error error = error_of([&] { check_options(bad.shape, bad.options); });
  EXPECT_THAT(error, IsError(ErrorKind::kInvalidArgument, bad.message));
}

constexpr Shape kFlat{.batch = 2, .channels = 12};
constexpr Shape kMaps{.batch = 2, .channels = 12, .height = 3, .width = 4};

INSTANTIATE_TEST_SUITE_P(
    All, BadWinnersOption,
    testing::Values(
        BadOption{"rate_0", kFlat, {.rate = 0}, "rate must be above 0, at most 1, got 0"},
        BadOption{"rate_above_1", kFlat, {.rate = 1.5}, "rate must be above 0, at most 1, got 1.5"},
        BadOption{"rate_negative", kFlat, {.rate = -0.1}, "at most 1, got -0.1"},
        BadOption{"rate_nan", kFlat, {.rate = std::nan("")}, "at most 1, got nan"},
        BadOption{
            "threshold_negative", kFlat, {.threshold = -1}, "threshold must be 0 or more, got -1"},
        BadOption{"threshold_nan", kFlat, {.threshold = std::nanf("")}, "0 or more, got nan"},
        BadOption{"neuron_of_maps", kMaps, {.unit = Unit::kNeuron}, "got neuron for maps of 3 x 4"},
        BadOption{"block_0",
                  kFlat,
                  {.unit = Unit::kBlock, .block = 0},
                  "block must be at least 1, got 0"},
        BadOption{"block_uneven",
                  kMaps,
                  {.unit = Unit::kBlock, .block = 8},
                  "block must be a divisor of the 12 channels, got 8"},
        BadOption{
            "no_channels", {.batch = 1, .channels = 0}, {}, "channels must be at least 1, got 0"},
        BadOption{"batch_negative",
                  {.batch = -1, .channels = 1},
                  {},
                  "batch must be at least 0, got -1"}),
    [](const testing::TestParamInfo<BadOption>& bad) { return bad.param.name; });

TEST(Winners, OfAnEmptyBatchAreNone) {
  ThreadPool pool(2);
  for (const Unit unit : {Unit::kChannel, Unit::kPosition, Unit::kElement, Unit::kBlock}) {
    const WinnerSelector selector({0, 8, 3, 3}, Layout::kChannelsFirst,
                                  {.unit = unit, .rate = 0.5});
    float untouched = kGuard;
    winners(selector, &untouched, &untouched, pool);
    EXPECT_EQ(untouched, kGuard);
  }
}

}  // namespace
}  // namespace taut::sparsity
