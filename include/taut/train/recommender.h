#pragma once
// The task "ctr": recommenders, from columns of ids and numbers to a probability.

#include "taut/core/units.h"
#include "taut/data/reader.h"
#include "taut/embedding/options.h"
#include "taut/nn/recommender.h"
#include "taut/train/config.h"

namespace taut::train {

class Model;
struct OpenedRun;

/// A whole config. embedding.tables, embedding.budget in bytes, and the sizes in model are filled
/// in from the data when the run starts, and model.piece from `piece`.
struct RecommenderConfig final : Config {
  std::string format = "auto";  ///< key data.format
  data::Schema schema;          ///< keys data.label, dense, categorical, time
  data::ScalingKind scaling = data::ScalingKind::kStandard;  ///< key data.scaling
  std::int64_t shuffle_rows = 1 << 20;  ///< key data.shuffle: rows of the buffer, 0: file order
  data::TextOptions text;  ///< keys data.separator, list_separator, na_values, thousands, encoding
  nn::RecommenderOptions model;
  BatchPiece piece;  ///< key train.piece
  embedding::Options embedding;
  Budget budget = Ratio{1.0};  ///< key embedding.budget
  /// Key embedding.initial: a file of rows (taut dump) that the tables start with; empty: none.
  std::string initial_rows;

  [[nodiscard]] std::string_view task() const noexcept override;
  [[nodiscard]] std::string to_toml() const override;
  [[nodiscard]] std::shared_ptr<const Config> with(
      std::span<const std::string> settings) const override;
  [[nodiscard]] std::unique_ptr<Task> make_task(std::shared_ptr<ThreadPool> pool) const override;
  [[nodiscard]] graph::Network network() const override;

  /// Examples of a piece of this config's batches; 0: none are fixed.
  [[nodiscard]] std::int64_t piece_size() const noexcept { return piece.of(train.batch_size); }
};

/// As parse_config, of the task's own type.
[[nodiscard]] RecommenderConfig parse_recommender_config(std::string_view text,
                                                         const std::string& base,
                                                         const std::string& name,
                                                         std::span<const std::string> settings);

/// The profile of the training files, from path when it was remembered there for the same files
/// (names, sizes, times) and columns, else by a pass over them. path "": not remembered.
[[nodiscard]] data::DataProfile load_profile(const RecommenderConfig& config,
                                             const std::string& path);

/// What an opened run of a recommender holds: views of it.
struct RecommenderRun {
  const RecommenderConfig& config;
  const data::DataProfile& profile;
  Model* model;
  const std::string& checkpoint;
};

/// The parts of a run. Errors: kConfig, saying that `what` is for recommenders, for another task's.
[[nodiscard]] RecommenderRun recommender_of(const OpenedRun& run, std::string_view what);

}  // namespace taut::train
