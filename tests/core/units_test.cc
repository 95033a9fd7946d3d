#include "taut/core/units.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <variant>
#include <vector>

#include "support/error_matchers.h"

namespace taut {
namespace {

using test::error_of;
using test::IsError;
using testing::ValuesIn;

constexpr std::int64_t kMiB = std::int64_t{1} << 20;

struct BytesCase {
  std::string text;
  std::int64_t bytes;
};

class ParseBytes : public testing::TestWithParam<BytesCase> {};

TEST_P(ParseBytes, ReadsNumbersWithAndWithoutUnits) {
  EXPECT_EQ(parse_bytes(GetParam().text).count, GetParam().bytes);
}

const std::vector<BytesCase> kBytesCases = {
    {"1", 1},
    {"4096", 4096},
    {"4096B", 4096},
    {"16MiB", 16 * kMiB},
    {"16 MiB", 16 * kMiB},
    {"  16\tMiB ", 16 * kMiB},
    {"16Mi", 16 * kMiB},
    {"1KiB", 1024},
    {"1kiB", 1024},
    {"1kB", 1000},
    {"1K", 1000},
    {"2MB", 2'000'000},
    {"1.5GiB", 1536 * kMiB},
    {"1TiB", kMiB << 20},
    {"0.5KiB", 512},
    {"1e6B", 1'000'000},
    {"1.9", 1},
    {"9007199254740993", 9007199254740993},  // 2^53 + 1: no double holds it
    {"4611686018427387904", std::int64_t{1} << 62},
};
INSTANTIATE_TEST_SUITE_P(Text, ParseBytes, ValuesIn(kBytesCases));

class ParseBytesRejects : public testing::TestWithParam<std::string> {};

TEST_P(ParseBytesRejects, WithTheTextAndAnExample) {
  const Error error = error_of([] { (void)parse_bytes(GetParam()); });
  EXPECT_THAT(error, IsError(ErrorKind::kConfig, "\"" + GetParam() + "\""));
  EXPECT_THAT(error, IsError(ErrorKind::kConfig, "16MiB"));
}

INSTANTIATE_TEST_SUITE_P(Text, ParseBytesRejects,
                         testing::Values("", " ", "MiB", "0", "0MiB", "0.4", "-1", "-5MiB", "+5",
                                         "16XiB", "16MiBs", "16MM", "1,000", "1 2", "0x10", "nan",
                                         "inf", "1e400", "9223372036854775808",
                                         "4611686018427387905", "8388608TiB", "16MiB/2", "1e",
                                         "--1", "mib16", "16\xC2\xB5"));

struct RatioCase {
  std::string text;
  double value;
};

class ParseRatio : public testing::TestWithParam<RatioCase> {};

TEST_P(ParseRatio, ReadsFractionsDecimalsAndPercents) {
  EXPECT_DOUBLE_EQ(parse_ratio(GetParam().text).value, GetParam().value);
}

const std::vector<RatioCase> kRatioCases = {
    {"1/10", 0.1},  {"1 / 10", 0.1}, {"0.1", 0.1},    {".5", 0.5},  {"10%", 0.1},
    {"10 %", 0.1},  {"100%", 1.0},   {"1", 1.0},      {"1/1", 1.0}, {"2/3", 2.0 / 3},
    {"1e-3", 1e-3}, {"0.5/5", 0.1},  {" 1/4 ", 0.25},
};
INSTANTIATE_TEST_SUITE_P(Text, ParseRatio, ValuesIn(kRatioCases));

class ParseRatioRejects : public testing::TestWithParam<std::string> {};

TEST_P(ParseRatioRejects, WithTheTextAndAnExample) {
  const Error error = error_of([] { (void)parse_ratio(GetParam()); });
  EXPECT_THAT(error, IsError(ErrorKind::kConfig, "\"" + GetParam() + "\""));
  EXPECT_THAT(error, IsError(ErrorKind::kConfig, "1/10"));
}

INSTANTIATE_TEST_SUITE_P(Text, ParseRatioRejects,
                         testing::Values("", "0", "0%", "0/5", "1/0", "1/", "/10", "2", "11/10",
                                         "101%", "-0.1", "-1/-10", "1/10/10", "10%%", "1/10%",
                                         "nan", "inf/inf", "1e-400", "a", "0.1MiB"));

TEST(ParseBudget, TellsBytesFromRatios) {
  const auto bytes = [](const char* text) { return std::get<Bytes>(parse_budget(text)).count; };
  const auto ratio = [](const char* text) { return std::get<Ratio>(parse_budget(text)).value; };
  EXPECT_EQ(bytes("16MiB"), 16 * kMiB);
  EXPECT_EQ(bytes("1.5MiB"), 3 * kMiB / 2);
  EXPECT_EQ(bytes("4096"), 4096);
  EXPECT_EQ(bytes("2"), 2);
  EXPECT_EQ(bytes("1B"), 1);
  EXPECT_DOUBLE_EQ(ratio("1"), 1.0);
  EXPECT_DOUBLE_EQ(ratio("1/10"), 0.1);
  EXPECT_DOUBLE_EQ(ratio("0.1"), 0.1);
  EXPECT_DOUBLE_EQ(ratio("10%"), 0.1);
  EXPECT_DOUBLE_EQ(ratio("1e-2"), 0.01);
}

TEST(ParseBudget, RejectsWhatIsNeither) {
  for (const char* text : {"", "full", "1.5", "0", "-3", "1/0", "16 apples", "10%MiB"}) {
    EXPECT_THAT(error_of([&] { (void)parse_budget(text); }), IsError(ErrorKind::kConfig, text));
  }
}

TEST(ResolveBudget, KeepsBytesAndTakesAShareRoundedDown) {
  EXPECT_EQ(resolve_budget(Bytes{77}, Bytes{10}).count, 77);
  EXPECT_EQ(resolve_budget(Ratio{0.1}, Bytes{1009}).count, 100);
  EXPECT_EQ(resolve_budget(Ratio{1.0}, Bytes{1009}).count, 1009);
}

TEST(FormatBytes, ShowsThreeDigitsOrSo) {
  EXPECT_EQ(format_bytes(Bytes{0}), "0 B");
  EXPECT_EQ(format_bytes(Bytes{512}), "512 B");
  EXPECT_EQ(format_bytes(Bytes{1023}), "1023 B");
  EXPECT_EQ(format_bytes(Bytes{1024}), "1.0 KiB");
  EXPECT_EQ(format_bytes(Bytes{16 * kMiB}), "16.0 MiB");
  EXPECT_EQ(format_bytes(Bytes{kMiB - 1}), "1.0 MiB");
  EXPECT_EQ(format_bytes(Bytes{1536 * kMiB}), "1.5 GiB");
  EXPECT_EQ(format_bytes(Bytes{std::int64_t{1} << 62}), "4194304.0 TiB");
  EXPECT_EQ(format_bytes(Bytes{-2048}), "-2.0 KiB");
}

TEST(FormatBudget, IsReadBackAsTheSameBudget) {
  const std::vector<Budget> budgets = {Bytes{1},
                                       Bytes{2},
                                       Bytes{16 * kMiB},
                                       Bytes{(std::int64_t{1} << 53) + 1},
                                       Bytes{std::int64_t{1} << 62},
                                       Ratio{1.0},
                                       Ratio{0.1},
                                       Ratio{1.0 / 3},
                                       Ratio{1e-7},
                                       Ratio{std::numeric_limits<double>::min()}};
  for (const Budget& budget : budgets) {
    const std::string spelled = format_budget(budget);
    EXPECT_EQ(parse_budget(spelled), budget) << spelled;
  }
}

}  // namespace
}  // namespace taut
