#include "taut/core/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace taut {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(FormatProgress, ShowsShareBarRateTimeLeftAndNote) {
  EXPECT_EQ(format_progress("epoch 1", 1'200'000, 2'800'000, "examples", 4.0, "loss 0.512"),
            "epoch 1 42% [########            ] 1.2M/2.8M examples, 300k/s, 0:05 left, loss 0.512");
}

TEST(FormatProgress, ShowsNoShareAndNoTimeWhenTheTotalIsNotKnown) {
  EXPECT_EQ(format_progress("reading", 5000, 0, "rows", 2.0, ""), "reading 5.0k rows, 2.5k/s");
}

TEST(FormatProgress, StartsAtNothingDone) {
  EXPECT_EQ(format_progress("train", 0, 100, "steps", 0.0, ""),
            "train 0% [                    ] 0/100 steps, 0/s");
}

TEST(FormatProgress, ShowsNoTimeLeftAtTheEnd) {
  EXPECT_EQ(format_progress("train", 100, 100, "steps", 10.0, ""),
            "train 100% [####################] 100/100 steps, 10/s");
}

TEST(FormatProgress, KeepsItsBarInBoundsWhenMoreIsDoneThanWasExpected) {
  const std::string line = format_progress("train", 300, 100, "steps", 1.0, "");
  EXPECT_THAT(line, HasSubstr("[####################]"));
  EXPECT_THAT(line, Not(HasSubstr("left")));
}

TEST(FormatProgress, WritesTimesOfHoursAndNumbersOfBillions) {
  const std::string line = format_progress("x", 1, 3'600'000'000, "rows", 1.0 / 360'000, "");
  EXPECT_THAT(line, HasSubstr("1/3.6G rows"));
  EXPECT_THAT(line, HasSubstr("360k/s"));
  EXPECT_THAT(line, HasSubstr("2:46:40 left"));
}

TEST(ProgressBar, IsSilentWhereStderrIsNoTerminal) {
  testing::internal::CaptureStderr();
  {
    ProgressBar bar("train", 10, "steps");
    for (int i = 0; i <= 10; ++i) bar.update(i, "note");
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace taut
