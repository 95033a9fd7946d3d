#pragma once
// Memory for many small buffers side by side, so that huge pages serve them all.

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

namespace taut {

/// Maps memory in regions and hands out blocks of it; blocks never move. Regions of 2 MiB and more
/// begin on a 2 MiB boundary and ask for huge pages. The first ones are small, each of the next is
/// as large as all before it together, up to 16 MiB, so that a small pool takes little.
///
/// Blocks are counted by the buffers that hold them. What a region holds beside them is memory that
/// was never touched, or that was given back: whole huge pages of it go back to the system at once,
/// and so does a region without blocks. So at most 2 MiB a region, and 2 MiB for each gap between
/// blocks, are resident and not counted.
///
/// Threads: all members may be called at once. Must outlive its blocks.
class MemoryPool {
 public:
  MemoryPool() = default;
  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;
  ~MemoryPool();

  /// Makes sure that blocks of `bytes` in all, taken next, lie in one region. Takes addresses,
  /// memory only when a block is taken. Throws std::bad_alloc and is then as before.
  void reserve(std::int64_t bytes);
  /// A block of zeros at a multiple of 64 bytes. bytes: a multiple of 64, above 0. Throws
  /// std::bad_alloc.
  [[nodiscard]] void* take(std::int64_t bytes);
  /// bytes: as they were taken.
  void give_back(void* block, std::int64_t bytes) noexcept;
  /// Addresses that all regions take, used or not.
  [[nodiscard]] std::int64_t mapped_bytes() const noexcept;

 private:
  struct Gap {
    std::size_t begin;  // in the region
    std::size_t end;
  };
  struct Region {
    char* start;
    std::size_t size;
    std::size_t top;      // no block lies from here on
    std::size_t touched;  // all zeros from here on
    std::size_t blocks;
    std::vector<Gap> gaps;  // below top, in order; room for as many as there may be
  };

  static char* take_from(Region& region, std::size_t bytes);
  void map_region(std::size_t bytes);
  void unmap_region(std::size_t index) noexcept;
  static void add_gap(Region& region, Gap gap) noexcept;

  mutable std::mutex mutex_;
  std::vector<Region> regions_;
  std::size_t mapped_ = 0;
};

}  // namespace taut
