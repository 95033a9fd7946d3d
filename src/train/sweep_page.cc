// What people see of a sweep: a text table, and a page with a plot.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <map>

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

// Positions on the plot: log10 of bytes and AUC, mapped to pixels.
struct Axis {
  double low;
  double high;
  double from;
  double to;
  [[nodiscard]] double at(double value) const {
    return from + (value - low) / std::max(high - low, 1e-12) * (to - from);
  }
};

struct Point {
  double log_bytes;
  double auc;
};

std::map<std::string, std::vector<Point>> points_by_method(const Json& sweep) {
  std::map<std::string, std::vector<Point>> points;
  for (const Json& row : sweep["rows"]) {
    if (!row["auc"].is_number() || !(row["memory_bytes"].get<double>() > 0)) continue;
    points[row["method"].get<std::string>()].push_back(
        {std::log10(row["memory_bytes"].get<double>()), row["auc"].get<double>()});
  }
  return points;
}

std::string plot(const Json& sweep) {
  constexpr std::array<const char*, 9> kColours = {"#1b6ca8", "#d1495b", "#2e933c",
                                                   "#edae49", "#6c4ab6", "#00798c",
                                                   "#8d6a9f", "#5f5f5f", "#b36a5e"};
  auto points = points_by_method(sweep);
  Axis x{1e9, -1e9, 70, 690};
  Axis y{1e9, -1e9, 350, 20};
  for (const auto& [method, list] : points) {
    for (const Point& point : list) {
      x.low = std::min(x.low, point.log_bytes - 0.1);
      x.high = std::max(x.high, point.log_bytes + 0.1);
      y.low = std::min(y.low, point.auc - 0.005);
      y.high = std::max(y.high, point.auc + 0.005);
    }
  }
  std::string svg =
      "<svg viewBox='0 0 820 400' width='820' role='img' aria-label='AUC against bytes'>";
  for (int i = 0; i <= 4; ++i) {
    const double auc = y.low + (y.high - y.low) * i / 4;
    svg +=
        concat("<line class='grid' x1='70' x2='690' y1='", y.at(auc), "' y2='", y.at(auc), "'/>",
               "<text x='62' y='", y.at(auc) + 4, "' text-anchor='end'>", fixed(auc, 3), "</text>");
  }
  for (int power = static_cast<int>(std::ceil(x.low)); power <= x.high; ++power) {
    svg +=
        concat("<line class='grid' y1='20' y2='350' x1='", x.at(power), "' x2='", x.at(power),
               "'/><text y='368' text-anchor='middle' x='", x.at(power), "'>10^", power, "</text>");
  }
  std::size_t colour = 0;
  for (auto& [method, list] : points) {
    std::sort(list.begin(), list.end(),
              [](const Point& a, const Point& b) { return a.log_bytes < b.log_bytes; });
    const char* stroke = kColours[colour % kColours.size()];
    std::string line;
    for (const Point& point : list) {
      line += concat(x.at(point.log_bytes), ",", y.at(point.auc), " ");
      svg += concat("<circle r='4' fill='", stroke, "' cx='", x.at(point.log_bytes), "' cy='",
                    y.at(point.auc), "'/>");
    }
    svg +=
        concat("<polyline fill='none' stroke='", stroke, "' stroke-width='2' points='", line, "'/>",
               "<text x='705' y='", 30 + 20 * colour, "' fill='", stroke, "'>", method, "</text>");
    ++colour;
  }
  return svg + "<text x='380' y='392' text-anchor='middle'>bytes of the tables</text>" +
         "<text x='70' y='14'>AUC</text></svg>";
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
    table += "\n";
  }
  return table;
}

std::string sweep_page(const nlohmann::json& sweep) {
  std::string page =
      "<div class=\"card\">" + plot(sweep) + "</div>\n<div class=\"card\"><table><tr>";
  for (const char* name : kHeader) page += concat("<th>", name, "</th>");
  page += "</tr>";
  for (const Json& row : sweep["rows"]) {
    page += "<tr>";
    for (const std::string& text : row_texts(row)) page += concat("<td>", text, "</td>");
    page += "</tr>";
  }
  return html_page("Quality against bytes", page + "</table></div>\n");
}

}  // namespace taut::train
