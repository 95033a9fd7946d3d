#include "core/toml_depth.h"

#include <gtest/gtest.h>

#include <string>

namespace taut {
namespace {

std::string times(const std::string& text, int count) {
  std::string all;
  for (int i = 0; i < count; ++i) all += text;
  return all;
}

TEST(TomlDepth, OfWhatConfigsHoldIsFine) {
  EXPECT_EQ(deep_toml_line(""), 0);
  EXPECT_EQ(deep_toml_line("[a.b]\nc = [[1, 2], [3]]\nd = {e = {f = 1}}\n"), 0);
  EXPECT_EQ(deep_toml_line("numbers = [" + times("0.125, ", 1000) + "1.5]\n"), 0);
  EXPECT_EQ(deep_toml_line(times("x = \"a.b\"\n", 100)), 0);
}

TEST(TomlDepth, OfStringsAndCommentsDoesNotCount) {
  const std::string deep = times("a.", 100) + times("[", 100);
  EXPECT_EQ(deep_toml_line("a = \"" + deep + "\"\n"), 0);
  EXPECT_EQ(deep_toml_line("a = '" + deep + "'\n"), 0);
  EXPECT_EQ(deep_toml_line("a = \"\"\"\n\"" + deep + "\n\"\"\"\n"), 0);
  EXPECT_EQ(deep_toml_line("a = '''\n'" + deep + "\n'''\n"), 0);
  EXPECT_EQ(deep_toml_line("# " + deep + "\n"), 0);
  EXPECT_EQ(deep_toml_line("a = \"\\\"" + deep + "\"\n"), 0);
}

TEST(TomlDepth, IsNamedByTheFirstLineThatGoesBeyond) {
  const std::string most = times("a.", kDeepestToml - 1) + "a = 1\n";
  EXPECT_EQ(deep_toml_line(most), 0);
  EXPECT_EQ(deep_toml_line("b = 1\n" + times("a.", kDeepestToml) + "a = 1\n"), 2);
  EXPECT_EQ(deep_toml_line("\n\n[" + times("a . ", 100000) + "a]\n"), 3);
  EXPECT_EQ(deep_toml_line(times("\"a\".", 100) + "a = 1\n"), 1);
  const std::string nest = times("[", kDeepestToml) + times("]", kDeepestToml);
  EXPECT_EQ(deep_toml_line("a = " + nest + "\n"), 0);
  EXPECT_EQ(deep_toml_line("a = [" + nest + "]\n"), 1);
  EXPECT_EQ(deep_toml_line("s = \"\"\"\n\n\"\"\"\na = " + times("{a=", 100000)), 4);
}

}  // namespace
}  // namespace taut
