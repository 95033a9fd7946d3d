#pragma once
// Memory that computations borrow, so that a run takes none anew.

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

#include "taut/core/aligned_buffer.h"

namespace taut::infer {

/// Blocks of bytes that are lent and come back. It holds as many as were ever out at once, each as
/// large as the largest wish that it served.
/// Threads: borrow() and the end of a loan may happen at once.
class ScratchPool {
 public:
  /// A block on loan until it is destroyed.
  class Loan {
   public:
    Loan(ScratchPool& pool, AlignedBuffer<std::byte> block)
        : pool_(&pool), block_(std::move(block)) {}
    Loan(Loan&& other) noexcept
        : pool_(std::exchange(other.pool_, nullptr)), block_(std::move(other.block_)) {}
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;
    Loan& operator=(Loan&&) = delete;
    ~Loan() {
      if (pool_ != nullptr) pool_->give_back(std::move(block_));
    }
    /// To at least so many bytes; what it holds is lost. Throws std::bad_alloc.
    void grow(std::size_t size) {
      if (block_.size() >= size) return;
      block_ = AlignedBuffer<std::byte>();  // before the larger one is taken
      block_ = AlignedBuffer<std::byte>(size);
    }
    /// 64-byte aligned; its values are whatever the last loan left.
    [[nodiscard]] std::byte* data() noexcept { return block_.data(); }

   private:
    ScratchPool* pool_;
    AlignedBuffer<std::byte> block_;
  };

  /// Throws std::bad_alloc.
  [[nodiscard]] Loan borrow(std::int64_t bytes) {
    AlignedBuffer<std::byte> block;
    {
      const std::lock_guard lock(mutex_);
      free_.reserve(free_.size() + lent_ + 1);  // so that giving back takes no memory
      ++lent_;
      if (!free_.empty()) {
        block = std::move(free_.back());
        free_.pop_back();
      }
    }
    Loan loan(*this, std::move(block));
    loan.grow(static_cast<std::size_t>(bytes));
    return loan;
  }

 private:
  void give_back(AlignedBuffer<std::byte> block) noexcept {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(block));
    --lent_;
  }

  std::mutex mutex_;
  std::vector<AlignedBuffer<std::byte>> free_;
  std::size_t lent_ = 0;
};

}  // namespace taut::infer
