// Training recommenders: tables inside a budget below a dense network.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "taut/core/log.h"
#include "taut/core/text.h"
#include "taut/data/format_choice.h"
#include "taut/data/input_spec.h"
#include "taut/graph/recommender.h"
#include "taut/train/export.h"
#include "taut/train/metrics.h"
#include "taut/train/model.h"
#include "taut/train/task.h"
#include "train/crew.h"
#include "train/network_memory.h"
#include "train/profile.h"
#include "train/progressive.h"
#include "train/state.h"

namespace taut::train {
namespace {

using Json = nlohmann::json;

// bytes: of all tables; each gets its share by its distinct ids, since a budget is shared by all.
graph::Network describe(const RecommenderConfig& config, const data::DataProfile& profile,
                        std::int64_t bytes) {
  graph::RecommenderShape shape{.kind = config.model.kind,
                                .interaction = config.model.interaction,
                                .dense = static_cast<std::int64_t>(config.schema.dense.size()),
                                .tables = {},
                                .dim = config.embedding.dim,
                                .bottom = config.model.bottom,
                                .top = config.model.top};
  const double all = std::accumulate(profile.distinct_ids.begin(), profile.distinct_ids.end(), 0.0);
  double before = 0;
  std::int64_t given = 0;
  for (std::size_t t = 0; t < config.schema.categorical.size(); ++t) {
    before += static_cast<double>(profile.distinct_ids[t]);
    const double share = all > 0 ? before / all : 0;
    const auto until = static_cast<std::int64_t>(static_cast<double>(bytes) * share);
    shape.tables.push_back({.name = config.schema.categorical[t],
                            .rows = profile.distinct_ids[t],
                            .dim = config.embedding.dim,
                            .bytes = until - given});
    given = until;
  }
  graph::Network network = graph::recommender_network(shape);
  network.winners.unit = sparsity::Unit::kNeuron;
  network.winners.rates.assign(network.winner_sites().size(), config.model.winner_rate);
  return network;
}

class RecommenderTask final : public Task {
 public:
  RecommenderTask(RecommenderConfig config, std::shared_ptr<ThreadPool> pool)
      : config_(std::move(config)), pool_(std::move(pool)) {}

  [[nodiscard]] const Config& config() const noexcept override { return config_; }

  void join(std::shared_ptr<dist::ProcessGroup> workers, const PlanChoice& choice) override {
    if (choice.plan != "dp") {
      throw Error(ErrorKind::kUnsupported,
                  concat("plan \"", choice.plan,
                         "\" is for image networks; recommenders are trained "
                         "data parallel, with tables dealt to the workers"),
                  "--plan", "use dp");
    }
    workers_ = std::move(workers);
    const std::int64_t piece = config_.piece_size();
    if (piece == 0) return;
    if (config_.piece.given) {
      require_pieces(config_.train.batch_size, piece, workers_->size());
    } else if (workers_->rank() == 0) {
      warn_of_few_pieces(config_.train.batch_size, piece, workers_->size());
    }
  }

  [[nodiscard]] bool is_spread() const noexcept override { return workers_ != nullptr; }

  void save(SectionSink& file) const override {
    data::DataProfile profile = profile_;
    save_fields(file, "format", [&](StateFields& fields) { visit_profile(profile, fields); });
    file.add_array("window/logits", std::span<const float>(window_logits_));
    file.add_array("window/labels", std::span<const float>(window_labels_));
    progressive_.save(file);
    model_->save(file);
  }

  void load(const SectionSource& file) override {
    load_fields(file, "format", [&](StateFields& fields) { visit_profile(profile_, fields); });
    check_profile(profile_, config_, section_of(file, "format"));
    if (model_ == nullptr) make_model();
    const auto read = [&](const char* name, std::vector<float>& values) {
      const std::span<const float> stored = file.array<float>(name);
      values.assign(stored.begin(), stored.end());
    };
    read("window/logits", window_logits_);
    read("window/labels", window_labels_);
    progressive_.load(file);
    model_->load(file);
  }

  void visit_state(StateFields& fields) override { fields("bad_rows", bad_rows_); }

  [[nodiscard]] std::vector<std::string> measures() const override {
    return {"auc", "log_loss", "normalized_entropy"};
  }

  [[nodiscard]] Evaluation evaluate(const std::vector<std::string>& files) override {
    data::ReaderOptions options = reading(files, profile_);
    if (!as_told_ && !is_own(files)) options.format = data::choose_format(files, options);
    data::BadRows bad;
    Evaluation evaluation = evaluation_of(model_->evaluate(options, &bad));
    if (std::find(checked_.begin(), checked_.end(), files) == checked_.end()) {
      data::warn_of_bad_rows(bad);
    }
    return evaluation;
  }

  [[nodiscard]] graph::Network network() const override {
    graph::Network network = describe(config_, profile_, model_->memory_bytes());
    network.densities = densities_;
    return network;
  }

  [[nodiscard]] Json memory() const override {
    return {{"memory_bytes", model_->memory_bytes()}, {"full_bytes", model_->full_bytes()}};
  }

  // Reads every row once, as evaluate() will.
  void check_files(std::string_view key, const std::vector<std::string>& files) override {
    data::BatchReader reader(reading(files, data::DataProfile{}));
    std::int64_t rows = 0;
    std::int64_t positives = 0;
    while (reader.next(batch_)) {
      rows += batch_.size;
      positives += std::count(batch_.labels.begin(), batch_.labels.end(), 1.0F);
    }
    checked_.push_back(files);
    data::warn_of_bad_rows(reader.bad_rows());
    if (positives > 0 && positives < rows) return;
    log_warning(concat(key, ": every label is ", positives > 0 ? 1 : 0,
                       ", so there will be no AUC; where it decides, the log loss does"));
  }

  void prepare(bool fresh, const std::string& cache) override {
    if (!fresh) return;
    // One worker reads the files for all.
    const bool follows = workers_ != nullptr && workers_->rank() > 0;
    if (follows) workers_->barrier();
    profile_ = load_profile(config_, cache);
    if (workers_ != nullptr && !follows) workers_->barrier();
    make_model();
    model_->count_ids(reading(config_.data.train, profile_));
    model_->load_initial_rows(config_);
  }

  [[nodiscard]] std::int64_t epoch_examples() const override { return profile_.rows; }

  void open_epoch(std::int64_t epoch, std::int64_t skip) override {
    data::ReaderOptions options = reader_options(config_, config_.data.train, profile_);
    options.shuffle_rows = config_.shuffle_rows;
    options.epoch = epoch;
    // In threads of its own: a step does not wait until a block is decoded.
    reader_ = std::make_unique<data::BatchReader>(options);
    reader_->skip(skip);
  }

  StepResult step(const LoopState& at) override {
    if (!reader_->next(batch_)) return {};
    model_->set_winner_rate(winner_rate(at));
    const double loss = model_->train_step(batch_, logits_);
    const bool learnt_a_quarter = 4 * at.examples >= profile_.rows;
    if (at.epoch == 0 && learnt_a_quarter) progressive_.add(logits_, batch_.labels);
    window_logits_.insert(window_logits_.end(), logits_.begin(), logits_.end());
    window_labels_.insert(window_labels_.end(), batch_.labels.begin(), batch_.labels.end());
    return {.examples = batch_.size, .loss = loss};
  }

  std::string end_window(const LoopState& /*at*/, nlohmann::ordered_json& line) override {
    const double auc = area_under_curve(window_logits_, window_labels_);
    if (std::isfinite(auc)) line["auc"] = auc;
    window_logits_.clear();
    window_labels_.clear();
    if (model_->tables() == nullptr) return {};
    const embedding::Statistics statistics = model_->tables()->statistics();
    line["memory_bytes"] = statistics.memory_bytes;
    line["budget_bytes"] = statistics.budget_bytes;
    for (const auto& [part, size] : statistics.parts) line["memory_parts"][part] = size;
    line["resident_rows"] = statistics.resident_rows;
    line["rows_by_width"] = statistics.rows_by_width;
    line["rebalance_seconds"] = statistics.rebalance_seconds;
    return {};
  }

  void end_epoch(std::int64_t epoch, bool /*last*/) override {
    const data::BadRows& bad = reader_->bad_rows();
    bad_rows_ = bad.count;
    if (epoch == 0) data::warn_of_bad_rows(bad);
  }

  Json facts() override {
    data::ReaderOptions options =
        reading(config_.data.valid.empty() ? config_.data.train : config_.data.valid, profile_);
    options.prefetch = false;  // of one batch
    data::BatchReader reader(options);
    if (reader.next(batch_)) densities_ = model_->densities(batch_);
    Json facts = {{"method", config_.embedding.method},
                  {"model", config_.model.kind},
                  {"bad_rows", bad_rows_},
                  {"densities", densities_},
                  {"dense_parameters", model_->dense().parameter_count()},
                  {"progressive", to_json(evaluation_of(progressive_.quality()))}};
    if (model_->tables() == nullptr) return facts;
    const embedding::Statistics statistics = model_->tables()->statistics();
    facts["budget_bytes"] = statistics.budget_bytes;
    facts["peak_memory_bytes"] = model_->tables()->peak_memory_bytes();
    facts["resident_rows"] = statistics.resident_rows;
    facts["rebalance_seconds"] = statistics.rebalance_seconds;
    facts["compression"] =
        static_cast<double>(model_->full_bytes()) / static_cast<double>(model_->memory_bytes());
    return facts;
  }

  [[nodiscard]] FrozenRun freeze(const std::string& checkpoint,
                                 const std::string& /*summary*/) const override {
    const Json facts = {{"source", checkpoint},
                        {"test", config_.data.test},
                        {"seed", config_.train.seed},
                        {"method", config_.embedding.method},
                        {"full_bytes", model_->full_bytes()}};
    return {
        FrozenModel(model_->dense(), network(),
                    data::input_spec(reader_options(config_, {}, profile_)).dump(), facts.dump()),
        model_->tables()};
  }

  [[nodiscard]] std::optional<RecommenderRun> recommender(const std::string& checkpoint) override {
    return RecommenderRun{config_, profile_, model_.get(), checkpoint};
  }

 private:
  // Files beside training, decoded on the pool of the task: nothing is trained meanwhile.
  [[nodiscard]] data::ReaderOptions reading(const std::vector<std::string>& files,
                                            const data::DataProfile& profile) const {
    data::ReaderOptions options = reader_options(config_, files, profile);
    options.pool = pool_;
    return options;
  }

  void make_model() {
    check_network_memory(describe(config_, profile_, 0), "model.top and model.bottom");
    if (config_.model.bf16 && !nn::has_bf16_products()) {
      log_warning("train.bf16: this processor has no products in bf16, fp32 is faster here");
    }
    model_ = std::make_unique<Model>(config_, profile_, pool_, workers_);
  }

  [[nodiscard]] bool is_own(const std::vector<std::string>& files) const {
    return files == config_.data.train || files == config_.data.valid || files == config_.data.test;
  }

  void visit_profile(data::DataProfile& profile, StateFields& fields) const {
    fields("rows", profile.rows);
    fields("positive_rows", profile.positive_rows);
    fields("distinct_ids", profile.distinct_ids);
    profile.scaling.resize(config_.schema.dense.size(), {.kind = config_.scaling});
    for (std::size_t i = 0; i < profile.scaling.size(); ++i) {
      fields(concat("mean_", i).c_str(), profile.scaling[i].mean);
      fields(concat("deviation_", i).c_str(), profile.scaling[i].deviation);
    }
  }

  // The winner rate of the next step.
  [[nodiscard]] double winner_rate(const LoopState& at) const {
    const double done = static_cast<double>(at.batches * config_.train.batch_size) /
                        static_cast<double>(std::max<std::int64_t>(1, profile_.rows));
    return winner_rate_at(config_.winners, config_.model.winner_rate,
                          static_cast<double>(at.epoch) + std::min(done, 1.0));
  }

  RecommenderConfig config_;
  std::shared_ptr<ThreadPool> pool_;
  std::shared_ptr<dist::ProcessGroup> workers_;  ///< null: alone
  data::DataProfile profile_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<data::BatchReader> reader_;
  data::Batch batch_;
  std::vector<std::vector<std::string>> checked_;  ///< what check_files() has read
  std::vector<float> logits_;
  std::int64_t bad_rows_ = 0;
  /// Of the examples of the first epoch after its first quarter.
  ProgressiveQuality progressive_;
  // Since the last line of metrics.
  std::vector<double> densities_;  ///< by site, once measured
  std::vector<float> window_logits_;
  std::vector<float> window_labels_;
};

}  // namespace

Evaluation evaluation_of(const Quality& q) {
  return {.examples = q.examples,
          .measures = {{"auc", q.auc},
                       {"log_loss", q.log_loss},
                       {"normalized_entropy", q.normalized_entropy}},
          .unscored = q.unscored};
}

std::unique_ptr<Task> RecommenderConfig::make_task(std::shared_ptr<ThreadPool> pool) const {
  return std::make_unique<RecommenderTask>(*this, std::move(pool));
}

graph::Network RecommenderConfig::network() const {
  const data::DataProfile profile = load_profile(*this, "");
  return describe(*this, profile, planned_bytes(*this, profile));
}

}  // namespace taut::train
