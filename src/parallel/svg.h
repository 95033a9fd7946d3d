#pragma once
// Small charts as SVG text, for pages that must stand alone.

#include <string>
#include <vector>

namespace taut::parallel {

/// One curve or set of bars; NaN: no point.
struct ChartSeries {
  std::string name;
  std::vector<double> values;
};

/// A chart over labels. Values must be above 0 on a logarithmic axis.
struct Chart {
  std::vector<std::string> labels;
  std::vector<ChartSeries> series;
  std::string unit;
  bool lines = false;
  bool logarithmic = false;
};

/// An <svg> element.
[[nodiscard]] std::string svg_chart(const Chart& chart);

}  // namespace taut::parallel
