#pragma once
// The config of a run with task = "image": a network that classifies images.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "taut/data/images.h"
#include "taut/nn/image_network.h"
#include "taut/train/config.h"
#include "taut/train/ramp.h"

namespace taut::train {

/// How the learning rate moves. All are functions of the step alone.
enum class Schedule {
  kConstant,
  kCosine,    ///< after the warm-up down to 0 along half a cosine
  kOneCycle,  ///< up for three tenths of the steps, down to 0 (Smith and Topin, arXiv 1708.07120)
};

/// Which parameters are put into 8 bits, and when.
enum class QuantizeMode {
  kNone,
  kCalibrate,  ///< after training, from images of the training set
  kTrain,      ///< calibrated at quantize.from, then trained with the rounding
};

/// [data]
struct ImageDataConfig {
  std::vector<std::string> train;  ///< see data::ImageSourceOptions::files
  std::vector<std::string> valid;
  std::vector<std::string> test;
  std::string labels;
  std::int64_t size = 0;
  std::int64_t limit = 0;  ///< training images, 0: all
  std::int64_t crop_padding = 0;
  bool flip = false;
  data::OnBadRow on_bad_row = data::OnBadRow::kFail;
};

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

/// [train]
struct ImageLoopConfig {
  std::int64_t epochs = 10;
  std::int64_t batch_size = 128;
  double learning_rate = 0.1;  ///< the highest of the schedule
  Schedule schedule = Schedule::kOneCycle;
  double warmup = 0;  ///< epochs, for constant and cosine
  CheckpointInterval checkpoint_every;
  std::int64_t log_every = 50;
  std::int64_t early_stop = 0;
  std::uint64_t seed = 1;
};

/// A whole config. Sizes in network are filled in from the images when the run starts.
struct ImageConfig {
  ImageDataConfig data;
  nn::ImageNetworkOptions network;
  std::string initial;  ///< key model.initial: folder of a run whose network is the start
  WinnerSchedule winners;
  TeacherConfig teacher;
  PruneConfig prune;
  QuantizeConfig quantize;
  ImageLoopConfig train;
};

/// What config_task tells.
inline constexpr std::string_view kImageTask = "image";
inline constexpr std::string_view kRecommenderTask = "ctr";

/// What a config file is for: its key task, kRecommenderTask when it has none. Errors: kConfig for
/// another task, kNotFound.
[[nodiscard]] std::string config_task(const std::string& path);

/// As load_config. Errors: the same.
[[nodiscard]] ImageConfig load_image_config(const std::string& path,
                                            std::span<const std::string> settings);
[[nodiscard]] ImageConfig parse_image_config(std::string_view text, const std::string& base,
                                             const std::string& name,
                                             std::span<const std::string> settings);

/// The config as TOML that load_image_config reads back to the same values.
[[nodiscard]] std::string to_toml(const ImageConfig& config);

/// "section.key" of every key, in order.
[[nodiscard]] std::vector<std::string> image_config_keys();

}  // namespace taut::train
