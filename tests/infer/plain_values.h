#pragma once
// Functions and arithmetic of layers by their definitions, in double.

#include <algorithm>
#include <cmath>

#include "taut/graph/arithmetic.h"

namespace taut::infer::test_support {

inline double plain_function(const graph::Pointwise& of, double x) {
  const double a = of.alpha;
  const double b = of.beta;
  const double hard = std::min(std::max(a * x + b, 0.0), 1.0);
  switch (of.function) {
    case graph::Function::kClip:
      return std::min(std::max(x, a), b);
    case graph::Function::kLeakyRelu:
      return x < 0 ? a * x : x;
    case graph::Function::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case graph::Function::kSilu:
      return x / (1 + std::exp(-a * x));
    case graph::Function::kHardSigmoid:
      return hard;
    case graph::Function::kHardSwish:
      return x * hard;
    case graph::Function::kTanh:
      return std::tanh(x);
    case graph::Function::kErf:
      return std::erf(x);
    case graph::Function::kGelu:
      return x / 2 * std::erfc(-x / std::sqrt(2.0));
    case graph::Function::kGeluTanh:
      return x / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
  }
  return 0;
}

inline double plain_arithmetic(graph::Arithmetic how, double a, double b) {
  switch (how) {
    case graph::Arithmetic::kAdd:
      return a + b;
    case graph::Arithmetic::kSubtract:
      return a - b;
    case graph::Arithmetic::kMultiply:
      return a * b;
    case graph::Arithmetic::kDivide:
      return a / b;
  }
  return 0;
}

}  // namespace taut::infer::test_support
