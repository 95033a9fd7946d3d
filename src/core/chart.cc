#include "taut/core/chart.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "taut/core/error.h"
#include "taut/core/page.h"
#include "taut/core/text.h"
#include "taut/core/units.h"

namespace taut {
namespace {

constexpr double kWidth = 900;
constexpr double kPlotHeight = 220;
constexpr double kLeft = 70;
constexpr double kRight = 36;  // half of the last tick's text fits
constexpr double kTop = 30;    // above the plot: the y axis' title and the last row of names
constexpr double kLegendLeft = 180;
constexpr double kLegendRow = 18;
constexpr double kLetter = 6.5;  // width of a letter of 11 pixels, a little more than on average
constexpr int kColours = 10;     // of page.css
constexpr double kSlant = 30;    // degrees of labels that do not fit beside each other
constexpr double kMostTicks = 7;

/// Letters of a UTF-8 text.
double letters(const std::string& text) {
  return static_cast<double>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0u) != 0x80u;
  }));
}

/// The largest of 1, 2 and 5 times a power of ten that is not above a value; above 0.
double round_step(double value) {
  const double power = std::pow(10, std::floor(std::log10(value)));
  for (const double digit : {5.0, 2.0}) {
    if (digit * power <= value) return digit * power;
  }
  return power;
}

/// Where values lie along an axis, as shares from 0 to 1, and which are named.
class Scale {
 public:
  struct Tick {
    double value;
    std::string text;
  };

  Scale(ChartScale kind, bool from_zero) : kind_(kind), from_zero_(from_zero) {}

  [[nodiscard]] bool shows(double value) const {
    return std::isfinite(value) && (kind_ == ChartScale::kLinear || value > 0);
  }

  void include(double value) {
    if (!shows(value)) return;
    low_ = std::min(low_, value);
    high_ = std::max(high_, value);
  }

  /// After the last value: ends and ticks.
  void close() {
    if (low_ > high_) low_ = high_ = 1;
    if (kind_ == ChartScale::kLinear) {
      close_linear();
    } else if (kind_ == ChartScale::kBytes) {
      close_bytes();
    } else {
      close_decades();
    }
  }

  [[nodiscard]] double share(double value) const {
    if (kind_ == ChartScale::kLinear) return (value - low_) / (high_ - low_);
    return std::log(value / low_) / std::log(high_ / low_);
  }
  [[nodiscard]] const std::vector<Tick>& ticks() const { return ticks_; }

 private:
  void close_linear() {
    if (low_ > 0 && (from_zero_ || low_ < 0.5 * high_)) low_ = 0;
    if (from_zero_ && high_ < 0) high_ = 0;
    if (low_ == high_) {
      const double around = low_ == 0 ? 1 : 0.1 * std::abs(low_);
      low_ -= around;
      high_ += around;
    }
    double step = round_step((high_ - low_) / (kMostTicks - 1));
    while (std::ceil(high_ / step) - std::floor(low_ / step) > kMostTicks) {
      step = round_step(2.5 * step);
    }
    low_ = std::floor(low_ / step) * step;
    high_ = std::ceil(high_ / step) * step;
    const auto steps = static_cast<int>(std::lround((high_ - low_) / step));
    for (int i = 0; i <= steps; ++i) {
      // As a whole number of steps, so that 0 is 0.
      tick(std::round(low_ / step + i) * step);
    }
  }

  void close_decades() {
    const auto first = static_cast<int>(std::floor(std::log10(low_) + 1e-9));
    const auto last = std::max(first + 1, static_cast<int>(std::ceil(std::log10(high_) - 1e-9)));
    low_ = std::pow(10, first);
    high_ = std::pow(10, last);
    const int every = 1 + (last - first) / 10;
    for (int power = first; power <= last; power += every) tick(std::pow(10, power));
  }

  void close_bytes() {
    const auto first = static_cast<int>(std::floor(std::log2(low_)));
    const auto last = std::max(first + 1, static_cast<int>(std::ceil(std::log2(high_))));
    low_ = std::ldexp(1, first);
    high_ = std::ldexp(1, last);
    const int every = 1 + (last - first) / 10;
    for (int power = first; power <= last; power += every) {
      const double bytes = std::ldexp(1, power);
      ticks_.push_back({bytes, power < 62 ? format_bytes({std::int64_t{1} << std::max(power, 0)})
                                          : concat(bytes)});
    }
  }

  void tick(double value) { ticks_.push_back({value, concat(value)}); }

  ChartScale kind_;
  bool from_zero_;
  double low_ = std::numeric_limits<double>::infinity();
  double high_ = -std::numeric_limits<double>::infinity();
  std::vector<Tick> ticks_;
};

std::string text_at(double x, double y, const char* anchor, const std::string& text,
                    const std::string& more = "") {
  return concat("<text x=\"", x, "\" y=\"", y, "\" text-anchor=\"", anchor, "\"", more, ">",
                escape_html(text), "</text>\n");
}

std::string grid_line(double x1, double x2, double y1, double y2) {
  return concat("<line class=\"grid\" x1=\"", x1, "\" x2=\"", x2, "\" y1=\"", y1, "\" y2=\"", y2,
                "\"/>\n");
}

class Drawing {
 public:
  explicit Drawing(const Chart& chart)
      : chart_(chart), x_(chart.x_scale, false), y_(chart.y_scale, chart.bars) {
    check();
    for (const ChartSeries& series : chart.series) {
      for (const double value : series.y) y_.include(value);
      for (const double value : series.x) x_.include(value);
    }
    y_.close();
    x_.close();
    lay_names();
  }

  std::string svg() {
    std::string marks = axes();
    for (std::size_t s = 0; s < chart_.series.size(); ++s) {
      marks += concat("<g style=\"color: var(--series-", s % kColours + 1, ")\">\n", name(s),
                      chart_.bars ? bars(s) : curve(s), "</g>\n");
    }
    return concat("<svg viewBox=\"0 0 ", kWidth, " ", bottom() + below_,
                  "\" xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" aria-label=\"",
                  escape_html(concat(chart_.y_title, chart_.x_title.empty() ? "" : " against ",
                                     chart_.x_title)),
                  "\">\n", marks, "</svg>\n");
  }

 private:
  void check() const {
    for (const ChartSeries& series : chart_.series) {
      const std::size_t wanted = chart_.labels.empty() ? series.y.size() : chart_.labels.size();
      const auto must_be = [&](const char* what, std::size_t got, std::size_t expected) {
        if (got == expected) return;
        throw_invalid_argument(concat("series ", series.name, ": ", what),
                               concat(expected, " values"), concat(got));
      };
      must_be("y", series.y.size(), wanted);
      must_be("x", series.x.size(), chart_.labels.empty() ? wanted : 0);
      if (!series.notes.empty()) must_be("notes", series.notes.size(), wanted);
    }
  }

  /// The series' names in as many rows as they need; the plot begins below them.
  void lay_names() {
    double x = kLegendLeft;
    double row = 0;
    for (const ChartSeries& series : chart_.series) {
      const double width = 14 + kLetter * letters(series.name);
      if (x + width > kWidth && x > kLegendLeft) {
        x = kLegendLeft;
        ++row;
      }
      names_.push_back({x, 8 + kLegendRow * row});
      x += width + 20;
    }
    top_ = kTop + kLegendRow * row;
    double longest = 0;
    for (const std::string& label : chart_.labels) longest = std::max(longest, letters(label));
    slanted_ = !chart_.labels.empty() && kLetter * (longest + 1) > every() * slot();
    constexpr double kPi = 3.14159265358979;
    below_ = slanted_ ? 24 + std::ceil(std::sin(kSlant * kPi / 180) * kLetter * longest) : 26;
    if (!chart_.x_title.empty()) below_ += 18;
  }

  [[nodiscard]] double bottom() const { return top_ + kPlotHeight; }
  [[nodiscard]] double slot() const {
    return (kWidth - kLeft - kRight) / std::max<double>(1, static_cast<double>(labels()));
  }
  [[nodiscard]] std::size_t labels() const { return chart_.labels.size(); }
  /// One in so many labels is written.
  [[nodiscard]] double every() const {
    return static_cast<double>(std::max<std::size_t>(1, labels() / 16));
  }

  [[nodiscard]] double y(double value) const {
    return bottom() - std::clamp(y_.share(value), 0.0, 1.0) * kPlotHeight;
  }
  /// The middle of a series' value i.
  [[nodiscard]] double x(const ChartSeries& series, std::size_t i) const {
    if (labels() > 0) return kLeft + (static_cast<double>(i) + 0.5) * slot();
    return x_at(series.x[i]);
  }
  [[nodiscard]] double x_at(double value) const {
    return kLeft + x_.share(value) * (kWidth - kLeft - kRight);
  }

  std::string axes() const {
    std::string svg;
    for (const Scale::Tick& tick : y_.ticks()) {
      svg += grid_line(kLeft, kWidth - kRight, y(tick.value), y(tick.value));
      svg += text_at(kLeft - 6, y(tick.value) + 4, "end", tick.text);
    }
    svg += text_at(4, top_ - 12, "start", chart_.y_title);
    if (labels() == 0) {
      for (const Scale::Tick& tick : x_.ticks()) {
        svg += grid_line(x_at(tick.value), x_at(tick.value), top_, bottom());
        svg += text_at(x_at(tick.value), bottom() + 16, "middle", tick.text);
      }
    }
    for (std::size_t i = 0; i < labels(); i += static_cast<std::size_t>(every())) {
      const double middle = kLeft + (static_cast<double>(i) + 0.5) * slot();
      const double under = bottom() + 16;
      svg += slanted_
                 ? text_at(middle, under, "end", chart_.labels[i],
                           concat(" transform=\"rotate(-", kSlant, " ", middle, " ", under, ")\""))
                 : text_at(middle, under, "middle", chart_.labels[i]);
    }
    if (!chart_.x_title.empty()) {
      svg +=
          text_at((kLeft + kWidth - kRight) / 2, bottom() + below_ - 6, "middle", chart_.x_title);
    }
    return svg;
  }

  std::string name(std::size_t s) const {
    const auto [left, top] = names_[s];
    return concat("<rect class=\"mark\" x=\"", left, "\" y=\"", top,
                  "\" width=\"10\" height=\"10\"/>\n",
                  text_at(left + 14, top + 9, "start", chart_.series[s].name));
  }

  /// What pointing at a value says.
  std::string said(const ChartSeries& series, std::size_t i) const {
    const std::string where = labels() > 0           ? chart_.labels[i]
                              : series.notes.empty() ? concat(series.x[i])
                                                     : std::string();
    const std::string note = series.notes.empty() ? "" : series.notes[i];
    std::string text = series.name;
    for (const std::string& part : {where, note}) {
      if (!part.empty()) text += ", " + part;
    }
    return concat("<title>", escape_html(text), ": ", series.y[i], "</title>");
  }

  std::string bars(std::size_t s) const {
    const ChartSeries& series = chart_.series[s];
    const double width = 0.8 * slot() / static_cast<double>(chart_.series.size());
    const double base = chart_.y_scale == ChartScale::kLinear ? y(0) : bottom();
    std::string svg;
    for (std::size_t i = 0; i < labels(); ++i) {
      if (!y_.shows(series.y[i])) continue;
      const double end = y(series.y[i]);
      svg += concat("<rect class=\"mark\" x=\"",
                    x(series, i) - 0.4 * slot() + static_cast<double>(s) * width, "\" y=\"",
                    std::min(end, base), "\" width=\"", width, "\" height=\"", std::abs(base - end),
                    "\">", said(series, i), "</rect>\n");
    }
    return svg;
  }

  std::string curve(std::size_t s) const {
    const ChartSeries& series = chart_.series[s];
    std::string points;
    std::string svg;
    for (std::size_t i = 0; i < series.y.size(); ++i) {
      if (!y_.shows(series.y[i]) || (labels() == 0 && !x_.shows(series.x[i]))) continue;
      points += concat(x(series, i), ",", y(series.y[i]), " ");
      svg += concat("<circle class=\"mark\" cx=\"", x(series, i), "\" cy=\"", y(series.y[i]),
                    "\" r=\"3\">", said(series, i), "</circle>\n");
    }
    return concat("<polyline class=\"curve\" points=\"", points, "\"/>\n", svg);
  }

  struct Place {
    double left;
    double top;
  };

  const Chart& chart_;
  Scale x_;
  Scale y_;
  std::vector<Place> names_;  ///< by series
  double top_ = 0;            ///< of the plot
  double below_ = 0;          ///< of the drawing, under the plot
  bool slanted_ = false;
};

}  // namespace

std::string svg_chart(const Chart& chart) {
  return Drawing(chart).svg();
}

}  // namespace taut
