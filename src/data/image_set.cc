#include <array>
#include <cmath>
#include <mutex>

#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/data/images.h"

namespace taut::data {
namespace {

using Histogram = std::array<std::array<std::uint64_t, 256>, 3>;  // by channel and value

void count_values(const ImageSet& images, std::int64_t begin, std::int64_t end,
                  Histogram& histogram) {
  const std::int64_t channels = images.channels;
  for (std::int64_t i = begin; i < end; ++i) {
    for (std::int64_t c = 0; c < channels; ++c) {
      ++histogram[static_cast<std::size_t>(c)]
                 [images.pixels[static_cast<std::size_t>(i * channels + c)]];
    }
  }
}

}  // namespace

ImageSet slice(const ImageSet& images, std::int64_t begin, std::int64_t end) {
  if (begin < 0 || begin >= end || end > images.count) {
    throw_invalid_argument("[begin, end)", concat("a part of the ", images.count, " images"),
                           concat("[", begin, ", ", end, ")"));
  }
  const std::int64_t image = images.height * images.width * images.channels;
  ImageSet part;
  part.count = end - begin;
  part.height = images.height;
  part.width = images.width;
  part.channels = images.channels;
  part.classes = images.classes;
  part.pixels.assign(images.pixels.begin() + begin * image, images.pixels.begin() + end * image);
  part.labels.assign(images.labels.begin() + begin, images.labels.begin() + end);
  part.class_names = images.class_names;
  return part;
}

Normalization measure_normalization(const ImageSet& images, int threads) {
  ThreadPool pool(threads);
  return measure_normalization(images, pool);
}

Normalization measure_normalization(const ImageSet& images, ThreadPool& pool) {
  const std::int64_t pixels = images.count * images.height * images.width;
  Histogram total{};
  std::mutex mutex;
  pool.parallel_for(pixels, 1 << 16, [&](std::int64_t begin, std::int64_t end) {
    Histogram part{};
    count_values(images, begin, end, part);
    const std::lock_guard lock(mutex);
    for (std::size_t c = 0; c < part.size(); ++c) {
      for (std::size_t v = 0; v < part[c].size(); ++v) total[c][v] += part[c][v];
    }
  });
  Normalization result;
  for (std::size_t c = 0; c < static_cast<std::size_t>(images.channels); ++c) {
    std::uint64_t sum = 0;
    std::uint64_t squares = 0;
    for (std::uint64_t v = 0; v < 256; ++v) {
      sum += v * total[c][v];
      squares += v * v * total[c][v];
    }
    const auto n = static_cast<double>(pixels);
    const double mean = static_cast<double>(sum) / n;
    const double variance = std::max(0.0, static_cast<double>(squares) / n - mean * mean);
    const double deviation = std::sqrt(variance) / 255;
    result.mean.push_back(static_cast<float>(mean / 255));
    result.deviation.push_back(deviation > 1e-6 ? static_cast<float>(deviation) : 1.0F);
  }
  return result;
}

}  // namespace taut::data
