#include "taut/train/config.h"

#include <algorithm>
#include <filesystem>

#include "train/config_io.h"

namespace taut::train {
namespace {

void check_ranges(const Config& c, const std::string& name) {
  const auto require = [&](bool holds, std::string_view key, std::string_view wanted,
                           const auto& got) { require_value(name, holds, key, wanted, got); };
  require(!c.data.train.empty(), "data.train", "at least one file", "none");
  require(!c.data.schema.label.empty(), "data.label", "the name of a column", "none");
  require(!c.data.schema.dense.empty() || !c.data.schema.categorical.empty(),
          "data.dense or data.categorical", "a list of columns", "none");
  require(c.data.shuffle_rows >= 0, "data.shuffle", "0 or more rows", c.data.shuffle_rows);
  require(c.model.winner_rate > 0 && c.model.winner_rate <= 1, "model.winner_rate", "in (0, 1]",
          c.model.winner_rate);
  check_winner_schedule(name, c.winners, c.train.epochs);
  require(c.train.epochs >= 1, "train.epochs", "at least 1", c.train.epochs);
  require(c.train.batch_size >= 1 && c.train.batch_size <= (1 << 24), "train.batch_size",
          "in 1..16777216", c.train.batch_size);
  require(c.train.log_every >= 1, "train.log_every", "at least 1", c.train.log_every);
  require(c.train.early_stop >= 0, "train.early_stop", "0 or more", c.train.early_stop);
  require(c.train.early_stop == 0 || !c.data.valid.empty(), "data.valid",
          "given when train.early_stop is", "none");
}

}  // namespace

Config load_config(const std::string& path, std::span<const std::string> settings) {
  const std::string text = read_file(path);
  const std::string base = std::filesystem::absolute(path).parent_path().string();
  return parse_config(text, base, path, settings);
}

Config parse_config(std::string_view text, const std::string& base, const std::string& name,
                    std::span<const std::string> settings) {
  const auto config = read_config<Config>(text, base, name, settings);
  check_ranges(config, name);
  return config;
}

std::string to_toml(const Config& config) {
  return write_config(config);
}

std::vector<std::string> config_keys() {
  return keys_of<Config>();
}

}  // namespace taut::train
