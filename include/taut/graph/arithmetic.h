#pragma once
// What layers without weights compute value by value: functions of one, arithmetic of two.

#include <optional>
#include <string_view>

#include "taut/core/spelling.h"

namespace taut::graph {

/// A function of one value. What is no number stays so.
enum class Function {
  kClip,         ///< min(max(x, alpha), beta); either may be infinite: no bound
  kLeakyRelu,    ///< x where x >= 0, else alpha * x
  kSigmoid,      ///< 1 / (1 + exp(-x))
  kSilu,         ///< x / (1 + exp(-alpha * x))
  kHardSigmoid,  ///< min(max(alpha * x + beta, 0), 1)
  kHardSwish,    ///< x * min(max(alpha * x + beta, 0), 1)
  kTanh,
  kErf,
  kGelu,      ///< x / 2 * (1 + erf(x / sqrt(2)))
  kGeluTanh,  ///< x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))
};
constexpr auto spellings(std::type_identity<Function>) {
  return std::to_array<Spelling<Function>>({{"clip", Function::kClip},
                                            {"leaky_relu", Function::kLeakyRelu},
                                            {"sigmoid", Function::kSigmoid},
                                            {"silu", Function::kSilu},
                                            {"hard_sigmoid", Function::kHardSigmoid},
                                            {"hard_swish", Function::kHardSwish},
                                            {"tanh", Function::kTanh},
                                            {"erf", Function::kErf},
                                            {"gelu", Function::kGelu},
                                            {"gelu_tanh", Function::kGeluTanh}});
}

/// A function with its numbers, finite but for the bounds of kClip.
struct Pointwise {
  Function function = Function::kClip;
  float alpha = 0;
  float beta = 0;
  bool operator==(const Pointwise&) const = default;
};

/// Of two values, the first on the left.
enum class Arithmetic { kAdd, kSubtract, kMultiply, kDivide };
constexpr auto spellings(std::type_identity<Arithmetic>) {
  return std::to_array<Spelling<Arithmetic>>({{"add", Arithmetic::kAdd},
                                              {"subtract", Arithmetic::kSubtract},
                                              {"multiply", Arithmetic::kMultiply},
                                              {"divide", Arithmetic::kDivide}});
}

}  // namespace taut::graph
