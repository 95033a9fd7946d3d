// What people see of a sweep: a text table, and a page with a plot.
#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>
#include <vector>

#include "taut/core/chart.h"
#include "taut/core/page.h"
#include "taut/core/text.h"
#include "taut/core/units.h"
#include "taut/train/sweep.h"

namespace taut::train {
namespace {

using Json = nlohmann::json;

constexpr std::array<const char*, 8> kHeader = {"method",   "budget", "AUC",     "spread",
                                                "log loss", "bytes",  "of full", "examples/s"};

std::string fixed(const Json& value, int digits) {
  if (!value.is_number()) return "-";
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), "%.*f", digits, value.get<double>());
  return text.data();
}

std::array<std::string, 8> row_texts(const Json& row) {
  const double memory = row["memory_bytes"].get<double>();
  const double full = std::max(1.0, row["full_bytes"].get<double>());
  return {row["method"].get<std::string>(),
          row["budget"].get<std::string>(),
          fixed(row["auc"], 4),
          fixed(row["auc_spread"], 4),
          fixed(row["log_loss"], 4),
          format_bytes(Bytes{static_cast<std::int64_t>(memory)}),
          fixed(memory / full, 4),
          fixed(row["examples_per_second"], 0)};
}

// AUC against bytes: a curve for each method, through its budgets.
Chart quality_chart(const Json& sweep) {
  // Methods in the order of the table.
  std::vector<std::pair<std::string, std::vector<const Json*>>> by_method;
  for (const Json& row : sweep["rows"]) {
    if (!row["auc"].is_number() || !(row["memory_bytes"].get<double>() > 0)) continue;
    const std::string& method = row["method"].get_ref<const std::string&>();
    if (by_method.empty() || by_method.back().first != method) by_method.push_back({method, {}});
    by_method.back().second.push_back(&row);
  }
  Chart chart{.x_title = "bytes of the tables", .y_title = "AUC"};
  chart.x_scale = ChartScale::kBytes;
  for (auto& [method, rows] : by_method) {
    std::stable_sort(rows.begin(), rows.end(), [](const Json* a, const Json* b) {
      return (*a)["memory_bytes"].get<double>() < (*b)["memory_bytes"].get<double>();
    });
    ChartSeries& series = chart.series.emplace_back(ChartSeries{.name = method, .y = {}});
    for (const Json* row : rows) {
      series.x.push_back((*row)["memory_bytes"].get<double>());
      series.y.push_back((*row)["auc"].get<double>());
      series.notes.push_back("budget " + (*row)["budget"].get<std::string>());
    }
  }
  return chart;
}

}  // namespace

std::string format_sweep_table(const nlohmann::json& sweep) {
  std::vector<std::array<std::string, 8>> lines(1);
  std::copy(kHeader.begin(), kHeader.end(), lines[0].begin());
  for (const Json& row : sweep["rows"]) lines.push_back(row_texts(row));
  std::array<std::size_t, 8> widths{};
  for (const auto& line : lines) {
    for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
  }
  std::string table;
  for (const auto& line : lines) {
    for (std::size_t i = 0; i < line.size(); ++i) {
      const std::string pad(widths[i] - line[i].size(), ' ');
      table += concat(i == 0 ? "" : "  ", i < 2 ? line[i] + pad : pad + line[i]);
    }
    table += '\n';
  }
  return table;
}

std::string sweep_page(const nlohmann::json& sweep) {
  std::string page = "<div class=\"card\">" + svg_chart(quality_chart(sweep)) +
                     "</div>\n<div class=\"card\"><table><tr>";
  for (const char* name : kHeader) page += concat("<th>", name, "</th>");
  page += "</tr>";
  for (const Json& row : sweep["rows"]) {
    page += "<tr>";
    for (const std::string& text : row_texts(row)) {
      page += concat("<td>", escape_html(text), "</td>");
    }
    page += "</tr>";
  }
  return html_page("Quality against bytes", page + "</table></div>\n");
}

}  // namespace taut::train
