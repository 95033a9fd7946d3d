// What the first pass over the training files learnt, remembered beside the run; package metadata.
#include <cmath>
#include <filesystem>

#include "taut/core/error.h"
#include "taut/core/file.h"
#include "taut/core/hash.h"
#include "taut/core/text.h"
#include "taut/train/run.h"

namespace taut::train {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

Json scaling_json(const std::vector<data::DenseScaling>& scaling) {
  Json list = Json::array();
  for (const data::DenseScaling& s : scaling) {
    list.push_back({{"kind", static_cast<int>(s.kind)}, {"mean", s.mean}, {"deviation", s.deviation}});
  }
  return list;
}

std::vector<data::DenseScaling> scaling_from(const Json& list) {
  std::vector<data::DenseScaling> scaling;
  for (const Json& s : list) {
    scaling.push_back({.kind = static_cast<data::ScalingKind>(s.at("kind").get<int>()),
                       .mean = s.at("mean").get<double>(),
                       .deviation = s.at("deviation").get<double>()});
  }
  return scaling;
}

// Changes whenever the files or what is read of them change. Globs are part of the text; a file that
// a glob newly matches changes its folder's time.
std::string profile_key(const Config& config) {
  std::string key = concat(config.data.format, '|', join(config.data.schema.dense, ","), '|',
                           join(config.data.schema.categorical, ","), '|', config.data.schema.label,
                           '|', static_cast<int>(config.data.scaling), '|',
                           static_cast<int>(config.data.on_bad_row));
  for (const std::string& file : config.data.train) {
    const fs::path path(file);
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
          {"scaling", scaling_json(profile.scaling)}};
}

data::DataProfile profile_from(const Json& json) {
  return {.rows = json.at("rows").get<std::int64_t>(),
          .positive_rows = json.at("positive_rows").get<std::int64_t>(),
          .distinct_ids = json.at("distinct_ids").get<std::vector<std::int64_t>>(),
          .scaling = scaling_from(json.at("scaling"))};
}

}  // namespace

data::DataProfile load_profile(const Config& config, const std::string& path) {
  const std::string key = profile_key(config);
  if (fs::exists(path)) {
    const Json known = Json::parse(read_file(path), nullptr, /*allow_exceptions=*/false);
    if (known.is_object() && known.value("key", "") == key) return profile_from(known);
  }
  data::ReaderOptions options = reader_options(config, config.data.train, data::DataProfile{});
  options.batch_size = 1 << 14;
  const data::DataProfile profile = data::learn_profile(options, config.data.scaling);
  if (profile.rows == 0) {
    throw Error(ErrorKind::kData, "there are no rows to train on", join(config.data.train, " "),
                "check data.train");
  }
  write_file(path, profile_json(profile, key).dump(2) + "\n");
  return profile;
}

nlohmann::json to_json(const Quality& quality) {
  const auto number = [](double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); };
  return {{"examples", quality.examples},
          {"auc", number(quality.auc)},
          {"log_loss", number(quality.log_loss)},
          {"normalized_entropy", number(quality.normalized_entropy)}};
}

nlohmann::json package_metadata(const OpenedRun& run) {
  const Config& config = run.config;
  return {{"label", config.data.schema.label},
          {"dense", config.data.schema.dense},
          {"categorical", config.data.schema.categorical},
          {"format", config.data.format},
          {"scaling", scaling_json(run.profile.scaling)},
          {"on_bad_row", static_cast<int>(config.data.on_bad_row)},
          {"test", config.data.test},
          {"method", config.embedding.method},
          {"seed", config.train.seed},
          {"full_bytes", run.model->full_bytes()}};
}

data::ReaderOptions reader_options(const nlohmann::json& metadata, const std::string& path) {
  data::ReaderOptions options;
  try {
    options.schema.label = metadata.at("label").get<std::string>();
    options.schema.dense = metadata.at("dense").get<std::vector<std::string>>();
    options.schema.categorical = metadata.at("categorical").get<std::vector<std::string>>();
    options.format = metadata.at("format").get<std::string>();
    options.scaling = scaling_from(metadata.at("scaling"));
    options.on_bad_row = static_cast<data::OnBadRow>(metadata.at("on_bad_row").get<int>());
  } catch (const Json::exception& failed) {
    throw Error(ErrorKind::kFormat, concat("section \"metadata\" is wrong: ", failed.what()), path);
  }
  return options;
}

}  // namespace taut::train
