#pragma once
// Rows of one length with their optimizer state: what full, hash and most rivals are made of.

#include <cstdint>
#include <span>

#include "codec.h"
#include "optimizer.h"
#include "row_kernels.h"
#include "taut/core/always_inline.h"
#include "taut/embedding/options.h"

namespace taut::embedding {

/// The bound of initial values: 1 / sqrt(dim).
[[nodiscard]] float initial_bound(int dim) noexcept;

/// A dense row: fp32 optimizer state (not in frozen rows), scale code (int8 only), values.
/// 4 * dim + 4 bytes in fp32 with row-wise Adagrad.
class DenseRowFormat {
 public:
  /// Rows in training: state as the options' optimizer has it. `size` values a row.
  DenseRowFormat(const Options& options, int size) noexcept;
  /// Frozen rows: no state.
  DenseRowFormat(ValueType type, int size) noexcept;

  [[nodiscard]] int size() const noexcept { return size_; }
  [[nodiscard]] int row_bytes() const noexcept {
    return values_at_ + size_ * bytes_per_value(storage_);
  }
  [[nodiscard]] int state_bytes() const noexcept { return scale_at_; }
  [[nodiscard]] Storage storage() const noexcept { return storage_; }
  [[nodiscard]] std::uint8_t* values(std::uint8_t* row) const noexcept { return row + values_at_; }
  /// The row's ScaleCode; integers only.
  [[nodiscard]] std::uint8_t* scale_code(std::uint8_t* row) const noexcept {
    return row + scale_at_;
  }
  /// Asks for all of a row's memory.
  TAUT_INLINE void prefetch(const std::uint8_t* row) const noexcept {
    const int bytes = row_bytes();
    for (int line = 0; line < bytes; line += 64) __builtin_prefetch(row + line);
    __builtin_prefetch(row + bytes - 1);
  }
  /// Writes the row's start: these values, state 0.
  void write_start(std::uint8_t* row, const float* values, RowRandom& random) const noexcept;
  /// write_start() with uniform(-bound, bound) from (seed, key, dimension).
  void initialize(std::uint8_t* row, std::uint64_t seed, std::uint64_t key,
                  float bound) const noexcept;
  /// out += weight * row, to be added.
  [[nodiscard]] RowPart part(const std::uint8_t* row, float weight, float* out) const noexcept {
    return {.values = row + values_at_,
            .out = out,
            .scale = scale(row),
            .weight = weight,
            .size = size_,
            .storage = storage_};
  }
  /// out = row.
  void read(const std::uint8_t* row, float* out) const noexcept;
  /// The sum of mean squared gradients where the state holds it (row-wise Adagrad in training),
  /// else NaN.
  [[nodiscard]] float importance(const std::uint8_t* row) const noexcept;
  /// Sets it; nothing happens for NaN or where the state does not hold it.
  void set_importance(std::uint8_t* row, float importance) const noexcept;
  /// One optimizer step with the row's summed gradient.
  void update(std::uint8_t* row, const float* gradient, const RowOptimizer& optimizer,
              std::int64_t step, RowRandom& random) const noexcept;

 private:
  [[nodiscard]] float scale(const std::uint8_t* row) const noexcept {
    return is_scaled(storage_) ? ScaleCode::step(row[scale_at_], storage_) : 0.0f;
  }
  void write(std::uint8_t* row, const float* values, RowRandom& random) const noexcept;

  Storage storage_;
  int size_;
  bool sums_squares_;
  int scale_at_;
  int values_at_;
};

}  // namespace taut::embedding
