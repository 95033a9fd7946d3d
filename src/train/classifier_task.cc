// Training networks that classify images.
#include <algorithm>
#include <filesystem>

#include "core/json_text.h"
#include "taut/core/snapshot.h"
#include "taut/core/text.h"
#include "taut/dist/redistribution.h"
#include "taut/graph/zoo.h"
#include "taut/infer/measures.h"
#include "taut/train/export.h"
#include "taut/train/run.h"
#include "taut/train/task.h"
#include "train/checkpoint.h"
#include "train/classifier_data.h"
#include "train/classifier_schedule.h"
#include "train/crew.h"
#include "train/network_memory.h"
#include "train/plan_choice.h"
#include "train/state.h"

namespace taut::train {
namespace {

using Json = nlohmann::json;

constexpr const char* kNetworkSections = "model/";
constexpr std::int64_t kReported = 1000;  // images that reports on sites and layers look at
constexpr std::int64_t kChecked = 64;     // images of files that are read later
constexpr std::int64_t kPrunings = 20;    // while the pruned share grows, an epoch

std::vector<double> by_site(const graph::Network& network, const std::vector<double>& rates) {
  const std::size_t sites = network.winner_sites().size();
  if (rates.size() == sites) return rates;
  return std::vector<double>(sites, rates.empty() ? 1.0 : rates.front());
}

ImageFormat format_of(const data::ImageSet& images) {
  return {.shape = {images.channels, images.height, images.width},
          .classes = images.classes,
          .class_names = images.class_names,
          .normalization = {}};
}

graph::Network with_winners(graph::Network network, const nn::WinnerPolicy& policy) {
  network.number_sites();
  network.winners = {.unit = policy.unit,
                     .score = policy.score,
                     .block = policy.block,
                     .rates = by_site(network, policy.rates)};
  return network;
}

// What changes the network between steps has no place where workers have pieces of it.
void check_plannable(const ImageConfig& config) {
  const auto refuse = [](bool is_on, std::string_view key) {
    if (!is_on) return;
    throw Error(ErrorKind::kUnsupported, concat("no plan but dp runs ", key, " yet"), {},
                "leave it out, or use --plan dp");
  };
  const std::vector<double>& rates = config.model.winners.rates;
  refuse(std::any_of(rates.begin(), rates.end(), [](double rate) { return rate < 1; }),
         "model.winner_rate");
  refuse(config.prune.share > 0 || !config.prune.maps.empty(), "[prune]");
  refuse(config.quantize.mode != QuantizeMode::kNone, "[quantize]");
  refuse(!config.teacher.run.empty(), "[teacher]");
}

class ImageTask final : public Task {
 public:
  ImageTask(ImageConfig config, std::shared_ptr<ThreadPool> pool)
      : config_(std::move(config)), pool_(std::move(pool)) {}

  [[nodiscard]] const Config& config() const noexcept override { return config_; }

  void save(SectionSink& file) const override {
    ImageFormat format = format_;
    save_fields(file, "format", [&](StateFields& fields) { visit_format(format, fields); });
    network_->save(file, kNetworkSections);
  }

  void load(const SectionSource& file) override {
    load_fields(file, "format", [&](StateFields& fields) { visit_format(format_, fields); });
    check_format(format_, section_of(file, "format"));
    if (network_ == nullptr) make_network();
    network_->load(file, kNetworkSections);
  }

  void visit_state(StateFields& fields) override {
    fields("pruned_share", pruned_share_);
    fields("maps_pruned", maps_pruned_);
    fields("calibrated", calibrated_);
    fields("window_correct", window_correct_);
  }

  [[nodiscard]] std::vector<std::string> measures() const override { return {"top1", "log_loss"}; }

  [[nodiscard]] Evaluation evaluate(const std::vector<std::string>& files) override {
    network_->settle();
    const bool held = valid_.count > 0 && files == config_.data.valid;
    const ImageQuality q = held ? quality(valid_) : quality(read(files));
    return {.examples = q.examples,
            .measures = {{"top1", q.top1}, {"log_loss", q.log_loss}},
            .unscored = q.unscored};
  }

  [[nodiscard]] graph::Network network() const override {
    nn::WinnerPolicy policy = network_->options().winners;
    policy.rates = network_->winner_rates();
    graph::Network network = with_winners(network_->spec(), policy);
    network.densities = densities_;
    return network;
  }

  // The first of them: what is decoded later costs as much as the evaluation itself.
  void check_files(std::string_view /*key*/, const std::vector<std::string>& files) override {
    static_cast<void>(read_set(config_, files, nullptr, pool_, kChecked));
  }

  void prepare(bool fresh, const std::string& /*cache*/) override {
    train_ =
        read_set(config_, config_.data.train, fresh ? nullptr : &format_, pool_, config_.limit);
    if (fresh) {
      format_ = format_of(train_);
      make_network();
    }
    if (!config_.data.valid.empty()) valid_ = read(config_.data.valid);
    if (fresh && !config_.initial.empty()) start_from(config_.initial);
    if (!config_.teacher.run.empty()) follow_teacher();
    data::Normalization& normalization = format_.normalization;
    if (normalization.mean.empty()) {
      normalization = data::measure_normalization(train_, *pool_);
    }
    batches_per_epoch_ = std::max<std::int64_t>(1, train_.count / config_.train.batch_size);
  }

  void join(std::shared_ptr<dist::ProcessGroup> workers, const PlanChoice& choice) override {
    workers_ = std::move(workers);
    choice_ = choice;
    if (is_planned()) return check_plannable(config_);
    require_pieces(config_.train.batch_size, config_.model.piece, workers_->size());
  }

  [[nodiscard]] Json plan() const override {
    return is_planned() ? plan_json(plan_) : Task::plan();
  }

  void settle() override { network_->settle(); }

  [[nodiscard]] std::int64_t epoch_examples() const override { return train_.count; }

  void open_epoch(std::int64_t epoch, std::int64_t skip) override {
    batches_ = std::make_unique<data::ImageBatches>(
        train_,
        data::ImageBatchOptions{
            .batch_size = config_.train.batch_size,
            .seed = config_.train.seed,
            .epoch = epoch,
            .shuffle = true,
            .augmentation = {.crop_padding = config_.crop_padding, .flip = config_.flip},
            .normalization = format_.normalization,
            .drop_last = train_.count >= config_.train.batch_size,
            .share = share(),
            .piece = config_.model.piece},
        pool_);
    batches_->skip(skip);
  }

  StepResult step(const LoopState& at) override {
    if (!batches_->next(batch_)) return {};
    follow_schedules(at);
    const std::int64_t steps = config_.train.epochs * batches_per_epoch_;
    const double rate = learning_rate_at(config_, at.steps, steps, batches_per_epoch_);
    const nn::ImageLoss loss = network_->train_step(view_of(batch_), rate);
    window_correct_ += loss.correct;
    return {.examples = batch_.whole, .loss = loss.loss};
  }

  std::string end_window(const LoopState& at, nlohmann::ordered_json& line) override {
    const double top1 =
        static_cast<double>(window_correct_) / static_cast<double>(at.window_examples);
    line["top1"] = top1;
    line["winner_rates"] = network_->winner_rates();
    line["pruned_share"] = pruned_share_;
    window_correct_ = 0;
    return ", " + infer::measure_text("top1", top1);
  }

  void end_epoch(std::int64_t /*epoch*/, bool last) override {
    if (last && config_.quantize.mode == QuantizeMode::kCalibrate) quantize();
  }

  Json facts() override {
    Json facts = {{"model", config_.model.kind},
                  {"parameters", network_->parameter_count()},
                  {"pruned_share", network_->pruned_share()},
                  {"quantized", calibrated_},
                  {"winner_rates", network_->winner_rates()}};
    const data::ImageBatch seen =
        first_images(valid_.count > 0 ? valid_ : train_, format_.normalization, kReported);
    double dense = 0;
    double needed = 0;
    for (const nn::LayerReport& layer : network_->report_layers(view_of(seen))) {
      dense += layer.multiply_adds;
      needed += layer.needed();
      facts["layers"].push_back({{"layer", layer.layer},
                                 {"multiply_adds", layer.multiply_adds},
                                 {"input_density", layer.input_density},
                                 {"weight_density", layer.weight_density},
                                 {"output_density", layer.output_density}});
    }
    facts["multiply_adds"] = {{"dense", dense}, {"needed", needed}};
    densities_.clear();
    for (const nn::SiteReport& site : network_->report_sites(view_of(seen))) {
      densities_.push_back(site.density);
      facts["sites"].push_back({{"layer", site.layer},
                                {"natural_density", site.natural_density},
                                {"density", site.density},
                                {"never", site.never},
                                {"always", site.always},
                                {"entropy_bits", site.entropy}});
    }
    return facts;
  }

  [[nodiscard]] FrozenRun freeze(const std::string& checkpoint,
                                 const std::string& summary) const override {
    const Json facts = {{"source", checkpoint},
                        {"test", config_.data.test},
                        {"seed", config_.train.seed},
                        {"trained_in_bf16", config_.model.bf16},
                        {"quantized", network_->quantized()},
                        {"pruned_share", network_->pruned_share()},
                        {"quality", quality_in(summary)}};
    return {FrozenModel(*network_,
                        {.mean = format_.normalization.mean,
                         .deviation = format_.normalization.deviation,
                         .class_names = format_.class_names,
                         .size = config_.size,
                         .labels = config_.labels,
                         .skip_bad = config_.data.on_bad_row == data::OnBadRow::kSkip},
                        facts.dump())};
  }

  [[nodiscard]] std::optional<ImageRun> images(const std::string& checkpoint) override {
    return ImageRun{config_, format_, network_, checkpoint};
  }

 private:
  // The measures that a summary names; null before the end of a run.
  [[nodiscard]] Json quality_in(const std::string& summary) const {
    if (!std::filesystem::exists(summary)) return nullptr;
    const Json known = read_json_object(summary);
    Json quality;
    for (const std::string& name : measures()) {
      const Json& value = json_at(known, name, summary);
      quality[name] = value.is_null() ? value : Json(json_value<double>(value, name, summary));
    }
    return quality;
  }

  static void visit_format(ImageFormat& format, StateFields& fields) {
    fields("channels", format.shape.channels);
    fields("height", format.shape.height);
    fields("width", format.shape.width);
    fields("classes", format.classes);
    fields("class_names", format.class_names);
    fields("mean", format.normalization.mean);
    fields("deviation", format.normalization.deviation);
  }

  [[nodiscard]] data::ImageSet read(const std::vector<std::string>& files) const {
    return read_set(config_, files, &format_, pool_, 0);
  }

  [[nodiscard]] ImageQuality quality(const data::ImageSet& images) const {
    return train::evaluate(*network_, images, format_.normalization, pool_, workers_.get());
  }

  void make_network() {
    nn::ImageNetworkOptions options = config_.model;
    options.input = format_.shape;
    options.classes = format_.classes;
    options.seed = config_.train.seed;
    check_network_memory(graph::make_network(options.kind, {.input = options.input,
                                                            .classes = options.classes,
                                                            .width = options.width}),
                         "model.width");
    network_ = std::make_shared<nn::ImageNetwork>(options, pool_);
    if (!is_planned()) return network_->set_workers(workers_);
    plan_ = choose_plan(network_->network(), choice_, config_.train.batch_size, workers_->size());
    network_->set_plan(std::make_shared<dist::WorkerArray>(workers_), plan_.splits);
  }

  [[nodiscard]] bool is_planned() const {
    return workers_ != nullptr && choice_.plan != PlanChoice{}.plan;
  }

  [[nodiscard]] Share share() const {
    if (workers_ == nullptr || is_planned()) return {};
    return {.index = workers_->rank(), .of = workers_->size()};
  }

  void start_from(const std::string& folder) {
    const OpenedRun opened = open_run(folder, pool_);
    const ImageRun start = images_of(opened, "model.initial");
    load_weights(*network_, start.checkpoint);
    network_->set_quantized(false);
    format_.normalization = start.format.normalization;
  }

  void follow_teacher() {
    const OpenedRun opened = open_run(config_.teacher.run, pool_);
    const ImageRun teacher = images_of(opened, "teacher.run");
    if (format_.normalization.mean.empty()) format_.normalization = teacher.format.normalization;
    network_->set_teacher(teacher.network, config_.teacher.weight, config_.teacher.temperature);
  }

  // Brings rates, masks and 8 bits to where they belong at this step.
  void follow_schedules(const LoopState& at) {
    const double epoch = static_cast<double>(at.epoch) +
                         static_cast<double>(at.batches) / static_cast<double>(batches_per_epoch_);
    network_->set_winner_rates(winner_rates_at(config_, epoch));
    const PruneConfig& prune = config_.prune;
    const double share = pruned_share_at(prune, epoch);
    const std::int64_t every = std::max<std::int64_t>(1, batches_per_epoch_ / kPrunings);
    const bool due = share == prune.share || at.steps % every == 0;
    if (share > pruned_share_ && due) {
      network_->prune({.prune = prune.kind, .share = share});
      pruned_share_ = share;
    }
    if (!prune.maps.empty() && !maps_pruned_ && epoch >= prune.from) {
      const data::ImageBatch scored = first_images(train_, format_.normalization, kReported);
      network_->prune_maps(prune.maps, view_of(scored));
      maps_pruned_ = true;
    }
    if (config_.quantize.mode == QuantizeMode::kTrain && epoch >= config_.quantize.from) quantize();
  }

  void quantize() {
    if (calibrated_) return;
    const data::ImageBatch seen =
        first_images(train_, format_.normalization, config_.quantize.images);
    network_->calibrate(view_of(seen), config_.quantize.calibration);
    network_->set_quantized(true);
    calibrated_ = true;
  }

  ImageConfig config_;
  std::shared_ptr<ThreadPool> pool_;
  std::shared_ptr<dist::ProcessGroup> workers_;  ///< null: this process alone
  PlanChoice choice_;
  ChosenPlan plan_;  ///< where layers are split
  ImageFormat format_;
  std::shared_ptr<nn::ImageNetwork> network_;
  data::ImageSet train_;
  data::ImageSet valid_;
  std::unique_ptr<data::ImageBatches> batches_;
  data::ImageBatch batch_;
  std::int64_t batches_per_epoch_ = 1;
  double pruned_share_ = 0;
  bool maps_pruned_ = false;
  bool calibrated_ = false;
  std::int64_t window_correct_ = 0;  ///< since the last line of metrics
  std::vector<double> densities_;    ///< by site, once measured
};

}  // namespace

std::vector<double> rates_by_site(const nn::ImageNetwork& network) {
  return by_site(network.spec(), network.winner_rates());
}

void load_weights(nn::ImageNetwork& network, const std::string& checkpoint) {
  network.load(SnapshotReader(checkpoint, kCheckpointKind), kNetworkSections, /*state=*/false);
}

std::unique_ptr<Task> ImageConfig::make_task(std::shared_ptr<ThreadPool> pool) const {
  return std::make_unique<ImageTask>(*this, std::move(pool));
}

graph::Network ImageConfig::network() const {
  const ImageFormat format = format_of(read_set(*this, data.train, nullptr, nullptr, limit));
  return with_winners(
      graph::make_network(model.kind,
                          {.input = format.shape, .classes = format.classes, .width = model.width}),
      model.winners);
}

}  // namespace taut::train
