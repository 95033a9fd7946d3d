#include "taut/nn/quantize.h"

#include <cmath>

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::nn {
namespace {

using at::Tensor;

void check_type(const Tensor& x, const char* name) {
  if (x.scalar_type() != at::kFloat && x.scalar_type() != at::kBFloat16) {
    throw_invalid_argument(name, "float32 or bfloat16", concat(x.scalar_type()));
  }
}

}  // namespace

Tensor fake_quantize(const Tensor& x, double scale, sparsity::Codes codes) {
  check_type(x, "x");
  if (!(scale > 0) || !std::isfinite(scale)) {
    throw_invalid_argument("scale", "finite and above 0", concat(scale));
  }
  return at::fake_quantize_per_tensor_affine(x.to(at::kFloat), scale, /*zero_point=*/0,
                                             sparsity::least_code(codes),
                                             sparsity::largest_code(codes))
      .to(x.scalar_type());
}

Tensor fake_quantize_weight(const Tensor& weight) {
  check_type(weight, "weight");
  if (weight.dim() < 1) throw_invalid_argument("weight", "[outputs, ...]", "no dimension");
  const Tensor values = weight.to(at::kFloat);
  const Tensor fixed = values.detach().contiguous();
  const std::vector<float> scales = sparsity::weight_scales(
      {fixed.const_data_ptr<float>(), static_cast<std::size_t>(fixed.numel())}, fixed.size(0));
  return at::fake_quantize_per_channel_affine(values, at::tensor(scales),
                                              at::zeros({weight.size(0)}, at::kInt), /*axis=*/0,
                                              sparsity::least_code(sparsity::Codes::kSigned),
                                              sparsity::largest_code(sparsity::Codes::kSigned))
      .to(weight.scalar_type());
}

ActivationQuantizerImpl::ActivationQuantizerImpl(sparsity::Calibration calibration,
                                                 sparsity::Codes codes, double percentile)
    : calibration_(calibration),
      codes_(codes),
      percentile_(percentile),
      scale_(register_buffer("scale", torch::zeros({}))) {
  static_cast<void>(sparsity::ActivationCalibrator(calibration, codes, percentile));
}

torch::Tensor ActivationQuantizerImpl::forward(const torch::Tensor& x) {
  if (seen_ != nullptr) {
    const at::NoGradGuard no_gradient;
    const Tensor values = x.to(at::kFloat).contiguous();
    seen_->add({values.const_data_ptr<float>(), static_cast<std::size_t>(values.numel())});
    return x;
  }
  const double fixed = scale();
  return fixed > 0 ? fake_quantize(x, fixed, codes_) : x;
}

void ActivationQuantizerImpl::pretty_print(std::ostream& stream) const {
  stream << "taut::nn::ActivationQuantizer(" << to_string(calibration_) << ", scale=" << scale()
         << ")";
}

void ActivationQuantizerImpl::observe() {
  seen_ = std::make_unique<sparsity::ActivationCalibrator>(calibration_, codes_, percentile_);
}

void ActivationQuantizerImpl::calibrate() {
  if (seen_ == nullptr) throw_invalid_argument("observed values", "at least 1", "none");
  const float found = seen_->scale();
  const at::NoGradGuard no_gradient;
  scale_.fill_(found);
  seen_.reset();
}

double ActivationQuantizerImpl::scale() const {
  return scale_.item<double>();
}

}  // namespace taut::nn
