// Charts: everything inside the drawing, values where they belong, text escaped.
#include "taut/core/chart.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <regex>
#include <string>
#include <vector>

#include "support/error_matchers.h"

namespace taut {
namespace {

using test::error_of;
using test::IsError;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// The numbers of an attribute, in order.
std::vector<double> numbers_of(const std::string& svg, const std::string& pattern) {
  std::vector<double> numbers;
  const std::regex wanted(pattern);
  for (auto it = std::sregex_iterator(svg.begin(), svg.end(), wanted); it != std::sregex_iterator();
       ++it) {
    numbers.push_back(std::stod((*it)[1]));
  }
  return numbers;
}

std::vector<double> heights(const std::string& svg) {
  return numbers_of(svg, "<rect[^>]*height=\"([0-9.e+-]+)\"><title>");
}

double height_of(const std::string& svg) {
  return numbers_of(svg, "viewBox=\"0 0 900 ([0-9.]+)\"").at(0);
}

bool has(const std::string& svg, const std::string& text) {
  return svg.find(text) != std::string::npos;
}

TEST(Chart, BarsAreAsHighAsTheirValues) {
  const std::string svg = svg_chart(
      {.labels = {"a", "b", "c"}, .series = {{"one", {1, 2, 4}}}, .y_title = "GB", .bars = true});
  const std::vector<double> bars = heights(svg);
  ASSERT_EQ(bars.size(), 3u);
  EXPECT_NEAR(bars[1], 2 * bars[0], 0.01);
  EXPECT_NEAR(bars[2], 4 * bars[0], 0.01);
  EXPECT_TRUE(has(svg, "<title>one, b: 2</title>"));
  EXPECT_TRUE(has(svg, ">GB</text>"));
}

TEST(Chart, BarsBelowZeroHangFromIt) {
  const std::string svg =
      svg_chart({.labels = {"a", "b"}, .series = {{"one", {-2, 2}}}, .bars = true});
  const std::vector<double> bars = heights(svg);
  EXPECT_NEAR(bars[0], bars[1], 0.01);
  const std::vector<double> tops = numbers_of(svg, "<rect[^>]*y=\"([0-9.]+)\"[^>]*><title>");
  EXPECT_NEAR(tops[0], tops[1] + bars[1], 0.01);
}

TEST(Chart, LogarithmicBarsGrowByDecades) {
  Chart chart{.labels = {"a", "b", "c"}, .series = {{"one", {1, 10, 100}}}, .bars = true};
  chart.y_scale = ChartScale::kLogarithmic;
  const std::vector<double> bars = heights(svg_chart(chart));
  EXPECT_NEAR(bars[0], 0, 0.01);
  EXPECT_NEAR(bars[2], 2 * bars[1], 0.01);
}

TEST(Chart, ValuesThatAScaleCannotShowAreLeftOut) {
  Chart chart{.labels = {"a", "b", "c", "d"},
              .series = {{"one", {0, kNan, -3, 5}}, {"two", {kNan, kNan, kNan, kNan}}},
              .bars = true};
  chart.y_scale = ChartScale::kLogarithmic;
  EXPECT_EQ(heights(svg_chart(chart)).size(), 1u);
  chart.series[0].y[3] = kNan;
  EXPECT_EQ(heights(svg_chart(chart)).size(), 0u);
  EXPECT_FALSE(has(svg_chart(chart), "nan"));
  EXPECT_FALSE(has(svg_chart({}), "nan"));
}

TEST(Chart, CloseValuesGetAnAxisOfTheirOwn) {
  const Chart chart{.series = {{"full", {0.8122, 0.8035}, {1, 2}}}, .y_title = "AUC"};
  const std::vector<double> heights = numbers_of(svg_chart(chart), "cy=\"([0-9.]+)\"");
  ASSERT_EQ(heights.size(), 2u);
  EXPECT_GT(heights[1] - heights[0], 100);
  EXPECT_TRUE(has(svg_chart(chart), ">0.804</text>"));
}

TEST(Chart, BytesAreNamedByPowersOfTwo) {
  Chart chart{.series = {{"elastic", {1, 2}, {24'320, 290'816}, {"budget 24KiB", "budget 1"}}}};
  chart.x_scale = ChartScale::kBytes;
  const std::string svg = svg_chart(chart);
  for (const char* text :
       {">16.0 KiB<", ">256.0 KiB<", "<title>elastic, budget 24KiB: 1</title>"}) {
    EXPECT_TRUE(has(svg, text)) << text << "\n" << svg;
  }
  const std::vector<double> at = numbers_of(svg, "cx=\"([0-9.]+)\"");
  EXPECT_LT(at[0], at[1]);
}

TEST(Chart, EveryTextAndMarkLiesInside) {
  for (const int count : {1, 2, 6, 30}) {
    for (const int labels : {1, 11, 200}) {
      Chart chart{.x_title = "what", .y_title = "how much", .bars = labels < 100};
      for (int i = 0; i < labels; ++i) chart.labels.push_back("a rather long label");
      for (int s = 0; s < count; ++s) {
        chart.series.push_back({"model parallel, published " + std::to_string(s), {}});
        for (int i = 0; i < labels; ++i) chart.series.back().y.push_back(1 + i * s);
      }
      const std::string svg = svg_chart(chart);
      const double height = height_of(svg);
      const std::regex names(
          "<text x=\"([0-9.]+)\" y=\"([0-9.]+)\" text-anchor=\"start\">([^<]*)<");
      int seen = 0;
      for (auto it = std::sregex_iterator(svg.begin(), svg.end(), names);
           it != std::sregex_iterator(); ++it, ++seen) {
        EXPECT_LE(std::stod((*it)[1]) + 5.5 * static_cast<double>((*it)[3].length()), 900);
        EXPECT_GE(std::stod((*it)[2]), 9);
      }
      EXPECT_EQ(seen, count + 1);
      for (const double y : numbers_of(svg, " y=\"(-?[0-9.]+)\"")) {
        EXPECT_GE(y, 0);
        EXPECT_LE(y, height);
      }
    }
  }
}

TEST(Chart, TextIsEscaped) {
  const std::string svg =
      svg_chart({.labels = {"<b>"}, .series = {{"a & \"b\"", {1}}}, .y_title = "<y>"});
  EXPECT_FALSE(has(svg, "<b>"));
  EXPECT_FALSE(has(svg, "<y>"));
  EXPECT_TRUE(has(svg, "a &amp; &quot;b&quot;"));
}

TEST(Chart, ValuesThatDoNotMatchAreNamed) {
  EXPECT_THAT(error_of([] { (void)svg_chart({.labels = {"a"}, .series = {{"s", {1, 2}}}}); }),
              IsError(ErrorKind::kInvalidArgument, "series s: y"));
  EXPECT_THAT(error_of([] { (void)svg_chart({.series = {{"s", {1, 2}, {1}}}}); }),
              IsError(ErrorKind::kInvalidArgument, "series s: x"));
  EXPECT_THAT(error_of([] { (void)svg_chart({.series = {{"s", {1}, {1}, {"a", "b"}}}}); }),
              IsError(ErrorKind::kInvalidArgument, "series s: notes"));
}

}  // namespace
}  // namespace taut
