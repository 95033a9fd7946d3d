#include <algorithm>
#include <cmath>

#include "image_decode.h"

namespace taut::data {
namespace {

// The pixels [begin, begin + weights.size()) of the input that make one of the output.
struct Taps {
  std::int64_t begin = 0;
  std::vector<float> weights;
};

// Taps of output pixels [first, first + size) when `from` input pixels become `to`.
std::vector<Taps> make_taps(std::int64_t from, std::int64_t to, std::int64_t first,
                            std::int64_t size) {
  const double scale = static_cast<double>(from) / static_cast<double>(to);
  const double reach = std::max(scale, 1.0);
  std::vector<Taps> taps(static_cast<std::size_t>(size));
  for (std::int64_t i = 0; i < size; ++i) {
    const double center = (static_cast<double>(first + i) + 0.5) * scale;
    const auto begin = std::max<std::int64_t>(0, std::llround(center - reach));
    const auto end = std::min<std::int64_t>(from, std::llround(center + reach));
    Taps& tap = taps[static_cast<std::size_t>(i)];
    tap.begin = begin;
    double sum = 0;
    for (std::int64_t x = begin; x < end; ++x) {
      const double distance = std::fabs(static_cast<double>(x) + 0.5 - center) / reach;
      sum += std::max(0.0, 1.0 - distance);
      tap.weights.push_back(static_cast<float>(std::max(0.0, 1.0 - distance)));
    }
    for (float& weight : tap.weights) weight = static_cast<float>(weight / sum);
  }
  return taps;
}

std::uint8_t to_pixel(float value) {
  return static_cast<std::uint8_t>(std::clamp(value + 0.5F, 0.0F, 255.0F));
}

// The image with its columns resampled: [height, taps, channels].
std::vector<float> resample_rows(const Image& image, const std::vector<Taps>& taps) {
  std::vector<float> out;
  out.reserve(static_cast<std::size_t>(image.height * image.channels) * taps.size());
  for (std::int64_t y = 0; y < image.height; ++y) {
    const std::uint8_t* row = image.pixels.data() + y * image.width * image.channels;
    for (const Taps& tap : taps) {
      for (std::int64_t c = 0; c < image.channels; ++c) {
        const std::uint8_t* from = row + tap.begin * image.channels + c;
        float sum = 0;
        for (const float weight : tap.weights) {
          sum += weight * static_cast<float>(*from);
          from += image.channels;
        }
        out.push_back(sum);
      }
    }
  }
  return out;
}

}  // namespace

void resize_and_crop(Image& image, std::int64_t size) {
  if (image.height == size && image.width == size) return;
  const std::int64_t shorter = std::min(image.height, image.width);
  const auto scaled = [&](std::int64_t side) { return (side * size + shorter / 2) / shorter; };
  const std::int64_t height = scaled(image.height);
  const std::int64_t width = scaled(image.width);
  const std::vector<Taps> columns = make_taps(image.width, width, (width - size) / 2, size);
  const std::vector<Taps> rows = make_taps(image.height, height, (height - size) / 2, size);
  const std::vector<float> wide = resample_rows(image, columns);

  const auto row_size = static_cast<std::size_t>(size * image.channels);
  std::vector<float> sums(row_size);
  std::vector<std::uint8_t> pixels;
  pixels.reserve(row_size * static_cast<std::size_t>(size));
  for (const Taps& tap : rows) {
    std::fill(sums.begin(), sums.end(), 0.0F);
    const float* from = wide.data() + static_cast<std::size_t>(tap.begin) * row_size;
    for (const float weight : tap.weights) {
      for (std::size_t i = 0; i < row_size; ++i) sums[i] += weight * from[i];
      from += row_size;
    }
    for (const float sum : sums) pixels.push_back(to_pixel(sum));
  }
  image.height = size;
  image.width = size;
  image.pixels = std::move(pixels);
}

}  // namespace taut::data
