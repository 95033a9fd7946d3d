#include "support/failing_allocations.h"

#include <sys/mman.h>

#include <atomic>
#include <cstdlib>

// The linker sends AlignedBuffer's calls to __wrap_* below (--wrap); these are the true ones.
// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming)
extern "C" {
void* __real_aligned_alloc(std::size_t alignment, std::size_t size);
void* __real_mmap(void* address, std::size_t size, int protection, int flags, int file,
                  off_t offset);
}
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)

namespace {

constexpr std::int64_t kNever = INT64_MAX;
std::atomic<std::int64_t> left{kNever};  // allocations until one fails
std::atomic<bool> stays_out{false};
std::atomic<bool> has_failed{false};
std::atomic<std::int64_t> held{0};

bool fails() noexcept {
  if (left.load(std::memory_order_relaxed) == kNever) return false;
  const std::int64_t now = left.fetch_sub(1) - 1;
  if (now > 0 || (now < 0 && !stays_out.load())) return false;
  has_failed.store(true);
  return true;
}

void* take(std::size_t size, std::size_t alignment) noexcept {
  if (fails()) return nullptr;
  const std::size_t rounded = (size + alignment - 1) / alignment * alignment;
  void* data = alignment <= alignof(std::max_align_t)
                   ? std::malloc(size == 0 ? 1 : size)
                   : __real_aligned_alloc(alignment, rounded == 0 ? alignment : rounded);
  if (data != nullptr) held.fetch_add(1);
  return data;
}

void give_back(void* data) noexcept {
  if (data == nullptr) return;
  held.fetch_sub(1);
  std::free(data);
}

void* take_or_throw(std::size_t size, std::size_t alignment) {
  void* data = take(size, alignment);
  if (data == nullptr) throw std::bad_alloc();
  return data;
}

}  // namespace

namespace taut::test {

FailingAllocations::FailingAllocations(std::int64_t n, Then then) noexcept {
  has_failed.store(false);
  stays_out.store(then == Then::kStaysOut);
  left.store(n);
}

FailingAllocations::~FailingAllocations() {
  left.store(kNever);
}

bool FailingAllocations::failed() const noexcept {
  return has_failed.load();
}

std::int64_t held_allocations() noexcept {
  return held.load();
}

}  // namespace taut::test

// What the language asks for by these names.
void* operator new(std::size_t size) {
  return take_or_throw(size, 1);
}
void* operator new[](std::size_t size) {
  return take_or_throw(size, 1);
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  return take_or_throw(size, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
  return take_or_throw(size, static_cast<std::size_t>(alignment));
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return take(size, 1);
}
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
  return take(size, 1);
}
void operator delete(void* data) noexcept {
  give_back(data);
}
void operator delete[](void* data) noexcept {
  give_back(data);
}
void operator delete(void* data, std::size_t) noexcept {
  give_back(data);
}
void operator delete[](void* data, std::size_t) noexcept {
  give_back(data);
}
void operator delete(void* data, std::align_val_t) noexcept {
  give_back(data);
}
void operator delete[](void* data, std::align_val_t) noexcept {
  give_back(data);
}
void operator delete(void* data, std::size_t, std::align_val_t) noexcept {
  give_back(data);
}
void operator delete[](void* data, std::size_t, std::align_val_t) noexcept {
  give_back(data);
}
void operator delete(void* data, const std::nothrow_t&) noexcept {
  give_back(data);
}
void operator delete[](void* data, const std::nothrow_t&) noexcept {
  give_back(data);
}

// What AlignedBuffer takes is freed elsewhere, so it is not counted as held: MemoryCounter does
// that. NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming)
extern "C" {
void* __wrap_aligned_alloc(std::size_t alignment, std::size_t size) {
  return fails() ? nullptr : __real_aligned_alloc(alignment, size);
}
void* __wrap_mmap(void* address, std::size_t size, int protection, int flags, int file,
                  off_t offset) {
  return fails() ? MAP_FAILED : __real_mmap(address, size, protection, flags, file, offset);
}
}
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)
