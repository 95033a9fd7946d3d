#include "optimizer.h"

#include <array>
#include <cmath>

#include "row_kernels.h"

namespace taut::embedding {

RowOptimizer::RowOptimizer(const Options& options, double learning_rate) noexcept
    : kind_(options.optimizer),
      learning_rate_(static_cast<float>(learning_rate)),
      initial_accumulator_(static_cast<float>(options.initial_accumulator)),
      epsilon_(static_cast<float>(options.epsilon)),
      beta1_(static_cast<float>(options.adam_beta1)),
      beta2_(static_cast<float>(options.adam_beta2)),
      l2_(static_cast<float>(options.l2)) {}

int RowOptimizer::row_state_values() const noexcept {
  return kind_ == Optimizer::kRowwiseAdagrad || kind_ == Optimizer::kAdam ? 1 : 0;
}

int RowOptimizer::value_state_values() const noexcept {
  return kind_ == Optimizer::kAdagrad || kind_ == Optimizer::kAdam ? 1 : 0;
}

const float* RowOptimizer::regularized(const float* values, const float* gradient, int size,
                                       std::span<float> room) const noexcept {
  if (l2_ <= 0) return gradient;
  for (int i = 0; i < size; ++i) {
    room[static_cast<std::size_t>(i)] = gradient[i] + l2_ * values[i];
  }
  return room.data();
}

void RowOptimizer::apply(float* values, float* state, const float* gradient, int size,
                         std::int64_t step) const noexcept {
  std::array<float, kLongestRow> room;
  const float* whole = regularized(values, gradient, size, room);
  step_along(values, state, whole, size, mean_square(whole, size), step);
}

void RowOptimizer::apply_part(float* values, float* state, const float* gradient, int size,
                              float mean_square, std::int64_t step) const noexcept {
  std::array<float, kLongestRow> room;
  step_along(values, state, regularized(values, gradient, size, room), size, mean_square, step);
}

void RowOptimizer::descend(float* values, const float* gradient, int size,
                           float rate) const noexcept {
  for (int i = 0; i < size; ++i) values[i] -= rate * (gradient[i] + l2_ * values[i]);
}

void RowOptimizer::step_along(float* values, float* state, const float* gradient, int size,
                              float mean_square, std::int64_t step) const noexcept {
  switch (kind_) {
    case Optimizer::kRowwiseAdagrad: {
      state[0] += mean_square;
      const float rate = rowwise_rate(state[0]);
      for (int i = 0; i < size; ++i) values[i] -= rate * gradient[i];
      return;
    }
    case Optimizer::kAdagrad:
      for (int i = 0; i < size; ++i) {
        state[i] += gradient[i] * gradient[i];
        values[i] -= rowwise_rate(state[i]) * gradient[i];
      }
      return;
    case Optimizer::kSgd:
      for (int i = 0; i < size; ++i) values[i] -= learning_rate_ * gradient[i];
      return;
    case Optimizer::kAdam: {
      const float rate = adam_rate(state[0], mean_square, adam_corrections(step));
      for (int i = 0; i < size; ++i) {
        state[1 + i] = beta1_ * state[1 + i] + (1.0f - beta1_) * gradient[i];
        values[i] -= rate * state[1 + i];
      }
      return;
    }
  }
}

}  // namespace taut::embedding
