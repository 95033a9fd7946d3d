#include "taut/core/aligned_buffer.h"

#include <sys/mman.h>

#include <cstdlib>

namespace taut {
namespace {

constexpr std::size_t kLine = 64;
constexpr std::size_t kPage = 4096;
constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kMapFrom = std::size_t{4} << 20;

constexpr std::size_t round_up(std::size_t value, std::size_t unit) {
  return (value + unit - 1) / unit * unit;
}

// Maps size bytes on a huge-page boundary: maps more, then cuts off both ends.
void* map_aligned(std::size_t size) {
  const std::size_t wide = size + kHugePage;
  void* base = mmap(nullptr, wide, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) throw std::bad_alloc();
  const auto address = reinterpret_cast<std::uintptr_t>(base);
  const std::size_t head = round_up(address, kHugePage) - address;
  char* start = static_cast<char*>(base) + head;
  if (head > 0) munmap(base, head);
  if (wide - head - size > 0) munmap(start + size, wide - head - size);
  madvise(start, size, MADV_HUGEPAGE);  // a hint: refusal changes speed only
  return start;
}

}  // namespace

std::int64_t rounded_bytes(std::int64_t size_bytes) noexcept {
  const auto size = static_cast<std::size_t>(size_bytes);
  const std::size_t lines = round_up(size, kLine);
  return static_cast<std::int64_t>(lines >= kMapFrom ? round_up(size, kPage) : lines);
}

std::int64_t bytes_within(std::int64_t budget_bytes) noexcept {
  const auto budget = static_cast<std::size_t>(budget_bytes);
  return static_cast<std::int64_t>(budget - budget % (budget >= kMapFrom ? kPage : kLine));
}

namespace detail {

void* allocate_zeroed(std::size_t size_bytes, std::int64_t& bytes) {
  bytes = rounded_bytes(static_cast<std::int64_t>(size_bytes));
  const auto taken = static_cast<std::size_t>(bytes);
  if (taken >= kMapFrom) return map_aligned(taken);  // release() knows no other size either
  void* data = std::aligned_alloc(kLine, taken);
  if (data == nullptr) throw std::bad_alloc();
  std::memset(data, 0, taken);
  return data;
}

void release(void* data, std::int64_t bytes) noexcept {
  const auto taken = static_cast<std::size_t>(bytes);
  if (taken >= kMapFrom) {
    munmap(data, taken);
  } else {
    std::free(data);
  }
}

}  // namespace detail
}  // namespace taut
