// Batches of images: order, augmentation and normalization against plain references.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "image_files.h"
#include "taut/data/images.h"
#include "test_files.h"

namespace taut::data {
namespace {

using namespace testing;

ImageSet make_set(std::int64_t count, std::int64_t height, std::int64_t width,
                  std::int64_t channels) {
  ImageSet set;
  set.count = count;
  set.height = height;
  set.width = width;
  set.channels = channels;
  set.classes = count;
  set.pixels = make_pixels(count * height, width, channels, 5);
  set.labels.resize(static_cast<std::size_t>(count));
  std::iota(set.labels.begin(), set.labels.end(), 0);
  return set;
}

std::vector<ImageBatch> all_batches(const ImageSet& set, const ImageBatchOptions& options,
                                    int threads = 0, std::int64_t skipped = 0) {
  ImageBatches batches(set, options,
                       threads == 0 ? nullptr : std::make_shared<ThreadPool>(threads));
  batches.skip(skipped);
  std::vector<ImageBatch> all;
  for (ImageBatch batch; batches.next(batch);) all.push_back(batch);
  return all;
}

void expect_same(const std::vector<ImageBatch>& a, const std::vector<ImageBatch>& b,
                 std::size_t from = 0) {
  ASSERT_EQ(a.size(), b.size() - from);
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].labels, b[i + from].labels);
    EXPECT_EQ(a[i].pixels, b[i + from].pixels);
  }
}

std::vector<std::int64_t> labels_of(const std::vector<ImageBatch>& batches) {
  std::vector<std::int64_t> labels;
  for (const ImageBatch& batch : batches) {
    labels.insert(labels.end(), batch.labels.begin(), batch.labels.end());
  }
  return labels;
}

ImageBatchOptions augmented() {
  ImageBatchOptions options;
  options.batch_size = 16;
  options.shuffle = true;
  options.augmentation = {2, true};
  options.normalization = {{0.5F, 0.4F, 0.3F}, {0.2F, 0.25F, 0.3F}};
  return options;
}

// One image moved and mirrored, value by value.
std::vector<float> reference(const ImageSet& set, std::int64_t index, std::int64_t down,
                             std::int64_t right, bool flip, const Normalization& normalization) {
  std::vector<float> out;
  for (std::int64_t y = 0; y < set.height; ++y) {
    for (std::int64_t x = 0; x < set.width; ++x) {
      const std::int64_t from_y = y + down;
      const std::int64_t from_x = (flip ? set.width - 1 - x : x) + right;
      const bool inside = from_y >= 0 && from_y < set.height && from_x >= 0 && from_x < set.width;
      for (std::int64_t c = 0; c < set.channels; ++c) {
        const auto k = static_cast<std::size_t>(c);
        const std::int64_t at =
            ((index * set.height + from_y) * set.width + from_x) * set.channels + c;
        const double value = inside ? set.pixels[static_cast<std::size_t>(at)] / 255.0 : 0.0;
        out.push_back(inside ? static_cast<float>((value - normalization.mean[k]) /
                                                  normalization.deviation[k])
                             : 0.0F);
      }
    }
  }
  return out;
}

struct Move {
  std::int64_t down;
  std::int64_t right;
  bool flip;
  auto operator<=>(const Move&) const = default;
};

// The moves within the padding that explain an output.
std::vector<Move> explain(const ImageSet& set, std::int64_t index, const std::vector<float>& got,
                          const ImageBatchOptions& options) {
  std::vector<Move> found;
  const std::int64_t padding = options.augmentation.crop_padding;
  for (std::int64_t down = -padding; down <= padding; ++down) {
    for (std::int64_t right = -padding; right <= padding; ++right) {
      for (const bool flip : {false, true}) {
        if (reference(set, index, down, right, flip, options.normalization) == got) {
          found.push_back({down, right, flip});
        }
      }
    }
  }
  return found;
}

TEST(ImageBatchesTest, WithoutOptionsImagesComeInOrderScaledToOne) {
  const ImageSet set = make_set(10, 3, 4, 3);
  ImageBatchOptions options;
  options.batch_size = 4;
  const auto batches = all_batches(set, options);
  ASSERT_EQ(batches.size(), 3U);
  EXPECT_EQ(batches[2].size, 2);
  std::size_t at = 0;
  for (const ImageBatch& batch : batches) {
    for (const float value : batch.pixels) {
      EXPECT_FLOAT_EQ(value, static_cast<float>(set.pixels[at++]) / 255);
    }
  }
  EXPECT_EQ(at, set.pixels.size());
  options.drop_last = true;
  EXPECT_EQ(all_batches(set, options).size(), 2U);
  EXPECT_EQ(ImageBatches(set, options, nullptr).batches(), 2);
}

TEST(ImageBatchesTest, AugmentedImagesAreMovedMirroredAndNormalizedAndNothingElse) {
  for (const std::int64_t channels : {1, 3}) {
    const ImageSet set = make_set(600, 5, 7, channels);
    ImageBatchOptions options = augmented();
    options.normalization.mean.resize(static_cast<std::size_t>(channels));
    options.normalization.deviation.resize(static_cast<std::size_t>(channels));
    std::map<Move, int> moves;
    for (const ImageBatch& batch : all_batches(set, options, 2)) {
      for (std::int64_t i = 0; i < batch.size; ++i) {
        const std::int64_t size = 5 * 7 * channels;
        const std::vector<float> got(batch.pixels.begin() + i * size,
                                     batch.pixels.begin() + (i + 1) * size);
        const auto found = explain(set, batch.labels[static_cast<std::size_t>(i)], got, options);
        ASSERT_EQ(found.size(), 1U);
        ++moves[found[0]];
      }
    }
    // 25 shifts, mirrored or not: each 12 times in 600, give or take.
    EXPECT_EQ(moves.size(), 50U);
    int mirrored = 0;
    for (const auto& [move, times] : moves) {
      EXPECT_LT(times, 30);
      mirrored += move.flip ? times : 0;
    }
    EXPECT_NEAR(mirrored, 300, 60);
  }
}

TEST(ImageBatchesTest, ShuffledPassesAreDifferentPermutations) {
  const ImageSet set = make_set(500, 2, 2, 1);
  ImageBatchOptions options;
  options.shuffle = true;
  options.batch_size = 64;
  std::set<std::vector<std::int64_t>> orders;
  std::vector<std::int64_t> sorted(500);
  std::iota(sorted.begin(), sorted.end(), 0);
  orders.insert(sorted);
  for (const auto& [seed, epoch] : {std::pair{1, 0}, {1, 1}, {2, 0}, {2, 1}}) {
    options.seed = static_cast<std::uint64_t>(seed);
    options.epoch = epoch;
    const auto labels = labels_of(all_batches(set, options));
    orders.insert(labels);
    EXPECT_TRUE(std::is_permutation(labels.begin(), labels.end(), sorted.begin(), sorted.end()));
  }
  EXPECT_EQ(orders.size(), 5U);
}

TEST(ImageBatchesTest, ThreadsPrefetchAndPoolDoNotChangeABit) {
  const ImageSet set = make_set(333, 32, 32, 3);
  ImageBatchOptions options = augmented();
  options.prefetch = false;
  const auto expected = all_batches(set, options, 0);
  for (const bool prefetch : {false, true}) {
    options.prefetch = prefetch;
    for (const int threads : {1, 2, 3}) expect_same(all_batches(set, options, threads), expected);
  }
}

TEST(ImageBatchesTest, SkippedBatchesDoNotChangeTheRest) {
  const ImageSet set = make_set(100, 5, 5, 3);
  ImageBatchOptions options = augmented();
  const auto whole = all_batches(set, options, 2);
  for (const bool prefetch : {false, true}) {
    options.prefetch = prefetch;
    for (const std::int64_t skipped : {0, 1, 5, 7}) {
      expect_same(all_batches(set, options, 2, skipped), whole, static_cast<std::size_t>(skipped));
    }
    EXPECT_TRUE(all_batches(set, options, 2, 1000).empty());
    ImageBatches batches(set, options, nullptr);
    ImageBatch batch;
    ASSERT_TRUE(batches.next(batch));
    batches.skip(2);
    ASSERT_TRUE(batches.next(batch));
    EXPECT_EQ(batch.pixels, whole[3].pixels) << "skipping in the middle of a pass";
  }
}

TEST(ImageBatchesTest, SharesTogetherAreTheBatchesOfOneProcess) {
  const ImageSet set = make_set(23, 5, 4, 3);
  ImageBatchOptions options = augmented();
  options.batch_size = 10;
  options.piece = 4;  // batches of 3, 3 and 1 pieces
  const std::vector<ImageBatch> whole = all_batches(set, options);
  for (const std::int64_t shares : {1, 2, 3, 4}) {
    std::vector<ImageBatch> joined(whole.size());
    for (std::int64_t index = 0; index < shares; ++index) {
      options.share = {.index = index, .of = shares};
      const std::vector<ImageBatch> part = all_batches(set, options, 2);
      ASSERT_EQ(part.size(), whole.size());
      for (std::size_t i = 0; i < part.size(); ++i) {
        EXPECT_EQ(part[i].whole, whole[i].size);
        EXPECT_EQ(part[i].begin, static_cast<std::int64_t>(10 * i + joined[i].labels.size()));
        EXPECT_EQ(part[i].size, std::ssize(part[i].labels));
        const auto append = [](auto& to, const auto& more) {
          to.insert(to.end(), more.begin(), more.end());
        };
        append(joined[i].labels, part[i].labels);
        append(joined[i].pixels, part[i].pixels);
      }
    }
    expect_same(joined, whole);
  }
}

TEST(ImageBatchesTest, APassCanBeLeftBeforeItsEnd) {
  const ImageSet set = make_set(1000, 8, 8, 3);
  ImageBatches batches(set, augmented(), std::make_shared<ThreadPool>(2));
  ImageBatch batch;
  EXPECT_TRUE(batches.next(batch));
}

TEST(ImageBatchesTest, NormalizationIsTheMeanAndDeviationOfEachChannel) {
  const ImageSet set = make_set(700, 12, 13, 3);
  const Normalization one = measure_normalization(set, 1);
  for (std::size_t c = 0; c < 3; ++c) {
    double sum = 0;
    double squares = 0;
    double n = 0;
    for (std::size_t i = c; i < set.pixels.size(); i += 3, ++n) {
      sum += set.pixels[i] / 255.0;
      squares += set.pixels[i] / 255.0 * set.pixels[i] / 255.0;
    }
    EXPECT_NEAR(one.mean[c], sum / n, 1e-6);
    EXPECT_NEAR(one.deviation[c], std::sqrt(squares / n - sum / n * sum / n), 1e-6);
  }
  for (const int threads : {2, 3}) {
    const Normalization other = measure_normalization(set, threads);
    EXPECT_EQ(other.mean, one.mean);
    EXPECT_EQ(other.deviation, one.deviation);
    ThreadPool pool(threads);
    EXPECT_EQ(measure_normalization(set, pool).mean, one.mean);
  }
}

TEST(ImageBatchesTest, AConstantChannelKeepsDeviationOne) {
  ImageSet set = make_set(4, 3, 3, 1);
  std::fill(set.pixels.begin(), set.pixels.end(), std::uint8_t{51});
  const Normalization normalization = measure_normalization(set);
  EXPECT_FLOAT_EQ(normalization.mean[0], 0.2F);
  EXPECT_EQ(normalization.deviation[0], 1.0F);
}

TEST(ImageBatchesTest, OptionsThatDoNotFitTheSetAreRefused) {
  const ImageSet set = make_set(10, 6, 4, 3);
  const auto message = [&](auto&& change) {
    ImageBatchOptions options;
    change(options);
    const auto [kind, what] = error_of([&] { ImageBatches(set, options, nullptr); });
    EXPECT_EQ(kind, ErrorKind::kInvalidArgument);
    return what;
  };
  using ::testing::HasSubstr;
  EXPECT_THAT(message([](auto& o) { o.batch_size = 0; }), HasSubstr("batch_size"));
  EXPECT_THAT(message([](auto& o) { o.piece = 0; }), HasSubstr("piece"));
  EXPECT_THAT(message([](auto& o) { o.share = {.index = 2, .of = 2}; }), HasSubstr("share.index"));
  EXPECT_THAT(message([](auto& o) { o.augmentation.crop_padding = 4; }), HasSubstr("crop_padding"));
  EXPECT_THAT(message([](auto& o) { o.augmentation.crop_padding = -1; }),
              HasSubstr("crop_padding"));
  EXPECT_THAT(message([](auto& o) { o.normalization.mean = {0.5F}; }), HasSubstr("mean"));
  EXPECT_THAT(message([](auto& o) { o.normalization.deviation = {1, 0, 1}; }),
              HasSubstr("above 0"));
  ImageBatches batches(set, {}, nullptr);
  EXPECT_EQ(error_of([&] { batches.skip(-1); }).first, ErrorKind::kInvalidArgument);
}

}  // namespace
}  // namespace taut::data
