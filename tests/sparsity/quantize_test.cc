#include "taut/sparsity/quantize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "sparsity/support.h"
#include "support/error_matchers.h"

namespace taut::sparsity {
namespace {

using taut::test::error_of;
using taut::test::IsError;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<float> rounded(const std::vector<float>& x, float scale, Codes codes) {
  std::vector<float> out(x.size());
  fake_quantize(x, scale, codes, out);
  return out;
}

TEST(Quantize, RoundsToTheNearestCodeHalvesToEven) {
  const std::vector<float> x = {0.0f,   0.24f,  0.25f,   0.26f,   0.75f,
                                -0.25f, -0.75f, 1000.0f, -1000.0f};
  EXPECT_EQ(rounded(x, 0.5f, Codes::kSigned),
            (std::vector<float>{0, 0, 0, 0.5f, 1.0f, 0, -1.0f, 63.5f, -63.5f}));
  EXPECT_EQ(rounded(x, 0.5f, Codes::kUnsigned),
            (std::vector<float>{0, 0, 0, 0.5f, 1.0f, 0, 0, 127.5f, 0}));
}

TEST(Quantize, MatchesThePlainDefinition) {
  const std::vector<float> x = test::normal_values(5000, 3);
  for (const float scale : {0.001f, 0.0123f, 0.3f}) {
    const float inverse = 1.0f / scale;
    for (const Codes codes : {Codes::kSigned, Codes::kUnsigned}) {
      const std::vector<float> got = rounded(x, scale, codes);
      for (std::size_t i = 0; i < x.size(); ++i) {
        const float code =
            std::clamp(std::nearbyint(x[i] * inverse), static_cast<float>(least_code(codes)),
                       static_cast<float>(largest_code(codes)));
        ASSERT_EQ(got[i], code * scale) << x[i];
      }
    }
  }
}

TEST(Quantize, BytesAreTheCodesOfTheRounding) {
  const std::vector<float> x = test::normal_values(1000, 4);
  const float scale = 0.017f;
  std::vector<std::int8_t> bytes(x.size());
  std::vector<std::uint8_t> unsigned_bytes(x.size());
  quantize(x, scale, bytes);
  quantize(x, scale, unsigned_bytes);
  const std::vector<float> both = rounded(x, scale, Codes::kSigned);
  const std::vector<float> positive = rounded(x, scale, Codes::kUnsigned);
  for (std::size_t i = 0; i < x.size(); ++i) {
    ASSERT_EQ(static_cast<float>(bytes[i]) * scale, both[i]);
    ASSERT_EQ(static_cast<float>(unsigned_bytes[i]) * scale, positive[i]);
  }
}

TEST(Quantize, NanStaysNanInFakeAndIsRefusedInBytes) {
  const std::vector<float> x = {1, kNan};
  EXPECT_TRUE(std::isnan(rounded(x, 1, Codes::kSigned)[1]));
  std::vector<std::int8_t> bytes(2);
  EXPECT_THAT(error_of([&] { quantize(x, 1, bytes); }),
              IsError(ErrorKind::kInvalidArgument, "x[1] must be a number, got nan"));
}

TEST(Quantize, WeightsHaveAScaleForEachOutput) {
  const std::vector<float> values = {1, -2, 0.5f, 0, 0, 0, -127, 3, 100};
  const QuantizedWeight weight = quantize_weight(values, 3);
  EXPECT_EQ(weight.scales, (std::vector<float>{2.0f / 127, 1, 1}));
  EXPECT_EQ(weight.codes, (std::vector<std::int8_t>{64, -127, 32, 0, 0, 0, -127, 3, 100}));
}

TEST(Quantize, NoWeightIsOffByMoreThanHalfAStep) {
  const std::vector<float> values = test::normal_values(64 * 33, 5);
  const QuantizedWeight weight = quantize_weight(values, 64);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float scale = weight.scales[i / 33];
    ASSERT_NEAR(static_cast<float>(weight.codes[i]) * scale, values[i], 0.5001f * scale);
  }
}

ActivationCalibrator calibrated(Calibration calibration, const std::vector<float>& values,
                                Codes codes = Codes::kSigned, double percentile = 99.9) {
  ActivationCalibrator calibrator(calibration, codes, percentile);
  calibrator.add(values);
  return calibrator;
}

TEST(Calibration, MinMaxTakesTheLargestMagnitude) {
  EXPECT_EQ(calibrated(Calibration::kMinMax, {1, -12.7f, 3}).scale(), 12.7f / 127);
  EXPECT_EQ(calibrated(Calibration::kMinMax, {1, -12.7f, 3}, Codes::kUnsigned).scale(), 3.0f / 255);
  EXPECT_EQ(calibrated(Calibration::kMinMax, {0, 0}).scale(), 1.0f);
}

TEST(Calibration, ZerosOfEitherSignCountAsZero) {
  for (const Codes codes : {Codes::kSigned, Codes::kUnsigned}) {
    EXPECT_EQ(calibrated(Calibration::kPercentile, {-0.0f, 0.0f, -0.0f, 5}, codes, 75).scale(), 1);
  }
}

TEST(Calibration, ThePercentileLeavesOutliersOut) {
  std::vector<float> values;
  for (int i = 1; i <= 1000; ++i) values.push_back(static_cast<float>(i) / 1000);
  values.push_back(1e6f);
  // A bin is 1/512 of its values wide; the middle is off by half of that at most.
  for (const double percentile : {10.0, 50.0, 99.0, 99.9}) {
    const float range =
        calibrated(Calibration::kPercentile, values, Codes::kSigned, percentile).scale() * 127;
    EXPECT_NEAR(range, percentile / 100 * 1.001, 0.003) << percentile;
  }
  EXPECT_NEAR(calibrated(Calibration::kPercentile, values, Codes::kSigned, 100).scale() * 127, 1e6f,
              2e3f);
}

double squared_error(const std::vector<float>& x, float scale, Codes codes) {
  const std::vector<float> out = rounded(x, scale, codes);
  double error = 0;
  for (std::size_t i = 0; i < x.size(); ++i) error += std::pow(x[i] - out[i], 2);
  return error;
}

TEST(Calibration, TheLeastErrorIsNearTheBestOfAllRanges) {
  std::vector<float> values = test::activations(test::Look::kRelu, 20000, 6);
  values.push_back(25.0f);
  for (const Codes codes : {Codes::kSigned, Codes::kUnsigned}) {
    const float found = calibrated(Calibration::kMeanSquaredError, values, codes).scale();
    double best = std::numeric_limits<double>::infinity();
    for (int step = 1; step <= 400; ++step) {
      const float range = 25.0f * static_cast<float>(step) / 400;
      const float scale = range / static_cast<float>(largest_code(codes));
      best = std::min(best, squared_error(values, scale, codes));
    }
    EXPECT_LT(squared_error(values, found, codes), 1.1 * best);
    EXPECT_LT(
        squared_error(values, found, codes),
        squared_error(values, calibrated(Calibration::kMinMax, values, codes).scale(), codes));
  }
}

TEST(Calibration, DoesNotDependOnHowSamplesCome) {
  const std::vector<float> values = test::normal_values(999, 8);
  for (const Calibration calibration :
       {Calibration::kMinMax, Calibration::kPercentile, Calibration::kMeanSquaredError}) {
    ActivationCalibrator parts(calibration);
    for (std::size_t first = 999; first > 0; first -= 333) {
      parts.add(std::span(values).subspan(first - 333, 333));
    }
    ActivationCalibrator whole(calibration);
    whole.add(values);
    EXPECT_EQ(parts.scale(), whole.scale());
    EXPECT_EQ(parts.count(), 999);
    EXPECT_EQ(parse_calibration(to_string(calibration)), calibration);
  }
}

TEST(Quantize, BadArgumentsAreNamed) {
  std::vector<float> out(2);
  const std::vector<float> x = {1, 2};
  const auto bad = [](auto&& call, const std::string& message) {
    EXPECT_THAT(error_of(call), IsError(ErrorKind::kInvalidArgument, message));
  };
  bad([&] { fake_quantize(x, 0, Codes::kSigned, out); }, "scale must be finite and above 0, got 0");
  bad([&] { fake_quantize(x, kNan, Codes::kSigned, out); }, "above 0, got nan");
  bad([&] { fake_quantize(x, 1e-45f, Codes::kSigned, out); }, "scale must be finite and above 0");
  bad([&] { fake_quantize(x, 1, Codes::kSigned, std::span(out).first(1)); },
      "size of out must be 2, got 1");
  bad([&] { static_cast<void>(weight_scales(x, 3)); },
      "outputs must be a divisor of the 2 values, got 3");
  bad([&] { static_cast<void>(weight_scales(std::vector<float>{1, INFINITY}, 1)); },
      "values[1] must be finite, got inf");
  bad([] { ActivationCalibrator(Calibration::kPercentile, Codes::kSigned, 0); },
      "percentile must be above 0, at most 100, got 0");
  bad([] { static_cast<void>(ActivationCalibrator(Calibration::kMinMax).scale()); },
      "values must be at least 1, got none");
  bad([] { ActivationCalibrator(Calibration::kMinMax).add(std::vector<float>{0, kNan}); },
      "values[1] must be finite, got nan");
  EXPECT_THAT(error_of([] { static_cast<void>(parse_calibration("minmax")); }),
              IsError(ErrorKind::kConfig, "did you mean min_max?"));
}

}  // namespace
}  // namespace taut::sparsity
