#include "cli/table_info.h"

#include <algorithm>
#include <iostream>

#include "taut/core/text.h"
#include "taut/data/table_info.h"

namespace taut::cli {
namespace {

using Json = nlohmann::json;

// Without a label no role is known but that of columns that are not read.
std::string role_of(const data::TableInfo& info, const data::ColumnGuess& column) {
  const bool known = info.problem.empty() || !column.reason.empty();
  return known ? std::string(spelling_of(column.role)) : "";
}

void print(const data::TableInfo& info) {
  std::size_t name_width = 0;
  std::size_t type_width = 0;
  for (const data::ColumnGuess& column : info.columns) {
    name_width = std::max(name_width, column.name.size());
    type_width = std::max(type_width, column.type.size());
  }
  const auto padded = [](const std::string& text, std::size_t width) {
    return text + std::string(width - std::min(width, text.size()) + 2, ' ');
  };
  std::cout << info.path << ": " << info.format
            << (info.separator.empty() ? "" : concat(", separator ", info.separator)) << ", "
            << (info.rows_exact ? "" : "about ") << info.rows << " rows, " << info.columns.size()
            << " columns\n";
  for (const data::ColumnGuess& column : info.columns) {
    std::cout << "  " << padded(column.name, name_width) << padded(column.type, type_width)
              << padded(role_of(info, column), 11) << column.reason << "\n";
  }
  if (!info.problem.empty()) std::cout << "taut init would say: " << info.problem << "\n";
}

Json to_json(const data::TableInfo& info) {
  Json columns = Json::array();
  for (const data::ColumnGuess& column : info.columns) {
    const std::string role = role_of(info, column);
    columns.push_back({{"name", column.name},
                       {"type", column.type},
                       {"role", role.empty() ? Json(nullptr) : Json(role)},
                       {"reason", column.reason}});
  }
  return {{"kind", "table"},       {"file", info.path},
          {"format", info.format}, {"separator", info.separator},
          {"rows", info.rows},     {"rows_exact", info.rows_exact},
          {"columns", columns},    {"problem", info.problem}};
}

}  // namespace

Outcome table_info(const std::string& path, const Globals& globals) {
  const data::TableInfo info = data::describe_table(path);
  if (!globals.json) print(info);
  return {to_json(info)};
}

}  // namespace taut::cli
