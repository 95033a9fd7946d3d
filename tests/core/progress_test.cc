#include "taut/core/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>
#include <utility>

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

// stderr is a pseudo-terminal while this lives; what arrived there is read at the end.
class TerminalStderr {
 public:
  TerminalStderr() {
    int slave = -1;
    if (openpty(&master_, &slave, nullptr, nullptr, nullptr) != 0) return;
    std::fflush(stderr);
    saved_ = dup(STDERR_FILENO);
    dup2(slave, STDERR_FILENO);
    close(slave);
  }
  ~TerminalStderr() { restore(); }
  TerminalStderr(const TerminalStderr&) = delete;
  TerminalStderr& operator=(const TerminalStderr&) = delete;

  [[nodiscard]] bool works() const { return saved_ >= 0; }
  std::string take() {
    std::fflush(stderr);
    std::string written;
    std::array<char, 4096> text{};
    pollfd ready{.fd = master_, .events = POLLIN, .revents = 0};
    while (poll(&ready, 1, /*milliseconds=*/100) == 1) {
      const ssize_t size = read(master_, text.data(), text.size());
      if (size <= 0) break;
      written.append(text.data(), static_cast<std::size_t>(size));
    }
    restore();
    return written;
  }

 private:
  void restore() {
    if (saved_ < 0) return;
    dup2(saved_, STDERR_FILENO);
    close(std::exchange(saved_, -1));
    close(master_);
  }

  int master_ = -1;
  int saved_ = -1;
};

TEST(ProgressBar, DrawsOneLineAfterTwoSecondsAndClearsIt) {
  TerminalStderr terminal;
  if (!terminal.works()) GTEST_SKIP() << "this system has no pseudo-terminals";
  {
    ProgressBar bar("train", 10, "steps");
    bar.update(1, "too early to be seen");
    std::this_thread::sleep_for(std::chrono::milliseconds(2100));
    bar.update(5, "loss 0.5");
    bar.update(6, "too soon after the last");
  }
  const std::string written = terminal.take();
  EXPECT_THAT(written, testing::StartsWith("\r\033[Ktrain 50% ["));
  EXPECT_THAT(written, HasSubstr("loss 0.5"));
  EXPECT_THAT(written, Not(HasSubstr("too ")));
  EXPECT_THAT(written, testing::EndsWith("\r\033[K"));
}

}  // namespace
}  // namespace taut
