#pragma once
// Matrix products of the dense half, by the library that is the faster on this processor.

#include <ATen/ATen.h>

#include <string>
#include <string_view>
#include <vector>

namespace taut::nn {

/// Which library multiplies in fp32. Each gives the same bits for any number of threads of ours;
/// one's bits are not the other's.
enum class Products {
  kBlas,    ///< what LibTorch was built with: MKL, where it runs its AVX-512 path
  kOneDnn,  ///< oneDNN's kernels; MKL keeps other makers' processors on AVX2
};

/// By the spelling of an option: auto, blas or onednn. auto: oneDNN where LibTorch has it beside
/// MKL and the processor is not Intel's; a rule, not a measurement, so that a machine always gives
/// the same bits. Errors: kConfig for another name, kUnsupported for onednn where LibTorch has
/// none.
[[nodiscard]] Products products_of(std::string_view name);

/// a [rows, k] times b [k, columns] into out [rows, columns], all of one type. bf16 goes through
/// LibTorch's own choice, oneDNN.
void multiply(Products products, const at::Tensor& a, const at::Tensor& b, at::Tensor out);

}  // namespace taut::nn
