#pragma once
// Methods whose rows lie in one array, shared by whatever ids fall on them: hash, qr.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "batch.h"
#include "dealt_shards.h"
#include "dense_rows.h"
#include "taut/core/aligned_buffer.h"

namespace taut::embedding {

/// Rows that a budget holds, its allocation rounded up as buffers are.
[[nodiscard]] std::int64_t rows_in_budget(const Options& options, const DenseRowFormat& format);
/// Throws kBudget: the budget does not hold `what`, which takes least_bytes.
[[noreturn]] void throw_budget(const Options& options, std::string_view what,
                               std::int64_t least_bytes);

class RowArrayEmbedding : public RowwiseEmbedding {
 public:
  [[nodiscard]] std::int64_t memory_bytes() const noexcept final { return counter_.bytes(); }
  [[nodiscard]] std::int64_t peak_memory_bytes() const noexcept final {
    return counter_.peak_bytes();
  }
  [[nodiscard]] Statistics statistics() const final;
  void save(SectionSink& file, const std::string& prefix) const final;
  void load(const SectionSource& file, const std::string& prefix) final;

 protected:
  /// Rows dealt.mine() of dealt.total(). row() and keys of updates go by numbers among all.
  RowArrayEmbedding(const Options& options, std::shared_ptr<ThreadPool> pool, int shards,
                    Dealt dealt);

  [[nodiscard]] const DenseRowFormat& format() const noexcept { return format_; }
  /// Of all rows and of those that lie here.
  [[nodiscard]] const Dealt& dealt() const noexcept { return dealt_; }
  [[nodiscard]] std::uint64_t row_count() const noexcept {
    return static_cast<std::uint64_t>(dealt_.total());
  }
  [[nodiscard]] std::uint64_t first_row() const noexcept {
    return static_cast<std::uint64_t>(dealt_.mine().begin);
  }
  /// From the first row here.
  [[nodiscard]] const std::uint8_t* bytes() const noexcept { return rows_.data(); }
  [[nodiscard]] std::uint8_t* row(std::uint64_t index) noexcept {
    return rows_.data() + (index - first_row()) * static_cast<std::uint64_t>(format_.row_bytes());
  }
  /// One optimizer step of each row; the keys are the rows' numbers.
  void update_rows(const TouchedRows& rows);
  /// Section "rows" of a frozen file: the rows without their state.
  void export_rows(SectionSink& file, const std::string& prefix) const;

 private:
  Dealt dealt_;
  MemoryCounter counter_;
  DenseRowFormat format_;
  AlignedBuffer<std::uint8_t> rows_;
};

}  // namespace taut::embedding
