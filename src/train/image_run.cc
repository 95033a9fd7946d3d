#include "taut/train/image_run.h"

#include <chrono>
#include <cmath>

#include "taut/core/error.h"
#include "taut/core/file.h"
#include "taut/core/log.h"
#include "taut/core/progress.h"
#include "taut/core/text.h"
#include "taut/infer/quality.h"
#include "taut/train/run.h"
#include "train/checkpoint.h"
#include "train/image_schedule.h"
#include "train/image_state.h"
#include "train/metrics_file.h"
#include "train/run_control.h"
#include "train/run_folder.h"

namespace taut::train {
namespace {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr std::int64_t kEvaluated = 512;  // images a batch
constexpr std::int64_t kReported = 1000;  // images that reports on sites and layers look at
constexpr std::int64_t kPrunings = 20;    // while the pruned share grows, an epoch

data::ImageSet read_set(const ImageDataConfig& config, const std::vector<std::string>& files,
                        const ImageFormat* format, int threads, std::int64_t limit) {
  data::ImageSourceOptions source{.files = files};
  source.labels = config.labels;
  source.size = config.size;
  source.limit = limit;
  source.on_bad = config.on_bad_row;
  source.threads = threads;
  if (format != nullptr) {
    source.classes = format->classes;
    source.class_names = format->class_names;
  }
  data::ImageSet images = data::read_images(source);
  if (images.bad_rows.count > 0) {
    log_warning(concat(images.bad_rows.count, " bad images left out; the first:"));
    for (const std::string& row : images.bad_rows.first) log_warning("  " + row);
  }
  if (format == nullptr) return images;
  const nn::Shape shape{images.channels, images.height, images.width};
  if (!(shape == format->shape)) {
    const auto spelled = [](const nn::Shape& s) {
      return concat(s.channels, "x", s.height, "x", s.width);
    };
    throw Error(
        ErrorKind::kData,
        concat("images are ", spelled(shape), ", the training images ", spelled(format->shape)),
        files.front());
  }
  return images;
}

nn::ImageInput view_of(const data::ImageBatch& batch) {
  return {.size = batch.size, .pixels = batch.pixels, .labels = batch.labels};
}

// The first images of a set, as the network reads them.
data::ImageBatch first_images(const data::ImageSet& images, const data::Normalization& scaling,
                              std::int64_t count) {
  data::ImageBatches batches(
      images,
      {.batch_size = std::min(count, images.count), .normalization = scaling, .prefetch = false},
      nullptr);
  data::ImageBatch batch;
  batches.next(batch);
  return batch;
}

OpenedImageRun open_with(const std::string& run, std::shared_ptr<ThreadPool> pool) {
  require_run(run);
  OpenedImageRun opened;
  opened.config = load_image_config(config_path(run), {});
  const CheckpointFolder checkpoints(run, kImageCheckpoint);
  const std::string path = checkpoints.best_or_newest();
  const SnapshotReader file(path, kImageCheckpoint);
  const ImageFormat format = read_format(file);
  nn::ImageNetworkOptions options = opened.config.network;
  options.input = format.shape;
  options.classes = format.classes;
  opened.network = std::make_unique<nn::ImageNetwork>(options, std::move(pool));
  static_cast<void>(read_checkpoint(file, *opened.network));
  opened.normalization = format.normalization;
  opened.class_names = format.class_names;
  opened.checkpoint = path;
  return opened;
}

// One run from wherever its folder stands to its end.
class ImageTrainer {
 public:
  explicit ImageTrainer(const ImageRunOptions& options)
      : options_(options),
        config_(options.config),
        pool_(std::make_shared<ThreadPool>(options.threads)),
        train_(read_set(config_.data, config_.data.train, nullptr, options.threads,
                        config_.data.limit)),
        checkpoints_(options.run, kImageCheckpoint),
        metrics_(options.run + "/metrics.jsonl"),
        control_(options.run, options.stop, config_.train.checkpoint_every) {
    format_ = {.shape = {train_.channels, train_.height, train_.width},
               .classes = train_.classes,
               .class_names = train_.class_names,
               .normalization = {}};
    if (!config_.data.valid.empty()) valid_ = read(config_.data.valid);
    nn::ImageNetworkOptions network = config_.network;
    network.input = format_.shape;
    network.classes = format_.classes;
    network.seed = config_.train.seed;
    network_ = std::make_unique<nn::ImageNetwork>(network, pool_);
    batches_per_epoch_ = std::max<std::int64_t>(1, train_.count / config_.train.batch_size);
  }

  Json run() {
    restore();
    while (!state_.finished) {
      run_epoch();
      end_epoch();
    }
    return summarize();
  }

 private:
  [[nodiscard]] data::ImageSet read(const std::vector<std::string>& files) const {
    return read_set(config_.data, files, &format_, options_.threads, 0);
  }

  void restore() {
    const std::optional<std::string> newest = checkpoints_.newest();
    if (newest) {
      const SnapshotReader file(*newest, kImageCheckpoint);
      format_ = read_format(file);
      state_ = read_checkpoint(file, *network_);
      log_info(concat("going on from step ", state_.steps, " (", *newest, ")"));
    } else if (!config_.initial.empty()) {
      start_from(config_.initial);
    }
    if (!config_.teacher.run.empty()) follow_teacher(newest.has_value());
    if (format_.normalization.mean.empty()) {
      format_.normalization = data::measure_normalization(train_, options_.threads);
    }
    metrics_.open_at(state_.metrics_bytes);
    control_.checkpointed();
  }

  void start_from(const std::string& run) {
    const OpenedImageRun opened = open_with(run, pool_);
    network_->load(SnapshotReader(opened.checkpoint, kImageCheckpoint), "model/", /*state=*/false);
    network_->set_quantized(false);
    format_.normalization = opened.normalization;
  }

  void follow_teacher(bool resumed) {
    OpenedImageRun opened = open_with(config_.teacher.run, pool_);
    if (!resumed && format_.normalization.mean.empty()) {
      format_.normalization = opened.normalization;
    }
    network_->set_teacher(std::move(opened.network), config_.teacher.weight,
                          config_.teacher.temperature);
  }

  void run_epoch() {
    data::ImageBatches batches(
        train_,
        {.batch_size = config_.train.batch_size,
         .seed = config_.train.seed,
         .epoch = state_.epoch,
         .shuffle = true,
         .augmentation = {.crop_padding = config_.data.crop_padding, .flip = config_.data.flip},
         .normalization = format_.normalization,
         .drop_last = train_.count >= config_.train.batch_size},
        pool_);
    batches.skip(state_.batches);
    ProgressBar bar(concat("epoch ", state_.epoch + 1, "/", config_.train.epochs), train_.count,
                    "images");
    Clock::time_point start = Clock::now();
    while (batches.next(batch_)) {
      train_batch();
      bar.update(state_.batches * config_.train.batch_size, note_);
      state_.train_seconds += seconds_since(start);
      if (state_.steps % config_.train.log_every == 0) log_window();
      if (control_.stop_asked()) stop_here();
      if (control_.checkpoint_due(state_.steps)) checkpoint();
      start = Clock::now();
    }
  }

  void train_batch() {
    follow_schedules();
    const double rate = learning_rate_at(
        config_.train, state_.steps, config_.train.epochs * batches_per_epoch_, batches_per_epoch_);
    const nn::ImageLoss loss = network_->train_step(view_of(batch_), rate);
    ++state_.batches;
    ++state_.steps;
    state_.examples += batch_.size;
    state_.window_loss += loss.loss;
    state_.window_correct += loss.correct;
    state_.window_examples += batch_.size;
  }

  // Brings rates, masks and 8 bits to where they belong at this step.
  void follow_schedules() {
    const double epoch =
        static_cast<double>(state_.epoch) +
        static_cast<double>(state_.batches) / static_cast<double>(batches_per_epoch_);
    network_->set_winner_rates(winner_rates_at(config_, epoch));
    const PruneConfig& prune = config_.prune;
    const double share = pruned_share_at(prune, epoch);
    const std::int64_t every = std::max<std::int64_t>(1, batches_per_epoch_ / kPrunings);
    const bool due = share == prune.share || state_.steps % every == 0;
    if (share > state_.pruned_share && due) {
      network_->prune({.prune = prune.kind, .share = share});
      state_.pruned_share = share;
    }
    if (!prune.maps.empty() && !state_.maps_pruned && epoch >= prune.from) {
      const data::ImageBatch scored = first_images(train_, format_.normalization, kReported);
      network_->prune_maps(prune.maps, view_of(scored));
      state_.maps_pruned = true;
    }
    if (config_.quantize.mode == QuantizeMode::kTrain && epoch >= config_.quantize.from) quantize();
  }

  void quantize() {
    if (state_.calibrated) return;
    const data::ImageBatch seen =
        first_images(train_, format_.normalization, config_.quantize.images);
    network_->calibrate(view_of(seen), config_.quantize.calibration);
    network_->set_quantized(true);
    state_.calibrated = true;
  }

  // Writes a line of metrics about the steps since the last one.
  void log_window() {
    const auto count = static_cast<double>(state_.window_examples);
    const double loss = state_.window_loss / count;
    const double top1 = static_cast<double>(state_.window_correct) / count;
    note_ = concat("loss ", loss, ", top-1 ", top1);
    metrics_.append({{"step", state_.steps},
                     {"examples", state_.examples},
                     {"seconds", state_.train_seconds},
                     {"loss", loss},
                     {"top1", top1},
                     {"winner_rates", network_->winner_rates()},
                     {"pruned_share", state_.pruned_share}});
    state_.metrics_bytes = metrics_.bytes();
    state_.window_loss = 0;
    state_.window_correct = 0;
    state_.window_examples = 0;
  }

  [[noreturn]] void stop_here() {
    checkpoint();
    control_.stop_at(state_.steps);
  }

  void save(SectionSink& file) const { save_checkpoint(file, state_, format_, *network_); }

  void checkpoint() {
    metrics_.flush();
    checkpoints_.write(state_.steps, [this](SectionSink& file) { save(file); });
    control_.checkpointed();
  }

  void end_epoch() {
    const std::int64_t epoch = state_.epoch++;
    state_.batches = 0;
    const bool last = state_.epoch >= config_.train.epochs;
    if (last && config_.quantize.mode == QuantizeMode::kCalibrate) quantize();
    if (!config_.data.valid.empty()) {
      state_.valid = evaluate(*network_, valid_, format_.normalization, options_.threads);
      log_info(concat("epoch ", epoch + 1, ": valid top-1 ", state_.valid.top1, ", log loss ",
                      state_.valid.log_loss));
      if (state_.valid.top1 > state_.best_top1) {
        state_.best_top1 = state_.valid.top1;
        state_.best_epoch = epoch;
        if (config_.train.early_stop > 0) {
          checkpoints_.write_best(state_.steps, [this](SectionSink& file) { save(file); });
        }
      }
    }
    const bool stalled =
        config_.train.early_stop > 0 && epoch - state_.best_epoch >= config_.train.early_stop;
    state_.finished = stalled || last;
    if (state_.finished && state_.window_examples > 0) log_window();
    checkpoint();
  }

  Json summarize() {
    const std::optional<std::string> best = checkpoints_.best();
    if (best && state_.best_epoch + 1 != state_.epoch) {
      state_.valid = read_checkpoint(SnapshotReader(*best, kImageCheckpoint), *network_).valid;
    }
    Json summary = run_facts();
    if (!config_.data.valid.empty()) summary["valid"] = to_json(state_.valid);
    if (!config_.data.test.empty()) {
      summary["test"] = to_json(
          evaluate(*network_, read(config_.data.test), format_.normalization, options_.threads));
    }
    const char* measured = summary.contains("test")    ? "test"
                           : summary.contains("valid") ? "valid"
                                                       : nullptr;
    for (const char* field : {"top1", "log_loss"}) {
      summary[field] = measured == nullptr ? Json(nullptr) : summary[measured][field];
    }
    write_file(options_.run + "/summary.json", summary.dump(2) + "\n");
    return summary;
  }

  [[nodiscard]] Json run_facts() const {
    const auto rate = static_cast<double>(state_.examples) / state_.train_seconds;
    Json facts = {{"run", options_.run},
                  {"task", "image"},
                  {"model", config_.network.kind},
                  {"seed", config_.train.seed},
                  {"threads", pool_->threads()},
                  {"epochs", state_.epoch},
                  {"steps", state_.steps},
                  {"examples", state_.examples},
                  {"train_seconds", state_.train_seconds},
                  {"examples_per_second", std::isfinite(rate) ? Json(rate) : Json(nullptr)},
                  {"parameters", network_->parameter_count()},
                  {"pruned_share", network_->pruned_share()},
                  {"quantized", state_.calibrated},
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
    for (const nn::SiteReport& site : network_->report_sites(view_of(seen))) {
      facts["sites"].push_back({{"layer", site.layer},
                                {"natural_density", site.natural_density},
                                {"density", site.density},
                                {"never", site.never},
                                {"always", site.always},
                                {"entropy_bits", site.entropy}});
    }
    return facts;
  }

  const ImageRunOptions& options_;
  const ImageConfig& config_;
  std::shared_ptr<ThreadPool> pool_;
  data::ImageSet train_;
  data::ImageSet valid_;
  ImageFormat format_;
  std::unique_ptr<nn::ImageNetwork> network_;
  CheckpointFolder checkpoints_;
  MetricsFile metrics_;
  ImageState state_;
  data::ImageBatch batch_;
  std::int64_t batches_per_epoch_ = 1;
  std::string note_;
  RunControl control_;
};

}  // namespace

Json to_json(const ImageQuality& quality) {
  return {{"top1", quality.top1}, {"log_loss", quality.log_loss}, {"examples", quality.examples}};
}

ImageQuality evaluate(const nn::ImageNetwork& network, const data::ImageSet& images,
                      const data::Normalization& normalization, int threads) {
  const std::int64_t classes = network.options().classes;
  data::ImageBatches batches(images, {.batch_size = kEvaluated, .normalization = normalization},
                             std::make_shared<ThreadPool>(threads));
  infer::ClassQuality quality;
  data::ImageBatch batch;
  std::vector<float> logits;
  while (batches.next(batch)) {
    logits.resize(static_cast<std::size_t>(batch.size * classes));
    network.predict({.size = batch.size, .pixels = batch.pixels, .labels = {}}, logits);
    quality.add(classes, logits, batch.labels);
  }
  return {.examples = quality.examples(), .top1 = quality.top1(), .log_loss = quality.log_loss()};
}

Json train_image_run(const ImageRunOptions& options) {
  prepare_folder(options.run, to_toml(options.config), options.resume,
                 CheckpointFolder(options.run, kImageCheckpoint));
  return ImageTrainer(options).run();
}

OpenedImageRun open_image_run(const std::string& run, int threads) {
  return open_with(run, std::make_shared<ThreadPool>(threads));
}

data::ImageSet read_run_images(const OpenedImageRun& run, const std::vector<std::string>& files,
                               int threads, std::int64_t limit) {
  const ImageFormat format{.shape = run.network->options().input,
                           .classes = run.network->options().classes,
                           .class_names = run.class_names,
                           .normalization = {}};
  return read_set(run.config.data, files, &format, threads, limit);
}

}  // namespace taut::train
