#pragma once
// Rows of full length with their Adagrad state: what full, hash and the rivals are made of.

#include <cstdint>
#include <span>

#include "codec.h"
#include "taut/embedding/options.h"

namespace taut::embedding {

/// Row-wise Adagrad's numbers (Duchi et al. 2011; one accumulator a row, as DLRM trains).
struct RowwiseAdagrad {
  float learning_rate = 0;
  float initial_accumulator = 0;
  float epsilon = 0;

  explicit RowwiseAdagrad(const Options& options) noexcept
      : learning_rate(static_cast<float>(options.learning_rate)),
        initial_accumulator(static_cast<float>(options.initial_accumulator)),
        epsilon(static_cast<float>(options.epsilon)) {}
  /// What the gradient is multiplied by, with the sum of mean squared gradients so far.
  [[nodiscard]] float step(float accumulated) const noexcept;
};

/// Mean of the squares.
[[nodiscard]] float mean_square(const float* gradient, int dim) noexcept;

/// A dense row: fp32 accumulator (not in frozen rows), scale code (int8 only), values.
/// 4 * dim + 4 bytes in fp32.
class DenseRowFormat {
 public:
  static constexpr int kStateBytes = 4;
  DenseRowFormat(ValueType type, int dim, bool frozen = false) noexcept;

  [[nodiscard]] int dim() const noexcept { return dim_; }
  [[nodiscard]] int row_bytes() const noexcept {
    return values_at_ + dim_ * bytes_per_value(storage_);
  }
  /// A row without its optimizer state, as frozen rows are.
  [[nodiscard]] std::span<const std::uint8_t> frozen_part(const std::uint8_t* row) const noexcept {
    return {row + kStateBytes, static_cast<std::size_t>(row_bytes() - kStateBytes)};
  }
  /// Writes the row's start: initial values, accumulator 0.
  void initialize(std::uint8_t* row, std::uint64_t seed, std::uint64_t key) const noexcept;
  /// out += weight * row.
  void add(const std::uint8_t* row, float weight, float* out) const noexcept;
  /// One step of row-wise Adagrad with the row's summed gradient.
  void update(std::uint8_t* row, const float* gradient, const RowwiseAdagrad& optimizer,
              RowRandom& random) const noexcept;

 private:
  [[nodiscard]] float scale(const std::uint8_t* row) const noexcept;
  void write(std::uint8_t* row, const float* values, RowRandom& random) const noexcept;

  Storage storage_;
  int dim_;
  int scale_at_;
  int values_at_;
};

/// The bound of initial values: 1 / sqrt(dim).
[[nodiscard]] float initial_bound(int dim) noexcept;

}  // namespace taut::embedding
