#pragma once
// What the dense half of a recommender does between its matrix products, one pass each, compiled
// for each instruction set. Matrices are row by row without gaps; 16-bit values are bf16 as bits.
// Sums over rows have a fixed order. Threads: any number of calls at once.

#include <cstdint>

namespace taut::nn {

/// y[r, c] = y[r, c] + bias[c] (null: no bias), then max(., 0) if relu.
void add_bias(std::int64_t rows, std::int64_t columns, const float* bias, bool relu, float* y);
void add_bias(std::int64_t rows, std::int64_t columns, const float* bias, bool relu,
              std::uint16_t* y);

/// gradient[r, c] = 0 where y[r, c] is not above 0 (null: stays); sums[c] = what is left, summed
/// over the rows.
void mask_and_sum(std::int64_t rows, std::int64_t columns, const float* y, float* gradient,
                  float* sums);
void mask_and_sum(std::int64_t rows, std::int64_t columns, const std::uint16_t* y,
                  std::uint16_t* gradient, float* sums);

/// A linear layer of one output, forward: out[r] = sum over c of x[r, c] * weight[c] + bias.
void one_output(std::int64_t rows, std::int64_t columns, const float* x, const float* weight,
                float bias, float* out);
void one_output(std::int64_t rows, std::int64_t columns, const std::uint16_t* x,
                const float* weight, float bias, float* out);

/// Its backward pass: x_gradient[r, c] = gradient[r] * weight[c] (null: left out), and
/// weight_gradient[c] = sum over r of gradient[r] * x[r, c].
void one_output_backward(std::int64_t rows, std::int64_t columns, const float* x,
                         const float* weight, const float* gradient, float* x_gradient,
                         float* weight_gradient);
void one_output_backward(std::int64_t rows, std::int64_t columns, const std::uint16_t* x,
                         const float* weight, const float* gradient, std::uint16_t* x_gradient,
                         float* weight_gradient);

/// to = from in the other type, rounded to the nearest, ties to even.
void convert(std::int64_t count, const float* from, std::uint16_t* to);
void convert(std::int64_t count, const std::uint16_t* from, float* to);

/// sum = part, or sum + part when add.
void accumulate(std::int64_t count, const float* part, bool add, float* sum);
void accumulate(std::int64_t count, const std::uint16_t* part, bool add, float* sum);

/// One step of an optimizer on values whose gradient is `gradient * scale`, as LibTorch's
/// optimizers step.
struct AdamStep {
  float scale = 1;
  float weight_decay = 0;
  float step_size = 0;        ///< learning rate / (1 - beta1^step)
  float correction_root = 1;  ///< sqrt(1 - beta2^step)
  float beta1 = 0.9F;
  float beta2 = 0.999F;
  float epsilon = 1e-8F;
};
void adam(const AdamStep& step, std::int64_t count, const float* gradient, float* first,
          float* second, float* values);

struct AdagradStep {
  float scale = 1;
  float weight_decay = 0;
  float learning_rate = 0;
  float epsilon = 1e-10F;
};
void adagrad(const AdagradStep& step, std::int64_t count, const float* gradient, float* sum,
             float* values);

struct SgdStep {
  float scale = 1;
  float weight_decay = 0;
  float learning_rate = 0;
  float momentum = 0;
  bool nesterov = false;
};
/// A buffer of zeros before the first step gives what LibTorch's first step gives.
void sgd(const SgdStep& step, std::int64_t count, const float* gradient, float* buffer,
         float* values);

}  // namespace taut::nn
