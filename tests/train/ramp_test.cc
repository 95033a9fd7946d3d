#include "taut/train/ramp.h"

#include <gtest/gtest.h>

namespace taut::train {
namespace {

TEST(WinnerRate, IsOneBeforeTheStartAndTheTargetAfterTheRamp) {
  for (const Ramp shape : {Ramp::kStep, Ramp::kLinear, Ramp::kCubic}) {
    const WinnerSchedule schedule{.from = 0.5, .ramp = 1.5, .shape = shape};
    EXPECT_EQ(winner_rate_at(schedule, 0.3, 0), 1);
    EXPECT_EQ(winner_rate_at(schedule, 0.3, 0.499), 1);
    EXPECT_DOUBLE_EQ(winner_rate_at(schedule, 0.3, 2), 0.3);
    EXPECT_DOUBLE_EQ(winner_rate_at(schedule, 0.3, 9), 0.3);
    double last = 1;
    for (double epoch = 0.5; epoch < 2; epoch += 0.05) {
      const double rate = winner_rate_at(schedule, 0.3, epoch);
      EXPECT_LE(rate, last);
      EXPECT_GE(rate, 0.3);
      last = rate;
    }
  }
}

TEST(WinnerRate, FollowsItsShapeOnTheWay) {
  const auto halfway = [](Ramp shape) {
    return winner_rate_at({.from = 1, .ramp = 2, .shape = shape}, 0.2, 2);
  };
  EXPECT_DOUBLE_EQ(halfway(Ramp::kLinear), 0.6);
  EXPECT_DOUBLE_EQ(halfway(Ramp::kCubic), 0.3);  // 7/8 of the way
  EXPECT_DOUBLE_EQ(halfway(Ramp::kStep), 0.4);   // the third of four steps
}

TEST(WinnerRate, JumpsWithoutARamp) {
  EXPECT_EQ(winner_rate_at({.from = 1, .ramp = 0}, 0.3, 0.999), 1);
  EXPECT_DOUBLE_EQ(winner_rate_at({.from = 1, .ramp = 0}, 0.3, 1), 0.3);
  EXPECT_DOUBLE_EQ(winner_rate_at({}, 0.3, 0), 0.3);
}

}  // namespace
}  // namespace taut::train
