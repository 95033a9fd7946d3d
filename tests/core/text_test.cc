#include "taut/core/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

namespace taut {
namespace {

using testing::ElementsAre;
using Names = std::vector<std::string>;

TEST(Concat, WritesValuesOneAfterAnother) {
  EXPECT_EQ(concat("row ", 7, " of ", std::string("a.csv"), ": ", 0.5, ' ', true),
            "row 7 of a.csv: 0.5 1");
}

TEST(Join, PutsTheSeparatorBetweenPartsOnly) {
  EXPECT_EQ(join(Names{}, ", "), "");
  EXPECT_EQ(join(Names{"a"}, ", "), "a");
  EXPECT_EQ(join(Names{"a", "", "c"}, ", "), "a, , c");
}

TEST(Split, KeepsEmptyParts) {
  EXPECT_THAT(split("a,b,c", ','), ElementsAre("a", "b", "c"));
  EXPECT_THAT(split("", ','), ElementsAre(""));
  EXPECT_THAT(split(",", ','), ElementsAre("", ""));
  EXPECT_THAT(split(",a,,", ','), ElementsAre("", "a", "", ""));
  EXPECT_THAT(split("a\tb", ','), ElementsAre("a\tb"));
}

TEST(Split, IsUndoneByJoin) {
  for (const std::string text : {"", ",", "a", "a,b", ",,a,,"}) {
    EXPECT_EQ(join(split(text, ','), ","), text);
  }
}

TEST(NearestName, FindsInsertionsDeletionsAndSubstitutions) {
  const Names known = {"elastic", "full", "hash"};
  EXPECT_EQ(nearest_name("elastc", known), "elastic");
  EXPECT_EQ(nearest_name("ellastic", known), "elastic");
  EXPECT_EQ(nearest_name("elazzic", known), "elastic");
  EXPECT_EQ(nearest_name("ful", known), "full");
  EXPECT_EQ(nearest_name("hash", known), "hash");
}

TEST(NearestName, IsEmptyWhenNothingIsNear) {
  EXPECT_EQ(nearest_name("checkpoint_every", Names{"full", "hash"}), "");
  EXPECT_EQ(nearest_name("abcd", Names{"wxyz"}), "");
  EXPECT_EQ(nearest_name("full", Names{}), "");
}

TEST(NearestName, TakesTheFirstOfEquallyNear) {
  EXPECT_EQ(nearest_name("bat", Names{"cat", "hat"}), "cat");
  EXPECT_EQ(nearest_name("bat", Names{"hat", "cat"}), "hat");
}

TEST(NearestName, AllowsTwoEditsOnShortNamesAndHalfOfLongOnes) {
  EXPECT_EQ(nearest_name("ab", Names{"cd"}), "cd");
  EXPECT_EQ(nearest_name("ab", Names{"cde"}), "");
  EXPECT_EQ(nearest_name("abcdefgh", Names{"abcdWXYZ"}), "abcdWXYZ");
  EXPECT_EQ(nearest_name("abcdefgh", Names{"abcVWXYZ"}), "");
}

TEST(Suggest, NamesTheNearestOrListsAll) {
  EXPECT_EQ(suggest("fulll", Names{"full", "hash"}), "did you mean full?");
  EXPECT_EQ(suggest("embedding", Names{"full", "hash"}), "known: full, hash");
}

TEST(Text, IsUtf8WhereEveryCharacterIsWholeAndShort) {
  for (const char* good :
       {"", "plain", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xed\x9f\xbf"}) {
    EXPECT_TRUE(is_utf8(good)) << good;
  }
  for (const char* bad : {"\xff", "\xc3", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80",
                          "\xf4\x90\x80\x80", "\xf0\x80\x80\x80", "a\x80", "\xe2\x82"}) {
    EXPECT_FALSE(is_utf8(bad)) << one_line(bad);
  }
}

TEST(Text, OnOneLineHoldsNoControlsAndOnlyUtf8) {
  EXPECT_EQ(one_line("a\nb\tc\rd"), "a\\nb\\tc\\rd");
  EXPECT_EQ(one_line("\xc3\xa9 \xff\x1b[0m\x7f"), "\xc3\xa9 \\xff\\x1b[0m\\x7f");
  EXPECT_EQ(one_line(""), "");
  EXPECT_EQ(one_line(std::string("\0", 1)), "\\x00");
}

TEST(Text, NumbersOfFixedDigitsAreRoundedAndNeverMinusZero) {
  EXPECT_EQ(fixed_text(0.6971417142229841, 4), "0.6971");
  EXPECT_EQ(fixed_text(0.7, 3), "0.700");
  EXPECT_EQ(fixed_text(166807.96318589145, 0), "166808");
  EXPECT_EQ(fixed_text(1e15, 0), "1000000000000000");
  EXPECT_EQ(fixed_text(-2.345, 1), "-2.3");
  EXPECT_EQ(fixed_text(-0.0004, 3), "0.000");
  EXPECT_EQ(fixed_text(-0.0, 0), "0");
  EXPECT_EQ(fixed_text(-0.0006, 3), "-0.001");
  EXPECT_EQ(fixed_text(std::numeric_limits<double>::infinity(), 2), "inf");
}

}  // namespace
}  // namespace taut
