#pragma once
// HyPar's figures 5 to 9, 11 and 12 (arXiv 1901.02067), computed again beside the published values.

#include <string>
#include <vector>

namespace taut::parallel {

/// One curve or set of bars. published is empty, or has a value for each of ours; NaN: not
/// published.
struct FigureSeries {
  std::string name;
  std::vector<double> ours;
  std::vector<double> published;
};

/// One figure: numbers by label, or rows of text (figure 5's plans).
struct Figure {
  std::string id;  ///< "figure 6"
  std::string title;
  std::string unit;
  std::string note;  ///< what the numbers are, and where they differ from the paper's and why
  std::vector<std::string> labels;
  std::vector<FigureSeries> series;
  std::vector<std::string> text_columns;
  std::vector<std::vector<std::string>> text_rows;
  bool lines = false;  ///< drawn as lines over the labels, else as bars
};

/// A number that differs from the published one by more than kFigureTolerance.
struct FigureDifference {
  std::string figure;
  std::string what;
  double ours = 0;
  double published = 0;
};

/// Above this relative difference a number counts as not reproduced: the digits of the published
/// labels and what reading bars off a plot allows.
inline constexpr double kFigureTolerance = 0.025;

/// Computes all figures, and what the headline rests on (speed over bandwidth). About 30 ms.
[[nodiscard]] std::vector<Figure> reproduce_figures();

/// The numbers with a published value that are off by more than kFigureTolerance.
[[nodiscard]] std::vector<FigureDifference> figure_differences(const std::vector<Figure>& figures);

/// One self-contained HTML page: tables, charts (inline SVG), list of differences.
[[nodiscard]] std::string figures_html(const std::vector<Figure>& figures);

/// The geometric mean. Requires values above 0.
[[nodiscard]] double geometric_mean(const std::vector<double>& values);

}  // namespace taut::parallel
