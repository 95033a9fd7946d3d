#include "taut/core/error.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "support/error_matchers.h"

namespace taut {
namespace {

using test::error_of;
using test::IsError;

const std::vector<ErrorKind> kAllKinds = {
    ErrorKind::kInvalidArgument, ErrorKind::kConfig, ErrorKind::kData,
    ErrorKind::kNotFound,        ErrorKind::kFormat, ErrorKind::kBudget,
    ErrorKind::kUnsupported,     ErrorKind::kIo,     ErrorKind::kInternal};

TEST(Error, JoinsWhatWhereAndMend) {
  const Error error(ErrorKind::kData, "label must be 0 or 1, got 2", "a.csv row 7", "mend the row");
  EXPECT_STREQ(error.what(), "label must be 0 or 1, got 2, a.csv row 7, mend the row");
  EXPECT_EQ(error.kind(), ErrorKind::kData);
}

TEST(Error, LeavesOutEmptyParts) {
  EXPECT_STREQ(Error(ErrorKind::kConfig, "what").what(), "what");
  EXPECT_STREQ(Error(ErrorKind::kConfig, "what", "where").what(), "what, where");
  EXPECT_STREQ(Error(ErrorKind::kConfig, "what", "", "mend").what(), "what, mend");
}

TEST(Error, IsARuntimeError) {
  EXPECT_THROW(throw Error(ErrorKind::kIo, "disk full"), std::runtime_error);
}

TEST(Error, KeepsItsMessageWhenCopied) {
  const Error error(ErrorKind::kIo, "disk full", "/data");
  const Error copy = error;
  EXPECT_STREQ(copy.what(), error.what());
  EXPECT_EQ(copy.kind(), error.kind());
}

TEST(ErrorKindNames, AreAllDifferentAndKnown) {
  std::set<std::string_view> names;
  for (const ErrorKind kind : kAllKinds) names.insert(to_string(kind));
  EXPECT_EQ(names.size(), kAllKinds.size());
  EXPECT_FALSE(names.contains("unknown"));
  EXPECT_FALSE(names.contains(""));
}

TEST(ExitCode, IsTwoForAllThatTheUserCanMendAndOneForOurOwnMistakes) {
  for (const ErrorKind kind : kAllKinds) {
    EXPECT_EQ(exit_code(kind), kind == ErrorKind::kInternal ? 1 : 2) << to_string(kind);
  }
}

TEST(ThrowInvalidArgument, NamesArgumentWantedAndGot) {
  const Error error = error_of([] { throw_invalid_argument("dim", "a multiple of 4", "10"); });
  EXPECT_THAT(error, IsError(ErrorKind::kInvalidArgument, ""));
  EXPECT_STREQ(error.what(), "dim must be a multiple of 4, got 10");
}

TEST(AssertionFailedDeathTest, EndsTheProcessNamingExpressionAndPlace) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(assertion_failed("rows > 0", "store.cc", 42),
               "internal assertion failed: rows > 0 \\(store.cc:42\\)");
}

TEST(AssertDeathTest, EvaluatesItsConditionOnlyWhereAssertionsAreOn) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  int evaluated = 0;
  TAUT_ASSERT(++evaluated > 0);
#if defined(TAUT_ASSERTS) || !defined(NDEBUG)
  EXPECT_EQ(evaluated, 1);
  EXPECT_DEATH(TAUT_ASSERT(evaluated == 2), "evaluated == 2");
#else
  EXPECT_EQ(evaluated, 0);
#endif
}

}  // namespace
}  // namespace taut
