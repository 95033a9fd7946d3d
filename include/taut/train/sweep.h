#pragma once
// Many runs of one config: methods x budgets x seeds, and the table that tells which budget is
// enough.

#include <atomic>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "taut/train/config.h"

namespace taut::train {

/// What to run. The full table takes what it needs: it runs once a seed, whatever the budgets.
struct SweepOptions {
  std::shared_ptr<const Config> config;  ///< of a task with tables
  std::string folder;                ///< receives a run folder per cell, results.csv and sweep.html
  std::vector<std::string> methods;  ///< e.g. full, hash, elastic
  std::vector<std::string> budgets;  ///< as parse_budget reads them
  std::vector<std::uint64_t> seeds;
  int threads = 0;
  const std::atomic<bool>* stop = nullptr;  ///< as in RunOptions
};

/// Mean and sample standard deviation (0 for one run).
struct MeanSpread {
  double mean = 0;
  double spread = 0;
};
[[nodiscard]] MeanSpread mean_spread(const std::vector<double>& values);

/// Runs what is not done yet (a finished run in the folder is kept, an interrupted one goes on) and
/// returns {"rows": [{method, budget, seeds, auc, auc_spread, log_loss, memory_bytes, full_bytes,
/// examples_per_second}], "runs": [summaries]}. Writes results.csv (a line per run) and sweep.html.
nlohmann::json run_sweep(const SweepOptions& options);

/// The rows as a text table for people.
[[nodiscard]] std::string format_sweep_table(const nlohmann::json& sweep);

/// One self-contained page: the table and AUC against bytes.
[[nodiscard]] std::string sweep_page(const nlohmann::json& sweep);

}  // namespace taut::train
