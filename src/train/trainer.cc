#include "train/trainer.h"

#include <chrono>
#include <cmath>

#include "core/json_text.h"
#include "taut/core/file.h"
#include "taut/core/log.h"
#include "taut/core/progress.h"
#include "taut/core/snapshot.h"
#include "taut/core/text.h"
#include "taut/data/file_marks.h"
#include "taut/graph/network_json.h"
#include "taut/infer/measures.h"
#include "train/preflight.h"

namespace taut::train {
namespace {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

}  // namespace

Trainer::Trainer(const RunOptions& options)
    : options_(options),
      crew_(options.workers),
      loop_(options.config->train),
      data_(options.config->data),
      pool_(std::make_shared<ThreadPool>(options.threads)),
      task_(options.config->make_task(pool_)),
      checkpoints_(options.run),
      metrics_(options.run + "/metrics.jsonl"),
      control_(options.run, options.stop, loop_.checkpoint_every),
      trace_(crew_, options.trace_step) {
  if (!crew_.alone()) task_->join(crew_.group(), options.plan);
}

Json Trainer::run() {
  check_files();
  restore();
  write_network();
  while (!state_.finished) {
    run_epoch();
    end_epoch();
  }
  return summarize();
}

// What would end the run after its work ends it here.
void Trainer::check_files() {
  if (!data_.valid.empty()) task_->check_files("data.valid", data_.valid);
  if (!data_.test.empty()) task_->check_files("data.test", data_.test);
}

// A run goes on with the data that it began with, or its bits are no longer its own.
void Trainer::check_marks(bool fresh) {
  const std::vector<std::string> marks = data::file_marks(data_.train);
  if (fresh) {
    state_.data_marks = marks;
    return;
  }
  const std::string difference = data::mark_difference(state_.data_marks, marks);
  if (difference.empty() || state_.finished) return;
  throw Error(ErrorKind::kData,
              concat("the training data changed since the run began: ", difference), options_.run,
              "bring the files back, or start anew in another folder");
}

void Trainer::restore() {
  if (crew_.leads()) remove_abandoned_files(options_.run);
  const std::string newest =
      crew_.from_leader(crew_.leads() ? checkpoints_.newest().value_or("") : "");
  const bool fresh = newest.empty();
  if (!fresh) {
    state_ = read_checkpoint(newest, *task_);
    log_info(concat("going on from step ", state_.steps, " (", newest, ")"));
  }
  check_marks(fresh);
  const std::string& cache = options_.profile_path;
  task_->prepare(fresh, cache.empty() ? options_.run + "/profile.json" : cache);
  if (fresh) {
    save_together([&] { check_room(options_.run, save()); });
  }
  if (crew_.leads()) {
    const Json plan = task_->plan();
    if (plan.contains("layers")) write_file(options_.run + "/plan.json", json_text(plan, 2) + "\n");
    metrics_.open_at(state_.metrics_bytes);
  }
  crew_.meet();  // nobody replaces a checkpoint that another still reads
  control_.checkpointed();
}

void Trainer::run_epoch() {
  task_->open_epoch(state_.epoch, state_.batches);
  std::optional<ProgressBar> bar;
  if (crew_.leads()) {
    bar.emplace(concat("epoch ", state_.epoch + 1, "/", loop_.epochs), task_->epoch_examples(),
                "examples");
  }
  Clock::time_point start = Clock::now();
  for (;;) {
    trace_.begin(state_.steps + 1);
    const StepResult done = task_->step(state_);
    if (done.examples == 0) return;
    trace_.end(options_.run);
    ++state_.batches;
    ++state_.steps;
    state_.examples += done.examples;
    state_.window_loss += done.loss;
    state_.window_examples += done.examples;
    if (bar) bar->update(state_.batches * loop_.batch_size, note_);
    state_.train_seconds += seconds_since(start);
    if (state_.steps % loop_.log_every == 0) log_window();
    const Crew::Decision now = crew_.agree(
        {.stop = control_.stop_asked(), .checkpoint = control_.checkpoint_due(state_.steps)});
    if (now.stop) {
      checkpoint();
      control_.stop_at(state_.steps);
    }
    if (now.checkpoint) checkpoint();
    start = Clock::now();
  }
}

// Writes a line of metrics about the steps since the last one.
void Trainer::log_window() {
  const double loss = state_.window_loss / static_cast<double>(state_.window_examples);
  if (!std::isfinite(loss) && !warned_) {
    warned_ = true;
    log_warning(concat("the loss is not a number at step ", state_.steps,
                       ": the weights are lost, lower train.learning_rate, or look for extreme "
                       "values in dense columns"));
  }
  nlohmann::ordered_json line = {{"step", state_.steps},
                                 {"examples", state_.examples},
                                 {"seconds", state_.train_seconds},
                                 {"loss", loss}};
  note_ = concat("loss ", loss, task_->end_window(state_, line));
  if (crew_.leads()) {
    metrics_.append(line);
    state_.metrics_bytes = metrics_.bytes();
  }
  state_.window_loss = 0;
  state_.window_examples = 0;
}

CheckpointFolder::Save Trainer::save() {
  return [this](SectionSink& file) { save_checkpoint(file, state_, *task_); };
}

// The leader calls write, which calls save() once; the others give their parts of it.
void Trainer::save_together(const std::function<void()>& write) {
  if (crew_.leads()) {
    write();
  } else if (task_->is_spread()) {
    CheckpointFolder::give_parts(save());
  }
}

void Trainer::checkpoint() {
  task_->settle();
  save_together([&] {
    metrics_.flush();
    checkpoints_.write(state_.steps, save());
  });
  control_.checkpointed();
}

void Trainer::evaluate_valid(std::int64_t epoch) {
  state_.valid = task_->evaluate(data_.valid);
  std::vector<std::string> told;
  for (const auto& [name, value] : state_.valid.measures) {
    told.push_back(infer::measure_text(name, value));
  }
  log_info(concat("epoch ", epoch + 1, ": valid ", join(told, ", ")));
  if (state_.valid.one_class() && loop_.early_stop > 0) {
    log_info(concat(infer::kOneClass, "; the log loss decides which epoch is the best"));
  }
  if (!(state_.valid.score() > state_.best_score)) return;
  state_.best_score = state_.valid.score();
  state_.best_epoch = epoch;
  if (loop_.early_stop > 0) {
    save_together([&] { checkpoints_.write_best(state_.steps, save()); });
  }
}

void Trainer::end_epoch() {
  const std::int64_t epoch = state_.epoch++;
  state_.batches = 0;
  const bool last = state_.epoch >= loop_.epochs;
  task_->end_epoch(epoch, last);
  if (!data_.valid.empty()) evaluate_valid(epoch);
  const bool stalled = loop_.early_stop > 0 && epoch - state_.best_epoch >= loop_.early_stop;
  state_.finished = stalled || last;
  if (state_.finished && state_.window_examples > 0) log_window();
  checkpoint();
}

void Trainer::write_network() const {
  if (!crew_.leads()) return;
  write_file(options_.run + "/" + graph::kNetworkFile,
             graph::network_json(task_->network()) + "\n");
}

Json Trainer::summarize() {
  const std::string best = crew_.from_leader(crew_.leads() ? checkpoints_.best().value_or("") : "");
  if (!best.empty() && state_.best_epoch + 1 != state_.epoch) {
    state_.valid = read_checkpoint(best, *task_).valid;
  }
  Json summary = crew_.leads() || task_->is_spread() ? task_->facts() : Json::object();
  summary.update(task_->memory());
  const auto rate = static_cast<double>(state_.examples) / state_.train_seconds;
  summary.update({{"run", options_.run},
                  {"task", options_.config->task()},
                  {"seed", loop_.seed},
                  {"threads", pool_->threads()},
                  {"epochs", state_.epoch},
                  {"steps", state_.steps},
                  {"examples", state_.examples},
                  {"train_seconds", state_.train_seconds},
                  {"examples_per_second", json_number(rate)}});
  if (!data_.valid.empty()) summary["valid"] = to_json(state_.valid);
  if (!data_.test.empty()) summary["test"] = to_json(task_->evaluate(data_.test));
  for (const std::string& name : task_->measures()) {
    const char* measured = !data_.test.empty() ? "test" : "valid";
    summary[name] = summary.contains(measured) ? summary[measured][name] : Json(nullptr);
  }
  if (!crew_.alone()) summary["workers"] = crew_.report(state_.train_seconds, task_->plan());
  write_network();
  const std::string text = crew_.leads() ? json_text(summary, 2) : "";
  if (crew_.leads()) write_file(options_.run + "/summary.json", text + "\n");
  // The others end when all is written, and know what the leader knows.
  return crew_.alone() ? summary : Json::parse(crew_.from_leader(text));
}

}  // namespace taut::train
