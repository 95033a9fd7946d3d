#include "train/classifier_data.h"

#include <algorithm>

#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/infer/quality.h"

namespace taut::train {
namespace {

constexpr std::int64_t kEvaluated = 512;  // images a batch

}  // namespace

data::ImageSet read_set(const ImageConfig& config, const std::vector<std::string>& files,
                        const ImageFormat* format, int threads, std::int64_t limit) {
  data::ImageSourceOptions source{.files = files};
  source.labels = config.labels;
  source.size = config.size;
  source.limit = limit;
  source.on_bad = config.data.on_bad_row;
  source.threads = threads;
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

ImageQuality evaluate(const nn::ImageNetwork& network, const data::ImageSet& images,
                      const data::Normalization& normalization,
                      const std::shared_ptr<ThreadPool>& pool) {
  const std::int64_t classes = network.options().classes;
  data::ImageBatches batches(images, {.batch_size = kEvaluated, .normalization = normalization},
                             pool);
  infer::ClassQuality quality;
  infer::UnscoredRows unscored;
  data::ImageBatch batch;
  std::vector<float> logits;
  while (batches.next(batch)) {
    logits.resize(static_cast<std::size_t>(batch.size * classes));
    network.predict({.size = batch.size, .pixels = batch.pixels, .labels = {}}, logits);
    unscored.add(logits, classes, {}, [&](std::size_t i) {
      return concat("image ",
                    quality.examples() + quality.unscored() + static_cast<std::int64_t>(i));
    });
    quality.add(classes, logits, batch.labels);
  }
  unscored.warn();
  return {.examples = quality.examples(),
          .top1 = quality.top1(),
          .log_loss = quality.log_loss(),
          .unscored = quality.unscored()};
}

data::ImageSet read_run_images(const ImageRun& run, const std::vector<std::string>& files,
                               int threads, std::int64_t limit) {
  return read_set(run.config, files, &run.format, threads, limit);
}

}  // namespace taut::train
