#include "cli/settings.h"

#include "taut/core/text.h"

namespace taut::cli {

std::vector<std::string> run_settings(const Globals& globals, const std::string& budget) {
  std::vector<std::string> settings = globals.sets;
  if (globals.seed_given) settings.push_back(concat("train.seed=", globals.seed));
  if (!budget.empty()) settings.push_back(concat("embedding.budget=\"", budget, "\""));
  return settings;
}

std::vector<std::string> comma_list(const std::string& text) {
  std::vector<std::string> parts;
  for (std::string& part : split(text, ',')) {
    if (!part.empty()) parts.push_back(std::move(part));
  }
  return parts;
}

}  // namespace taut::cli
