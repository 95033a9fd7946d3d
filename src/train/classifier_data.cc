#include "train/classifier_data.h"

#include <algorithm>
#include <cmath>

#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/infer/quality.h"
#include "train/state.h"

namespace taut::train {
namespace {

constexpr std::int64_t kEvaluated = 512;  // images a batch

constexpr std::int64_t kLargestSide = 1 << 16;
constexpr std::int64_t kMostClasses = 1 << 24;

}  // namespace

void check_format(const ImageFormat& format, const std::string& where) {
  require_field("channels", format.shape.channels, 1, kLargestSide, where);
  require_field("height", format.shape.height, 1, kLargestSide, where);
  require_field("width", format.shape.width, 1, kLargestSide, where);
  require_field("classes", format.classes, 1, kMostClasses, where);
  const auto names = static_cast<std::int64_t>(format.class_names.size());
  if (names > 0)
    require_field("entries of class_names", names, format.classes, format.classes, where);
  const data::Normalization& scaling = format.normalization;
  const auto means = static_cast<std::int64_t>(scaling.mean.size());
  const std::int64_t wanted = means == 0 ? 0 : format.shape.channels;
  require_field("entries of mean", means, wanted, wanted, where);
  require_field("entries of deviation", static_cast<std::int64_t>(scaling.deviation.size()), wanted,
                wanted, where);
  for (std::size_t c = 0; c < scaling.mean.size(); ++c) {
    const bool good = std::isfinite(scaling.mean[c]) && std::isfinite(scaling.deviation[c]) &&
                      scaling.deviation[c] > 0;
    if (good) continue;
    throw Error(ErrorKind::kFormat,
                concat("\"mean\" and \"deviation\" of channel ", c, " cannot be ", scaling.mean[c],
                       " and ", scaling.deviation[c]),
                where);
  }
}

data::ImageSet read_set(const ImageConfig& config, const std::vector<std::string>& files,
                        const ImageFormat* format, std::shared_ptr<ThreadPool> pool,
                        std::int64_t limit) {
  data::ImageSourceOptions source{.files = files};
  source.labels = config.labels;
  source.size = config.size;
  source.limit = limit;
  source.on_bad = config.data.on_bad_row;
  source.pool = std::move(pool);
  if (format != nullptr) {
    source.classes = format->classes;
    source.class_names = format->class_names;
  }
  data::ImageSet images = data::read_images(source);
  data::warn_of_bad_rows(images.bad_rows, "images");
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
  return {.size = batch.size, .pixels = batch.pixels, .labels = batch.labels, .whole = batch.whole};
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

namespace {

// Of the images of all workers.
ImageQuality joined(const ImageQuality& own, dist::ProcessGroup& workers) {
  ImageQuality all;
  double correct = 0;
  for (const ImageQuality& one : workers.each(own)) {
    all.unscored += one.unscored;
    if (one.examples == 0) continue;
    const auto examples = static_cast<double>(one.examples);
    all.examples += one.examples;
    correct += std::round(one.top1 * examples);
    all.log_loss += one.log_loss * examples;
  }
  all.top1 = correct / static_cast<double>(all.examples);
  all.log_loss /= static_cast<double>(all.examples);
  return all;
}

}  // namespace

ImageQuality evaluate(const nn::ImageNetwork& network, const data::ImageSet& images,
                      const data::Normalization& normalization,
                      const std::shared_ptr<ThreadPool>& pool, dist::ProcessGroup* workers) {
  const std::int64_t classes = network.options().classes;
  data::ImageBatchOptions options{.batch_size = kEvaluated, .normalization = normalization};
  options.piece = network.options().piece;
  if (workers != nullptr) options.share = {.index = workers->rank(), .of = workers->size()};
  data::ImageBatches batches(images, options, pool);
  infer::ClassQuality quality;
  infer::UnscoredRows unscored;
  data::ImageBatch batch;
  std::vector<float> logits;
  while (batches.next(batch)) {
    if (batch.size == 0) continue;
    logits.resize(static_cast<std::size_t>(batch.size * classes));
    network.predict({.size = batch.size, .pixels = batch.pixels, .labels = {}}, logits);
    unscored.add(logits, classes, {}, [&](std::size_t i) {
      return concat("image ", batch.begin + static_cast<std::int64_t>(i));
    });
    quality.add(classes, logits, batch.labels);
  }
  unscored.warn();
  const ImageQuality own{.examples = quality.examples(),
                         .top1 = quality.top1(),
                         .log_loss = quality.log_loss(),
                         .unscored = quality.unscored()};
  return workers == nullptr ? own : joined(own, *workers);
}

data::ImageSet read_run_images(const ImageRun& run, const std::vector<std::string>& files,
                               std::shared_ptr<ThreadPool> pool, std::int64_t limit) {
  return read_set(run.config, files, &run.format, std::move(pool), limit);
}

}  // namespace taut::train
