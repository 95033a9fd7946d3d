#include "taut/train/recommender.h"
#include "train/config_fields.h"

namespace taut::train {
namespace {

void check_recommender_ranges(const RecommenderConfig& c, const std::string& name) {
  const auto require = [&](bool holds, std::string_view key, std::string_view wanted,
                           const auto& got) { require_value(name, holds, key, wanted, got); };
  check_common(name, c, 1 << 24);
  require(!c.schema.label.empty(), "data.label", "the name of a column", "none");
  require(!c.schema.dense.empty() || !c.schema.categorical.empty(),
          "data.dense or data.categorical", "a list of columns", "none");
  data::ReaderOptions unused;
  data::set_text_options(c.text, name, unused);
  require(c.shuffle_rows >= 0, "data.shuffle", "0 or more rows", c.shuffle_rows);
  require(c.model.winner_rate > 0 && c.model.winner_rate <= 1, "model.winner_rate", "in (0, 1]",
          c.model.winner_rate);
  require(c.piece_size() >= 0, "train.piece", "0 or more examples", c.piece_size());
  check_winner_schedule(name, c, c.model.winner_rate < 1);
}

}  // namespace

std::string_view RecommenderConfig::task() const noexcept {
  return "ctr";
}

// With the piece that was used: a run is not resumed in others, whatever "auto" comes to then.
std::string RecommenderConfig::to_toml() const {
  RecommenderConfig resolved = *this;
  resolved.piece.given = piece_size();
  return write_config(resolved);
}

std::shared_ptr<const Config> RecommenderConfig::with(std::span<const std::string> settings) const {
  return with_settings(*this, settings, check_recommender_ranges);
}

RecommenderConfig parse_recommender_config(std::string_view text, const std::string& base,
                                           const std::string& name,
                                           std::span<const std::string> settings) {
  const auto config = read_config<RecommenderConfig>(text, base, name, settings);
  check_recommender_ranges(config, name);
  return config;
}

}  // namespace taut::train
