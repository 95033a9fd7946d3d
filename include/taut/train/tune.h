#pragma once
// Finds winner rates by layer for a trained network: what they cost in accuracy, measured, against
// what they save in multiply-adds, predicted.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "taut/sparsity/winners.h"
#include "taut/train/classifier.h"

namespace taut::train {

struct TuneOptions {
  std::string run;                    ///< folder of a trained run of images
  double accuracy_drop = 0.005;       ///< of top-1 that is allowed, in [0, 1)
  std::vector<sparsity::Unit> units;  ///< that maps may choose among; empty: the run's
  std::vector<double> rates = {0.7, 0.5, 0.3, 0.2, 0.15, 0.1};  ///< tried, beside 1 and the run's
  std::vector<std::string> data;  ///< measured on; empty: the run's data.valid
  std::int64_t images = 2000;     ///< of them, evenly spaced
  bool recalibrate = false;       ///< batch normalization anew for each choice of rates
  std::int64_t epochs = 6;        ///< of the fine-tuning that the config describes
  int threads = 0;
};

/// What was found.
struct Tuned {
  /// unit, sites (layer, rate_before, rate, sensitivity: top-1 at each rate alone, multiply_adds
  /// that read it), multiply_adds (dense, before, after as predicted, measured), predicted_speedup,
  /// accuracy (before, after, drop, allowed), images, evaluations, candidates (one for each unit).
  nlohmann::json summary;
  /// Fine-tunes from the run, with it as teacher, at the rates found.
  ImageConfig config;
};

/// Accuracy is that of the run's network as it is, without training between; fine-tuning wins most
/// of it back. The same result for any number of threads. Errors: kConfig for options out of range,
/// a run of another task, no images to measure on, or a unit that no layer has; those of
/// open_run.
[[nodiscard]] Tuned tune_run(const TuneOptions& options);

/// "0.5%" or "0.005" as a share. Errors: kConfig for anything else, or outside [0, 1).
[[nodiscard]] double parse_accuracy_drop(const std::string& text);

}  // namespace taut::train
