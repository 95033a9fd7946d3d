#pragma once
// Winners on tensors without autograd: what the C++ function and the operators share.

#include <ATen/ATen.h>

#include "taut/sparsity/winners.h"

namespace taut::nn {

/// Checks a tensor's dimensions and dtype against the unit; throws kInvalidArgument.
void check_winners_input(const at::Tensor& x, const sparsity::WinnersOptions& options);

/// x if it is contiguous or channels-last, else a contiguous copy.
[[nodiscard]] at::Tensor in_known_layout(const at::Tensor& x);

/// The forward of winners(); x is in a known layout.
[[nodiscard]] at::Tensor winners_forward(const at::Tensor& x,
                                         const sparsity::WinnersOptions& options);

/// The gradient of x; y is what winners_forward returned. In y's layout and dtype.
[[nodiscard]] at::Tensor winners_backward(const at::Tensor& gradient, const at::Tensor& y,
                                          const sparsity::WinnersOptions& options);

/// The selector for a tensor in a known layout.
[[nodiscard]] sparsity::WinnerSelector selector_of(const at::Tensor& x,
                                                   const sparsity::WinnersOptions& options);

/// Adds a batch to the statistics; y: what winners_forward returned, in any dtype and layout.
void add_winners(const at::Tensor& y, const sparsity::WinnersOptions& options,
                 sparsity::WinnerStatistics& statistics);

/// Whether all win, so that x is the answer and the gradient passes unchanged.
[[nodiscard]] inline bool all_win(const sparsity::WinnersOptions& options) noexcept {
  return options.select == sparsity::Select::kExact && options.rate == 1.0;
}

}  // namespace taut::nn
