#pragma once
// The one training loop.

#include <functional>
#include <nlohmann/json.hpp>

#include "taut/train/run.h"
#include "train/checkpoint.h"
#include "train/crew.h"
#include "train/metrics_file.h"
#include "train/run_control.h"
#include "train/step_trace.h"

namespace taut::train {

/// Takes one run from wherever its folder stands to its end: goes on from the newest checkpoint or
/// starts anew, runs epochs with lines of metrics and checkpoints as the config says, evaluates on
/// valid after each, keeps the best when there is early stopping, and sums up. Workers run the same
/// loop in step; their leader writes.
class Trainer {
 public:
  /// options must live as long.
  explicit Trainer(const RunOptions& options);

  /// The summary, also written. Errors: as train_run.
  nlohmann::json run();

 private:
  void check_files();
  void check_marks(bool fresh);
  void restore();
  void run_epoch();
  void log_window();
  void checkpoint();
  void end_epoch();
  void evaluate_valid(std::int64_t epoch);
  void write_network() const;
  nlohmann::json summarize();
  [[nodiscard]] CheckpointFolder::Save save();
  void save_together(const std::function<void()>& write);

  const RunOptions& options_;
  Crew crew_;
  const LoopConfig& loop_;
  const DataConfig& data_;
  std::shared_ptr<ThreadPool> pool_;
  std::unique_ptr<Task> task_;
  CheckpointFolder checkpoints_;
  MetricsFile metrics_;
  RunControl control_;
  StepTrace trace_;
  LoopState state_;
  std::string note_;
  bool warned_ = false;  ///< that the loss is not a number
};

}  // namespace taut::train
