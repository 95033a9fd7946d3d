#pragma once
// Symmetric 8-bit quantization: value = code * scale, no zero point. Weights have a scale for each
// output, activations one for the tensor.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "taut/core/spelling.h"

namespace taut::sparsity {

/// Which codes there are.
enum class Codes {
  kSigned,    ///< -127 to 127: weights, activations of either sign
  kUnsigned,  ///< 0 to 255: activations after a ReLU
};

[[nodiscard]] constexpr int least_code(Codes codes) noexcept {
  return codes == Codes::kSigned ? -127 : 0;
}
[[nodiscard]] constexpr int largest_code(Codes codes) noexcept {
  return codes == Codes::kSigned ? 127 : 255;
}

/// How the range of activations is found from samples.
enum class Calibration {
  kMinMax,            ///< the largest magnitude that was seen
  kPercentile,        ///< the magnitude that a share of the values stays below
  kMeanSquaredError,  ///< the range with the least squared error over the samples
};
constexpr auto spellings(std::type_identity<Calibration>) {
  return std::to_array<Spelling<Calibration>>(
      {{"min_max", Calibration::kMinMax},
       {"percentile", Calibration::kPercentile},
       {"mean_squared_error", Calibration::kMeanSquaredError}});
}

/// By the table above. parse_calibration throws kConfig with the nearest known name.
[[nodiscard]] std::string to_string(Calibration calibration);
[[nodiscard]] Calibration parse_calibration(const std::string& text);

/// Scale of each output of a weight [outputs, values.size() / outputs]: largest |w| / 127; 1 for an
/// output of zeros. Throws kInvalidArgument when outputs does not divide the values, or naming the
/// first value that is not finite.
[[nodiscard]] std::vector<float> weight_scales(std::span<const float> values, std::int64_t outputs);

/// Finds the scale of activations from samples. Magnitudes are counted in bins 1/512 wide relative
/// to their value, so memory is the same for any number of samples and their order does not matter.
/// Negative values count as zeros where codes are unsigned. Not to be called from several threads
/// at once.
class ActivationCalibrator {
 public:
  /// percentile: in (0, 100], read by kPercentile alone. Throws kInvalidArgument.
  explicit ActivationCalibrator(Calibration calibration, Codes codes = Codes::kSigned,
                                double percentile = 99.99);

  /// Throws kInvalidArgument naming the first value that is not finite; then nothing was added.
  void add(std::span<const float> values);
  [[nodiscard]] std::int64_t count() const noexcept { return count_; }
  /// The scale for what was added; 1 if all of it is zero. Throws kInvalidArgument if there was
  /// nothing.
  [[nodiscard]] float scale() const;

 private:
  [[nodiscard]] float range_of_percentile() const;
  [[nodiscard]] float range_of_least_error() const;

  Calibration calibration_;
  Codes codes_;
  double percentile_;
  float largest_ = 0;
  std::int64_t count_ = 0;
  std::vector<std::int64_t> bins_;
};

/// out = round(x / scale) to the nearest code (halves to even), clamped, times scale. x and out
/// have one size and may be the same. Throws kInvalidArgument unless scale is finite and above 0.
void fake_quantize(std::span<const float> x, float scale, Codes codes, std::span<float> out);

/// The same codes as bytes. Throws kInvalidArgument for a bad scale, sizes that differ, or naming
/// the first value that is NaN. Signed codes.
void quantize(std::span<const float> x, float scale, std::span<std::int8_t> out);
/// Unsigned codes.
void quantize(std::span<const float> x, float scale, std::span<std::uint8_t> out);

/// A weight [outputs, n / outputs] in bytes with its scales.
struct QuantizedWeight {
  std::vector<std::int8_t> codes;
  std::vector<float> scales;  ///< [outputs]
};
/// See weight_scales and quantize.
[[nodiscard]] QuantizedWeight quantize_weight(std::span<const float> values, std::int64_t outputs);

}  // namespace taut::sparsity
