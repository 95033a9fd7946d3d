#include "taut/train/run.h"

#include <cmath>
#include <optional>
#include <utility>

#include "core/json_text.h"
#include "taut/core/text.h"
#include "taut/infer/model.h"
#include "train/checkpoint.h"
#include "train/run_folder.h"
#include "train/trainer.h"

namespace taut::train {

nlohmann::json train_run(const RunOptions& options) {
  std::optional<FolderLock> lock;
  if (Crew(options.workers).leads()) {
    lock.emplace(hold_run_folder(options.run));
    prepare_folder(options.run, options.config->to_toml(), options.resume,
                   CheckpointFolder(options.run));
  }
  return Trainer(options).run();
}

OpenedRun open_run(const std::string& run, std::shared_ptr<ThreadPool> pool,
                   std::span<const std::string> settings) {
  require_run(run);
  OpenedRun opened;
  opened.folder = run;
  opened.task = load_config(config_path(run), settings)->make_task(std::move(pool));
  for (const std::string& setting : settings) {
    if (setting.starts_with("data.format=")) opened.task->read_as_told();
  }
  opened.checkpoint = CheckpointFolder(run).best_or_newest();
  static_cast<void>(read_checkpoint(opened.checkpoint, *opened.task));
  return opened;
}

OpenedRun open_run(const std::string& run, int threads, std::span<const std::string> settings) {
  return open_run(run, std::make_shared<ThreadPool>(threads), settings);
}

Evaluation OpenedRun::evaluate(const std::vector<std::string>& files) const {
  const DataConfig& data = task->config().data;
  const std::vector<std::string>& own = data.test.empty() ? data.valid : data.test;
  const std::vector<std::string>& chosen = files.empty() ? own : files;
  if (chosen.empty()) {
    throw Error(ErrorKind::kConfig, "the run's config names neither test nor valid files", folder,
                "name one with --data");
  }
  return task->evaluate(chosen);
}

namespace {

// The parts that a task may have, or why there are none.
template <typename Parts>
Parts require_parts(const OpenedRun& run, std::optional<Parts> parts, std::string_view what,
                    std::string_view of, std::string_view wanted) {
  if (parts) return *parts;
  throw Error(
      ErrorKind::kConfig, concat(what, " is for runs of ", of), run.folder,
      concat("its task is \"", run.task->config().task(), "\": give one of task \"", wanted, "\""));
}

}  // namespace

RecommenderRun recommender_of(const OpenedRun& run, std::string_view what) {
  return require_parts(run, run.task->recommender(run.checkpoint), what, "recommenders",
                       infer::kClickTask);
}

ImageRun images_of(const OpenedRun& run, std::string_view what) {
  return require_parts(run, run.task->images(run.checkpoint), what, "images", infer::kImageTask);
}

void Task::join(std::shared_ptr<dist::ProcessGroup> workers, const PlanChoice& /*choice*/) {
  throw Error(ErrorKind::kUnsupported,
              concat("runs of task \"", config().task(), "\" cannot be trained by ",
                     workers->size(), " workers"),
              {}, "start it without torchrun, or with --nproc-per-node 1");
}

std::optional<RecommenderRun> Task::recommender(const std::string& /*checkpoint*/) {
  return std::nullopt;
}

std::optional<ImageRun> Task::images(const std::string& /*checkpoint*/) {
  return std::nullopt;
}

double Evaluation::score() const {
  const double first = measures.front().second;
  if (std::isfinite(first)) return first;
  for (const auto& [name, value] : measures) {
    if (name == "log_loss") return -value;
  }
  return first;
}

bool Evaluation::one_class() const {
  return !std::isfinite(measures.front().second) && std::isfinite(score());
}

nlohmann::json to_json(const Evaluation& evaluation) {
  nlohmann::json json = {{"examples", evaluation.examples}};
  if (evaluation.one_class()) json["note"] = infer::kOneClass;
  if (evaluation.unscored > 0) json["unscored_rows"] = evaluation.unscored;
  for (const auto& [name, value] : evaluation.measures) {
    json[name] = json_number(value);
  }
  return json;
}

}  // namespace taut::train
