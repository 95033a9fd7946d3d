#pragma once
// Runs: training from a config into a folder, going on after a stop, and opening what a run left.

#include <atomic>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "taut/core/error.h"
#include "taut/train/config.h"
#include "taut/train/model.h"

namespace taut::train {

/// How to train.
struct RunOptions {
  Config config;
  std::string run;      ///< folder that receives config, metrics, checkpoints and summary
  bool resume = false;  ///< go on from the last checkpoint in run, or start if there is none
  int threads = 0;      ///< 0: all processors
  /// Where the first pass over the training files is remembered; "": in run.
  std::string profile_path;
  /// When it turns true, a checkpoint is written and Interrupted thrown. May be null.
  const std::atomic<bool>* stop = nullptr;
};

/// Thrown when RunOptions::stop asked for it; the run can be resumed.
class Interrupted : public Error {
 public:
  using Error::Error;
};

/// Trains to the end and returns the summary, also written as RUN/summary.json: auc, log_loss,
/// normalized_entropy (on test, else on valid, else null), valid and test in full,
/// examples_per_second, memory_bytes, full_bytes, compression, method, seed, threads, ...
/// Quality fields have the same bits for any number of threads and however often the run was
/// killed and resumed.
/// Errors: kConfig when run holds a run already and resume is off, or its config differs; kFormat
/// for a damaged checkpoint, naming the file; those of the data, embedding and nn areas.
nlohmann::json train_run(const RunOptions& options);

/// The profile of the training files, from path when it was remembered there for the same files
/// (names, sizes, times) and columns, else by a pass over them.
[[nodiscard]] data::DataProfile load_profile(const Config& config, const std::string& path);

/// A trained run, opened from its last checkpoint.
struct OpenedRun {
  Config config;
  data::DataProfile profile;
  std::unique_ptr<Model> model;
  std::string checkpoint;  ///< the file it came from
};

/// Opens the best checkpoint when early stopping kept one, else the last.
[[nodiscard]] OpenedRun open_run(const std::string& run, int threads);

/// auc, log_loss, normalized_entropy, examples; NaN becomes null.
[[nodiscard]] nlohmann::json to_json(const Quality& quality);

}  // namespace taut::train
