#include "taut/core/memory_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <map>
#include <new>
#include <thread>
#include <vector>

#include "taut/core/aligned_buffer.h"
#include "taut/core/random.h"

namespace taut {
namespace {

constexpr std::int64_t kMiBytes = std::int64_t{1} << 20;

std::uintptr_t place_of(const void* data) {
  return reinterpret_cast<std::uintptr_t>(data);
}

bool all_are(const void* block, std::int64_t bytes, char value) {
  const char* begin = static_cast<const char*>(block);
  return std::all_of(begin, begin + bytes, [&](char byte) { return byte == value; });
}

// Bytes of this process in memory.
std::int64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::int64_t all = 0;
  std::int64_t resident = 0;
  file >> all >> resident;
  return resident * 4096;
}

TEST(MemoryPool, HandsOutZeroedBlocksThatDoNotOverlapInAnyOrder) {
  MemoryPool pool;
  struct Block {
    std::int64_t bytes;
    char value;
  };
  std::map<char*, Block> held;
  std::int64_t held_bytes = 0;
  const CounterRandom random(11);
  for (std::uint64_t i = 0; i < 20000; ++i) {
    const std::uint64_t bits = random.bits(i);
    if (held.empty() || bits % 16 < 8 + (i < 10000 ? 1 : 0)) {
      const auto bytes =
          static_cast<std::int64_t>(64 * (1 + (bits >> 8) % (bits % 5 == 0 ? 3000 : 40)));
      auto* block = static_cast<char*>(pool.take(bytes));
      ASSERT_EQ(place_of(block) % 64, 0u);
      ASSERT_TRUE(all_are(block, bytes, 0)) << i;
      const auto next = held.lower_bound(block);
      if (next != held.end()) {
        ASSERT_LE(block + bytes, next->first);
      }
      if (next != held.begin()) {
        ASSERT_LE(std::prev(next)->first + std::prev(next)->second.bytes, block);
      }
      const auto value = static_cast<char>(1 + i % 100);
      std::memset(block, value, static_cast<std::size_t>(bytes));
      held[block] = {.bytes = bytes, .value = value};
      held_bytes += bytes;
    } else {
      const auto one = std::next(held.begin(), static_cast<std::ptrdiff_t>(bits % held.size()));
      ASSERT_TRUE(all_are(one->first, one->second.bytes, one->second.value)) << i;
      held_bytes -= one->second.bytes;
      pool.give_back(one->first, one->second.bytes);
      held.erase(one);
    }
    ASSERT_GE(pool.mapped_bytes(), held_bytes);
  }
  for (const auto& [block, one] : held) {
    ASSERT_TRUE(all_are(block, one.bytes, one.value));
    pool.give_back(block, one.bytes);
  }
  EXPECT_EQ(pool.mapped_bytes(), 0);
}

TEST(MemoryPool, StartsSmallAndGrowsByWhatItHas) {
  MemoryPool pool;
  std::vector<void*> blocks;
  blocks.push_back(pool.take(64));
  EXPECT_EQ(pool.mapped_bytes(), 64 << 10);
  std::int64_t taken = 64;
  while (taken < 64 * kMiBytes) {
    blocks.push_back(pool.take(17408));
    taken += 17408;
    ASSERT_LE(pool.mapped_bytes(), std::max<std::int64_t>(2 * taken + kMiBytes, 128 << 10));
  }
  EXPECT_LE(pool.mapped_bytes(), taken + 18 * kMiBytes);
  for (std::size_t i = 0; i < blocks.size(); ++i) pool.give_back(blocks[i], i == 0 ? 64 : 17408);
  EXPECT_EQ(pool.mapped_bytes(), 0);
}

TEST(MemoryPool, PutsWhatWasReservedSideBySideOnAHugePage) {
  MemoryPool pool;
  void* before = pool.take(128);
  pool.reserve(10 * kMiBytes);
  std::vector<char*> blocks;
  for (int i = 0; i < 10; ++i) blocks.push_back(static_cast<char*>(pool.take(kMiBytes)));
  EXPECT_EQ(place_of(blocks[0]) % (2 * kMiBytes), 0u);
  for (std::size_t i = 1; i < blocks.size(); ++i) EXPECT_EQ(blocks[i], blocks[i - 1] + kMiBytes);
  EXPECT_EQ(pool.mapped_bytes(), 10 * kMiBytes + (64 << 10));
  for (char* block : blocks) pool.give_back(block, kMiBytes);
  EXPECT_EQ(pool.mapped_bytes(), 64 << 10);
  pool.give_back(before, 128);
}

TEST(MemoryPool, ForgetsAReserveThatWasNotTaken) {
  MemoryPool pool;
  pool.reserve(kMiBytes);
  pool.reserve(3 * kMiBytes);
  EXPECT_EQ(pool.mapped_bytes(), 3 * kMiBytes);
  pool.reserve(0);
  EXPECT_EQ(pool.mapped_bytes(), 3 * kMiBytes);
}

TEST(MemoryPool, GivesHugePagesBackWhileOtherBlocksStay) {
  constexpr std::int64_t kBlock = 256 << 10;
  constexpr std::size_t kBlocks = 256;  // 64 MiB
  MemoryPool pool;
  pool.reserve(kBlock * static_cast<std::int64_t>(kBlocks));
  std::vector<char*> blocks;
  for (std::size_t i = 0; i < kBlocks; ++i) {
    blocks.push_back(static_cast<char*>(pool.take(kBlock)));
    std::memset(blocks.back(), 1, static_cast<std::size_t>(kBlock));
  }
  const std::int64_t full = resident_bytes();
  for (std::size_t i = 1; i < kBlocks; i += 2) pool.give_back(blocks[i], kBlock);
  for (std::size_t i = 2; i < kBlocks; i += 2) pool.give_back(blocks[i], kBlock);
  EXPECT_LT(resident_bytes(), full - 58 * kMiBytes);
  EXPECT_TRUE(all_are(blocks[0], kBlock, 1));
  EXPECT_TRUE(all_are(pool.take(40 * kMiBytes), 40 * kMiBytes, 0));
}

TEST(MemoryPool, ThrowsBadAllocAndIsAsBefore) {
  MemoryPool pool;
  EXPECT_THROW((void)pool.take(std::int64_t{1} << 60), std::bad_alloc);
  EXPECT_THROW(pool.reserve(std::int64_t{1} << 60), std::bad_alloc);
  EXPECT_EQ(pool.mapped_bytes(), 0);
  void* block = pool.take(64);
  EXPECT_THROW((void)pool.take(std::int64_t{1} << 60), std::bad_alloc);
  EXPECT_EQ(pool.mapped_bytes(), 64 << 10);
  pool.give_back(block, 64);
}

TEST(MemoryPool, ServesThreadsAtOnce) {
  MemoryPool pool;
  MemoryCounter counter;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::vector<AlignedBuffer<int>> held;
      for (std::size_t i = 0; i < 500; ++i) {
        held.emplace_back(100 + i, &counter, &pool);
        std::fill(held.back().begin(), held.back().end(), t);
        if (i % 3 == 0) held.erase(held.begin());
      }
      for (const AlignedBuffer<int>& buffer : held) {
        EXPECT_TRUE(std::all_of(buffer.begin(), buffer.end(), [&](int x) { return x == t; }));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter.bytes(), 0);
  EXPECT_EQ(pool.mapped_bytes(), 0);
}

TEST(MemoryPool, CountsBuffersAsThoseOutsideAPool) {
  for (const std::size_t size : {std::size_t{1}, std::size_t{65}, std::size_t{5} << 20}) {
    MemoryPool pool;
    MemoryCounter inside;
    MemoryCounter outside;
    AlignedBuffer<char> first(size, &inside, &pool);
    const AlignedBuffer<char> second(size, &outside);
    EXPECT_EQ(inside.bytes(), outside.bytes());
    const AlignedBuffer<char> moved(std::move(first));
    EXPECT_EQ(inside.bytes(), outside.bytes());
  }
}

}  // namespace
}  // namespace taut
