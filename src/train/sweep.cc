#include "taut/train/sweep.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>

#include "core/json_text.h"
#include "taut/core/error.h"
#include "taut/core/file.h"
#include "taut/core/log.h"
#include "taut/core/progress.h"
#include "taut/core/text.h"
#include "taut/embedding/embedding.h"
#include "taut/train/run.h"
#include "train/run_folder.h"

namespace taut::train {
namespace {

using Json = nlohmann::json;

// One run of the grid.
struct Cell {
  std::string method;
  std::string budget;
  std::uint64_t seed;
};

std::vector<Cell> grid(const SweepOptions& options) {
  std::vector<Cell> cells;
  for (const std::string& method : options.methods) {
    const std::vector<std::string> budgets =
        method == "full" ? std::vector<std::string>{"1"} : options.budgets;
    for (const std::string& budget : budgets) {
      for (const std::uint64_t seed : options.seeds) cells.push_back({method, budget, seed});
    }
  }
  return cells;
}

std::string folder_of(const SweepOptions& options, const Cell& cell) {
  std::string budget = cell.budget;
  std::replace(budget.begin(), budget.end(), '/', '-');
  return concat(options.folder, "/", cell.method, "_", budget, "_seed", cell.seed);
}

// The summary of a run that has ended, with the fields that the table needs.
Json read_summary(const std::string& path) {
  Json summary = read_json_object(path);
  static_cast<void>(json_member<std::string>(summary, "method", path));
  static_cast<void>(json_member<std::uint64_t>(summary, "seed", path));
  for (const char* field : {"auc", "log_loss", "normalized_entropy", "memory_bytes", "full_bytes",
                            "examples_per_second"}) {
    const Json& value = json_at(summary, field, path);
    if (!value.is_null()) static_cast<void>(json_value<double>(value, field, path));
  }
  return summary;
}

Json run_cell(const SweepOptions& options, const Cell& cell) {
  const std::string folder = folder_of(options, cell);
  const std::vector<std::string> settings = {concat("embedding.method=\"", cell.method, "\""),
                                             concat("embedding.budget=\"", cell.budget, "\""),
                                             concat("train.seed=", cell.seed)};
  const RunOptions run{.config = options.config->with(settings),
                       .run = folder,
                       .resume = true,
                       .threads = options.threads,
                       .profile_path = options.folder + "/profile.json",
                       .stop = options.stop};
  const std::string summary_path = folder + "/summary.json";
  const bool same_config = std::filesystem::exists(folder + "/config.toml") &&
                           read_file(folder + "/config.toml") == run.config->to_toml();
  Json summary = same_config && std::filesystem::exists(summary_path) ? read_summary(summary_path)
                                                                      : train_run(run);
  summary["budget"] = cell.budget;
  return summary;
}

std::vector<double> values_of(const std::vector<Json>& runs, const char* field) {
  std::vector<double> values;
  for (const Json& run : runs) {
    values.push_back(run.at(field).is_number() ? run.at(field).get<double>()
                                               : std::numeric_limits<double>::quiet_NaN());
  }
  return values;
}

Json row_of(const std::vector<Json>& runs) {
  const MeanSpread auc = mean_spread(values_of(runs, "auc"));
  return {{"method", runs.front().at("method")},
          {"budget", runs.front().at("budget")},
          {"seeds", runs.size()},
          {"auc", json_number(auc.mean)},
          {"auc_spread", json_number(auc.spread)},
          {"log_loss", json_number(mean_spread(values_of(runs, "log_loss")).mean)},
          {"memory_bytes", mean_spread(values_of(runs, "memory_bytes")).mean},
          {"full_bytes", runs.front().at("full_bytes")},
          {"examples_per_second",
           json_number(mean_spread(values_of(runs, "examples_per_second")).mean)}};
}

std::string csv_of(const std::vector<Json>& runs) {
  std::string csv =
      "method,budget,seed,auc,log_loss,normalized_entropy,memory_bytes,full_bytes,"
      "examples_per_second\n";
  for (const Json& run : runs) {
    csv += concat(run["method"].get<std::string>(), ',', run["budget"].get<std::string>());
    for (const char* field : {"seed", "auc", "log_loss", "normalized_entropy", "memory_bytes",
                              "full_bytes", "examples_per_second"}) {
      csv += "," + (run[field].is_null() ? std::string() : run[field].dump());
    }
    csv += "\n";
  }
  return csv;
}

void check_options(const SweepOptions& options) {
  const auto require = [](bool holds, std::string_view what) {
    if (!holds)
      throw Error(ErrorKind::kConfig, concat("give at least one of ", what), "taut sweep");
  };
  require(!options.methods.empty(), "--methods");
  require(!options.budgets.empty(), "--budgets");
  require(!options.seeds.empty(), "--seeds");
  const std::vector<std::string> known = embedding::methods();
  for (const std::string& method : options.methods) {
    if (std::find(known.begin(), known.end(), method) != known.end()) continue;
    throw Error(ErrorKind::kConfig, concat("unknown method \"", method, "\""), "--methods",
                suggest(method, known));
  }
  for (const std::string& budget : options.budgets) static_cast<void>(parse_budget(budget));
}

}  // namespace

MeanSpread mean_spread(const std::vector<double>& values) {
  if (values.empty()) return {};
  const auto count = static_cast<double>(values.size());
  double sum = 0;
  for (const double value : values) sum += value;
  const double mean = sum / count;
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return {mean, values.size() > 1 ? std::sqrt(squares / (count - 1)) : 0.0};
}

nlohmann::json run_sweep(const SweepOptions& options) {
  check_options(options);
  const FolderLock lock = hold_run_folder(options.folder);
  const std::vector<Cell> cells = grid(options);
  std::vector<Json> runs;
  std::vector<Json> rows;
  std::vector<Json> same_cell;
  ProgressBar bar("sweep", static_cast<std::int64_t>(cells.size()), "runs");
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const Cell& cell = cells[i];
    bar.update(static_cast<std::int64_t>(i),
               concat(cell.method, " at ", cell.budget, ", seed ", cell.seed));
    runs.push_back(run_cell(options, cell));
    same_cell.push_back(runs.back());
    write_file(options.folder + "/results.csv", csv_of(runs));
    const bool last_seed = i + 1 == cells.size() || cells[i + 1].method != cell.method ||
                           cells[i + 1].budget != cell.budget;
    if (!last_seed) continue;
    rows.push_back(row_of(same_cell));
    same_cell.clear();
  }
  const Json sweep = {{"folder", options.folder}, {"rows", rows}, {"runs", runs}};
  write_file(options.folder + "/sweep.html", sweep_page(sweep));
  return sweep;
}

}  // namespace taut::train
