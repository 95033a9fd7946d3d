#include "taut/core/log.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

namespace taut {
namespace {

std::string written_to_stderr(const std::function<void()>& call) {
  testing::internal::CaptureStderr();
  call();
  return testing::internal::GetCapturedStderr();
}

void log_all() {
  log_debug("a detail");
  log_info("a fact {} %s");  // no format string: braces are plain text
  log_warning("a worry");
}

class LogTest : public testing::Test {
 protected:
  ~LogTest() override { set_log_level(LogLevel::kInfo); }
};

TEST_F(LogTest, WritesOneLineForEachMessageFromTheLevelOn) {
  set_log_level(LogLevel::kDebug);
  EXPECT_EQ(written_to_stderr(log_all), "debug: a detail\ninfo: a fact {} %s\nwarning: a worry\n");
  set_log_level(LogLevel::kInfo);
  EXPECT_EQ(written_to_stderr(log_all), "info: a fact {} %s\nwarning: a worry\n");
  set_log_level(LogLevel::kWarning);
  EXPECT_EQ(written_to_stderr(log_all), "warning: a worry\n");
  set_log_level(LogLevel::kSilent);
  EXPECT_EQ(written_to_stderr(log_all), "");
}

TEST_F(LogTest, LeavesStdoutToResults) {
  set_log_level(LogLevel::kDebug);
  testing::internal::CaptureStdout();
  (void)written_to_stderr(log_all);
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
}

}  // namespace
}  // namespace taut
