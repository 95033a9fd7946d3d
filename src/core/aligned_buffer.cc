#include "taut/core/aligned_buffer.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

#include "core/mapping.h"
#include "core/round_up.h"
#include "taut/core/memory_pool.h"

namespace taut {
namespace {

using detail::kPageBytes;

constexpr std::size_t kLine = 64;
constexpr std::size_t kMapFrom = std::size_t{4} << 20;

}  // namespace

std::int64_t rounded_bytes(std::int64_t size_bytes) noexcept {
  const auto size = static_cast<std::size_t>(size_bytes);
  const std::size_t lines = round_up(size, kLine);
  return static_cast<std::int64_t>(lines >= kMapFrom ? round_up(size, kPageBytes) : lines);
}

std::int64_t bytes_within(std::int64_t budget_bytes) noexcept {
  const auto budget = static_cast<std::size_t>(budget_bytes);
  return static_cast<std::int64_t>(budget - budget % (budget >= kMapFrom ? kPageBytes : kLine));
}

namespace detail {

// Maps more than is asked for, then cuts off both ends.
void* map_zeroed(std::size_t size) {
  const std::size_t unit = size >= kHugePageBytes ? kHugePageBytes : kPageBytes;
  const std::size_t wide = size + unit - kPageBytes;
  void* base = mmap(nullptr, wide, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) throw std::bad_alloc();
  const auto address = reinterpret_cast<std::uintptr_t>(base);
  const std::size_t head = round_up(address, unit) - address;
  char* start = static_cast<char*>(base) + head;
  if (head > 0) munmap(base, head);
  if (wide - head - size > 0) munmap(start + size, wide - head - size);
  if (unit == kHugePageBytes) madvise(start, size, MADV_HUGEPAGE);  // a hint: about speed only
  return start;
}

void* allocate_zeroed(std::size_t size_bytes, std::int64_t& bytes, MemoryPool* pool) {
  bytes = rounded_bytes(static_cast<std::int64_t>(size_bytes));
  if (pool != nullptr) return pool->take(bytes);
  const auto taken = static_cast<std::size_t>(bytes);
  if (taken >= kMapFrom) return map_zeroed(taken);  // release() knows no other size either
  void* data = std::aligned_alloc(kLine, taken);
  if (data == nullptr) throw std::bad_alloc();
  std::memset(data, 0, taken);
  return data;
}

void release(void* data, std::int64_t bytes, MemoryPool* pool) noexcept {
  const auto taken = static_cast<std::size_t>(bytes);
  if (pool != nullptr) {
    pool->give_back(data, bytes);
  } else if (taken >= kMapFrom) {
    munmap(data, taken);
  } else {
    std::free(data);
  }
}

}  // namespace detail
}  // namespace taut
