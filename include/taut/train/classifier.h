#pragma once
// The task "image": networks that classify images.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "taut/core/spelling.h"
#include "taut/data/images.h"
#include "taut/nn/image_network.h"
#include "taut/train/config.h"

namespace taut::train {

struct OpenedRun;

/// How the learning rate moves. All are functions of the step alone.
enum class Schedule {
  kConstant,
  kCosine,    ///< after the warm-up down to 0 along half a cosine
  kOneCycle,  ///< up for three tenths of the steps, down to 0 (Smith and Topin, arXiv 1708.07120)
};
constexpr auto spellings(std::type_identity<Schedule>) {
  return std::to_array<Spelling<Schedule>>({{"constant", Schedule::kConstant},
                                            {"cosine", Schedule::kCosine},
                                            {"one_cycle", Schedule::kOneCycle}});
}

/// Which parameters are put into 8 bits, and when.
enum class QuantizeMode {
  kNone,
  kCalibrate,  ///< after training, from images of the training set
  kTrain,      ///< calibrated at quantize.from, then trained with the rounding
};
constexpr auto spellings(std::type_identity<QuantizeMode>) {
  return std::to_array<Spelling<QuantizeMode>>({{"none", QuantizeMode::kNone},
                                                {"calibrate", QuantizeMode::kCalibrate},
                                                {"train", QuantizeMode::kTrain}});
}

/// [teacher]
struct TeacherConfig {
  std::string run;  ///< folder of a trained run; "": none
  double weight = 0.5;
  double temperature = 2.0;
};

/// [prune]
struct PruneConfig {
  double share = 0;  ///< of the weights, in [0, 1); 0: none. With kind n_of_m: any share means on
  sparsity::Prune kind = sparsity::Prune::kGlobal;
  std::vector<double> maps;  ///< rates of feature maps that stay, for all images alike; empty: all
  double from = 0;           ///< epoch at which pruning begins
  double ramp = 0;           ///< epochs over which the share grows
};

/// [quantize]
struct QuantizeConfig {
  QuantizeMode mode = QuantizeMode::kNone;
  sparsity::Calibration calibration = sparsity::Calibration::kMeanSquaredError;
  double from = 0;             ///< epoch, for mode train
  std::int64_t images = 1024;  ///< that ranges are found from
};

/// A whole config. Sizes in model are filled in from the images when the run starts. The files in
/// data are as data::ImageSourceOptions::files takes them.
struct ImageConfig final : Config {
  std::string labels;             ///< key data.labels
  std::int64_t size = 0;          ///< key data.size
  std::int64_t limit = 0;         ///< key data.limit: training images, 0: all
  std::int64_t crop_padding = 0;  ///< key data.crop_padding
  bool flip = false;              ///< key data.flip
  nn::ImageNetworkOptions model;
  std::string initial;  ///< key model.initial: folder of a run whose network is the start
  TeacherConfig teacher;
  PruneConfig prune;
  QuantizeConfig quantize;
  Schedule schedule = Schedule::kOneCycle;  ///< key train.schedule; learning_rate is its highest
  double warmup = 0;                        ///< key train.warmup: epochs, for constant and cosine

  ImageConfig();
  [[nodiscard]] std::string_view task() const noexcept override;
  [[nodiscard]] std::string to_toml() const override;
  [[nodiscard]] std::shared_ptr<const Config> with(
      std::span<const std::string> settings) const override;
  [[nodiscard]] std::unique_ptr<Task> make_task(std::shared_ptr<ThreadPool> pool) const override;
  [[nodiscard]] graph::Network network() const override;
};

/// As parse_config, of the task's own type.
[[nodiscard]] ImageConfig parse_image_config(std::string_view text, const std::string& base,
                                             const std::string& name,
                                             std::span<const std::string> settings);

/// Quality of a classifier of images.
struct ImageQuality {
  std::int64_t examples = 0;
  double top1 = 0;            ///< share of images whose label has the highest logit
  double log_loss = 0;        ///< mean cross-entropy, in nats
  std::int64_t unscored = 0;  ///< images left out, because a logit is not a number
};

/// Quality of a network on images. The pool also makes the batches. workers: share the images; all
/// of them get the quality on all images. null: this process alone.
[[nodiscard]] ImageQuality evaluate(const nn::ImageNetwork& network, const data::ImageSet& images,
                                    const data::Normalization& normalization,
                                    const std::shared_ptr<ThreadPool>& pool,
                                    dist::ProcessGroup* workers = nullptr);

/// What the network of a run reads and says.
struct ImageFormat {
  nn::Shape shape;
  std::int64_t classes = 0;
  std::vector<std::string> class_names;
  data::Normalization normalization;
};

/// What an opened run of a classifier of images holds: views of it.
struct ImageRun {
  const ImageConfig& config;
  const ImageFormat& format;
  std::shared_ptr<nn::ImageNetwork> network;
  const std::string& checkpoint;
};

/// The parts of a run. Errors: kConfig, saying that `what` is for images, for another task's.
[[nodiscard]] ImageRun images_of(const OpenedRun& run, std::string_view what);

/// Present rates, one for each site; 1 in a dense network.
[[nodiscard]] std::vector<double> rates_by_site(const nn::ImageNetwork& network);

/// Puts a checkpoint's parameters into a network of the same shape, without optimizer state.
/// Errors: kFormat.
void load_weights(nn::ImageNetwork& network, const std::string& checkpoint);

/// Images of files as the run's network reads them. pool: decodes them; null: threads of their own.
/// limit: the first so many, 0: all. Errors: kData for images of another size.
[[nodiscard]] data::ImageSet read_run_images(const ImageRun& run,
                                             const std::vector<std::string>& files,
                                             std::shared_ptr<ThreadPool> pool,
                                             std::int64_t limit = 0);

}  // namespace taut::train
