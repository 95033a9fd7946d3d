#include "taut/core/hash.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace taut {
namespace {

// Hashes are part of the file formats: these values must never change.
TEST(HashIsStable, Mix64IsSplitMix64) {
  // The first three numbers of SplitMix64 from seed 0, as its authors publish them.
  EXPECT_EQ(mix64(0), 0xE220A8397B1DCDAFull);
  EXPECT_EQ(mix64(0x9E3779B97F4A7C15ull), 0x6E789E6AA1B965F4ull);
  EXPECT_EQ(mix64(2 * 0x9E3779B97F4A7C15ull), 0x06C45D188009454Full);
}

TEST(HashIsStable, StringsAreXxh3WithSeedZero) {
  EXPECT_EQ(hash_string(""), 0x2D06800538D394C2ull);  // in the XXH3 specification
  EXPECT_EQ(hash_string("a"), 0xE6C632B61E964E1Full);
  EXPECT_EQ(hash_string("taut"), 0xA6CEA27CAFA9532Bull);
  EXPECT_EQ(hash_string(std::string(300, 'x')), 0xA5D1B4607DC83554ull);  // the long path of XXH3
}

TEST(HashIsStable, Combine) {
  EXPECT_EQ(hash_combine(1, 2), 0xE06DD043328BD285ull);
}

TEST(HashString, IsTheHashOfItsBytes) {
  const std::string text = "site_id=1fbe01fe";
  EXPECT_EQ(hash_string(text), hash_bytes(text.data(), text.size()));
  EXPECT_NE(hash_string(text), hash_string(std::string_view(text).substr(1)));
}

TEST(HashString, DependsOnEmbeddedZeros) {
  EXPECT_NE(hash_string(std::string_view("a\0b", 3)), hash_string("a"));
}

TEST(HashCombine, DependsOnTheOrder) {
  EXPECT_NE(hash_combine(1, 2), hash_combine(2, 1));
  EXPECT_NE(hash_combine(hash_combine(0, 1), 2), hash_combine(hash_combine(0, 2), 1));
}

TEST(Mix64, ChangesHalfOfTheBitsWhenOneChanges) {
  // 64 x 256 pairs of 64 bits each: the mean of a fair coin is within 32 +- 0.2 (six deviations).
  double changed = 0;
  for (std::uint64_t value = 0; value < 256; ++value) {
    for (int bit = 0; bit < 64; ++bit) {
      changed += std::popcount(mix64(value) ^ mix64(value ^ (std::uint64_t{1} << bit)));
    }
  }
  EXPECT_NEAR(changed / (256 * 64), 32.0, 0.2);
}

TEST(Mix64, HasNoCollisionsOnSmallIntegers) {
  std::set<std::uint64_t> seen;
  for (std::uint64_t value = 0; value < 100'000; ++value) seen.insert(mix64(value));
  EXPECT_EQ(seen.size(), 100'000u);
}

TEST(ReduceRange, StaysInRangeAtBothEnds) {
  EXPECT_EQ(reduce_range(0, 1), 0u);
  EXPECT_EQ(reduce_range(UINT64_MAX, 1), 0u);
  EXPECT_EQ(reduce_range(0, 10), 0u);
  EXPECT_EQ(reduce_range(UINT64_MAX, 10), 9u);
  EXPECT_EQ(reduce_range(UINT64_MAX, UINT64_MAX), UINT64_MAX - 1);
  EXPECT_EQ(reduce_range(std::uint64_t{1} << 63, 10), 5u);
}

TEST(ReduceRange, SpreadsHashesEvenly) {
  constexpr int kBins = 10;
  constexpr int kDraws = 100'000;
  std::vector<int> counts(kBins);
  for (std::uint64_t i = 0; i < kDraws; ++i) ++counts[reduce_range(mix64(i), kBins)];
  double chi_square = 0;
  for (const int count : counts) {
    const double expected = static_cast<double>(kDraws) / kBins;
    chi_square += (count - expected) * (count - expected) / expected;
  }
  EXPECT_LT(chi_square, 27.9);  // 9 degrees of freedom, probability 0.001
}

}  // namespace
}  // namespace taut
