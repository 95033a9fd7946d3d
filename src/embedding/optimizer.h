#pragma once
// Optimizers of dense rows: what state a row has, and how a summed gradient changes its values.

#include <cmath>
#include <cstdint>
#include <span>

#include "taut/core/always_inline.h"
#include "taut/embedding/options.h"

namespace taut::embedding {

/// What Adam's moments are divided by at a step, as both begin with 0.
struct AdamCorrections {
  float first = 1;
  float second = 1;
};

/// One optimizer with its numbers. State is fp32: row-wise Adagrad 1 value a row, Adagrad `size`,
/// SGD none, Adam 1 + size (second moment of the row, momentum of each value).
/// Threads: const members may be called at once.
class RowOptimizer {
 public:
  explicit RowOptimizer(const Options& options) noexcept
      : RowOptimizer(options, options.learning_rate) {}
  /// learning_rate: instead of that of the options.
  RowOptimizer(const Options& options, double learning_rate) noexcept;

  /// fp32 state values of a row of `size` values: row_state_values() first, then
  /// value_state_values() * size.
  [[nodiscard]] int state_values(int size) const noexcept {
    return row_state_values() + size * value_state_values();
  }
  [[nodiscard]] int row_state_values() const noexcept;
  [[nodiscard]] int value_state_values() const noexcept;
  /// One step: values [size] and state [state_values(size)] follow the row's summed gradient.
  /// step: 1 for the first update of the collection (Adam's bias correction).
  void apply(float* values, float* state, const float* gradient, int size,
             std::int64_t step) const noexcept;
  /// One step of the first `size` values of a row whose whole gradient has this mean square.
  void apply_part(float* values, float* state, const float* gradient, int size, float mean_square,
                  std::int64_t step) const noexcept;
  /// values -= rate * (gradient + l2 * values): SGD's step, and row-wise Adagrad's where its state
  /// lies elsewhere.
  void descend(float* values, const float* gradient, int size, float rate) const noexcept;
  [[nodiscard]] Optimizer kind() const noexcept { return kind_; }
  /// The rate of a step in one direction for all: SGD's, or row-wise Adagrad's for a sum of mean
  /// squares that lies elsewhere.
  [[nodiscard]] TAUT_INLINE float common_rate(float accumulated) const noexcept {
    return kind_ == Optimizer::kSgd ? learning_rate_ : rowwise_rate(accumulated);
  }
  /// Row-wise Adagrad's factor of the gradient for a sum of mean squares.
  [[nodiscard]] TAUT_INLINE float rowwise_rate(float accumulated) const noexcept {
    return learning_rate_ / (std::sqrt(accumulated + initial_accumulator_) + epsilon_);
  }
  /// step: 1 for the first update. Of other optimizers: without meaning.
  [[nodiscard]] AdamCorrections adam_corrections(std::int64_t step) const noexcept {
    const auto t = static_cast<float>(step);
    return {.first = 1.0f - std::pow(beta1_, t), .second = 1.0f - std::pow(beta2_, t)};
  }
  /// Takes the gradient's mean square into a row's second moment; returns the factor of its
  /// momenta.
  [[nodiscard]] TAUT_INLINE float adam_rate(float& second, float mean_square,
                                            const AdamCorrections& corrections) const noexcept {
    second = beta2_ * second + (1.0f - beta2_) * mean_square;
    const float corrected = second / corrections.second;
    return learning_rate_ / ((std::sqrt(corrected) + epsilon_) * corrections.first);
  }
  [[nodiscard]] float adam_beta1() const noexcept { return beta1_; }
  [[nodiscard]] float learning_rate() const noexcept { return learning_rate_; }
  [[nodiscard]] float initial_accumulator() const noexcept { return initial_accumulator_; }
  [[nodiscard]] float epsilon() const noexcept { return epsilon_; }
  [[nodiscard]] float l2() const noexcept { return l2_; }

 private:
  [[nodiscard]] const float* regularized(const float* values, const float* gradient, int size,
                                         std::span<float> room) const noexcept;
  void step_along(float* values, float* state, const float* gradient, int size, float mean_square,
                  std::int64_t step) const noexcept;

  Optimizer kind_;
  float learning_rate_;
  float initial_accumulator_;
  float epsilon_;
  float beta1_;
  float beta2_;
  float l2_;
};

}  // namespace taut::embedding
