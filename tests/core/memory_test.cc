#include "taut/core/memory.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cstdint>

#include "support/error_matchers.h"
#include "taut/core/error.h"

namespace taut {
namespace {

TEST(Memory, ThereIsSomeAndNotWithoutEnd) {
  const std::int64_t there = memory_there().count;
  EXPECT_GT(there, std::int64_t{64} << 20);
  EXPECT_LT(there, std::int64_t{1} << 50);
}

TEST(Memory, IsHeldDownByTheProcessesOwnLimit) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_DATA, &before), 0);
  const std::int64_t limit = memory_there().count - (1 << 20);
  const rlimit now{static_cast<rlim_t>(limit), before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_DATA, &now), 0);
  EXPECT_EQ(memory_there().count, limit);
  ASSERT_EQ(::setrlimit(RLIMIT_DATA, &before), 0);
}

TEST(Memory, ThatIsNotThereIsAnErrorThatSaysWhatWasAskedAndWhatThereIs) {
  check_memory(memory_there(), "all of it", "here", "");
  const Error error = test::error_of([] {
    check_memory(Bytes{std::int64_t{1} << 50}, "a budget", "embedding.budget", "give less");
  });
  EXPECT_THAT(error, test::IsError(ErrorKind::kBudget, "a budget asks for 1024.0 TiB of memory"));
  EXPECT_THAT(error, test::IsError(ErrorKind::kBudget, format_bytes(memory_there())));
  EXPECT_THAT(error, test::IsError(ErrorKind::kBudget, "embedding.budget"));
}

}  // namespace
}  // namespace taut
