#include "infer/window_kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "support/every_target.h"
#include "taut/core/random.h"

namespace taut::infer {
namespace {

constexpr float kUntouched = 12345.0f;

std::vector<float> some_values(std::int64_t count, std::uint64_t seed) {
  std::vector<float> values;
  for (std::int64_t i = 0; i < count; ++i) {
    values.push_back(static_cast<float>(CounterRandom(seed).normal(static_cast<std::uint64_t>(i))));
  }
  return values;
}

graph::Layer windowed(std::int64_t channels, std::int64_t height, std::int64_t width,
                      const graph::Window& window) {
  graph::Layer layer;
  layer.in = {channels, height, width};
  layer.window = window;
  layer.out = graph::windowed_shape(layer.in, window, channels);
  return layer;
}

// visit(tap, value) for each tap of an output's window that lies on the image.
template <typename Visit>
void walk_plainly(const graph::Layer& layer, const std::vector<float>& x, std::int64_t row,
                  std::int64_t column, std::int64_t channel, const Visit& visit) {
  const graph::Window& window = layer.window;
  for (std::int64_t ky = 0; ky < window.kernel; ++ky) {
    for (std::int64_t kx = 0; kx < window.kernel; ++kx) {
      const std::int64_t y = row * window.stride - window.padding + ky;
      const std::int64_t at = column * graph::along_width(window).stride - window.padding + kx;
      if (y < 0 || at < 0 || y >= layer.in.height || at >= layer.in.width) continue;
      visit(ky * window.kernel + kx,
            x[static_cast<std::size_t>((y * layer.in.width + at) * layer.in.channels + channel)]);
    }
  }
}

const std::vector<graph::Layer>& window_cases() {
  static const std::vector<graph::Layer> kCases = {
      windowed(1, 1, 1, {1, 1, 0}),        windowed(3, 7, 5, {3, 1, 1}),
      windowed(16, 4, 6, {3, 2, 1}),       windowed(63, 3, 3, {3, 1, 2}),
      windowed(65, 5, 4, {2, 2, 0}),       windowed(130, 6, 6, {5, 3, 4}),
      windowed(7, 2, 3, {2, 1, 4}),        windowed(19, 7, 5, {3, 2, 1, 0, 1}),
      windowed(17, 4, 9, {3, 1, 1, 1, 3}),
  };
  return kCases;
}

class WindowKernels : public test::EveryTarget {};

TEST_P(WindowKernels, DepthwiseRowsMatchTheReferenceAtOddSizes) {
  for (const graph::Layer& layer : window_cases()) {
    const std::int64_t channels = layer.out.channels;
    const std::vector<float> x = some_values(layer.in.size(), 1);
    const std::vector<float> weight =
        some_values(layer.window.kernel * layer.window.kernel * channels, 2);
    const std::vector<float> bias = some_values(channels, 3);
    for (std::int64_t row = 0; row < layer.out.height; ++row) {
      std::vector<float> y(static_cast<std::size_t>(layer.out.width * channels + 1), kUntouched);
      depthwise_row(layer, weight.data(), bias.data(), x.data(), row, y.data());
      EXPECT_EQ(y.back(), kUntouched);
      for (std::int64_t i = 0; i < layer.out.width * channels; ++i) {
        const std::int64_t c = i % channels;
        double wanted = bias[static_cast<std::size_t>(c)];
        walk_plainly(layer, x, row, i / channels, c, [&](std::int64_t tap, float value) {
          wanted += static_cast<double>(value) *
                    static_cast<double>(weight[static_cast<std::size_t>(tap * channels + c)]);
        });
        // Up to 26 terms of size about 1.
        ASSERT_NEAR(y[static_cast<std::size_t>(i)], wanted, 1e-5) << channels << " channels";
      }
    }
  }
}

TEST_P(WindowKernels, MaximaAreThoseOfTheWindowAndNaNWins) {
  for (const graph::Layer& layer : window_cases()) {
    const std::int64_t channels = layer.out.channels;
    std::vector<float> x = some_values(layer.in.size(), 1);
    x[x.size() / 2] = std::numeric_limits<float>::quiet_NaN();
    for (std::int64_t row = 0; row < layer.out.height; ++row) {
      std::vector<float> y(static_cast<std::size_t>(layer.out.width * channels + 1), kUntouched);
      maxima_row(layer, x.data(), row, y.data());
      EXPECT_EQ(y.back(), kUntouched);
      for (std::int64_t i = 0; i < layer.out.width * channels; ++i) {
        float wanted = -std::numeric_limits<float>::infinity();
        walk_plainly(layer, x, row, i / channels, i % channels, [&](std::int64_t, float value) {
          if (!std::isnan(wanted) && (std::isnan(value) || value > wanted)) wanted = value;
        });
        const float got = y[static_cast<std::size_t>(i)];
        ASSERT_TRUE(got == wanted || (std::isnan(got) && std::isnan(wanted)))
            << channels << " channels: " << got << ", not " << wanted;
      }
    }
  }
}

TEST_P(WindowKernels, MeansAreOfWhatLiesOnTheImage) {
  for (const graph::Layer& layer : window_cases()) {
    if (layer.window.padding >= layer.window.kernel) continue;  // no network has such a window
    const std::int64_t channels = layer.out.channels;
    const std::vector<float> x = some_values(layer.in.size(), 1);
    for (std::int64_t row = 0; row < layer.out.height; ++row) {
      std::vector<float> y(static_cast<std::size_t>(layer.out.width * channels + 1), kUntouched);
      means_row(layer, x.data(), row, y.data());
      EXPECT_EQ(y.back(), kUntouched);
      for (std::int64_t i = 0; i < layer.out.width * channels; ++i) {
        double sum = 0;
        int taps = 0;
        walk_plainly(layer, x, row, i / channels, i % channels, [&](std::int64_t, float value) {
          sum += value;
          ++taps;
        });
        // Up to 25 terms of size about 1.
        ASSERT_NEAR(y[static_cast<std::size_t>(i)], sum / taps, 1e-5) << channels << " channels";
      }
    }
  }
}

TEST_P(WindowKernels, MeansOfWholeMapsAreThoseOfSumsInDouble) {
  for (const std::int64_t positions : {1, 2, 35}) {
    for (const std::int64_t channels : {1, 7, 16, 63, 65, 130}) {
      const std::vector<float> x = some_values(positions * channels, 4);
      std::vector<float> y(static_cast<std::size_t>(channels + 1), kUntouched);
      means_of_positions(x.data(), positions, channels, y.data());
      EXPECT_EQ(y.back(), kUntouched);
      for (std::int64_t c = 0; c < channels; ++c) {
        double sum = 0;
        for (std::int64_t p = 0; p < positions; ++p) {
          sum += x[static_cast<std::size_t>(p * channels + c)];
        }
        ASSERT_EQ(y[static_cast<std::size_t>(c)],
                  static_cast<float>(sum / static_cast<double>(positions)))
            << channels << " channels of " << positions << " positions";
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(EveryIsa, WindowKernels, test::every_target(), test::target_name);

}  // namespace
}  // namespace taut::infer
