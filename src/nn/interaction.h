#pragma once
// The interaction of a DLRM as a differentiable operation.

#include <ATen/ATen.h>

#include <cstdint>

namespace taut::nn {

/// vectors [batch, count, dim], float32 -> [batch, count * (count - 1) / 2 + copied * dim]: all
/// pairwise dots, then the first `copied` vectors (embedding/interaction.h). One fused pass in each
/// direction. Errors: kInvalidArgument naming the argument.
[[nodiscard]] at::Tensor interaction(const at::Tensor& vectors, std::int64_t copied);

}  // namespace taut::nn
