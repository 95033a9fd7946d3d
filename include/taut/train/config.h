#pragma once
// The config of a run: a TOML file, settings over it, and the resolved form that is kept with the
// run. What every task has is here; recommender.h and classifier.h hold the sections of theirs.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "taut/core/thread_pool.h"
#include "taut/data/reader.h"
#include "taut/graph/network.h"
#include "taut/train/ramp.h"

namespace taut::train {

class Task;

/// [data] of every task; what the files are, the task says.
struct DataConfig {
  std::vector<std::string> train;
  std::vector<std::string> valid;
  std::vector<std::string> test;
  data::OnBadRow on_bad_row = data::OnBadRow::kFail;
};

/// How often checkpoints are written: every so many steps, or seconds; 0 for neither.
struct CheckpointInterval {
  std::int64_t steps = 0;
  double seconds = 300;
};

/// Examples of a batch whose gradients are one sum: key train.piece of recommenders.
struct BatchPiece {
  static constexpr std::int64_t kLeast = 32;
  static constexpr std::int64_t kMost = 512;
  static constexpr std::int64_t kWanted = 8;  ///< pieces of a batch

  std::optional<std::int64_t> given;  ///< nothing: "auto"; 0: none, sums are cut where workers are

  /// Examples of a piece where batches have so many, at least 1; 0: no pieces are fixed. "auto" is
  /// an eighth of the batch within 32 and 512: of the batch alone, so that the number of workers
  /// does not decide the bits. No piece is larger than the batch.
  [[nodiscard]] constexpr std::int64_t of(std::int64_t batch) const noexcept {
    const std::int64_t eighth = batch / kWanted + (batch % kWanted > 0 ? 1 : 0);
    return std::min(batch, given.value_or(std::clamp(eighth, kLeast, kMost)));
  }
};

/// More epochs than any run has: steps of all of them can be counted.
inline constexpr std::int64_t kMostEpochs = 1 << 24;

/// [train] of every task; defaults that differ are the task's.
struct LoopConfig {
  std::int64_t epochs = 1;
  std::int64_t batch_size = 2048;
  double learning_rate = 1e-3;
  CheckpointInterval
      checkpoint_every;         ///< steps (1000) or a time ("5m", "30s"); 0: only at the end
  std::int64_t log_every = 50;  ///< steps
  std::int64_t early_stop =
      0;  ///< epochs without a better quality on valid before the end; 0: never
  std::uint64_t seed = 1;
};

/// A config of any task. Its task makes the rest of what is needed to train from it.
struct Config {
  DataConfig data;
  WinnerSchedule winners;  ///< keys model.winner_from, winner_ramp, winner_ramp_shape
  LoopConfig train;

  virtual ~Config() = default;
  /// The name that the key task has for it.
  [[nodiscard]] virtual std::string_view task() const noexcept = 0;
  /// The config as TOML that load_config reads back to the same values.
  [[nodiscard]] virtual std::string to_toml() const = 0;
  /// A copy with settings laid over it. Errors: as load_config.
  [[nodiscard]] virtual std::shared_ptr<const Config> with(
      std::span<const std::string> settings) const = 0;
  /// What trains it; nothing is read yet.
  [[nodiscard]] virtual std::unique_ptr<Task> make_task(std::shared_ptr<ThreadPool> pool) const = 0;
  /// The network that it describes, with the sizes that its training files ask for. Reads them.
  /// Errors: those of the files and of the network.
  [[nodiscard]] virtual graph::Network network() const = 0;

 protected:
  Config() = default;
  Config(const Config&) = default;
  Config& operator=(const Config&) = default;
};

/// A task that configs may name: its config's reader. One line each in config_registry.cc.
struct TaskEntry {
  std::string_view name;
  bool has_tables;  ///< whether there is a section [embedding]
  /// text, folder of relative paths, name for messages, settings.
  std::shared_ptr<const Config> (*parse)(std::string_view text, const std::string& base,
                                         const std::string& name,
                                         std::span<const std::string> settings);
};

/// A config file as it was read: once, since it may be a pipe.
struct ConfigFile {
  std::string path;  ///< for messages
  std::string base;  ///< the folder that paths are relative to: the current one for a pipe
  std::string text;
};

/// Errors: kNotFound, kIo.
[[nodiscard]] ConfigFile read_config_file(const std::string& path);

/// What a config file is for: its key task, that of recommenders when it has none. Errors: kConfig
/// for another task.
[[nodiscard]] const TaskEntry& task_of_config(const ConfigFile& file);

/// Reads a config file and lays settings ("section.key=value") over it, the later ones winning.
/// Paths become absolute, taken from the config's folder (settings: from the current one);
/// ${NAME} in a path is the environment variable NAME, whose value stands as it is. Checks every
/// value's range. Errors: kConfig naming file, line or setting, section.key and the nearest known
/// key; kNotFound for the file.
[[nodiscard]] std::shared_ptr<const Config> load_config(const std::string& path,
                                                        std::span<const std::string> settings);

[[nodiscard]] std::shared_ptr<const Config> load_config(const ConfigFile& file,
                                                        std::span<const std::string> settings);

/// The same from text; base: the folder that paths are relative to; name: for messages.
[[nodiscard]] std::shared_ptr<const Config> parse_config(std::string_view text,
                                                         const std::string& base,
                                                         const std::string& name,
                                                         std::span<const std::string> settings);

/// The network of a config file with settings over it: what `taut plan CONFIG` plans.
[[nodiscard]] graph::Network network_of_config(const std::string& path,
                                               std::span<const std::string> settings);

}  // namespace taut::train
