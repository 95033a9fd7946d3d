#pragma once
// The config of a run: a TOML file, options over it, and the resolved form that is kept with the
// run.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "taut/core/units.h"
#include "taut/data/reader.h"
#include "taut/embedding/options.h"
#include "taut/nn/recommender.h"

namespace taut::train {

/// [data]
struct DataConfig {
  std::vector<std::string> train;
  std::vector<std::string> valid;
  std::vector<std::string> test;
  std::string format = "auto";
  data::Schema schema;
  data::ScalingKind scaling = data::ScalingKind::kStandard;
  data::OnBadRow on_bad_row = data::OnBadRow::kFail;
  std::int64_t shuffle_rows = 1 << 20;  ///< key "shuffle": rows of the buffer, 0: file order
};

/// How often checkpoints are written: every so many steps, or seconds; 0 for neither.
struct CheckpointInterval {
  std::int64_t steps = 0;
  double seconds = 300;
};

/// [train]
struct LoopConfig {
  std::int64_t epochs = 1;
  std::int64_t batch_size = 2048;
  CheckpointInterval
      checkpoint_every;         ///< steps (1000) or a time ("5m", "30s"); 0: only at the end
  std::int64_t log_every = 50;  ///< steps
  std::int64_t early_stop = 0;  ///< epochs without a better valid AUC before the end; 0: never
  std::uint64_t seed = 1;
};

/// A whole config. embedding.tables, embedding.budget in bytes, and the sizes in model are filled
/// in from the data when the run starts.
struct Config {
  DataConfig data;
  nn::RecommenderOptions model;
  embedding::Options embedding;
  Budget budget = Ratio{1.0};  ///< key embedding.budget
  /// Key embedding.initial: a file of rows (taut dump) that the tables start with; empty: none.
  std::string initial_rows;
  LoopConfig train;
};

/// Reads a config file and lays settings ("section.key=value") over it, the later ones winning.
/// Paths become absolute, taken from the config's folder (settings: from the current one);
/// ${NAME} in a path is the environment variable NAME. Checks every value's range.
/// Errors: kConfig naming file, line or setting, section.key and the nearest known key;
/// kNotFound for the file.
[[nodiscard]] Config load_config(const std::string& path, std::span<const std::string> settings);

/// The same from text; base: the folder that paths are relative to; name: for messages.
[[nodiscard]] Config parse_config(std::string_view text, const std::string& base,
                                  const std::string& name, std::span<const std::string> settings);

/// The config as TOML that load_config reads back to the same values.
[[nodiscard]] std::string to_toml(const Config& config);

/// "section.key" of every key, in order.
[[nodiscard]] std::vector<std::string> config_keys();

}  // namespace taut::train
