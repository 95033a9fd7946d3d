#include "taut/sparsity/quantize.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::sparsity {
namespace {

// A bin holds the magnitudes that share exponent and the first 9 bits of the fraction.
constexpr int kBinShift = 14;
constexpr std::size_t kBins = std::size_t{1} << (31 - kBinShift);

std::size_t bin_of(float magnitude) {
  return (std::bit_cast<std::uint32_t>(magnitude) & 0x7FFFFFFFu) >> kBinShift;  // -0 is 0
}
// The middle of a bin.
float middle_of(std::size_t bin) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bin << kBinShift) +
                              (std::uint32_t{1} << (kBinShift - 1)));
}

// Rounds to a whole number, halves to even, for |value| < 2^22: adding this number leaves no bits
// for a fraction.
constexpr float kRounder = 12582912.0f;  // 1.5 * 2^23

struct Coder {
  float inverse;
  float least;
  float largest;

  Coder(float scale, Codes codes)
      : inverse(1.0f / scale),
        least(static_cast<float>(least_code(codes))),
        largest(static_cast<float>(largest_code(codes))) {}

  // NaN stays NaN.
  [[nodiscard]] float operator()(float x) const {
    const float scaled = std::min(std::max(x * inverse, least), largest);
    const float clamped = x == x ? scaled : x;
    return (clamped + kRounder) - kRounder;
  }
};

void check_scale(float scale) {
  if (!(scale > 0) || !std::isfinite(scale) || !std::isfinite(1.0f / scale)) {
    throw_invalid_argument("scale", "finite and above 0", concat(scale));
  }
}

void check_sizes(std::size_t wanted, std::size_t got) {
  if (wanted != got) throw_invalid_argument("size of out", concat(wanted), concat(got));
}

void check_finite(std::span<const float> values) {
  const auto bad =
      std::find_if(values.begin(), values.end(), [](float value) { return !std::isfinite(value); });
  if (bad != values.end()) {
    throw_invalid_argument(concat("values[", bad - values.begin(), "]"), "finite", concat(*bad));
  }
}

template <typename Code>
void quantize_to(std::span<const float> x, float scale, Codes codes, std::span<Code> out) {
  check_scale(scale);
  check_sizes(x.size(), out.size());
  const auto bad = std::find_if(x.begin(), x.end(), [](float value) { return value != value; });
  if (bad != x.end()) {
    throw_invalid_argument(concat("x[", bad - x.begin(), "]"), "a number", "nan");
  }
  const Coder code(scale, codes);
  for (std::size_t i = 0; i < x.size(); ++i)
    out[i] = static_cast<Code>(static_cast<int>(code(x[i])));
}

// A scale whose inverse is finite too.
float scale_of(float range, Codes codes) {
  const float scale = range / static_cast<float>(largest_code(codes));
  return scale > 0 && std::isfinite(1.0f / scale) ? scale : 1.0f;
}

}  // namespace

std::string to_string(Calibration calibration) {
  return std::string(spelling_of(calibration));
}
Calibration parse_calibration(const std::string& text) {
  return parse_spelling<Calibration>(text, ErrorKind::kConfig, "calibration", "calibration");
}

std::vector<float> weight_scales(std::span<const float> values, std::int64_t outputs) {
  if (outputs < 1 || values.size() % static_cast<std::size_t>(outputs) != 0) {
    throw_invalid_argument("outputs", concat("a divisor of the ", values.size(), " values"),
                           concat(outputs));
  }
  check_finite(values);
  const std::size_t width = values.size() / static_cast<std::size_t>(outputs);
  std::vector<float> scales;
  for (std::size_t first = 0; scales.size() < static_cast<std::size_t>(outputs); first += width) {
    float largest = 0;
    for (const float value : values.subspan(first, width)) {
      largest = std::max(largest, std::fabs(value));
    }
    scales.push_back(scale_of(largest, Codes::kSigned));
  }
  return scales;
}

ActivationCalibrator::ActivationCalibrator(Calibration calibration, Codes codes, double percentile)
    : calibration_(calibration), codes_(codes), percentile_(percentile), bins_(kBins) {
  if (!(percentile > 0 && percentile <= 100)) {
    throw_invalid_argument("percentile", "above 0, at most 100", concat(percentile));
  }
}

void ActivationCalibrator::add(std::span<const float> values) {
  check_finite(values);
  for (const float value : values) {
    const float magnitude = codes_ == Codes::kSigned ? std::fabs(value) : std::max(value, 0.0f);
    ++bins_[bin_of(magnitude)];
    largest_ = std::max(largest_, magnitude);
  }
  count_ += static_cast<std::int64_t>(values.size());
}

float ActivationCalibrator::scale() const {
  if (count_ == 0) throw_invalid_argument("values", "at least 1", "none");
  switch (calibration_) {
    case Calibration::kMinMax:
      return scale_of(largest_, codes_);
    case Calibration::kPercentile:
      return scale_of(range_of_percentile(), codes_);
    case Calibration::kMeanSquaredError:
      return scale_of(range_of_least_error(), codes_);
  }
  TAUT_ASSERT(false);
  return 1.0f;
}

// The middle of the bin in which the percentile lies.
float ActivationCalibrator::range_of_percentile() const {
  const auto below = static_cast<std::int64_t>(
      std::ceil(percentile_ / 100 * static_cast<double>(count_) * (1 - 1e-12)));
  std::int64_t seen = 0;
  std::size_t bin = 0;
  while (bin < kBins && (seen += bins_[bin]) < below) ++bin;
  if (bin == 0) return 0;
  return std::min(middle_of(bin), largest_);
}

// The best of 128 ranges spaced evenly up to the largest value; among equals the widest.
float ActivationCalibrator::range_of_least_error() const {
  constexpr int kRanges = 128;
  struct Filled {
    float value;
    double count;
  };
  std::vector<Filled> filled;
  for (std::size_t bin = 1; bin < kBins; ++bin) {
    if (bins_[bin] > 0) filled.push_back({middle_of(bin), static_cast<double>(bins_[bin])});
  }
  float best = largest_;
  double least = INFINITY;
  for (int step = kRanges; step >= 1; --step) {
    const float range = largest_ * static_cast<float>(step) / kRanges;
    const float scale = scale_of(range, codes_);
    const Coder code(scale, codes_);
    double error = 0;
    for (const Filled& bin : filled) {
      const double off = bin.value - code(bin.value) * scale;
      error += off * off * bin.count;
    }
    if (error < least) {
      least = error;
      best = range;
    }
  }
  return best;
}

void fake_quantize(std::span<const float> x, float scale, Codes codes, std::span<float> out) {
  check_scale(scale);
  check_sizes(x.size(), out.size());
  const Coder code(scale, codes);
  for (std::size_t i = 0; i < x.size(); ++i) out[i] = code(x[i]) * scale;
}

void quantize(std::span<const float> x, float scale, std::span<std::int8_t> out) {
  quantize_to(x, scale, Codes::kSigned, out);
}

void quantize(std::span<const float> x, float scale, std::span<std::uint8_t> out) {
  quantize_to(x, scale, Codes::kUnsigned, out);
}

QuantizedWeight quantize_weight(std::span<const float> values, std::int64_t outputs) {
  QuantizedWeight weight{std::vector<std::int8_t>(values.size()), weight_scales(values, outputs)};
  const std::size_t width = values.size() / static_cast<std::size_t>(outputs);
  for (std::size_t output = 0; output < weight.scales.size(); ++output) {
    quantize(values.subspan(output * width, width), weight.scales[output],
             std::span(weight.codes).subspan(output * width, width));
  }
  return weight;
}

}  // namespace taut::sparsity
