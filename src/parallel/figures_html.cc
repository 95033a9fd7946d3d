#include <cmath>

#include "taut/core/chart.h"
#include "taut/core/page.h"
#include "taut/core/text.h"
#include "taut/parallel/figures.h"

namespace taut::parallel {
namespace {

constexpr std::size_t kMostRows = 16;  // longer figures are drawn only

std::string row(const std::vector<std::string>& cells, const char* tag) {
  std::string html = "<tr>";
  for (const std::string& cell : cells) {
    html += concat("<", tag, ">", escape_html(cell), "</", tag, ">");
  }
  return html + "</tr>\n";
}

std::string number(double value) {
  return std::isnan(value) ? std::string("-") : concat(value);
}

std::string difference(double ours, double published) {
  if (std::isnan(published)) return "-";
  const double percent = 100 * (ours / published - 1);
  return concat(percent > 0 ? "+" : "", std::round(100 * percent) / 100, "%");
}

std::string number_table(const Figure& figure) {
  std::vector<std::string> header = {""};
  for (const FigureSeries& series : figure.series) {
    header.push_back(series.name);
    if (series.published.empty()) continue;
    header.emplace_back("published");
    header.emplace_back("difference");
  }
  std::string html = "<div class=\"card\"><table>\n" + row(header, "th");
  for (std::size_t i = 0; i < figure.labels.size(); ++i) {
    std::vector<std::string> cells = {figure.labels[i]};
    for (const FigureSeries& series : figure.series) {
      cells.push_back(number(series.ours[i]));
      if (series.published.empty()) continue;
      cells.push_back(number(series.published[i]));
      cells.push_back(difference(series.ours[i], series.published[i]));
    }
    html += row(cells, "td");
  }
  return html + "</table></div>\n";
}

std::string chart(const Figure& figure) {
  Chart chart{.labels = figure.labels, .y_title = figure.unit};
  chart.bars = !figure.lines;
  if (chart.bars) chart.y_scale = ChartScale::kLogarithmic;
  for (const FigureSeries& series : figure.series) {
    chart.series.push_back({series.name, series.ours});
    bool any = false;
    for (const double value : series.published) any = any || !std::isnan(value);
    if (any) chart.series.push_back({series.name + ", published", series.published});
  }
  return svg_chart(chart);
}

std::string section(const Figure& figure) {
  std::string html = concat("<h2>", escape_html(figure.id), ": ", escape_html(figure.title),
                            "</h2>\n<p>", escape_html(figure.note), "</p>\n");
  if (!figure.text_rows.empty()) {
    html += "<div class=\"card\"><table class=\"texts\">\n" + row(figure.text_columns, "th");
    for (const auto& cells : figure.text_rows) html += row(cells, "td");
    html += "</table></div>\n";
  }
  if (figure.series.empty()) return html;
  html += concat("<div class=\"card\">", chart(figure), "</div>\n");
  if (figure.labels.size() <= kMostRows) html += number_table(figure);
  return html;
}

std::string differences_section(const std::vector<Figure>& figures) {
  std::string html = concat("<h2>Differences</h2>\n<p>Numbers more than ", 100 * kFigureTolerance,
                            "% off the published ones.</p>\n<div class=\"card\"><table>\n",
                            row({"figure", "what", "ours", "published", "difference"}, "th"));
  for (const FigureDifference& one : figure_differences(figures)) {
    html += row({one.figure, one.what, number(one.ours), number(one.published),
                 difference(one.ours, one.published)},
                "td");
  }
  return html + "</table></div>\n";
}

}  // namespace

std::string figures_html(const std::vector<Figure>& figures) {
  std::string html =
      "<p>Figures 5 to 9, 11 and 12 of arXiv 1901.02067 "
      "beside the published values. What was chosen to fit which figure is said at each; "
      "docs/parallel.md explains the model. This page: taut figures.</p>\n";
  for (const Figure& figure : figures) html += section(figure);
  return html_page("HyPar's figures, computed again", html + differences_section(figures));
}

}  // namespace taut::parallel
