#include "cli/quality.h"

#include <array>
#include <utility>

#include "taut/core/text.h"

namespace taut::cli {

std::string quality_text(const nlohmann::json& quality) {
  constexpr std::array<std::pair<const char*, const char*>, 4> kMeasures = {
      {{"auc", "AUC"},
       {"top1", "top-1"},
       {"log_loss", "log loss"},
       {"normalized_entropy", "normalized entropy"}}};
  std::vector<std::string> told;
  for (const auto& [name, words] : kMeasures) {
    if (quality.contains(name) && !quality[name].is_null()) {
      told.push_back(concat(words, " ", quality[name]));
    }
  }
  if (quality.contains("note")) told.push_back(quality["note"].get<std::string>());
  if (told.empty()) told.emplace_back("nothing can be measured");
  return concat(join(told, ", "), " (", quality["examples"], " examples)");
}

}  // namespace taut::cli
