#pragma once
// Dense kernels of the engine, compiled once for each instruction set (Highway).

#include <cstdint>
#include <span>

namespace taut::infer {

/// One linear map, weights input-major: weight[i * outputs + o].
struct LinearMap {
  std::int64_t inputs = 0;
  std::int64_t outputs = 0;
  std::span<const float> weight;  ///< [inputs, outputs]
  std::span<const float> bias;    ///< [outputs]
};

/// For rows of x [rows, map.inputs]: y[row * stride ...] = x * map + bias, map.outputs values; what
/// lies between them stays. Sums run over inputs in order, so a row's result does not depend on the
/// rows beside it.
void linear(const LinearMap& map, const float* x, std::int64_t rows, float* y, std::int64_t stride);

/// Plain C++ form of the same, what the tests compare with.
void linear_reference(const LinearMap& map, const float* x, std::int64_t rows, float* y,
                      std::int64_t stride);

}  // namespace taut::infer
