#pragma once
// Checkpoints of a run: RUN/checkpoint/step-N.taut, the last two of them, and best.taut. Each is a
// snapshot of which only what changed is written; no two of them share a file.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "taut/core/snapshot.h"
#include "taut/train/task.h"

namespace taut::train {

/// Kind and version of every run's checkpoints.
inline constexpr SnapshotKind kCheckpointKind{.kind = "ckpt", .version = 5};

/// The checkpoints of one run, whatever it trains.
class CheckpointFolder {
 public:
  /// Adds the sections of a checkpoint.
  using Save = std::function<void(SectionSink&)>;

  explicit CheckpointFolder(const std::string& run);

  /// Writes step-N.taut, then removes all but the last two and what these do not need. Killed at
  /// any moment, the last one that was there is whole.
  void write(std::int64_t steps, const Save& save) const;
  /// Writes best.taut.
  void write_best(std::int64_t steps, const Save& save) const;
  /// Calls save and writes nothing: for a worker whose parts another one writes.
  static void give_parts(const Save& save);
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
};

/// Adds what read_checkpoint restores: the section "state" (numbers of the loop and the task), and
/// the task's own sections. Changes nothing.
void save_checkpoint(SectionSink& file, LoopState& state, Task& task);

/// Loads task and state. Errors: kFormat naming the file; for one of another kind, version or task
/// naming both.
LoopState read_checkpoint(const std::string& path, Task& task);

}  // namespace taut::train
