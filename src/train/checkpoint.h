#pragma once
// Checkpoints of a run: RUN/checkpoint/step-N.taut, the last two of them, and best.taut. Each is a
// snapshot of which only what changed is written; no two of them share a file.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "taut/core/snapshot.h"
#include "taut/train/metrics.h"
#include "taut/train/model.h"
#include "train/progressive.h"

namespace taut::train {

/// Where the loop is. All of it goes into a checkpoint.
struct LoopState {
  std::int64_t epoch = 0;
  std::int64_t batches = 0;  ///< read in this epoch
  std::int64_t steps = 0;
  std::int64_t examples = 0;
  double train_seconds = 0;
  std::int64_t metrics_bytes = 0;  ///< length of metrics.jsonl
  double best_auc = -1;            ///< on valid
  std::int64_t best_epoch = -1;
  std::int64_t bad_rows = 0;
  bool finished = false;
  Quality valid;  ///< after the last epoch
  /// Of the examples of the first epoch after its first quarter.
  ProgressiveQuality progressive;
  // Since the last line of metrics.jsonl.
  double window_loss = 0;
  std::vector<float> window_logits;
  std::vector<float> window_labels;
};

/// The checkpoints of one run, whatever it trains.
class CheckpointFolder {
 public:
  /// Adds the sections of a checkpoint.
  using Save = std::function<void(SectionSink&)>;

  CheckpointFolder(const std::string& run, const SnapshotKind& kind);

  /// Writes step-N.taut, then removes all but the last two and what these do not need. Killed at
  /// any moment, the last one that was there is whole.
  void write(std::int64_t steps, const Save& save) const;
  /// Writes best.taut.
  void write_best(std::int64_t steps, const Save& save) const;
  /// The newest step file, if there is one.
  [[nodiscard]] std::optional<std::string> newest() const;
  [[nodiscard]] std::optional<std::string> best() const;
  /// What a trained run is opened from: the best, or the newest. Throws kNotFound for neither.
  [[nodiscard]] std::string best_or_newest() const;

 private:
  [[nodiscard]] std::vector<std::string> step_files() const;

  void write_to(const std::string& path, const std::optional<std::string>& base, std::int64_t steps,
                const Save& save) const;

  std::string folder_;
  SnapshotKind kind_;
};

/// Kind and version of a recommender's checkpoints.
inline constexpr SnapshotKind kRecommenderCheckpoint{.kind = kCheckpointKind,
                                                     .version = kCheckpointVersion};

/// Adds what read_checkpoint restores.
void save_checkpoint(SectionSink& file, const LoopState& state, const Model& model);

/// Loads model and state. Errors: kFormat naming the file.
LoopState read_checkpoint(const std::string& path, Model& model);

}  // namespace taut::train
