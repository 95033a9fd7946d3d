#include "taut/core/memory_pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <iterator>

#include "core/mapping.h"
#include "core/round_up.h"
#include "taut/core/error.h"

namespace taut {
namespace {

constexpr std::size_t kBlockUnit = 64;
constexpr std::size_t kFirstRegion = std::size_t{64} << 10;
constexpr std::size_t kLargestStep = std::size_t{16} << 20;

}  // namespace

MemoryPool::~MemoryPool() {
  for (const Region& region : regions_) munmap(region.start, region.size);
}

void MemoryPool::map_region(std::size_t bytes) {
  if (regions_.size() == regions_.capacity()) regions_.reserve(2 * regions_.size() + 4);
  const std::size_t size = round_up(bytes, detail::kPageBytes);
  char* start = static_cast<char*>(detail::map_zeroed(size));
  regions_.push_back(
      {.start = start, .size = size, .top = 0, .touched = 0, .blocks = 0, .gaps = {}});
  mapped_ += size;
}

void MemoryPool::unmap_region(std::size_t index) noexcept {
  const Region& region = regions_[index];
  munmap(region.start, region.size);
  mapped_ -= region.size;
  regions_.erase(regions_.begin() + static_cast<std::ptrdiff_t>(index));
}

void MemoryPool::reserve(std::int64_t bytes) {
  if (bytes <= 0) return;
  const auto wanted = static_cast<std::size_t>(bytes);
  const std::lock_guard<std::mutex> lock(mutex_);
  for (std::size_t i = regions_.size(); i-- > 0;) {
    if (regions_[i].blocks == 0) unmap_region(i);  // was reserved for what was not taken
  }
  if (!regions_.empty() && regions_.back().size - regions_.back().top >= wanted) return;
  map_region(wanted);
}

char* MemoryPool::take_from(Region& region, std::size_t bytes) {
  if (region.gaps.empty() && region.size - region.top < bytes) return nullptr;
  // Each gap lies before a block.
  const std::size_t most_gaps = region.blocks + 1;
  if (region.gaps.capacity() < most_gaps) region.gaps.reserve(2 * most_gaps);
  const auto gap = std::find_if(region.gaps.begin(), region.gaps.end(),
                                [&](const Gap& one) { return one.end - one.begin >= bytes; });
  if (gap == region.gaps.end() && region.size - region.top < bytes) return nullptr;
  std::size_t begin = region.top;
  if (gap != region.gaps.end()) {
    begin = gap->begin;
    gap->begin += bytes;
    if (gap->begin == gap->end) region.gaps.erase(gap);
  } else {
    region.top += bytes;
  }
  const std::size_t end = begin + bytes;
  if (begin < region.touched) {
    std::memset(region.start + begin, 0, std::min(end, region.touched) - begin);
  }
  region.touched = std::max(region.touched, end);
  ++region.blocks;
  return region.start + begin;
}

void* MemoryPool::take(std::int64_t bytes) {
  TAUT_ASSERT(bytes > 0 && bytes % static_cast<std::int64_t>(kBlockUnit) == 0);
  const auto wanted = static_cast<std::size_t>(bytes);
  const std::lock_guard<std::mutex> lock(mutex_);
  for (std::size_t i = regions_.size(); i-- > 0;) {
    if (char* block = take_from(regions_[i], wanted)) return block;
  }
  const std::size_t step = std::clamp(mapped_, kFirstRegion, kLargestStep);
  const std::size_t size = std::max(step, wanted);
  map_region(size < detail::kHugePageBytes ? size : round_up(size, detail::kHugePageBytes));
  try {
    return take_from(regions_.back(), wanted);
  } catch (...) {
    unmap_region(regions_.size() - 1);
    throw;
  }
}

void MemoryPool::add_gap(Region& region, Gap gap) noexcept {
  auto next = std::lower_bound(region.gaps.begin(), region.gaps.end(), gap,
                               [](const Gap& a, const Gap& b) { return a.begin < b.begin; });
  if (next != region.gaps.end() && next->begin == gap.end) {
    gap.end = next->end;
    next = region.gaps.erase(next);
  }
  if (next != region.gaps.begin() && std::prev(next)->end == gap.begin) {
    gap.begin = std::prev(next)->begin;
    next = region.gaps.erase(std::prev(next));
  }
  if (gap.end == region.top) {
    region.top = gap.begin;
  } else {
    region.gaps.insert(next, gap);
  }
}

void MemoryPool::give_back(void* block, std::int64_t bytes) noexcept {
  const std::lock_guard<std::mutex> lock(mutex_);
  char* const address = static_cast<char*>(block);
  const auto found = std::find_if(regions_.begin(), regions_.end(), [&](const Region& region) {
    return address >= region.start && address < region.start + region.size;
  });
  TAUT_ASSERT(found != regions_.end());
  Region& region = *found;
  if (--region.blocks == 0) {
    unmap_region(static_cast<std::size_t>(found - regions_.begin()));
    return;
  }
  const auto begin = static_cast<std::size_t>(address - region.start);
  const std::size_t end = begin + static_cast<std::size_t>(bytes);
  // The free memory around the block, of which whole huge pages that it touches go back.
  std::size_t free_begin = begin;
  std::size_t free_end = end;
  for (const Gap& gap : region.gaps) {
    if (gap.end == begin) free_begin = gap.begin;
    if (gap.begin == end) free_end = gap.end;
  }
  if (free_end == region.top) {
    free_end = std::min(round_up(region.touched, detail::kHugePageBytes), region.size);
  }
  add_gap(region, {.begin = begin, .end = end});
  const std::size_t first = std::max(round_up(free_begin, detail::kHugePageBytes),
                                     begin / detail::kHugePageBytes * detail::kHugePageBytes);
  const std::size_t last = std::min(free_end / detail::kHugePageBytes * detail::kHugePageBytes,
                                    round_up(end, detail::kHugePageBytes));
  if (first < last) {
    madvise(region.start + first, last - first, MADV_DONTNEED);  // else it stays: nothing is wrong
  }
}

std::int64_t MemoryPool::mapped_bytes() const noexcept {
  const std::lock_guard<std::mutex> lock(mutex_);
  return static_cast<std::int64_t>(mapped_);
}

}  // namespace taut
