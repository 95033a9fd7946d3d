// The vector kernels against their plain references, to the bit, at odd sizes, on every instruction
// set of this machine.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "embedding/dense_update.h"
#include "embedding/page_kernels.h"
#include "embedding/row_kernels.h"
#include "support/every_target.h"
#include "taut/core/random.h"

namespace taut::embedding {
namespace {

constexpr Storage kAll[] = {Storage::kFloat32, Storage::kBFloat16, Storage::kFloat16,
                            Storage::kInt8, Storage::kInt16};
constexpr int kSizes[] = {1, 2, 3, 4, 6, 7, 8, 12, 15, 16, 17, 24, 31, 33, 64, 100, 511, 512};
constexpr std::uint8_t kGuard = 0xA5;

std::vector<float> random_floats(int size, std::uint64_t seed, float bound) {
  std::vector<float> values;
  for (int i = 0; i < size; ++i) {
    const double u = CounterRandom(seed).uniform(static_cast<std::uint64_t>(i));
    values.push_back(static_cast<float>(2 * u - 1) * bound);
  }
  return values;
}

std::vector<std::uint8_t> encoded(Storage storage, const std::vector<float>& values, float scale,
                                  std::uint64_t seed) {
  const int size = static_cast<int>(values.size());
  std::vector<std::uint8_t> bytes(
      values.size() * static_cast<std::size_t>(bytes_per_value(storage)) + 1, kGuard);
  RowRandom random = row_random(seed, 1, 2);
  write_values_reference(storage, values.data(), scale, size, random, bytes.data());
  return bytes;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

class RowKernelsEveryIsa : public test::EveryTarget {};

TEST_P(RowKernelsEveryIsa, ValuesAreReadAndWrittenAsTheReferencesDo) {
  for (const Storage storage : kAll) {
    for (const int size : kSizes) {
      // From what becomes subnormal in 16 bits to what is clamped.
      for (const float bound : {1e-6f, 0.7f, 200.0f, 1e6f}) {
        const auto seed = static_cast<std::uint64_t>(size);
        const std::vector<float> values = random_floats(size, seed, bound);
        const std::vector<std::uint8_t> wanted = encoded(storage, values, 0.01f, seed);
        std::vector<std::uint8_t> got(wanted.size(), kGuard);
        RowRandom random = row_random(seed, 1, 2);
        write_values(storage, values.data(), 0.01f, size, random, got.data());
        ASSERT_EQ(got, wanted) << static_cast<int>(storage) << " " << size << " " << bound;

        std::vector<float> plain(static_cast<std::size_t>(size) + 1, 5.0f);
        std::vector<float> fast = plain;
        read_values_reference(storage, wanted.data(), 0.01f, size, plain.data());
        read_values(storage, wanted.data(), 0.01f, size, fast.data());
        ASSERT_TRUE(same_bits(fast, plain)) << static_cast<int>(storage) << " " << size;
      }
    }
  }
}

TEST_P(RowKernelsEveryIsa, AddedPartsAreTheSumsInTheirOrder) {
  for (const Storage storage : kAll) {
    for (const int size : kSizes) {
      std::vector<float> wanted(static_cast<std::size_t>(size) + 1, 0.25f);
      std::vector<float> got = wanted;
      std::vector<std::vector<std::uint8_t>> rows;
      std::vector<RowPart> parts;
      std::vector<float> values(static_cast<std::size_t>(size));
      for (std::uint64_t row = 0; row < 5; ++row) {
        rows.push_back(encoded(storage, random_floats(size, row, 1.0f), 0.01f, row));
        const float weight = 0.3f * static_cast<float>(row) - 0.5f;
        read_values_reference(storage, rows.back().data(), 0.01f, size, values.data());
        for (std::size_t i = 0; i < values.size(); ++i) wanted[i] += weight * values[i];
        parts.push_back({.values = rows.back().data(),
                         .out = got.data(),
                         .scale = 0.01f,
                         .weight = weight,
                         .size = size,
                         .storage = storage});
      }
      add_parts(parts);
      ASSERT_TRUE(same_bits(got, wanted)) << static_cast<int>(storage) << " " << size;
    }
  }
}

TEST_P(RowKernelsEveryIsa, GradientsGoToTheirRows) {
  for (const int dim : kSizes) {
    const auto width = static_cast<std::size_t>(dim);
    const std::vector<float> gradient = random_floats(4 * dim, 3, 1.0f);
    const std::vector<GradientPart> parts = {
        {2, 0, 1.0f}, {0, 3, -0.7f}, {2, 1, 0.1f}, {2, 3, 1.5f}, {0, 0, 1.0f}};
    std::vector<float> wanted(3 * width + 1, 0.0f);
    std::vector<float> got = wanted;
    for (const GradientPart& part : parts) {
      for (std::size_t i = 0; i < width; ++i) {
        wanted[part.row * width + i] += part.weight * gradient[part.output * width + i];
      }
    }
    add_gradients(parts, dim, gradient.data(), got.data());
    ASSERT_TRUE(same_bits(got, wanted)) << dim;
  }
}

TEST_P(RowKernelsEveryIsa, ProductsAreThoseOfTheValues) {
  for (const Storage storage : kAll) {
    for (const int size : kSizes) {
      const std::vector<std::uint8_t> first = encoded(storage, random_floats(size, 1, 1), 0.01f, 1);
      const std::vector<std::uint8_t> second =
          encoded(storage, random_floats(size, 2, 1), 0.02f, 2);
      std::vector<float> wanted(static_cast<std::size_t>(size) + 1, 5.0f);
      std::vector<float> factors = wanted;
      std::vector<float> got = wanted;
      read_values_reference(storage, first.data(), 0.01f, size, wanted.data());
      read_values_reference(storage, second.data(), 0.02f, size, factors.data());
      for (std::size_t i = 0; i < static_cast<std::size_t>(size); ++i) wanted[i] *= factors[i];
      const auto part = [&](const std::vector<std::uint8_t>& values, float scale) {
        return RowPart{.values = values.data(),
                       .out = nullptr,
                       .scale = scale,
                       .weight = 1.0f,
                       .size = size,
                       .storage = storage};
      };
      read_products(part(first, 0.01f), part(second, 0.02f), got.data());
      ASSERT_TRUE(same_bits(got, wanted)) << static_cast<int>(storage) << " " << size;
    }
  }
}

TEST_P(RowKernelsEveryIsa, DenseRowsTakeTheStepsThatEachTakesAlone) {
  constexpr std::size_t kRows = 75;
  for (const Optimizer kind :
       {Optimizer::kRowwiseAdagrad, Optimizer::kSgd, Optimizer::kAdagrad, Optimizer::kAdam}) {
    for (const ValueType type :
         {ValueType::kFloat32, ValueType::kBFloat16, ValueType::kFloat16, ValueType::kInt8}) {
      for (const int size : {4, 12, 16, 20, 33, 64, 512}) {
        for (const double l2 : {0.0, 0.01}) {
          Options options;
          options.optimizer = kind;
          options.value_type = type;
          options.l2 = l2;
          const DenseRowFormat format(options, size);
          const RowOptimizer optimizer(options);
          const auto stride = static_cast<std::size_t>(format.row_bytes());
          const auto width = static_cast<std::size_t>(size);
          std::vector<std::uint8_t> wanted(kRows * stride + 1, kGuard);
          for (std::size_t i = 0; i < kRows; ++i) {
            format.initialize(wanted.data() + i * stride, 3, i, 0.5f);
          }
          std::vector<std::uint8_t> got = wanted;
          const std::vector<float> gradient =
              random_floats(static_cast<int>(kRows) * size, 9, 2.0f);
          for (std::int64_t step = 1; step <= 2; ++step) {
            DenseUpdater steps({.optimizer = &optimizer, .seed = 5, .step = step});
            for (std::size_t i = 0; i < kRows; ++i) {
              RowRandom random = row_random(5, step, i);
              format.update(wanted.data() + i * stride, gradient.data() + i * width, optimizer,
                            step, random);
              steps.add({.row = got.data() + i * stride,
                         .gradient = gradient.data() + i * width,
                         .name = i,
                         .format = &format});
            }
            steps.flush();
          }
          ASSERT_EQ(got, wanted) << static_cast<int>(kind) << " " << static_cast<int>(type) << " "
                                 << size << " " << l2;
        }
      }
    }
  }
}

TEST_P(RowKernelsEveryIsa, MeansOfSquaresAreTheReferencesToTheBit) {
  for (const int size : kSizes) {
    const std::vector<float> values = random_floats(size, 9, 3.0f);
    const float got = mean_square(values.data(), size);
    ASSERT_EQ(got, mean_square_reference(values.data(), size)) << size;
    double exact = 0;
    for (const float value : values) exact += static_cast<double>(value) * value / size;
    ASSERT_NEAR(got, exact, 1e-6 * exact) << size;
  }
}

TEST_P(RowKernelsEveryIsa, TheLargestMagnitudeIsFoundWhereverItIs) {
  EXPECT_EQ(largest_magnitude(nullptr, 0), 0.0f);
  for (const int size : kSizes) {
    std::vector<float> values = random_floats(size, 4, 0.5f);
    for (int at = 0; at < size; ++at) {
      const float kept = values[static_cast<std::size_t>(at)];
      values[static_cast<std::size_t>(at)] = -0.75f;
      ASSERT_EQ(largest_magnitude(values.data(), size), 0.75f) << size << " " << at;
      values[static_cast<std::size_t>(at)] = kept;
    }
  }
}

TEST_P(RowKernelsEveryIsa, TagsAreFoundFromAnyRowOn) {
  for (int count = 0; count <= 130; ++count) {
    std::vector<std::uint8_t> column(static_cast<std::size_t>(2 * count));
    std::vector<std::uint16_t> tags;
    for (int i = 0; i < count; ++i) {
      const auto bits = CounterRandom(5).bits(static_cast<std::uint64_t>(i));
      tags.push_back(static_cast<std::uint16_t>(bits % 40 * 257));
      std::memcpy(column.data() + 2 * i, &tags.back(), 2);
    }
    for (const int first : {0, 1, count / 2, count}) {
      for (std::uint16_t name = 0; name < 41; ++name) {
        const auto tag = static_cast<std::uint16_t>(name * 257);
        const auto from = tags.begin() + std::min(first, count);
        const auto found = std::find(from, tags.end(), tag);
        const int wanted = found == tags.end() ? -1 : static_cast<int>(found - tags.begin());
        ASSERT_EQ(find_tag(column.data(), count, first, tag), wanted) << count << " " << first;
      }
    }
  }
}

TEST_P(RowKernelsEveryIsa, ValueBytesAreTheSumOverTheRows) {
  for (int rows = 0; rows <= 200; ++rows) {
    std::vector<std::uint8_t> shapes;
    for (int i = 0; i < rows; ++i) {
      shapes.push_back(
          static_cast<std::uint8_t>(CounterRandom(6).bits(static_cast<std::uint64_t>(i))));
    }
    for (const auto& [chunk, precise] : {std::pair{2, 4}, {16, 16}, {12, 24}, {6, 8}}) {
      int wanted = 0;
      for (const std::uint8_t shape : shapes) {
        wanted += (shape / 8 + 1) * ((shape & 4) != 0 ? precise : chunk);
      }
      ASSERT_EQ(sum_value_bytes(shapes.data(), rows, chunk, precise), wanted) << rows;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, RowKernelsEveryIsa, test::every_target(), test::target_name);

TEST(RowRandom, FillingGivesWhatDrawingGives) {
  for (int before = 0; before < 6; ++before) {
    for (int size = 0; size < 20; ++size) {
      RowRandom drawn = row_random(1, 2, 3);
      RowRandom filled = drawn;
      for (int i = 0; i < before; ++i) ASSERT_EQ(drawn.next16(), filled.next16());
      std::vector<std::uint16_t> numbers(static_cast<std::size_t>(size));
      filled.fill(numbers.data(), size);
      for (const std::uint16_t number : numbers) ASSERT_EQ(number, drawn.next16());
      for (int i = 0; i < 6; ++i) ASSERT_EQ(drawn.next16(), filled.next16()) << before << size;
    }
  }
}

// The largest code whose value is at most x, by trying all.
template <typename Code>
int floor_by_search(float x) {
  int code = 0;
  while (code + 1 < Code::kCodes && Code::value(code + 1) <= x) ++code;
  return code;
}

template <typename Code>
void expect_floor_finds() {
  for (int code = 0; code < Code::kCodes; ++code) {
    const float value = Code::value(code);
    for (const float x : {std::nextafter(value, 0.0f), value, std::nextafter(value, 1e30f)}) {
      ASSERT_EQ(Code::floor(x), floor_by_search<Code>(x)) << code;
    }
  }
  for (std::uint64_t i = 0; i < 20000; ++i) {
    const double exponent = CounterRandom(8).uniform(i) * 60 - 30;
    const auto x = static_cast<float>(std::exp2(exponent));
    ASSERT_EQ(Code::floor(x), floor_by_search<Code>(x)) << x;
  }
  EXPECT_EQ(Code::floor(-1.0f), 0);
  EXPECT_EQ(Code::floor(std::numeric_limits<float>::infinity()), Code::kCodes - 1);
}

TEST(LogCode, FloorIsTheLargestCodeThatFits) {
  expect_floor_finds<ImportanceCode>();
  expect_floor_finds<PoolCode>();
  expect_floor_finds<SketchCode>();
}

}  // namespace
}  // namespace taut::embedding
