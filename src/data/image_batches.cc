#include <algorithm>
#include <array>
#include <numeric>
#include <optional>

#include "prefetch.h"
#include "taut/core/error.h"
#include "taut/core/random.h"
#include "taut/core/text.h"
#include "taut/data/images.h"

namespace taut::data {
namespace {

constexpr std::size_t kBatchesAhead = 2;
constexpr std::int64_t kValuesPerTask = 1 << 15;  // at least, so that small batches stay whole

// Purposes of random numbers.
constexpr std::uint64_t kOrder = 1;
constexpr std::uint64_t kChanges = 2;
// Counters of one image.
constexpr std::uint64_t kCountersPerImage = 3;

// What each value of each channel becomes.
using Table = std::array<std::array<float, 256>, 3>;

Table make_table(const Normalization& normalization, std::int64_t channels) {
  Table table{};
  for (std::size_t c = 0; c < static_cast<std::size_t>(channels); ++c) {
    const double mean = normalization.mean.empty() ? 0.0 : normalization.mean[c];
    const double deviation = normalization.deviation.empty() ? 1.0 : normalization.deviation[c];
    for (std::size_t v = 0; v < 256; ++v) {
      table[c][v] = static_cast<float>((static_cast<double>(v) / 255 - mean) / deviation);
    }
  }
  return table;
}

// How one image is changed.
struct Change {
  std::int64_t down = 0;   // the output's row y is the input's row y + down
  std::int64_t right = 0;  // the same for columns, before a flip
  bool flip = false;
};

// One output row from one input row; right and flip as in Change.
template <std::int64_t Channels>
void change_row(const std::uint8_t* from, std::int64_t width, const Change& change,
                const Table& table, float* to) {
  const std::int64_t begin = std::max<std::int64_t>(0, -change.right);
  const std::int64_t end = std::min(width, width - change.right);
  const auto at = [&](std::int64_t x) { return change.flip ? width - 1 - x : x; };
  if (begin > 0 || end < width) std::fill_n(to, width * Channels, 0.0F);
  for (std::int64_t x = begin; x < end; ++x) {
    const std::uint8_t* pixel = from + (x + change.right) * Channels;
    float* out = to + at(x) * Channels;
    for (std::int64_t c = 0; c < Channels; ++c)
      out[c] = table[static_cast<std::size_t>(c)][pixel[c]];
  }
}

template <std::int64_t Channels>
void change_image(const ImageSet& images, std::int64_t index, const Change& change,
                  const Table& table, float* to) {
  const std::int64_t row = images.width * Channels;
  const std::uint8_t* from = images.pixels.data() + index * images.height * row;
  for (std::int64_t y = 0; y < images.height; ++y, to += row) {
    const std::int64_t source = y + change.down;
    if (source < 0 || source >= images.height) {
      std::fill_n(to, row, 0.0F);
    } else {
      change_row<Channels>(from + source * row, images.width, change, table, to);
    }
  }
}

void check(const ImageSet& images, const ImageBatchOptions& options) {
  if (options.batch_size < 1) {
    throw_invalid_argument("batch_size", "at least 1", concat(options.batch_size));
  }
  if (options.piece < 1) throw_invalid_argument("piece", "at least 1", concat(options.piece));
  if (options.share.index < 0 || options.share.index >= options.share.of) {
    throw_invalid_argument("share.index", concat("0 to ", options.share.of - 1),
                           concat(options.share.index));
  }
  const std::int64_t padding = options.augmentation.crop_padding;
  const std::int64_t shorter = std::min(images.height, images.width);
  if (padding < 0 || padding >= std::max<std::int64_t>(shorter, 1)) {
    throw_invalid_argument("crop_padding", concat("0 to ", shorter - 1, ", below the shorter side"),
                           concat(padding));
  }
  for (const auto& [name, values] :
       {std::pair("normalization.mean", &options.normalization.mean),
        std::pair("normalization.deviation", &options.normalization.deviation)}) {
    if (!values->empty() && static_cast<std::int64_t>(values->size()) != images.channels) {
      throw_invalid_argument(name, concat(images.channels, " numbers, one for each channel"),
                             concat(values->size()));
    }
  }
  for (const float deviation : options.normalization.deviation) {
    if (!(deviation > 0)) {
      throw_invalid_argument("normalization.deviation", "above 0", concat(deviation));
    }
  }
}

}  // namespace

struct ImageBatches::Impl {
  Impl(const ImageSet& set, const Options& wanted, std::shared_ptr<ThreadPool> threads)
      : images(set), options(wanted), pool(std::move(threads)) {
    check(images, options);
    table = make_table(options.normalization, images.channels);
    changes =
        CounterRandom(options.seed).with(kChanges).with(static_cast<std::uint64_t>(options.epoch));
    const std::int64_t size = options.batch_size;
    batches = options.drop_last ? images.count / size : (images.count + size - 1) / size;
    if (options.shuffle) shuffle();
  }

  void shuffle() {
    const CounterRandom random =
        CounterRandom(options.seed).with(kOrder).with(static_cast<std::uint64_t>(options.epoch));
    order.resize(static_cast<std::size_t>(images.count));
    std::iota(order.begin(), order.end(), std::int64_t{0});
    for (std::size_t left = order.size(); left > 1; --left) {
      std::swap(order[left - 1], order[random.below(left, left)]);
    }
  }

  [[nodiscard]] Change change_at(std::int64_t place) const {
    Change change;
    const std::uint64_t counter = kCountersPerImage * static_cast<std::uint64_t>(place);
    const auto padding = options.augmentation.crop_padding;
    if (padding > 0) {
      const auto steps = static_cast<std::uint64_t>(2 * padding + 1);
      change.down = static_cast<std::int64_t>(changes.below(counter, steps)) - padding;
      change.right = static_cast<std::int64_t>(changes.below(counter + 1, steps)) - padding;
    }
    change.flip = options.augmentation.flip && changes.below(counter + 2, 2) == 1;
    return change;
  }

  void make(std::int64_t index, ImageBatch& batch) const {
    const std::int64_t image = images.height * images.width * images.channels;
    batch.whole = std::min(options.batch_size, images.count - index * options.batch_size);
    const Range mine = share_of(batch.whole, options.piece, options.share);
    const std::int64_t first = index * options.batch_size + mine.begin;
    batch.begin = first;
    batch.size = mine.size;
    batch.pixels.resize(static_cast<std::size_t>(batch.size * image));
    batch.labels.resize(static_cast<std::size_t>(batch.size));
    const auto make_range = [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t place = first + i;
        const std::int64_t from = order.empty() ? place : order[static_cast<std::size_t>(place)];
        batch.labels[static_cast<std::size_t>(i)] = images.labels[static_cast<std::size_t>(from)];
        float* to = batch.pixels.data() + i * image;
        if (images.channels == 1) {
          change_image<1>(images, from, change_at(place), table, to);
        } else {
          change_image<3>(images, from, change_at(place), table, to);
        }
      }
    };
    if (pool == nullptr) return make_range(0, batch.size);
    pool->parallel_for(batch.size, std::max<std::int64_t>(1, kValuesPerTask / image), make_range);
  }

  bool next(ImageBatch& batch) {
    if (next_batch >= batches) return false;
    if (!options.prefetch) {
      make(next_batch, batch);
    } else {
      if (!ahead) start_ahead();
      ahead->next(batch);
    }
    ++next_batch;
    return true;
  }

  void start_ahead() {
    ahead.emplace(kBatchesAhead, [this, index = next_batch](ImageBatch& made) mutable {
      if (index >= batches) return false;
      make(index++, made);
      return true;
    });
  }

  const ImageSet& images;
  const Options options;
  const std::shared_ptr<ThreadPool> pool;
  Table table{};
  CounterRandom changes{0};
  std::vector<std::int64_t> order;  // empty: the set's
  std::int64_t batches = 0;
  std::int64_t next_batch = 0;
  std::optional<Prefetcher<ImageBatch>> ahead;  // last: its thread uses all the rest
};

ImageBatches::ImageBatches(const ImageSet& images, const Options& options,
                           std::shared_ptr<ThreadPool> pool)
    : impl_(std::make_unique<Impl>(images, options, std::move(pool))) {}

ImageBatches::~ImageBatches() = default;

bool ImageBatches::next(ImageBatch& batch) {
  return impl_->next(batch);
}

void ImageBatches::skip(std::int64_t batches) {
  if (batches < 0) throw_invalid_argument("batches", "at least 0", concat(batches));
  impl_->ahead.reset();
  impl_->next_batch =
      std::min(impl_->batches, impl_->next_batch + std::min(batches, impl_->batches));
}

std::int64_t ImageBatches::batches() const noexcept {
  return impl_->batches;
}

}  // namespace taut::data
