#pragma once
// Where the loop over images is, and what a checkpoint of it holds.

#include <cstdint>
#include <string>
#include <vector>

#include "taut/core/snapshot.h"
#include "taut/data/images.h"
#include "taut/nn/image_network.h"
#include "taut/train/image_run.h"

namespace taut::train {

/// Kind and version of an image run's checkpoints.
inline constexpr SnapshotKind kImageCheckpoint{.kind = "imgckpt", .version = 1};

/// What the network reads and says.
struct ImageFormat {
  nn::Shape shape;
  std::int64_t classes = 0;
  std::vector<std::string> class_names;
  data::Normalization normalization;
};

/// Where the loop is. All of it goes into a checkpoint.
struct ImageState {
  std::int64_t epoch = 0;
  std::int64_t batches = 0;  ///< read in this epoch
  std::int64_t steps = 0;
  std::int64_t examples = 0;
  double train_seconds = 0;
  std::int64_t metrics_bytes = 0;
  double best_top1 = -1;
  std::int64_t best_epoch = -1;
  double pruned_share = 0;
  bool maps_pruned = false;
  bool calibrated = false;
  bool finished = false;
  ImageQuality valid;
  // Since the last line of metrics.jsonl.
  double window_loss = 0;
  std::int64_t window_correct = 0;
  std::int64_t window_examples = 0;
};

void save_checkpoint(SectionSink& file, const ImageState& state, const ImageFormat& format,
                     const nn::ImageNetwork& network);

/// The format alone, which the network is made from. Errors: kFormat naming the file.
[[nodiscard]] ImageFormat read_format(const SectionSource& file);
/// State and network.
[[nodiscard]] ImageState read_checkpoint(const SectionSource& file, nn::ImageNetwork& network);

}  // namespace taut::train
