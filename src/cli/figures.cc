// taut figures: HyPar's published figures, computed again.
#include <cmath>
#include <iostream>
#include <memory>

#include "cli/planning.h"
#include "taut/core/file.h"
#include "taut/core/text.h"
#include "taut/parallel/figures.h"

namespace taut::cli {
namespace {

using nlohmann::json;

json number_or_null(double value) {
  return std::isnan(value) ? json(nullptr) : json(value);
}

json figure_json(const parallel::Figure& figure) {
  json result = {{"id", figure.id}, {"title", figure.title}, {"note", figure.note}};
  if (!figure.text_rows.empty()) {
    result["columns"] = figure.text_columns;
    result["rows"] = figure.text_rows;
  }
  if (figure.series.empty()) return result;
  result["unit"] = figure.unit;
  result["labels"] = figure.labels;
  for (const parallel::FigureSeries& series : figure.series) {
    json published = json::array();
    for (const double value : series.published) published.push_back(number_or_null(value));
    result["series"].push_back(
        {{"name", series.name}, {"ours", series.ours}, {"published", published}});
  }
  return result;
}

int equal_plans(const parallel::Figure& figure) {
  int equal = 0;
  for (const auto& row : figure.text_rows) equal += row.back() == "yes" ? 1 : 0;
  return equal;
}

void print(const std::vector<parallel::Figure>& figures, const std::string& path) {
  std::cout << "plans equal to figure 5: " << equal_plans(figures.front()) << " of "
            << figures.front().text_rows.size() << "\n\n";
  std::vector<std::vector<std::string>> rows = {{"figure", "what", "ours", "published"}};
  for (const parallel::Figure& figure : figures) {
    for (const parallel::FigureSeries& series : figure.series) {
      if (series.published.empty() || std::isnan(series.published.back())) continue;
      rows.push_back({figure.id, figure.labels.back() + ", " + series.name,
                      concat(series.ours.back()), concat(series.published.back())});
    }
  }
  std::cout << aligned_table(rows) << "\n"
            << parallel::figure_differences(figures).size()
            << " numbers are off by more than 2.5%; they are listed in " << path << std::endl;
}

Outcome run(const std::string& path, const Globals& globals) {
  const std::vector<parallel::Figure> figures = parallel::reproduce_figures();
  write_file(path, parallel::figures_html(figures));
  json result = {{"page", path}, {"equal_plans", equal_plans(figures.front())}};
  for (const parallel::Figure& figure : figures) result["figures"].push_back(figure_json(figure));
  for (const parallel::FigureDifference& one : parallel::figure_differences(figures)) {
    result["differences"].push_back({{"figure", one.figure},
                                     {"what", one.what},
                                     {"ours", one.ours},
                                     {"published", one.published}});
  }
  if (!globals.json) print(figures, path);
  return {result, 0};
}

}  // namespace

Command add_figures(CLI::App& root, const Globals& globals) {
  CLI::App* app = root.add_subcommand(
      "figures", "Compute HyPar's figures again, beside the published values, as one page");
  auto path = std::make_shared<std::string>("figures.html");
  app->add_option("--out", *path, "The page to write")->capture_default_str();
  return {app, [path, &globals] { return run(*path, globals); },
          /*takes_settings=*/false};
}

}  // namespace taut::cli
