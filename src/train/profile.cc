// What the first pass over the training files learnt, remembered beside the run; package metadata.
#include <filesystem>

#include "taut/core/error.h"
#include "taut/core/file.h"
#include "taut/core/hash.h"
#include "taut/core/text.h"
#include "taut/data/file_marks.h"
#include "taut/data/input_spec.h"
#include "taut/train/model.h"

namespace taut::train {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

// Changes whenever the files or what is read of them change. Globs are part of the text; a file
// that a glob newly matches changes its folder's time.
std::string profile_key(const RecommenderConfig& config) {
  std::string key =
      concat(config.format, '|', join(config.schema.dense, ","), '|',
             join(config.schema.categorical, ","), '|', config.schema.label, '|',
             static_cast<int>(config.scaling), '|', static_cast<int>(config.data.on_bad_row), '|',
             config.text.separator, '|', config.text.list_separator, '|',
             join(config.text.na_values, ","), '|', spelling_of(config.text.encoding));
  for (const std::string& file : config.data.train) {
    const fs::path path(data::path_of_entry(file));
    const fs::path stamped = fs::exists(path) ? path : path.parent_path();
    key += "|" + file;
    if (!fs::exists(stamped)) continue;
    key += concat(":", fs::last_write_time(stamped).time_since_epoch().count());
    if (fs::is_regular_file(stamped)) key += concat(":", fs::file_size(stamped));
  }
  return std::to_string(hash_string(key));
}

Json profile_json(const data::DataProfile& profile, const std::string& key) {
  return {{"key", key},
          {"rows", profile.rows},
          {"positive_rows", profile.positive_rows},
          {"distinct_ids", profile.distinct_ids},
          {"scaling", data::scaling_json(profile.scaling)}};
}

data::DataProfile profile_from(const Json& json) {
  return {.rows = json.at("rows").get<std::int64_t>(),
          .positive_rows = json.at("positive_rows").get<std::int64_t>(),
          .distinct_ids = json.at("distinct_ids").get<std::vector<std::int64_t>>(),
          .scaling = data::parse_scaling(json.at("scaling")),
          .bad_rows = {}};
}

}  // namespace

data::DataProfile load_profile(const RecommenderConfig& config, const std::string& path) {
  const std::string key = profile_key(config);
  if (!path.empty() && fs::exists(path)) {
    const Json known = Json::parse(read_file(path), nullptr, /*allow_exceptions=*/false);
    if (known.is_object() && known.value("key", "") == key) return profile_from(known);
  }
  data::ReaderOptions options = reader_options(config, config.data.train, data::DataProfile{});
  options.batch_size = 1 << 14;
  const data::DataProfile profile = data::learn_profile(options, config.scaling);
  if (profile.rows == 0) {
    throw Error(ErrorKind::kData, "there are no rows to train on", join(config.data.train, " "),
                "check data.train");
  }
  if (!path.empty()) write_file(path, profile_json(profile, key).dump(2) + "\n");
  return profile;
}

}  // namespace taut::train
