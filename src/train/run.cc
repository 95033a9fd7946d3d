#include "taut/train/run.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <thread>

#include "taut/core/error.h"
#include "taut/core/file.h"
#include "taut/core/log.h"
#include "taut/core/progress.h"
#include "taut/core/snapshot.h"
#include "taut/core/text.h"
#include "train/checkpoint.h"
#include "train/metrics_file.h"
#include "train/run_control.h"
#include "train/run_folder.h"

namespace taut::train {
namespace {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;
namespace fs = std::filesystem;

// One line of metrics.jsonl; auc is that of the window, before each step.
nlohmann::ordered_json metrics_line(const LoopState& state, double loss, const Model& model) {
  const double auc = area_under_curve(state.window_logits, state.window_labels);
  nlohmann::ordered_json line = {{"step", state.steps},
                                 {"examples", state.examples},
                                 {"seconds", state.train_seconds},
                                 {"loss", loss}};
  if (std::isfinite(auc)) line["auc"] = auc;
  if (model.tables() != nullptr) {
    const embedding::Statistics statistics = model.tables()->statistics();
    line["memory_bytes"] = statistics.memory_bytes;
    line["budget_bytes"] = statistics.budget_bytes;
    for (const auto& [part, size] : statistics.parts) line["memory_parts"][part] = size;
    line["resident_rows"] = statistics.resident_rows;
    line["rows_by_width"] = statistics.rows_by_width;
    line["rebalance_seconds"] = statistics.rebalance_seconds;
  }
  return line;
}

// One run from wherever its folder stands to its end.
class Trainer {
 public:
  explicit Trainer(const RunOptions& options)
      : options_(options),
        config_(options.config),
        pool_(std::make_shared<ThreadPool>(options.threads)),
        profile_(load_profile(config_, options.profile_path.empty() ? options.run + "/profile.json"
                                                                    : options.profile_path)),
        model_(config_, profile_, pool_),
        checkpoints_(options.run, kRecommenderCheckpoint),
        metrics_(options.run + "/metrics.jsonl"),
        control_(options.run, options.stop, config_.train.checkpoint_every) {}

  Json run() {
    restore();
    while (!state_.finished) {
      run_epoch();
      end_epoch();
    }
    return summarize();
  }

 private:
  void restore() {
    remove_abandoned_files(options_.run);
    const std::optional<std::string> newest = checkpoints_.newest();
    if (newest) {
      state_ = read_checkpoint(*newest, model_);
      log_info(concat("going on from step ", state_.steps, " (", *newest, ")"));
    } else {
      model_.count_ids(reader_options(config_, config_.data.train, profile_));
      model_.load_initial_rows(config_);
    }
    metrics_.open_at(state_.metrics_bytes);
    control_.checkpointed();
  }

  [[nodiscard]] data::ReaderOptions train_reader_options() const {
    data::ReaderOptions options = reader_options(config_, config_.data.train, profile_);
    options.shuffle_rows = config_.data.shuffle_rows;
    options.epoch = state_.epoch;
    return options;
  }

  void run_epoch() {
    data::BatchReader reader(train_reader_options());
    reader.skip(state_.batches);
    ProgressBar bar(concat("epoch ", state_.epoch + 1, "/", config_.train.epochs), profile_.rows,
                    "examples");
    Clock::time_point start = Clock::now();
    while (reader.next(batch_)) {
      train_batch();
      bar.update(state_.batches * config_.train.batch_size, note_);
      state_.train_seconds += seconds_since(start);
      if (state_.steps % config_.train.log_every == 0) log_window();
      if (control_.stop_asked()) stop_here();
      if (control_.checkpoint_due(state_.steps)) checkpoint();
      start = Clock::now();
    }
    report_bad_rows(reader.bad_rows());
  }

  // The winner rate of the next step.
  [[nodiscard]] double winner_rate() const {
    const double done = static_cast<double>(state_.batches * config_.train.batch_size) /
                        static_cast<double>(std::max<std::int64_t>(1, profile_.rows));
    return winner_rate_at(config_.winners, config_.model.winner_rate,
                          static_cast<double>(state_.epoch) + std::min(done, 1.0));
  }

  void train_batch() {
    model_.set_winner_rate(winner_rate());
    const double loss = model_.train_step(batch_, logits_);
    const bool learnt_a_quarter = 4 * state_.examples >= profile_.rows;
    if (state_.epoch == 0 && learnt_a_quarter) state_.progressive.add(logits_, batch_.labels);
    ++state_.batches;
    ++state_.steps;
    state_.examples += batch_.size;
    state_.window_loss += loss;
    state_.window_logits.insert(state_.window_logits.end(), logits_.begin(), logits_.end());
    state_.window_labels.insert(state_.window_labels.end(), batch_.labels.begin(),
                                batch_.labels.end());
  }

  // Writes a line of metrics about the steps since the last one.
  void log_window() {
    const auto count = static_cast<double>(state_.window_labels.size());
    const double loss = state_.window_loss / count;
    note_ = concat("loss ", loss);
    metrics_.append(metrics_line(state_, loss, model_));
    state_.metrics_bytes = metrics_.bytes();
    state_.window_loss = 0;
    state_.window_logits.clear();
    state_.window_labels.clear();
  }

  [[noreturn]] void stop_here() {
    checkpoint();
    control_.stop_at(state_.steps);
  }

  void checkpoint() {
    metrics_.flush();
    checkpoints_.write(state_.steps,
                       [this](SectionSink& file) { save_checkpoint(file, state_, model_); });
    control_.checkpointed();
  }

  void report_bad_rows(const data::BadRows& bad) {
    state_.bad_rows = bad.count;
    if (bad.count == 0 || state_.epoch > 0) return;
    log_warning(concat(bad.count, " bad rows left out; the first:"));
    for (const std::string& row : bad.first) log_warning("  " + row);
  }

  void end_epoch() {
    const std::int64_t epoch = state_.epoch++;
    state_.batches = 0;
    if (!config_.data.valid.empty()) {
      state_.valid = model_.evaluate(reader_options(config_, config_.data.valid, profile_));
      log_info(concat("epoch ", epoch + 1, ": valid AUC ", state_.valid.auc, ", log loss ",
                      state_.valid.log_loss));
      if (state_.valid.auc > state_.best_auc) {
        state_.best_auc = state_.valid.auc;
        state_.best_epoch = epoch;
        if (config_.train.early_stop > 0)
          checkpoints_.write_best(
              state_.steps, [this](SectionSink& file) { save_checkpoint(file, state_, model_); });
      }
    }
    const bool stalled =
        config_.train.early_stop > 0 && epoch - state_.best_epoch >= config_.train.early_stop;
    state_.finished = stalled || state_.epoch >= config_.train.epochs;
    if (state_.finished && !state_.window_labels.empty()) log_window();
    checkpoint();
  }

  Json summarize() {
    const std::int64_t memory_bytes = model_.memory_bytes();
    const std::optional<std::string> best = checkpoints_.best();
    if (best && state_.best_epoch + 1 != state_.epoch) {
      state_.valid = read_checkpoint(*best, model_).valid;
    }
    Json summary = run_facts(memory_bytes);
    summary["progressive"] = to_json(state_.progressive.quality());
    const bool has_valid = !config_.data.valid.empty();
    if (has_valid) summary["valid"] = to_json(state_.valid);
    if (!config_.data.test.empty()) {
      summary["test"] =
          to_json(model_.evaluate(reader_options(config_, config_.data.test, profile_)));
    }
    const Json quality =
        summary.contains("test") ? summary["test"]
        : summary.contains("valid")
            ? summary["valid"]
            : to_json(Quality{.auc = NAN, .log_loss = NAN, .normalized_entropy = NAN});
    for (const char* field : {"auc", "log_loss", "normalized_entropy"}) {
      summary[field] = quality[field];
    }
    write_file(options_.run + "/summary.json", summary.dump(2) + "\n");
    return summary;
  }

  [[nodiscard]] Json run_facts(std::int64_t memory_bytes) const {
    const auto rate = static_cast<double>(state_.examples) / state_.train_seconds;
    Json facts = {{"run", options_.run},
                  {"method", config_.embedding.method},
                  {"model", config_.model.kind},
                  {"seed", config_.train.seed},
                  {"threads", pool_->threads()},
                  {"epochs", state_.epoch},
                  {"steps", state_.steps},
                  {"examples", state_.examples},
                  {"bad_rows", state_.bad_rows},
                  {"train_seconds", state_.train_seconds},
                  {"examples_per_second", std::isfinite(rate) ? Json(rate) : Json(nullptr)},
                  {"dense_parameters", model_.dense().parameter_count()},
                  {"memory_bytes", memory_bytes},
                  {"full_bytes", model_.full_bytes()}};
    if (model_.tables() == nullptr) return facts;
    const embedding::Statistics statistics = model_.tables()->statistics();
    facts["budget_bytes"] = statistics.budget_bytes;
    facts["peak_memory_bytes"] = model_.tables()->peak_memory_bytes();
    facts["resident_rows"] = statistics.resident_rows;
    facts["rebalance_seconds"] = statistics.rebalance_seconds;
    facts["compression"] =
        static_cast<double>(model_.full_bytes()) / static_cast<double>(memory_bytes);
    return facts;
  }

  const RunOptions& options_;
  const Config& config_;
  std::shared_ptr<ThreadPool> pool_;
  data::DataProfile profile_;
  Model model_;
  CheckpointFolder checkpoints_;
  MetricsFile metrics_;
  LoopState state_;
  data::Batch batch_;
  std::vector<float> logits_;
  std::string note_;
  RunControl control_;
};

}  // namespace

nlohmann::json train_run(const RunOptions& options) {
  prepare_folder(options.run, to_toml(options.config), options.resume,
                 CheckpointFolder(options.run, kRecommenderCheckpoint));
  return Trainer(options).run();
}

OpenedRun open_run(const std::string& run, int threads) {
  require_run(run);
  OpenedRun opened;
  opened.config = load_config(config_path(run), {});
  const CheckpointFolder checkpoints(run, kRecommenderCheckpoint);
  const std::string path = checkpoints.best_or_newest();
  opened.profile = load_profile(opened.config, run + "/profile.json");
  opened.model =
      std::make_unique<Model>(opened.config, opened.profile, std::make_shared<ThreadPool>(threads));
  read_checkpoint(path, *opened.model);
  opened.checkpoint = path;
  return opened;
}

}  // namespace taut::train
