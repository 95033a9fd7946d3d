#pragma once
// Small charts as SVG, for pages that load nothing. One look for all: colours and fonts are those
// of python/taut/page.css, which Python's reports read too.

#include <string>
#include <vector>

namespace taut {

/// How values lie along an axis.
enum class ChartScale {
  kLinear,       ///< from 0, unless all values lie close together
  kLogarithmic,  ///< by decades; values above 0
  kBytes,        ///< by powers of two with units; values above 0
};

/// One curve or one set of bars.
struct ChartSeries {
  std::string name;
  std::vector<double> y;  ///< NaN: no point
  /// Places along the x axis, ascending; empty where the chart has labels, whose y they are.
  std::vector<double> x = {};
  /// What pointing at each value says besides; empty: nothing.
  std::vector<std::string> notes = {};
};

/// What to draw. Either labels or the series' own x.
struct Chart {
  std::vector<std::string> labels = {};  ///< along the x axis, one for each value of each series
  std::vector<ChartSeries> series = {};
  std::string x_title = {};
  std::string y_title = {};
  ChartScale x_scale = ChartScale::kLinear;  ///< without labels
  ChartScale y_scale = ChartScale::kLinear;
  bool bars = false;  ///< with labels; else curves through points
};

/// An <svg> element for a page of html_page(): its width is 900 units, nothing lies outside. Text
/// is escaped. Values that a scale cannot show are left out; a chart without any is empty but for
/// its axes. Errors: kInvalidArgument naming the series whose x, y or notes do not match in number.
/// Threads: free.
[[nodiscard]] std::string svg_chart(const Chart& chart);

}  // namespace taut
