#pragma once
// Runs: training from a config into a folder, going on after a stop, and opening what a run left.

#include <atomic>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "taut/core/error.h"
#include "taut/dist/process_group.h"
#include "taut/train/config.h"
#include "taut/train/task.h"

namespace taut::train {

/// How to train.
struct RunOptions {
  std::shared_ptr<const Config> config;
  std::string run;      ///< folder that receives config, network, metrics, checkpoints and summary
  bool resume = false;  ///< go on from the last checkpoint in run, or start if there is none
  int threads = 0;      ///< 0: all processors
  /// Where the first pass over the training files is remembered; "": in run.
  std::string profile_path;
  /// When it turns true, a checkpoint is written and Interrupted thrown. May be null.
  const std::atomic<bool>* stop = nullptr;
  /// The workers that train this run together, each with the same options and a folder that all of
  /// them see; the first of them writes there. null: this process alone.
  std::shared_ptr<dist::ProcessGroup> workers = nullptr;
  PlanChoice plan = {};  ///< how they share the network; what splits layers goes to RUN/plan.json
  /// Step, counted from 1, whose exchanges go to RUN/trace.json, with times of all workers; 0:
  /// none.
  std::int64_t trace_step = 0;
};

/// Thrown when RunOptions::stop asked for it; the run can be resumed.
class Interrupted : public Error {
 public:
  using Error::Error;
};

/// Trains to the end and returns the summary, also written as RUN/summary.json: the task, its
/// measures (on test, else on valid, else null), valid and test in full, examples_per_second, seed,
/// threads, ... and the task's own facts. RUN/network.json holds the network's description from the
/// start, with measured densities and the tables' bytes at the end.
/// Quality fields have the same bits for any number of threads and however often the run was
/// killed and resumed.
/// Errors: kConfig when run holds a run already and resume is off, or its config differs; kFormat
/// for a damaged checkpoint, naming the file, or one of another version; those of the data,
/// embedding and nn areas. With workers also those of dist::ProcessGroup, and kUnsupported for what
/// several workers cannot train; all of them get the same summary.
nlohmann::json train_run(const RunOptions& options);

/// A trained run. What it needs comes from its checkpoint alone.
struct OpenedRun {
  std::unique_ptr<Task> task;
  std::string folder;
  std::string checkpoint;  ///< the file it came from

  /// Quality on files; none: the config's test files, else its valid files. Errors: kConfig when
  /// there are none; those of the files.
  [[nodiscard]] Evaluation evaluate(const std::vector<std::string>& files) const;
};

/// Opens the best checkpoint when early stopping kept one, else the last.
/// settings: laid over its config, as load_config does; of keys that say how files are read.
[[nodiscard]] OpenedRun open_run(const std::string& run, int threads,
                                 std::span<const std::string> settings = {});
[[nodiscard]] OpenedRun open_run(const std::string& run, std::shared_ptr<ThreadPool> pool,
                                 std::span<const std::string> settings = {});

}  // namespace taut::train
