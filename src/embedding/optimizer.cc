#include "optimizer.h"

#include <array>
#include <cmath>

namespace taut::embedding {
namespace {

constexpr int kLongestRow = 512;

}  // namespace

float mean_square(const float* gradient, int size) noexcept {
  float sum = 0;
  for (int i = 0; i < size; ++i) sum += gradient[i] * gradient[i];
  return sum / static_cast<float>(size);
}

RowOptimizer::RowOptimizer(const Options& options) noexcept
    : kind_(options.optimizer),
      learning_rate_(static_cast<float>(options.learning_rate)),
      initial_accumulator_(static_cast<float>(options.initial_accumulator)),
      epsilon_(static_cast<float>(options.epsilon)),
      beta1_(static_cast<float>(options.adam_beta1)),
      beta2_(static_cast<float>(options.adam_beta2)),
      l2_(static_cast<float>(options.l2)) {}

int RowOptimizer::state_values(int size) const noexcept {
  switch (kind_) {
    case Optimizer::kRowwiseAdagrad:
      return 1;
    case Optimizer::kAdagrad:
      return size;
    case Optimizer::kSgd:
      return 0;
    case Optimizer::kAdam:
      return 1 + size;
  }
  return 0;
}

float RowOptimizer::rowwise_rate(float accumulated) const noexcept {
  return learning_rate_ / (std::sqrt(accumulated + initial_accumulator_) + epsilon_);
}

void RowOptimizer::apply(float* values, float* state, const float* gradient, int size,
                         std::int64_t step) const noexcept {
  if (l2_ > 0) {
    std::array<float, kLongestRow> regularized;
    for (int i = 0; i < size; ++i) {
      regularized[static_cast<std::size_t>(i)] = gradient[i] + l2_ * values[i];
    }
    step_along(values, state, regularized.data(), size, step);
  } else {
    step_along(values, state, gradient, size, step);
  }
}

void RowOptimizer::step_along(float* values, float* state, const float* gradient, int size,
                              std::int64_t step) const noexcept {
  switch (kind_) {
    case Optimizer::kRowwiseAdagrad: {
      state[0] += mean_square(gradient, size);
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
      const auto t = static_cast<float>(step);
      state[0] = beta2_ * state[0] + (1.0f - beta2_) * mean_square(gradient, size);
      const float second = state[0] / (1.0f - std::pow(beta2_, t));
      const float rate =
          learning_rate_ / ((std::sqrt(second) + epsilon_) * (1.0f - std::pow(beta1_, t)));
      for (int i = 0; i < size; ++i) {
        state[1 + i] = beta1_ * state[1 + i] + (1.0f - beta1_) * gradient[i];
        values[i] -= rate * state[1 + i];
      }
      return;
    }
  }
}

}  // namespace taut::embedding
