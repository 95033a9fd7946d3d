#include "parallel/svg.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "taut/core/page.h"
#include "taut/core/text.h"

namespace taut::parallel {
namespace {

constexpr double kWidth = 900;
constexpr double kHeight = 300;
constexpr double kLeft = 60;
constexpr double kRight = 10;
constexpr double kTop = 30;
constexpr double kBottom = 70;
constexpr double kLegendLeft = kLeft + 100;
constexpr double kLegendRow = 18;
constexpr std::array<const char*, 6> kColours = {"#4269d0", "#efb118", "#ff725c",
                                                 "#6cc5b0", "#3ca951", "#a463f2"};

/// Places values between the axis' ends.
class Axis {
 public:
  explicit Axis(const Chart& chart) : logarithmic_(chart.logarithmic) {
    low_ = logarithmic_ ? std::numeric_limits<double>::infinity() : 0;
    for (const ChartSeries& series : chart.series) {
      for (const double value : series.values) {
        if (std::isnan(value)) continue;
        low_ = std::min(low_, value);
        high_ = std::max(high_, value);
      }
    }
    if (logarithmic_) {
      low_ = std::pow(10, std::floor(std::log10(low_)));
      high_ = std::pow(10, std::ceil(std::log10(high_)));
      if (!(high_ > low_)) high_ = 10 * low_;
    } else {
      high_ = high_ > 0 ? 1.05 * high_ : 1;
    }
  }

  [[nodiscard]] double y(double value) const {
    const double share = logarithmic_ ? std::log(value / low_) / std::log(high_ / low_)
                                      : (value - low_) / (high_ - low_);
    return kHeight - kBottom - share * (kHeight - kBottom - kTop);
  }
  [[nodiscard]] double base() const { return y(low_); }
  [[nodiscard]] std::vector<double> ticks() const {
    std::vector<double> ticks;
    if (logarithmic_) {
      const auto decades = static_cast<int>(std::floor(std::log10(high_ * 1.001 / low_)));
      for (int i = 0; i <= decades; ++i) ticks.push_back(low_ * std::pow(10, i));
      return ticks;
    }
    const double step = std::pow(10, std::floor(std::log10(high_)));
    const double fine = high_ / step < 3 ? step / 2 : step;
    for (int i = 0; i * fine <= high_; ++i) ticks.push_back(i * fine);
    return ticks;
  }

 private:
  bool logarithmic_;
  double low_ = 0;
  double high_ = 0;
};

std::string text_at(double x, double y, const char* anchor, const std::string& text,
                    const std::string& more = "") {
  return concat("<text x=\"", x, "\" y=\"", y, "\" text-anchor=\"", anchor, "\"", more, ">",
                escape_html(text), "</text>\n");
}

std::string axes(const Chart& chart, const Axis& axis) {
  std::string svg;
  for (const double tick : axis.ticks()) {
    const double y = axis.y(tick);
    svg += concat("<line x1=\"", kLeft, "\" x2=\"", kWidth - kRight, "\" y1=\"", y, "\" y2=\"", y,
                  "\" stroke=\"#ddd\"/>\n");
    svg += text_at(kLeft - 6, y + 4, "end", concat(tick));
  }
  svg += text_at(4, kTop - 14, "start", chart.unit);
  const double slot = (kWidth - kLeft - kRight) / static_cast<double>(chart.labels.size());
  const std::size_t every = std::max<std::size_t>(1, chart.labels.size() / 16);
  for (std::size_t i = 0; i < chart.labels.size(); i += every) {
    const double x = kLeft + (static_cast<double>(i) + 0.5) * slot;
    const double y = kHeight - kBottom + 14;
    svg +=
        text_at(x, y, "end", chart.labels[i], concat(" transform=\"rotate(-30 ", x, " ", y, ")\""));
  }
  return svg;
}

/// The series' names in as many rows as they need, upwards from above the plot.
struct Legend {
  std::string svg;
  double above;  ///< what the rows but the last take over the chart's top
};

Legend legend(const Chart& chart) {
  std::vector<std::vector<std::size_t>> rows(1);
  std::vector<double> lefts;
  double x = kLegendLeft;
  for (std::size_t s = 0; s < chart.series.size(); ++s) {
    // 7: a wide letter of the font.
    const double width = 40 + 7 * static_cast<double>(chart.series[s].name.size());
    if (x + width > kWidth && !rows.back().empty()) {
      rows.emplace_back();
      x = kLegendLeft;
    }
    rows.back().push_back(s);
    lefts.push_back(x);
    x += width;
  }
  Legend legend{"", kLegendRow * static_cast<double>(rows.size() - 1)};
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const double y = 6 - legend.above + kLegendRow * static_cast<double>(row);
    for (const std::size_t s : rows[row]) {
      legend.svg +=
          concat("<rect x=\"", lefts[s], "\" y=\"", y, "\" width=\"10\" height=\"10\" fill=\"",
                 kColours[s % kColours.size()], "\"/>\n");
      legend.svg += text_at(lefts[s] + 14, y + 9, "start", chart.series[s].name);
    }
  }
  return legend;
}

std::string bars(const Chart& chart, const Axis& axis) {
  std::string svg;
  const double slot = (kWidth - kLeft - kRight) / static_cast<double>(chart.labels.size());
  const double width = 0.8 * slot / static_cast<double>(chart.series.size());
  for (std::size_t s = 0; s < chart.series.size(); ++s) {
    for (std::size_t i = 0; i < chart.labels.size(); ++i) {
      const double value = chart.series[s].values[i];
      if (std::isnan(value)) continue;
      const double x =
          kLeft + (static_cast<double>(i) + 0.1) * slot + static_cast<double>(s) * width;
      const double y = axis.y(value);
      svg += concat("<rect x=\"", x, "\" y=\"", y, "\" width=\"", width, "\" height=\"",
                    std::max(0.0, axis.base() - y), "\" fill=\"", kColours[s % kColours.size()],
                    "\"><title>", escape_html(chart.labels[i]), ", ",
                    escape_html(chart.series[s].name), ": ", value, "</title></rect>\n");
    }
  }
  return svg;
}

std::string lines(const Chart& chart, const Axis& axis) {
  std::string svg;
  const double slot = (kWidth - kLeft - kRight) / static_cast<double>(chart.labels.size());
  for (std::size_t s = 0; s < chart.series.size(); ++s) {
    const char* colour = kColours[s % kColours.size()];
    std::string points;
    for (std::size_t i = 0; i < chart.labels.size(); ++i) {
      const double value = chart.series[s].values[i];
      if (std::isnan(value)) continue;
      const double x = kLeft + (static_cast<double>(i) + 0.5) * slot;
      points += concat(x, ",", axis.y(value), " ");
      svg += concat("<circle cx=\"", x, "\" cy=\"", axis.y(value), "\" r=\"2.5\" fill=\"", colour,
                    "\"><title>", escape_html(chart.labels[i]), ", ",
                    escape_html(chart.series[s].name), ": ", value, "</title></circle>\n");
    }
    svg += concat("<polyline points=\"", points, "\" fill=\"none\" stroke=\"", colour, "\"/>\n");
  }
  return svg;
}

}  // namespace

std::string svg_chart(const Chart& chart) {
  const Axis axis(chart);
  const Legend names = legend(chart);
  return concat("<svg viewBox=\"0 ", -names.above, " ", kWidth, " ", kHeight + names.above,
                "\" xmlns=\"http://www.w3.org/2000/svg\" font-family=\"sans-serif\" "
                "font-size=\"11\">\n",
                axes(chart, axis), names.svg, chart.lines ? lines(chart, axis) : bars(chart, axis),
                "</svg>\n");
}

}  // namespace taut::parallel
