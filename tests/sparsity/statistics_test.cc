#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "sparsity/support.h"
#include "support/error_matchers.h"
#include "taut/sparsity/winners.h"

namespace taut::sparsity {
namespace {

using taut::test::error_of;
using taut::test::IsError;

TEST(WinnerStatistics, CountWhoWins) {
  const WinnerSelector selector({.batch = 4, .channels = 3}, Layout::kChannelsFirst,
                                {.unit = Unit::kNeuron, .rate = 0.5});
  const std::vector<float> y = {1, 0, 2, -1, 0, 0, 1, 0, 3, 1, 0, 0};
  WinnerStatistics statistics;
  add_winners(selector, y.data(), statistics);
  EXPECT_EQ(statistics.wins, (std::vector<std::int64_t>{4, 0, 2}));
  EXPECT_EQ(statistics.trials, 4);
  EXPECT_DOUBLE_EQ(statistics.never(), 1.0 / 3);
  EXPECT_DOUBLE_EQ(statistics.always(), 1.0 / 3);
  EXPECT_DOUBLE_EQ(statistics.rate(), 0.5);
  EXPECT_DOUBLE_EQ(statistics.entropy(), 1.0 / 3);  // one channel at a half: 1 bit of three
  add_winners(selector, test::to_bfloat16(y).data(), statistics);
  EXPECT_EQ(statistics.wins, (std::vector<std::int64_t>{8, 0, 4}));
  EXPECT_EQ(statistics.trials, 8);
}

TEST(WinnerStatistics, CountMapsOncePerExampleAndTheRestPerPosition) {
  const Shape shape{.batch = 1, .channels = 4, .height = 1, .width = 2};
  const std::vector<float> y = {0, 5, 0, 0, 1, 1, 0, 2};
  const auto wins = [&](WinnersOptions options, Layout layout) {
    WinnerStatistics statistics;
    const auto values = layout == Layout::kChannelsLast ? test::channels_last(shape, y) : y;
    add_winners(WinnerSelector(shape, layout, options), values.data(), statistics);
    statistics.wins.push_back(statistics.trials);
    return statistics.wins;
  };
  using Counts = std::vector<std::int64_t>;
  for (const Layout layout : {Layout::kChannelsFirst, Layout::kChannelsLast}) {
    EXPECT_EQ(wins({.unit = Unit::kChannel}, layout), (Counts{1, 0, 1, 1, 1}));
    EXPECT_EQ(wins({.unit = Unit::kElement}, layout), (Counts{1, 0, 2, 1, 2}));
    EXPECT_EQ(wins({.unit = Unit::kPosition}, layout), (Counts{1, 0, 2, 1, 2}));
    EXPECT_EQ(wins({.unit = Unit::kBlock, .block = 2}, layout), (Counts{1, 1, 2, 2, 2}));
  }
}

TEST(WinnerStatistics, AreZeroWithoutTrialsAndRefuseOtherChannels) {
  WinnerStatistics statistics;
  EXPECT_EQ(statistics.never(), 0);
  EXPECT_EQ(statistics.entropy(), 0);
  statistics.wins = {1, 2};
  const WinnerSelector selector({.batch = 1, .channels = 3}, Layout::kChannelsFirst, {});
  const float y[3] = {1, 0, 0};
  EXPECT_THAT(error_of([&] { add_winners(selector, y, statistics); }),
              IsError(ErrorKind::kInvalidArgument, "statistics.wins must be 3 channels, got 2"));
}

}  // namespace
}  // namespace taut::sparsity
