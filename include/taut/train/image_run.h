#pragma once
// Runs of image networks: training from a config into a folder, going on, and opening what is left.

#include <atomic>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "taut/data/images.h"
#include "taut/nn/image_network.h"
#include "taut/train/image_config.h"

namespace taut::train {

/// How to train; as RunOptions.
struct ImageRunOptions {
  ImageConfig config;
  std::string run;
  bool resume = false;
  int threads = 0;
  const std::atomic<bool>* stop = nullptr;
};

/// Quality of a classifier of images.
struct ImageQuality {
  std::int64_t examples = 0;
  double top1 = 0;      ///< share of images whose label has the highest logit
  double log_loss = 0;  ///< mean cross-entropy, in nats
};

/// top1, log_loss, examples.
[[nodiscard]] nlohmann::json to_json(const ImageQuality& quality);

/// Trains to the end and returns the summary, also written as RUN/summary.json: top1, log_loss (on
/// test, else valid, else null), valid and test in full, examples_per_second, model, parameters,
/// multiply_adds (dense, and with what is not computed left out), pruned_share, sites (who wins at
/// each layer), seed, threads, ... Quality has the same bits for any number of threads and however
/// often the run was killed and resumed. Errors and Interrupted: as train_run.
nlohmann::json train_image_run(const ImageRunOptions& options);

/// A trained run, opened from its best checkpoint, or the last.
struct OpenedImageRun {
  ImageConfig config;
  data::Normalization normalization;
  std::vector<std::string> class_names;
  std::unique_ptr<nn::ImageNetwork> network;
  std::string checkpoint;
};
[[nodiscard]] OpenedImageRun open_image_run(const std::string& run, int threads);

/// Images of files as the run's network reads them. limit: the first so many, 0: all.
[[nodiscard]] data::ImageSet read_run_images(const OpenedImageRun& run,
                                             const std::vector<std::string>& files, int threads,
                                             std::int64_t limit = 0);

/// Quality of a network on images.
[[nodiscard]] ImageQuality evaluate(const nn::ImageNetwork& network, const data::ImageSet& images,
                                    const data::Normalization& normalization, int threads);

}  // namespace taut::train
