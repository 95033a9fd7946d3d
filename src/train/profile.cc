// What the first pass over the training files learnt, remembered beside the run; package metadata.
#include <filesystem>

#include "core/json_text.h"
#include "taut/core/error.h"
#include "taut/core/file.h"
#include "taut/core/hash.h"
#include "taut/core/text.h"
#include "taut/data/file_marks.h"
#include "taut/data/input_spec.h"
#include "taut/embedding/options.h"
#include "taut/train/model.h"
#include "train/profile.h"
#include "train/state.h"

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
  if (!config.text.thousands.empty()) key += concat("|thousands ", config.text.thousands);
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

data::DataProfile profile_from(const Json& json, const std::string& path) {
  return {.rows = json_member<std::int64_t>(json, "rows", path),
          .positive_rows = json_member<std::int64_t>(json, "positive_rows", path),
          .distinct_ids = json_member<std::vector<std::int64_t>>(json, "distinct_ids", path),
          .scaling = data::parse_scaling(json_at(json, "scaling", path), path),
          .bad_rows = {}};
}

// Throws kFormat unless a list has an entry for each column.
void require_columns(std::string_view name, std::size_t got, std::size_t wanted,
                     const std::string& where) {
  if (got == wanted) return;
  throw Error(ErrorKind::kFormat,
              concat("\"", name, "\" must have ", wanted, " entries, one a column, got ", got),
              where);
}

}  // namespace

void check_profile(const data::DataProfile& profile, const RecommenderConfig& config,
                   const std::string& where) {
  require_field("rows", profile.rows, 1, kMostCounted, where);
  require_field("positive_rows", profile.positive_rows, 0, profile.rows, where);
  require_columns("distinct_ids", profile.distinct_ids.size(), config.schema.categorical.size(),
                  where);
  for (const std::int64_t ids : profile.distinct_ids) {
    require_field("distinct_ids", ids, 0, embedding::kMostIds, where);
  }
  require_columns("scaling", profile.scaling.size(), config.schema.dense.size(), where);
  for (const data::DenseScaling& one : profile.scaling) {
    data::check_scaling(one, where);
    if (one.kind == config.scaling) continue;
    throw Error(ErrorKind::kFormat,
                concat("\"scaling\" must be of kind ", spelling_of(config.scaling), ", got ",
                       spelling_of(one.kind)),
                where);
  }
}

data::DataProfile load_profile(const RecommenderConfig& config, const std::string& path) {
  const std::string key = profile_key(config);
  if (!path.empty() && fs::exists(path)) {
    const Json known = read_json_object(path);
    if (json_member<std::string>(known, "key", path) == key) {
      data::DataProfile profile = profile_from(known, path);
      check_profile(profile, config, path);
      return profile;
    }
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
