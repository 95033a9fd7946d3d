#pragma once
// Cache-line aligned arrays whose bytes are counted: the ground truth of every budget.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

#include "taut/core/memory_pool.h"

namespace taut {

/// Counts the bytes that buffers hold now, and the most they ever held.
/// Threads: all members may be called at once. Must outlive the buffers that it counts.
class MemoryCounter {
 public:
  void add(std::int64_t bytes) noexcept {
    const std::int64_t now = bytes_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
    std::int64_t seen = peak_bytes_.load(std::memory_order_relaxed);
    while (now > seen && !peak_bytes_.compare_exchange_weak(seen, now, std::memory_order_relaxed)) {
    }
  }
  [[nodiscard]] std::int64_t bytes() const noexcept {
    return bytes_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::int64_t peak_bytes() const noexcept {
    return peak_bytes_.load(std::memory_order_relaxed);
  }
  /// Forgets the peak: it is now what is held.
  void reset_peak() noexcept { peak_bytes_.store(bytes(), std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> bytes_{0};
  std::atomic<std::int64_t> peak_bytes_{0};
};

/// A fixed-size array of trivially copyable values, zeroed at first, aligned to 64 bytes (to 2 MiB
/// from 4 MiB on, so that huge pages can serve it; the size is rounded up to a page there, and what
/// is freed goes back to the system at once). Those of a pool lie side by side in it, whatever
/// their size, and take the same bytes. Move-only.
template <typename T>
class AlignedBuffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  AlignedBuffer() = default;
  /// Throws std::bad_alloc. counter and pool may be null.
  explicit AlignedBuffer(std::size_t size, MemoryCounter* counter = nullptr,
                         MemoryPool* pool = nullptr);
  AlignedBuffer(AlignedBuffer&& other) noexcept { swap(other); }
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    AlignedBuffer taken(std::move(other));
    swap(taken);
    return *this;
  }
  AlignedBuffer(const AlignedBuffer&) = delete;
  AlignedBuffer& operator=(const AlignedBuffer&) = delete;
  ~AlignedBuffer();

  [[nodiscard]] T* data() noexcept { return data_; }
  [[nodiscard]] const T* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  /// Bytes allocated, rounding included.
  [[nodiscard]] std::int64_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] T& operator[](std::size_t i) noexcept { return data_[i]; }
  [[nodiscard]] const T& operator[](std::size_t i) const noexcept { return data_[i]; }
  [[nodiscard]] T* begin() noexcept { return data_; }
  [[nodiscard]] T* end() noexcept { return data_ + size_; }
  [[nodiscard]] const T* begin() const noexcept { return data_; }
  [[nodiscard]] const T* end() const noexcept { return data_ + size_; }
  [[nodiscard]] std::span<T> span() noexcept { return {data_, size_}; }
  [[nodiscard]] std::span<const T> span() const noexcept { return {data_, size_}; }

  void swap(AlignedBuffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(bytes_, other.bytes_);
    std::swap(counter_, other.counter_);
    std::swap(pool_, other.pool_);
  }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
  std::int64_t bytes_ = 0;
  MemoryCounter* counter_ = nullptr;
  MemoryPool* pool_ = nullptr;
};

/// What a buffer of so many bytes takes: allocations are rounded up, above 4 MiB to whole pages.
[[nodiscard]] std::int64_t rounded_bytes(std::int64_t size_bytes) noexcept;
/// The largest buffer that takes no more than so many bytes: rounded_bytes of it is itself.
[[nodiscard]] std::int64_t bytes_within(std::int64_t budget_bytes) noexcept;

namespace detail {
/// Zeroed memory; sets bytes to what was taken. Throws std::bad_alloc.
[[nodiscard]] void* allocate_zeroed(std::size_t size_bytes, std::int64_t& bytes, MemoryPool* pool);
void release(void* data, std::int64_t bytes, MemoryPool* pool) noexcept;
}  // namespace detail

template <typename T>
AlignedBuffer<T>::AlignedBuffer(std::size_t size, MemoryCounter* counter, MemoryPool* pool)
    : size_(size), counter_(counter), pool_(pool) {
  if (size == 0) return;
  if (size > SIZE_MAX / 2 / sizeof(T)) throw std::bad_alloc();
  data_ = static_cast<T*>(detail::allocate_zeroed(size * sizeof(T), bytes_, pool_));
  if (counter_ != nullptr) counter_->add(bytes_);
}

template <typename T>
AlignedBuffer<T>::~AlignedBuffer() {
  if (data_ == nullptr) return;
  detail::release(data_, bytes_, pool_);
  if (counter_ != nullptr) counter_->add(-bytes_);
}

}  // namespace taut
