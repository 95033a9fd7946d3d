#pragma once
// Ids that come again in a batch: each is read and decoded once, then added from there.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "taut/core/aligned_buffer.h"

namespace taut::embedding {

/// Whether so many of the ids are those of others that reading each once pays, by a sample. What a
/// lookup gives does not depend on it.
[[nodiscard]] bool ids_repeat(std::span<const std::uint64_t> ids) noexcept;

/// Values of rows that a lookup has read, by id. A row keeps its number until the next forget().
/// Threads: one at a time.
class ReadRows {
 public:
  static constexpr std::size_t kBlock = 1024;

  /// Of the calling thread: its memory, at most 1.4 MiB, stays until the thread ends.
  [[nodiscard]] static ReadRows& of_this_thread();

  /// Rows of `dim` values of one table, at most 512, in one call of a lookup. Those that were read
  /// in the same call of the same table are still there. Returns whether reading them pays, judged
  /// by these ids, all of the table.
  bool start(std::uint64_t call, std::size_t table, std::size_t dim,
             std::span<const std::uint64_t> ids);
  /// How many ids are numbered at once, at most: kBlock or fewer.
  [[nodiscard]] std::size_t most_ids() const noexcept { return std::min(kBlock, rows_); }
  /// Numbers the ids, most_ids() at most: numbers [ids.size()], by which row() is found. missing:
  /// those whose rows must be read now into row() of first, first + 1, ...; room for all ids.
  /// Returns how many.
  std::size_t number(std::span<const std::uint64_t> ids, std::uint32_t* numbers,
                     std::uint64_t* missing, std::uint32_t& first);
  /// [dim, rounded up to 16], 64-byte aligned.
  [[nodiscard]] float* row(std::size_t number) noexcept {
    return values_.data() + number * stride_;
  }

 private:
  // Where the last row of the ids is that share the slot; of no meaning before base_.
  struct Slot {
    std::uint64_t id = 0;
    std::uint64_t row = 0;  // from base_ on
  };
  static constexpr int kSlotBits = 13;
  static constexpr std::size_t kValues = std::size_t{1} << 18;

  ReadRows();
  void forget() noexcept { base_ = next_; }

  AlignedBuffer<Slot> slots_;
  AlignedBuffer<float> values_;
  std::size_t stride_ = 16;
  std::size_t rows_ = 0;  // that there is room for
  std::uint64_t base_ = 1;
  std::uint64_t next_ = 1;
  std::uint64_t call_ = 0;
  std::size_t table_ = 0;
  bool pays_ = false;
};

}  // namespace taut::embedding
