#include "cli/data_info.h"

#include <algorithm>
#include <iostream>
#include <vector>

#include "taut/core/text.h"
#include "taut/data/images.h"
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

std::vector<std::int64_t> count_classes(const data::ImageSet& images) {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(images.classes));
  for (const std::int32_t label : images.labels) ++counts[static_cast<std::size_t>(label)];
  return counts;
}

void print(const data::ImageSet& images, const std::vector<std::int64_t>& counts,
           const data::Normalization& normalization) {
  std::cout << images.count << " images of " << images.height << " x " << images.width << ", "
            << (images.channels == 1 ? "grey" : "colour") << ", " << images.classes
            << " classes\nmean ";
  for (const float mean : normalization.mean) std::cout << mean << " ";
  std::cout << "deviation ";
  for (const float deviation : normalization.deviation) std::cout << deviation << " ";
  std::cout << "(of values in 0..1)\nimages of each class:\n";
  for (std::size_t c = 0; c < counts.size(); ++c) {
    std::cout << "  " << (images.class_names.empty() ? concat(c) : images.class_names[c]) << ": "
              << counts[c] << "\n";
  }
}

}  // namespace

Outcome table_info(const std::string& path, const Globals& globals) {
  const data::TableInfo info = data::describe_table(path);
  if (!globals.json) print(info);
  return {to_json(info)};
}

Outcome images_info(const std::string& name, const Globals& globals) {
  data::ImageSourceOptions options;
  options.files = {name};
  options.threads = globals.threads;
  const data::ImageSet images = data::read_images(options);
  const std::vector<std::int64_t> counts = count_classes(images);
  const data::Normalization normalization = data::measure_normalization(images, globals.threads);
  if (!globals.json) print(images, counts, normalization);
  return {Json{{"kind", "images"},
               {"count", images.count},
               {"height", images.height},
               {"width", images.width},
               {"channels", images.channels},
               {"classes", images.classes},
               {"class_names", images.class_names},
               {"images_per_class", counts},
               {"mean", normalization.mean},
               {"deviation", normalization.deviation},
               {"bytes", images.pixels.size()}}};
}

}  // namespace taut::cli
