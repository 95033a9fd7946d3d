#pragma once
// Optimizers of dense rows: what state a row has, and how a summed gradient changes its values.

#include <cstdint>

#include "taut/embedding/options.h"

namespace taut::embedding {

/// Mean of the squares.
[[nodiscard]] float mean_square(const float* gradient, int size) noexcept;

/// One optimizer with its numbers. State is fp32: row-wise Adagrad 1 value a row, Adagrad `size`,
/// SGD none, Adam 1 + size (second moment of the row, momentum of each value).
/// Threads: const members may be called at once.
class RowOptimizer {
 public:
  explicit RowOptimizer(const Options& options) noexcept;

  /// fp32 state values of a row of `size` values.
  [[nodiscard]] int state_values(int size) const noexcept;
  /// One step: values [size] and state [state_values(size)] follow the row's summed gradient.
  /// step: 1 for the first update of the collection (Adam's bias correction).
  void apply(float* values, float* state, const float* gradient, int size,
             std::int64_t step) const noexcept;
  /// Row-wise Adagrad's factor of the gradient for a sum of mean squares.
  [[nodiscard]] float rowwise_rate(float accumulated) const noexcept;

 private:
  void step_along(float* values, float* state, const float* gradient, int size,
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
