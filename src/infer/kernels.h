#pragma once
// Dense kernels of the engine, compiled once for each instruction set (Highway).

#include <cstdint>

#include "taut/infer/package.h"

namespace taut::infer {

/// y [rows, layer.outputs] = x [rows, layer.inputs] * layer + bias, then max(., 0) when relu.
/// Sums run over inputs in order, so a row's result does not depend on the rows beside it.
void linear(const LinearLayer& layer, const float* x, std::int64_t rows, bool relu, float* y);

/// Plain C++ form of the same, what the tests compare with.
void linear_reference(const LinearLayer& layer, const float* x, std::int64_t rows, bool relu,
                      float* y);

}  // namespace taut::infer
