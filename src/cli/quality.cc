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
    if (quality.contains(name)) told.push_back(concat(words, " ", quality[name]));
  }
  return concat(join(told, ", "), " (", quality["examples"], " examples)");
}

}  // namespace taut::cli
