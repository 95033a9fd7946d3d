// The tasks that there are, and configs of any of them.
#include <algorithm>
#include <array>
#include <filesystem>

#include "core/toml_text.h"
#include "taut/core/error.h"
#include "taut/core/file.h"
#include "taut/core/text.h"
#include "taut/train/classifier.h"
#include "taut/train/recommender.h"

namespace taut::train {
namespace {

template <auto kParse>
std::shared_ptr<const Config> parse_as(std::string_view text, const std::string& base,
                                       const std::string& name,
                                       std::span<const std::string> settings) {
  using Own = decltype(kParse(text, base, name, settings));
  return std::make_shared<Own>(kParse(text, base, name, settings));
}

// The last is that of configs without a key task.
constexpr std::array<TaskEntry, 2> kTasks = {{
    {"image", false, parse_as<parse_image_config>},
    {"ctr", true, parse_as<parse_recommender_config>},
}};

const TaskEntry& task_of_text(std::string_view text, const std::string& name) {
  const toml::table file = parse_toml(text, name);
  const toml::node* key = file.get("task");
  if (key == nullptr) return kTasks.back();
  const std::string task = key->value_or(std::string());
  const auto* found = std::find_if(kTasks.begin(), kTasks.end(),
                                   [&](const TaskEntry& entry) { return entry.name == task; });
  if (found != kTasks.end()) return *found;
  std::vector<std::string> known;
  for (const TaskEntry& entry : kTasks) known.emplace_back(entry.name);
  throw Error(ErrorKind::kConfig, concat("unknown task \"", task, "\""),
              concat(name, ", line ", key->source().begin.line), "use " + join(known, " or "));
}

}  // namespace

ConfigFile read_config_file(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code ignored;  // read_file says what is wrong with it
  const bool regular = fs::is_regular_file(path, ignored);
  const fs::path base = regular ? fs::absolute(path).parent_path() : fs::current_path();
  return {.path = path, .base = base.string(), .text = read_file(path)};
}

const TaskEntry& task_of_config(const ConfigFile& file) {
  return task_of_text(file.text, file.path);
}

std::shared_ptr<const Config> parse_config(std::string_view text, const std::string& base,
                                           const std::string& name,
                                           std::span<const std::string> settings) {
  return task_of_text(text, name).parse(text, base, name, settings);
}

std::shared_ptr<const Config> load_config(const std::string& path,
                                          std::span<const std::string> settings) {
  return load_config(read_config_file(path), settings);
}

std::shared_ptr<const Config> load_config(const ConfigFile& file,
                                          std::span<const std::string> settings) {
  return parse_config(file.text, file.base, file.path, settings);
}

graph::Network network_of_config(const std::string& path, std::span<const std::string> settings) {
  return load_config(path, settings)->network();
}

}  // namespace taut::train
