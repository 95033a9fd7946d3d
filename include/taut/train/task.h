#pragma once
// What the trainer asks of a task: the part of training that depends on what is trained.

#include <cstdint>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "taut/core/file.h"
#include "taut/dist/process_group.h"
#include "taut/graph/network.h"
#include "taut/train/classifier.h"
#include "taut/train/config.h"
#include "taut/train/metrics.h"
#include "taut/train/recommender.h"

namespace taut::train {

class StateFields;
struct FrozenRun;

/// A number by name: "auc", "log_loss", ...; NaN where it is not defined.
using Measure = std::pair<std::string, double>;

/// Quality on a set of examples.
struct Evaluation {
  std::int64_t examples = 0;
  std::vector<Measure> measures;
  std::int64_t unscored = 0;  ///< examples left out, because their score is not a number

  /// The higher the better of two states: the first measure; where it is not defined (the AUC of
  /// one class) minus the log loss; NaN where that is not either.
  [[nodiscard]] double score() const;
  /// Whether all labels are of one class, so that the first measure is not defined.
  [[nodiscard]] bool one_class() const;
};

/// The measures of a classifier of two classes: auc, log_loss, normalized_entropy.
[[nodiscard]] Evaluation evaluation_of(const Quality& quality);

/// examples and the measures; NaN becomes null, and a note says why where that is known.
[[nodiscard]] nlohmann::json to_json(const Evaluation& evaluation);

/// Where the loop is. All of it goes into a checkpoint.
struct LoopState {
  std::int64_t epoch = 0;
  std::int64_t batches = 0;  ///< read in this epoch
  std::int64_t steps = 0;
  std::int64_t examples = 0;
  double train_seconds = 0;
  std::int64_t metrics_bytes = 0;                                ///< length of metrics.jsonl
  double best_score = -std::numeric_limits<double>::infinity();  ///< on valid
  std::int64_t best_epoch = -1;
  bool finished = false;
  Evaluation valid;  ///< after the last epoch
  /// data::file_marks() of the training files that the run began with.
  std::vector<std::string> data_marks;
  // Since the last line of metrics.jsonl.
  double window_loss = 0;
  std::int64_t window_examples = 0;
};

/// What one step did.
struct StepResult {
  std::int64_t examples = 0;  ///< 0: the epoch is over, and there was no step
  double loss = 0;            ///< summed over the examples, before the step
};

/// How several workers share a network.
struct PlanChoice {
  /// dp: each takes a part of every batch. mp, owt, auto or the path of a plan: layers are split.
  std::string plan = "dp";
  std::string cluster = {};  ///< file of the cluster that auto plans for
};

/// A network, its data and its optimizer. It is trained or opened: made by Config::make_task, then
/// either prepared (after load(), when a run goes on) and stepped, or loaded alone.
/// Threads: one call at a time; work is spread over the pool; the same bits for any pool.
class Task {
 public:
  virtual ~Task() = default;

  [[nodiscard]] virtual const Config& config() const noexcept = 0;

  // The network.

  /// Adds what load() reads: all that the network needs, so that no training file is asked again.
  virtual void save(SectionSink& file) const = 0;
  /// Makes the network as the checkpoint says. Errors: kFormat naming the file.
  virtual void load(const SectionSource& file) = 0;
  /// Passes the numbers of the task's own state, in both directions.
  virtual void visit_state(StateFields& fields) = 0;
  /// Names of measures, as Evaluation has them.
  [[nodiscard]] virtual std::vector<std::string> measures() const = 0;
  /// Errors: those of the files.
  [[nodiscard]] virtual Evaluation evaluate(const std::vector<std::string>& files) = 0;
  /// The network's description, without values: winners and tables as they are, densities when
  /// facts() has measured them.
  [[nodiscard]] virtual graph::Network network() const = 0;
  /// From now on evaluate() reads every file in the config's format, instead of looking what format
  /// it is where it is none of the config's own.
  void read_as_told() noexcept { as_told_ = true; }
  /// What a summary and an evaluation tell about the network's memory; {} for nothing.
  [[nodiscard]] virtual nlohmann::json memory() const { return nlohmann::json::object(); }

  // Training.

  /// Before anything else: these workers train together, each calling the same functions in the
  /// same order. Errors: kUnsupported for a task that cannot, kConfig for a config that leaves some
  /// of them without work.
  virtual void join(std::shared_ptr<dist::ProcessGroup> workers, const PlanChoice& choice);
  /// The plan that they follow, once the network is there: "plan", and what else is known of it.
  [[nodiscard]] virtual nlohmann::json plan() const { return {{"plan", "dp"}}; }
  /// Whether workers hold parts of the network, so that all call save() and facts(), and what one
  /// of them saves is whole.
  [[nodiscard]] virtual bool is_spread() const noexcept { return false; }
  /// Called by all workers before one of them saves or measures alone.
  virtual void settle() {}
  /// Before any work: reads the files that are asked for later (key: which key of the config names
  /// them), so that what is wrong with their columns, labels or rows is found now. Logs what is
  /// odd. Errors: those of evaluate().
  virtual void check_files(std::string_view key, const std::vector<std::string>& files) = 0;
  /// Reads what training needs. fresh: there is no checkpoint, so the network is made too.
  /// cache: where a pass over the training files may be remembered.
  virtual void prepare(bool fresh, const std::string& cache) = 0;
  /// Examples of an epoch, for the progress bar.
  [[nodiscard]] virtual std::int64_t epoch_examples() const = 0;
  /// Begins an epoch, leaving out its first batches.
  virtual void open_epoch(std::int64_t epoch, std::int64_t skip) = 0;
  /// The next batch and a step on it, from where the loop is.
  virtual StepResult step(const LoopState& at) = 0;
  /// Adds the task's part of a line of metrics.jsonl, about the steps since the last one, and
  /// forgets them. Returns a note for the progress bar, or nothing.
  virtual std::string end_window(const LoopState& at, nlohmann::ordered_json& line) = 0;
  /// After the last step of an epoch; last: the config's last.
  virtual void end_epoch(std::int64_t epoch, bool last) = 0;
  /// The task's part of the summary; may measure.
  virtual nlohmann::json facts() = 0;

  /// The network as it predicts, to be written. checkpoint: what it was loaded from; summary: where
  /// the run's summary lies, which need not be there. Errors: kFormat for a summary that is none.
  [[nodiscard]] virtual FrozenRun freeze(const std::string& checkpoint,
                                         const std::string& summary) const = 0;

  // What some tasks have, for commands that are for these alone; see recommender_of() and
  // images_of().

  [[nodiscard]] virtual std::optional<RecommenderRun> recommender(const std::string& checkpoint);
  [[nodiscard]] virtual std::optional<ImageRun> images(const std::string& checkpoint);

 protected:
  Task() = default;
  Task(const Task&) = default;
  Task& operator=(const Task&) = default;

  bool as_told_ = false;
};

}  // namespace taut::train
