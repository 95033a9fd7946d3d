#pragma once
// Where method full finds the row of a key: buckets of one cache line while it is trained, the
// slots of a frozen file afterwards.

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "taut/core/aligned_buffer.h"
#include "taut/core/always_inline.h"
#include "taut/core/hash.h"

namespace taut::embedding {

/// Keys and the numbers of their rows, filled from the front.
struct alignas(64) FullBucket {
  static constexpr std::uint32_t kRoom = 5;

  std::uint64_t keys[kRoom];
  std::uint32_t rows[kRoom];
  std::uint32_t size;
};
static_assert(sizeof(FullBucket) == 64);

/// Reads a FullIndex. A full bucket goes on in the next one.
struct FullBuckets {
  static constexpr std::uint32_t kNone = UINT32_MAX;

  const FullBucket* buckets = nullptr;
  std::uint64_t count = 0;

  [[nodiscard]] TAUT_INLINE std::uint64_t home(std::uint64_t key) const noexcept {
    return reduce_range(key, count);
  }
  [[nodiscard]] TAUT_INLINE std::uint64_t after(std::uint64_t bucket) const noexcept {
    return bucket + 1 == count ? 0 : bucket + 1;
  }
  TAUT_INLINE void prefetch(std::uint64_t key) const noexcept {
    __builtin_prefetch(buckets + home(key));
  }
  /// The number of the key's row, or kNone.
  [[nodiscard]] std::uint32_t find(std::uint64_t key) const noexcept {
    for (std::uint64_t at = home(key);; at = after(at)) {
      const FullBucket& bucket = buckets[at];
      unsigned equal = 0;  // a bit for each place, so that nothing is guessed
      for (std::uint32_t i = 0; i < FullBucket::kRoom; ++i) {
        equal |= static_cast<unsigned>(bucket.keys[i] == key) << i;
      }
      equal &= (1u << bucket.size) - 1;
      if (equal != 0) return bucket.rows[std::countr_zero(equal)];
      if (bucket.size < FullBucket::kRoom) return kNone;
    }
  }
};

/// The index of one shard. It grows by half when three quarters are taken: 17 to 26 bytes a row.
/// Threads: const members may be called at once.
class FullIndex {
 public:
  /// counter and memory outlive it. Throws std::bad_alloc.
  FullIndex(MemoryCounter* counter, MemoryPool* memory)
      : counter_(counter), memory_(memory), buckets_(kFirstBuckets, counter, memory) {}

  [[nodiscard]] FullBuckets view() const noexcept {
    return {.buckets = buckets_.data(), .count = buckets_.size()};
  }
  [[nodiscard]] std::uint32_t find(std::uint64_t key) const noexcept { return view().find(key); }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::int64_t bytes() const noexcept { return buckets_.bytes(); }
  /// Makes room for one key more. Throws std::bad_alloc and is then as before.
  void make_room() {
    constexpr std::size_t kMostInFour = 15;  // keys of four buckets
    if ((size_ + 1) * 4 <= buckets_.size() * kMostInFour) return;
    AlignedBuffer<FullBucket> old(buckets_.size() + buckets_.size() / 2, counter_, memory_);
    buckets_.swap(old);
    for (const FullBucket& bucket : old) {
      for (std::uint32_t i = 0; i < bucket.size; ++i) place(bucket.keys[i], bucket.rows[i]);
    }
  }
  /// Adds a key that is not there, as row number size(). The caller has called make_room().
  void append(std::uint64_t key) noexcept {
    place(key, static_cast<std::uint32_t>(size_));
    ++size_;
  }
  /// Keys in the order of their rows.
  [[nodiscard]] std::vector<std::uint64_t> keys() const {
    std::vector<std::uint64_t> ordered(size_);
    for (const FullBucket& bucket : buckets_) {
      for (std::uint32_t i = 0; i < bucket.size; ++i) ordered[bucket.rows[i]] = bucket.keys[i];
    }
    return ordered;
  }

 private:
  static constexpr std::size_t kFirstBuckets = 8;

  void place(std::uint64_t key, std::uint32_t row) noexcept {
    const FullBuckets all = view();
    std::uint64_t at = all.home(key);
    while (buckets_[at].size == FullBucket::kRoom) at = all.after(at);
    FullBucket& bucket = buckets_[at];
    bucket.keys[bucket.size] = key;
    bucket.rows[bucket.size] = row;
    ++bucket.size;
  }

  MemoryCounter* counter_;
  MemoryPool* memory_;
  AlignedBuffer<FullBucket> buckets_;
  std::size_t size_ = 0;
};

/// Reads the index of a frozen file: open addressing over a power of two of slots.
struct FullSlots {
  static constexpr std::uint32_t kNone = FullBuckets::kNone;

  const std::uint64_t* keys = nullptr;
  const std::uint32_t* rows = nullptr;  // row + 1; 0: free slot
  std::uint64_t mask = 0;

  [[nodiscard]] TAUT_INLINE std::uint64_t home(std::uint64_t key) const noexcept {
    return (key >> 8) & mask;
  }
  TAUT_INLINE void prefetch(std::uint64_t key) const noexcept {
    __builtin_prefetch(rows + home(key));
    __builtin_prefetch(keys + home(key));
  }
  /// The number of the key's row, or kNone.
  [[nodiscard]] std::uint32_t find(std::uint64_t key) const noexcept {
    std::uint64_t slot = home(key);
    while (rows[slot] != 0 && keys[slot] != key) slot = (slot + 1) & mask;
    return rows[slot] - 1;  // kNone for a free one
  }
};

/// What FullSlots reads, made from keys in the order of their rows; 30 % of the slots or more are
/// free.
struct FullSlotArrays {
  std::vector<std::uint64_t> keys;
  std::vector<std::uint32_t> rows;

  explicit FullSlotArrays(const std::vector<std::uint64_t>& ordered) {
    constexpr std::size_t kLeastSlots = 64;
    const std::size_t wanted = std::max(kLeastSlots, (ordered.size() * 10 + 6) / 7);
    keys.resize(std::bit_ceil(wanted));
    rows.resize(keys.size());
    const std::uint64_t mask = keys.size() - 1;
    const FullSlots view{.keys = keys.data(), .rows = rows.data(), .mask = mask};
    for (std::size_t row = 0; row < ordered.size(); ++row) {
      std::uint64_t slot = view.home(ordered[row]);
      while (rows[slot] != 0) slot = (slot + 1) & mask;
      keys[slot] = ordered[row];
      rows[slot] = static_cast<std::uint32_t>(row) + 1;
    }
  }
};

}  // namespace taut::embedding
