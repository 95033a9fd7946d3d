#pragma once
// What the trainer asks of a task: the part of training that depends on what is trained.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "taut/core/file.h"
#include "taut/graph/network.h"
#include "taut/train/classifier.h"
#include "taut/train/config.h"
#include "taut/train/metrics.h"
#include "taut/train/recommender.h"

namespace taut::train {

class StateFields;

/// A number by name: "auc", "log_loss", ...; NaN where it is not defined.
using Measure = std::pair<std::string, double>;

/// Quality on a set of examples.
struct Evaluation {
  std::int64_t examples = 0;
  /// The first decides which of two states is better: the higher.
  std::vector<Measure> measures;

  [[nodiscard]] double score() const { return measures.front().second; }
};

/// The measures of a classifier of two classes: auc, log_loss, normalized_entropy.
[[nodiscard]] Evaluation evaluation_of(const Quality& quality);

/// examples and the measures; NaN becomes null.
[[nodiscard]] nlohmann::json to_json(const Evaluation& evaluation);

/// Where the loop is. All of it goes into a checkpoint.
struct LoopState {
  std::int64_t epoch = 0;
  std::int64_t batches = 0;  ///< read in this epoch
  std::int64_t steps = 0;
  std::int64_t examples = 0;
  double train_seconds = 0;
  std::int64_t metrics_bytes = 0;  ///< length of metrics.jsonl
  double best_score = -1;          ///< on valid
  std::int64_t best_epoch = -1;
  bool finished = false;
  Evaluation valid;  ///< after the last epoch
  // Since the last line of metrics.jsonl.
  double window_loss = 0;
  std::int64_t window_examples = 0;
};

/// What one step did.
struct StepResult {
  std::int64_t examples = 0;  ///< 0: the epoch is over, and there was no step
  double loss = 0;            ///< summed over the examples, before the step
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
  /// What a summary and an evaluation tell about the network's memory; {} for nothing.
  [[nodiscard]] virtual nlohmann::json memory() const { return nlohmann::json::object(); }

  // Training.

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

  // What some tasks have; see recommender_of() and images_of().

  [[nodiscard]] virtual std::optional<RecommenderRun> recommender(const std::string& checkpoint);
  [[nodiscard]] virtual std::optional<ImageRun> images(const std::string& checkpoint);

 protected:
  Task() = default;
  Task(const Task&) = default;
  Task& operator=(const Task&) = default;
};

}  // namespace taut::train
