#include "taut/train/image_config.h"

#include "train/image_config_fields.h"

namespace taut::train {
template <>
struct Spellings<Schedule> {
  static constexpr std::array kAll = {std::pair{"constant", Schedule::kConstant},
                                      std::pair{"cosine", Schedule::kCosine},
                                      std::pair{"one_cycle", Schedule::kOneCycle}};
};
template <>
struct Spellings<QuantizeMode> {
  static constexpr std::array kAll = {std::pair{"none", QuantizeMode::kNone},
                                      std::pair{"calibrate", QuantizeMode::kCalibrate},
                                      std::pair{"train", QuantizeMode::kTrain}};
};

template <>
struct EnumText<sparsity::Unit> {
  static sparsity::Unit parse(const std::string& text) { return sparsity::parse_unit(text); }
  static std::string name(sparsity::Unit value) { return sparsity::to_string(value); }
};
template <>
struct EnumText<sparsity::Score> {
  static sparsity::Score parse(const std::string& text) { return sparsity::parse_score(text); }
  static std::string name(sparsity::Score value) { return sparsity::to_string(value); }
};
template <>
struct EnumText<sparsity::Prune> {
  static sparsity::Prune parse(const std::string& text) {
    const auto kind = sparsity::parse_prune(text);
    if (kind == sparsity::Prune::kOutputs) {
      throw Error(ErrorKind::kConfig, "whole outputs are pruned by prune.maps");
    }
    return kind;
  }
  static std::string name(sparsity::Prune value) { return sparsity::to_string(value); }
};
template <>
struct EnumText<sparsity::Calibration> {
  static sparsity::Calibration parse(const std::string& text) {
    return sparsity::parse_calibration(text);
  }
  static std::string name(sparsity::Calibration value) { return sparsity::to_string(value); }
};

namespace {

void check_ranges(const ImageConfig& c, const std::string& name) {
  const auto require = [&](bool holds, std::string_view key, std::string_view wanted,
                           const auto& got) { require_value(name, holds, key, wanted, got); };
  require(!c.data.train.empty(), "data.train", "at least one file", "none");
  require(c.data.size >= 0, "data.size", "0 or more pixels", c.data.size);
  require(c.data.limit >= 0, "data.limit", "0 or more images", c.data.limit);
  require(c.data.crop_padding >= 0, "data.crop_padding", "0 or more pixels", c.data.crop_padding);
  for (const double rate : c.network.winners.rates) {
    require(rate > 0 && rate <= 1, "model.winner_rate", "in (0, 1]", rate);
  }
  for (const double rate : c.prune.maps) {
    require(rate > 0 && rate <= 1, "prune.maps", "in (0, 1]", rate);
  }
  check_winner_schedule(name, c.winners, c.train.epochs);
  require(c.teacher.weight >= 0 && c.teacher.weight <= 1, "teacher.weight", "in [0, 1]",
          c.teacher.weight);
  require(c.teacher.temperature > 0, "teacher.temperature", "above 0", c.teacher.temperature);
  require(c.prune.share >= 0 && c.prune.share < 1, "prune.share", "in [0, 1)", c.prune.share);
  require(c.prune.from >= 0, "prune.from", "0 or more epochs", c.prune.from);
  require(c.prune.ramp >= 0, "prune.ramp", "0 or more epochs", c.prune.ramp);
  require(c.quantize.from >= 0, "quantize.from", "0 or more epochs", c.quantize.from);
  require(c.quantize.images >= 1, "quantize.images", "at least 1", c.quantize.images);
  require(c.train.epochs >= 1, "train.epochs", "at least 1", c.train.epochs);
  require(c.train.batch_size >= 1 && c.train.batch_size <= 65536, "train.batch_size", "in 1..65536",
          c.train.batch_size);
  require(c.train.learning_rate > 0, "train.learning_rate", "above 0", c.train.learning_rate);
  require(c.train.warmup >= 0, "train.warmup", "0 or more epochs", c.train.warmup);
  require(c.train.log_every >= 1, "train.log_every", "at least 1", c.train.log_every);
  require(c.train.early_stop >= 0, "train.early_stop", "0 or more", c.train.early_stop);
  require(c.train.early_stop == 0 || !c.data.valid.empty(), "data.valid",
          "given when train.early_stop is", "none");
}

}  // namespace

std::string config_task(const std::string& path) {
  toml::table file;
  try {
    file = toml::parse(read_file(path));
  } catch (const toml::parse_error& failed) {
    throw Error(ErrorKind::kConfig, std::string(failed.description()),
                concat(path, ", line ", failed.source().begin.line));
  }
  const toml::node* task = file.get("task");
  if (task == nullptr) return std::string(kRecommenderTask);
  const std::string name = task->value_or(std::string());
  if (name == kImageTask || name == kRecommenderTask) return name;
  throw Error(ErrorKind::kConfig, concat("unknown task \"", name, "\""),
              concat(path, ", line ", task->source().begin.line), "use image or ctr");
}

ImageConfig load_image_config(const std::string& path, std::span<const std::string> settings) {
  const std::string base = std::filesystem::absolute(path).parent_path().string();
  return parse_image_config(read_file(path), base, path, settings);
}

ImageConfig parse_image_config(std::string_view text, const std::string& base,
                               const std::string& name, std::span<const std::string> settings) {
  const auto config = read_config<ImageConfig>(text, base, name, settings);
  check_ranges(config, name);
  return config;
}

std::string to_toml(const ImageConfig& config) {
  return concat("task = \"", kImageTask, "\"\n\n", write_config(config));
}

std::vector<std::string> image_config_keys() {
  return keys_of<ImageConfig>();
}

}  // namespace taut::train
