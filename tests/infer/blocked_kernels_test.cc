#include "infer/blocked_kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "support/every_target.h"
#include "taut/core/aligned_buffer.h"
#include "taut/core/random.h"

namespace taut::infer {
namespace {

constexpr float kGuard = 12345.0f;

AlignedBuffer<float> random_floats(std::int64_t count, std::uint64_t seed, double density = 1) {
  AlignedBuffer<float> values(static_cast<std::size_t>(count));
  const CounterRandom random(seed);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (CounterRandom(seed + 1).uniform(i) < density) {
      values[i] = static_cast<float>(random.normal(i));
    }
  }
  return values;
}

struct ConvCase {
  std::int64_t inputs;
  std::int64_t height;
  std::int64_t width;
  std::int64_t kernel;
  std::int64_t stride;
  std::int64_t padding;
  std::int64_t outputs;  // of the block
  std::int64_t unit;
  std::int64_t across = 0;  // stride from column to column, if it is another
};

// One block of one layer, its values and its places.
struct Layer {
  Layer(const ConvCase& one, double density, Words kind = Words::kFloat32)
      : sizes{.in_height = one.height,
              .in_width = one.width,
              .in_stride = one.inputs + 3,
              .inputs = one.inputs,
              .out_width = side(one.width, one, one.across == 0 ? one.stride : one.across),
              .kernel = one.kernel,
              .stride = one.stride,
              .stride_across = one.across == 0 ? one.stride : one.across,
              .padding = one.padding},
        rows(side(one.height, one, one.stride)),
        x(random_floats(one.height * one.width * sizes.in_stride, 1, density)),
        words(kind),
        weight(random_weights(one.kernel * one.kernel * one.inputs * one.outputs, one.unit, kind)),
        scales(random_floats(one.outputs, 9)),
        bias(random_floats(one.outputs, 5)),
        width(one.outputs),
        unit(one.unit) {}

  static AlignedBuffer<float> random_weights(std::int64_t count, std::int64_t unit, Words words) {
    const AlignedBuffer<float> values = random_floats(count, 3);
    const std::int64_t channel = unit / weights_of_word(words);
    AlignedBuffer<float> packed(static_cast<std::size_t>(count / weights_of_word(words)));
    for (std::int64_t i = 0; i < count; ++i) {
      float value = values[static_cast<std::size_t>(i)];
      if (words == Words::kInt8) value = std::clamp(std::round(40 * value), -128.0f, 127.0f);
      store_weight(words, unit, i % unit, value, packed.data() + i / unit * channel);
    }
    return packed;
  }

  static std::int64_t side(std::int64_t in, const ConvCase& one, std::int64_t stride) {
    return (in + 2 * one.padding - one.kernel) / stride + 1;
  }

  BlockSums block(std::int64_t begin, std::int64_t end, float* sums) const {
    return {
        .sizes = sizes,
        .weight = weight.data(),
        .words = words,
        .scales = words == Words::kInt8 ? scales.data() : nullptr,
        .bias = bias.data(),
        .width = width,
        .unit = unit,
        .unit_stride = sizes.kernel * sizes.kernel * sizes.inputs * unit / weights_of_word(words),
        .row_begin = begin,
        .row_end = end,
        .sums = sums,
        .fetches_ahead = sizes.kernel == 1};
  }

  // Sums of all rows, `strip` rows at a time.
  [[nodiscard]] std::vector<float> sums(bool listed, std::int64_t strip,
                                        const float* zeros = nullptr) const {
    std::vector<float> all;
    for (std::int64_t begin = 0; begin < rows; begin += strip) {
      const std::int64_t end = std::min(rows, begin + strip);
      const std::int64_t count = (end - begin) * sizes.out_width * width;
      AlignedBuffer<float> part(static_cast<std::size_t>(count + 1));
      part[part.size() - 1] = kGuard;
      if (listed) {
        sum_listed_rows(block(begin, end, part.data()));
      } else {
        sum_channels(block(begin, end, part.data()), x.data(), zeros);
      }
      EXPECT_EQ(part[part.size() - 1], kGuard);
      all.insert(all.end(), part.begin(), part.begin() + count);
    }
    return all;
  }

  void sum_listed_rows(const BlockSums& wanted) const {
    const std::int64_t first =
        std::max<std::int64_t>(0, wanted.row_begin * sizes.stride - sizes.padding);
    const std::int64_t past = std::min(
        sizes.in_height, (wanted.row_end - 1) * sizes.stride - sizes.padding + sizes.kernel);
    const std::int64_t positions = std::max<std::int64_t>(0, past - first) * sizes.in_width;
    const std::int64_t blocks = (sizes.inputs + kInputBlock - 1) / kInputBlock;
    const auto slots = static_cast<std::size_t>(blocks * positions * kInputBlock);
    AlignedBuffer<float> values(slots);
    AlignedBuffer<std::uint32_t> offsets(slots);
    AlignedBuffer<std::uint32_t> counts(static_cast<std::size_t>(blocks * positions));
    const ChannelLists lists{first, positions, values.data(), offsets.data(), counts.data()};
    list_nonzeros(x.data() + first * sizes.in_width * sizes.in_stride, sizes.in_stride,
                  sizes.inputs, wanted.unit_words(), lists);
    sum_lists(wanted, lists);
  }

  ConvSizes sizes;
  std::int64_t rows;
  AlignedBuffer<float> x;
  Words words;
  AlignedBuffer<float> weight;
  AlignedBuffer<float> scales;  // of codes
  AlignedBuffer<float> bias;
  std::int64_t width;
  std::int64_t unit;
};

constexpr Words kAllWords[] = {Words::kFloat32, Words::kBfloat16, Words::kInt8};

bool may_hold(const ConvCase& one, Words words) {
  return one.unit % (words == Words::kBfloat16 ? 2 * kOutputUnit : kOutputUnit) == 0;
}

const std::vector<ConvCase>& cases() {
  static const std::vector<ConvCase> kCases = {
      {1, 1, 1, 1, 1, 0, 16, 16},     {1, 1, 1, 3, 1, 1, 16, 16},     {3, 7, 5, 3, 1, 1, 32, 32},
      {63, 5, 6, 3, 1, 1, 48, 48},    {64, 4, 9, 3, 2, 1, 64, 64},    {65, 6, 4, 1, 1, 0, 128, 64},
      {65, 9, 7, 1, 2, 0, 96, 48},    {130, 3, 3, 3, 1, 2, 32, 16},   {5, 11, 12, 5, 3, 4, 192, 64},
      {200, 1, 1, 1, 1, 0, 256, 256}, {70, 13, 1, 1, 1, 0, 272, 272}, {2, 3, 2, 2, 3, 5, 64, 32},
      {70, 9, 8, 3, 1, 1, 128, 64},   {64, 5, 1, 3, 1, 2, 64, 64},    {9, 3, 2, 3, 1, 3, 80, 80},
      {66, 5, 5, 3, 1, 0, 192, 64},   {33, 4, 3, 3, 1, 1, 64, 32},    {20, 3, 4, 3, 1, 1, 32, 16},
      {65, 7, 6, 3, 2, 1, 64, 64, 1}, {20, 6, 7, 3, 1, 1, 48, 48, 3},
  };
  return kCases;
}

class BlockedKernels : public test::EveryTarget {};

void expect_reference(const Layer& layer) {
  const std::vector<float> got = layer.sums(false, layer.rows);
  std::vector<double> wanted(static_cast<std::size_t>(layer.width));
  // Sums of up to 1200 terms of size about 1, so of size about 35; of codes up to 120 times.
  const double tolerance = layer.words == Words::kInt8 ? 1.2e-2 : 1e-4;
  for (std::int64_t p = 0; p < layer.rows * layer.sizes.out_width; ++p) {
    sum_position_reference(layer.block(0, layer.rows, nullptr), layer.x.data(),
                           p / layer.sizes.out_width, p % layer.sizes.out_width, wanted);
    for (std::int64_t o = 0; o < layer.width; ++o) {
      ASSERT_NEAR(got[static_cast<std::size_t>(p * layer.width + o)],
                  wanted[static_cast<std::size_t>(o)], tolerance)
          << layer.sizes.inputs << " channels, position " << p << ", output " << o;
    }
  }
}

TEST_P(BlockedKernels, SumsMatchTheReferenceAtOddSizes) {
  for (const ConvCase& one : cases()) {
    expect_reference(Layer(one, 1.0));
    for (const Words words : kAllWords) {
      if (may_hold(one, words)) expect_reference(Layer(one, 0.3, words));
    }
  }
}

void expect_same_bits(const ConvCase& one, double density, Words words) {
  const Layer layer(one, density, words);
  const std::vector<float> zeros(kInputBlock);
  const std::vector<float> wanted = layer.sums(false, layer.rows);
  EXPECT_EQ(layer.sums(true, layer.rows), wanted) << one.inputs << " " << density;
  EXPECT_EQ(layer.sums(true, 1), wanted) << one.inputs << " " << density;
  EXPECT_EQ(layer.sums(false, 2), wanted) << one.inputs << " " << density;
  EXPECT_EQ(layer.sums(false, 2, zeros.data()), wanted) << one.inputs << " " << density;
}

TEST_P(BlockedKernels, ListsAndAllChannelsGiveTheSameBitsHoweverRowsAreCut) {
  for (const ConvCase& one : cases()) {
    for (const Words words : kAllWords) {
      if (!may_hold(one, words)) continue;
      expect_same_bits(one, 0.5, words);
      expect_same_bits(one, 0.1, words);
      if (words != Words::kFloat32) continue;
      expect_same_bits(one, 1.0, words);
      expect_same_bits(one, 0.0, words);
    }
  }
}

TEST_P(BlockedKernels, SharedWordsGiveTheBitsOfTheirWeightsInFp32) {
  for (const ConvCase& one : cases()) {
    for (const Words words : {Words::kBfloat16, Words::kInt8}) {
      if (!may_hold(one, words)) continue;
      const Layer packed(one, 0.4, words);
      Layer plain(one, 0.4);
      const std::int64_t channel = one.unit / weights_of_word(words);
      const std::int64_t unit_weights = one.kernel * one.kernel * one.inputs * one.unit;
      for (std::size_t i = 0; i < plain.weight.size(); ++i) {
        const auto at = static_cast<std::int64_t>(i);
        const float weight = load_weight(words, one.unit, at % one.unit,
                                         packed.weight.data() + at / one.unit * channel);
        const auto output = static_cast<std::size_t>(at / unit_weights * one.unit + at % one.unit);
        plain.weight[i] = words == Words::kInt8 ? weight * packed.scales[output] : weight;
      }
      EXPECT_EQ(packed.sums(false, packed.rows), plain.sums(false, plain.rows)) << one.inputs;
      EXPECT_EQ(packed.sums(true, packed.rows), plain.sums(true, plain.rows)) << one.inputs;
    }
  }
}

TEST(PackedWeights, BfloatsAreTheNearestTiesToEven) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(nearest_bfloat16(1), 1);
  EXPECT_EQ(nearest_bfloat16(1 + 0x1p-8f), 1);  // between two: to the even one
  EXPECT_EQ(nearest_bfloat16(1 + 3 * 0x1p-8f), 1 + 0x1p-6f);
  EXPECT_EQ(nearest_bfloat16(-1 - 0x1.02p-8f), -1 - 0x1p-7f);
  EXPECT_EQ(nearest_bfloat16(-0.0f), 0);
  EXPECT_EQ(nearest_bfloat16(std::numeric_limits<float>::max()), kInfinity);
  EXPECT_EQ(nearest_bfloat16(-kInfinity), -kInfinity);
  EXPECT_TRUE(std::isnan(nearest_bfloat16(std::numeric_limits<float>::quiet_NaN())));
  EXPECT_TRUE(std::isnan(nearest_bfloat16(std::bit_cast<float>(0x7F800001u))));
  for (const float value : random_floats(1000, 1)) {
    EXPECT_LE(std::abs(nearest_bfloat16(value) - value), 0x1p-8f * std::abs(value));
  }
}

TEST(PackedWeights, WordsGiveBackWhatWasStored) {
  for (const Words words : kAllWords) {
    std::vector<float> channel(static_cast<std::size_t>(64 / weights_of_word(words)));
    for (std::int64_t o = 0; o < 64; ++o) {
      store_weight(words, 64, o, static_cast<float>(o - 32), channel.data());
    }
    for (std::int64_t o = 0; o < 64; ++o) {
      EXPECT_EQ(load_weight(words, 64, o, channel.data()), static_cast<float>(o - 32));
    }
  }
}

TEST_P(BlockedKernels, CountsWhatIsNotZeroAndNaNIsNot) {
  for (const std::int64_t channels : {1, 3, 16, 33, 64}) {
    AlignedBuffer<float> x = random_floats(7 * (channels + 2), 1, 0.4);
    x[0] = std::numeric_limits<float>::quiet_NaN();
    x[static_cast<std::size_t>(channels + 2)] = -0.0f;
    std::int64_t wanted = 0;
    for (std::int64_t p = 0; p < 7; ++p) {
      for (std::int64_t c = 0; c < channels; ++c) {
        wanted += x[static_cast<std::size_t>(p * (channels + 2) + c)] != 0 ? 1 : 0;
      }
    }
    EXPECT_EQ(count_nonzeros(x.data(), 7, channels + 2, channels), wanted) << channels;
  }
}

TEST_P(BlockedKernels, NaNIsListedAndReachesAllOutputs) {
  Layer layer({20, 2, 2, 1, 1, 0, 16, 16}, 0.2);
  layer.x[5] = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> sums = layer.sums(true, 2);
  EXPECT_TRUE(std::all_of(sums.begin(), sums.begin() + 16, [](float y) { return std::isnan(y); }));
  EXPECT_TRUE(std::none_of(sums.begin() + 16, sums.end(), [](float y) { return std::isnan(y); }));
}

TEST_P(BlockedKernels, InfiniteWeightsMeetZerosBesideTheImageWhenAskedTo) {
  Layer layer({1, 1, 1, 3, 1, 1, 16, 16}, 1);
  layer.weight[0] = std::numeric_limits<float>::infinity();  // of the tap above and to the left
  const std::vector<float> zeros(kInputBlock);
  EXPECT_TRUE(std::isnan(layer.sums(false, 1, zeros.data())[0]));
  EXPECT_FALSE(std::isnan(layer.sums(false, 1, zeros.data())[1]));
  EXPECT_FALSE(std::isnan(layer.sums(false, 1)[0]));
}

TEST_P(BlockedKernels, SumsAreFinishedAtOddSizesAndWhatLiesBetweenStays) {
  for (const std::int64_t outputs : {1, 7, 16, 19, 32}) {
    for (const int what : {0, 1, 2, 4, 7, 15}) {
      const std::int64_t stride = outputs + 2;
      const AlignedBuffer<float> sums = random_floats(3 * 32, 1);
      const AlignedBuffer<float> scale = random_floats(outputs, 3);
      const AlignedBuffer<float> shift = random_floats(outputs, 5);
      const AlignedBuffer<float> added = random_floats(3 * stride, 7);
      Finish finish;
      if ((what & 1) != 0) {
        finish.scale = scale.data();
        finish.shift = shift.data();
      }
      if ((what & 2) != 0) finish.added = added.data();
      finish.rectified = (what & 4) != 0;
      finish.added_first = (what & 8) != 0;
      finish.most = 0.5f;
      std::vector<float> y(static_cast<std::size_t>(3 * stride), kGuard);
      finish_sums(finish, sums.data(), 3, 32, outputs, stride, y.data());
      for (std::int64_t p = 0; p < 3; ++p) {
        for (std::int64_t o = 0; o < stride; ++o) {
          const float got = y[static_cast<std::size_t>(p * stride + o)];
          if (o >= outputs) {
            ASSERT_EQ(got, kGuard);
            continue;
          }
          const auto channel = static_cast<std::size_t>(o);
          float wanted = sums[static_cast<std::size_t>(p * 32 + o)];
          if (finish.scale != nullptr) wanted = wanted * scale[channel] + shift[channel];
          if (finish.added != nullptr) wanted += added[static_cast<std::size_t>(p * stride + o)];
          if (finish.rectified) wanted = std::min(std::max(wanted, 0.0f), finish.most);
          ASSERT_EQ(got, wanted) << outputs << " " << what;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(EveryIsa, BlockedKernels, test::every_target(), test::target_name);

}  // namespace
}  // namespace taut::infer
