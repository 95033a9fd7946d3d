#pragma once
// What the live and the read-only form of a full table share: reading shards.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "batch.h"
#include "dense_rows.h"
#include "frozen_form.h"
#include "full_index.h"

namespace taut::embedding {

inline constexpr std::size_t kFullShards = 16;
inline constexpr std::size_t kFullBlockRows = 256;

/// The index and the blocks of rows of one shard; live or mapped.
template <typename Index>
struct FullView {
  Index index;
  const std::uint8_t* const* blocks = nullptr;
  std::size_t row_bytes = 0;

  [[nodiscard]] TAUT_INLINE const std::uint8_t* row(std::size_t number) const noexcept {
    return blocks[number / kFullBlockRows] + number % kFullBlockRows * row_bytes;
  }
  /// The key's row, or null.
  [[nodiscard]] const std::uint8_t* find(std::uint64_t key) const noexcept {
    const std::uint32_t found = index.find(key);
    return found == Index::kNone ? nullptr : row(found);
  }
};

/// All shards, to be read.
template <typename Index>
struct FullReader {
  DenseRowFormat format;
  std::uint64_t seed = 0;
  std::array<FullView<Index>, kFullShards> shards;
  std::uint32_t mask = 1;  ///< of a whole row

  [[nodiscard]] std::uint64_t key(std::size_t table, std::uint64_t id) const noexcept {
    return row_key(table, id);
  }
  [[nodiscard]] TAUT_INLINE std::size_t shard_of(std::uint64_t key) const noexcept {
    return key % kFullShards;
  }
  [[nodiscard]] bool read_row(std::uint64_t key, RowCopy& copy) const noexcept {
    const std::uint8_t* row = shards[shard_of(key)].find(key);
    if (row == nullptr) return false;
    format.read(row, copy.values.data());
    copy.mask = mask;
    copy.importance = format.importance(row);
    return true;
  }
};

/// Pooled sums as batch.h's pooled_lookup() has them, by one loop for every instruction set. A row
/// that is not there reads as its initial value.
void pooled_lookup(const FullReader<FullBuckets>& reader, std::span<const JaggedIds> tables,
                   std::int64_t batch, int dim, std::span<float> out, ThreadPool* pool);
void pooled_lookup(const FullReader<FullSlots>& reader, std::span<const JaggedIds> tables,
                   std::int64_t batch, int dim, std::span<float> out, ThreadPool* pool);

}  // namespace taut::embedding
