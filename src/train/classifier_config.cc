#include <algorithm>

#include "taut/train/classifier.h"
#include "train/classifier_fields.h"

namespace taut::train {
template <>
struct EnumText<sparsity::Prune> {
  static sparsity::Prune parse(const std::string& text) {
    const auto kind = sparsity::parse_prune(text);
    if (kind == sparsity::Prune::kOutputs) {
      throw Error(ErrorKind::kConfig, "whole outputs are pruned by prune.maps");
    }
    return kind;
  }
  static std::string_view name(sparsity::Prune value) { return spelling_of(value); }
};
namespace {

void check_image_ranges(const ImageConfig& c, const std::string& name) {
  const auto require = [&](bool holds, std::string_view key, std::string_view wanted,
                           const auto& got) { require_value(name, holds, key, wanted, got); };
  check_common(name, c, 65536);
  require(c.size >= 0, "data.size", "0 or more pixels", c.size);
  require(c.limit >= 0, "data.limit", "0 or more images", c.limit);
  require(c.crop_padding >= 0, "data.crop_padding", "0 or more pixels", c.crop_padding);
  const std::vector<double>& rates = c.model.winners.rates;
  for (const double rate : rates) {
    require(rate > 0 && rate <= 1, "model.winner_rate", "in (0, 1]", rate);
  }
  for (const double rate : c.prune.maps) {
    require(rate > 0 && rate <= 1, "prune.maps", "in (0, 1]", rate);
  }
  check_winner_schedule(name, c,
                        std::any_of(rates.begin(), rates.end(), [](double r) { return r < 1; }));
  require(c.teacher.weight >= 0 && c.teacher.weight <= 1, "teacher.weight", "in [0, 1]",
          c.teacher.weight);
  require(c.teacher.temperature > 0, "teacher.temperature", "above 0", c.teacher.temperature);
  require(c.prune.share >= 0 && c.prune.share < 1, "prune.share", "in [0, 1)", c.prune.share);
  require(c.prune.from >= 0, "prune.from", "0 or more epochs", c.prune.from);
  require(c.prune.ramp >= 0, "prune.ramp", "0 or more epochs", c.prune.ramp);
  require(c.quantize.from >= 0, "quantize.from", "0 or more epochs", c.quantize.from);
  require(c.quantize.images >= 1, "quantize.images", "at least 1", c.quantize.images);
  require(c.train.learning_rate > 0, "train.learning_rate", "above 0", c.train.learning_rate);
  require(c.warmup >= 0, "train.warmup", "0 or more epochs", c.warmup);
}

}  // namespace

ImageConfig::ImageConfig() {
  train.epochs = 10;
  train.batch_size = 128;
  train.learning_rate = 0.1;
}

std::string_view ImageConfig::task() const noexcept {
  return "image";
}

std::string ImageConfig::to_toml() const {
  return concat("task = \"", task(), "\"\n\n", write_config(*this));
}

std::shared_ptr<const Config> ImageConfig::with(std::span<const std::string> settings) const {
  return with_settings(*this, settings, check_image_ranges);
}

ImageConfig parse_image_config(std::string_view text, const std::string& base,
                               const std::string& name, std::span<const std::string> settings) {
  const auto config = read_config<ImageConfig>(text, base, name, settings);
  check_image_ranges(config, name);
  return config;
}

}  // namespace taut::train
