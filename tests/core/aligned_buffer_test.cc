#include "taut/core/aligned_buffer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <new>
#include <thread>
#include <utility>
#include <vector>

namespace taut {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;
constexpr std::size_t kMapFrom = 4 * kMiB;  // from here on memory comes as whole pages

std::uintptr_t address_of(const void* data) {
  return reinterpret_cast<std::uintptr_t>(data);
}

class AlignedBufferOfSize : public testing::TestWithParam<std::size_t> {};

TEST_P(AlignedBufferOfSize, IsZeroedAlignedCountedAndReturned) {
  const std::size_t size = GetParam();
  MemoryCounter counter;
  {
    AlignedBuffer<unsigned char> buffer(size, &counter);
    ASSERT_EQ(buffer.size(), size);
    EXPECT_EQ(address_of(buffer.data()) % 64, 0u);
    EXPECT_TRUE(std::all_of(buffer.begin(), buffer.end(), [](unsigned char b) { return b == 0; }));
    EXPECT_GE(buffer.bytes(), static_cast<std::int64_t>(size));
    EXPECT_LT(buffer.bytes(), static_cast<std::int64_t>(size + 4096));
    EXPECT_EQ(counter.bytes(), buffer.bytes());
    std::fill(buffer.begin(), buffer.end(), static_cast<unsigned char>(0xAB));  // all of it is ours
  }
  EXPECT_EQ(counter.bytes(), 0);
  EXPECT_GE(counter.peak_bytes(), static_cast<std::int64_t>(size));
}

// Both sides of each boundary: a line, a page, and where pages are mapped (rounding included).
INSTANTIATE_TEST_SUITE_P(Boundaries, AlignedBufferOfSize,
                         testing::Values(1, 63, 64, 65, 4095, 4096, 4097, kMapFrom - 64,
                                         kMapFrom - 63, kMapFrom - 1, kMapFrom, kMapFrom + 1,
                                         9 * kMiB + 5));

TEST(AlignedBuffer, OfFourMiBStartsOnAHugePage) {
  const AlignedBuffer<float> buffer(kMapFrom / sizeof(float));
  EXPECT_EQ(address_of(buffer.data()) % (2 * kMiB), 0u);
}

TEST(AlignedBuffer, OfSizeZeroTakesNothing) {
  MemoryCounter counter;
  const AlignedBuffer<double> buffer(0, &counter);
  EXPECT_TRUE(buffer.empty());
  EXPECT_EQ(buffer.data(), nullptr);
  EXPECT_EQ(buffer.bytes(), 0);
  EXPECT_EQ(counter.peak_bytes(), 0);
}

TEST(AlignedBuffer, CountsValuesNotBytesInItsSize) {
  AlignedBuffer<std::uint64_t> buffer(10);
  EXPECT_EQ(buffer.size(), 10u);
  EXPECT_EQ(buffer.span().size(), 10u);
  EXPECT_EQ(buffer.bytes(), 128);
  buffer[9] = 7;
  EXPECT_EQ(buffer.span().back(), 7u);
  EXPECT_EQ(*(buffer.end() - 1), 7u);
}

TEST(AlignedBuffer, MovesItsMemoryWithoutCountingItTwice) {
  MemoryCounter counter;
  AlignedBuffer<int> source(100, &counter);
  source[3] = 42;
  const int* data = source.data();
  const std::int64_t bytes = counter.bytes();
  AlignedBuffer<int> target(std::move(source));
  EXPECT_EQ(target.data(), data);
  EXPECT_EQ(target[3], 42);
  EXPECT_EQ(counter.bytes(), bytes);
  EXPECT_EQ(counter.peak_bytes(), bytes);
}

TEST(AlignedBuffer, ReturnsItsOldMemoryWhenItIsAssigned) {
  MemoryCounter first;
  MemoryCounter second;
  AlignedBuffer<int> target(1000, &first);
  target = AlignedBuffer<int>(10, &second);
  EXPECT_EQ(first.bytes(), 0);
  EXPECT_EQ(second.bytes(), target.bytes());
  EXPECT_EQ(target.size(), 10u);
  target = AlignedBuffer<int>();
  EXPECT_EQ(second.bytes(), 0);
  EXPECT_TRUE(target.empty());
}

TEST(AlignedBuffer, SurvivesAssignmentToItself) {
  AlignedBuffer<int> buffer(4);
  buffer[0] = 9;
  AlignedBuffer<int>& same = buffer;
  buffer = std::move(same);
  ASSERT_EQ(buffer.size(), 4u);
  EXPECT_EQ(buffer[0], 9);
}

TEST(AlignedBuffer, SwapsWithItsCounter) {
  MemoryCounter counter;
  AlignedBuffer<int> counted(8, &counter);
  {
    AlignedBuffer<int> other(16);
    counted.swap(other);
    EXPECT_EQ(counted.size(), 16u);
  }
  EXPECT_EQ(counter.bytes(), 0);
}

TEST(AlignedBuffer, ThrowsBadAllocForAnAbsurdSizeAndCountsNothing) {
  MemoryCounter counter;
  EXPECT_THROW((AlignedBuffer<double>(SIZE_MAX / 2, &counter)), std::bad_alloc);
  EXPECT_THROW((AlignedBuffer<char>(std::size_t{1} << 61, &counter)), std::bad_alloc);
  EXPECT_EQ(counter.bytes(), 0);
  EXPECT_EQ(counter.peak_bytes(), 0);
}

TEST(MemoryCounter, RemembersThePeakUntilItIsReset) {
  MemoryCounter counter;
  counter.add(100);
  counter.add(-60);
  counter.add(30);
  EXPECT_EQ(counter.bytes(), 70);
  EXPECT_EQ(counter.peak_bytes(), 100);
  counter.reset_peak();
  EXPECT_EQ(counter.peak_bytes(), 70);
}

TEST(MemoryCounter, CountsFromManyThreads) {
  MemoryCounter counter;
  constexpr int kThreads = 4;
  constexpr int kRounds = 2000;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&counter] {
      for (int i = 0; i < kRounds; ++i) {
        const AlignedBuffer<char> buffer(64, &counter);
      }
      counter.add(5);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter.bytes(), 5 * kThreads);
  EXPECT_GE(counter.peak_bytes(), 64);
  EXPECT_LE(counter.peak_bytes(), kThreads * 64 + 5 * kThreads);
}

}  // namespace
}  // namespace taut
