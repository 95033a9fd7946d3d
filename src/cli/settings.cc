#include "cli/settings.h"

#include <algorithm>

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::cli {

std::vector<std::string> run_settings(const Globals& globals, const std::string& budget) {
  std::vector<std::string> settings = globals.sets;
  if (globals.seed_given) settings.push_back(concat("train.seed=", globals.seed));
  if (!budget.empty()) settings.push_back(concat("embedding.budget=\"", budget, "\""));
  return settings;
}

KnownSetting known_setting(const std::string& setting, std::span<const std::string> known) {
  const std::size_t equals = setting.find('=');
  if (equals == std::string::npos) {
    throw Error(ErrorKind::kConfig, concat("not a setting: \"", setting, "\""), "--set",
                "write --set section.key=value");
  }
  const std::string name = setting.substr(0, equals);
  const auto found = std::find(known.begin(), known.end(), name);
  if (found == known.end()) {
    throw Error(ErrorKind::kConfig, concat("unknown key \"", name, "\" for this command"), "--set",
                suggest(name, known));
  }
  const std::string text = setting.substr(equals + 1);
  const bool quoted = text.size() >= 2 && (text.front() == '"' || text.front() == '\'') &&
                      text.back() == text.front();
  return {.key = static_cast<std::size_t>(found - known.begin()),
          .value = quoted ? text.substr(1, text.size() - 2) : text};
}

std::vector<std::string> comma_list(const std::string& text) {
  std::vector<std::string> parts;
  for (std::string& part : split(text, ',')) {
    if (!part.empty()) parts.push_back(std::move(part));
  }
  return parts;
}

}  // namespace taut::cli
