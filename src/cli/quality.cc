#include "cli/quality.h"

#include "taut/core/text.h"
#include "taut/infer/measures.h"

namespace taut::cli {

std::string quality_text(const nlohmann::json& quality) {
  std::vector<std::string> told;
  for (const infer::MeasureWords& measure : infer::kMeasures) {
    const auto found = quality.find(measure.name);
    if (found == quality.end() || found->is_null()) continue;
    told.push_back(infer::measure_text(measure.name, found->get<double>()));
  }
  if (quality.contains("note")) told.push_back(quality["note"].get<std::string>());
  if (told.empty()) told.emplace_back("nothing can be measured");
  return concat(join(told, ", "), " (", quality["examples"], " examples)");
}

}  // namespace taut::cli
