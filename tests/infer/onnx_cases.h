#pragma once
// ONNX models through the engine, and what their operators give, computed plainly in double.
// Needs ONNX_ML and ONNX_NAMESPACE to be defined.

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "graph/onnx_builder.h"
#include "taut/core/random.h"
#include "taut/core/thread_pool.h"
#include "taut/graph/onnx_network.h"
#include "taut/infer/engine.h"

namespace taut::infer::test_support {

/// [rows, channels, positions] as [rows, positions, channels], or the other way round.
inline std::vector<float> turned(const std::vector<float>& x, std::int64_t rows, std::int64_t outer,
                                 std::int64_t inner) {
  std::vector<float> y(x.size());
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t o = 0; o < outer; ++o) {
      for (std::int64_t i = 0; i < inner; ++i) {
        y[static_cast<std::size_t>((r * inner + i) * outer + o)] =
            x[static_cast<std::size_t>((r * outer + o) * inner + i)];
      }
    }
  }
  return y;
}

/// What the engine gives for images [rows, channels, height, width], in that order.
inline std::vector<float> engine_scores(const graph::Network& network,
                                        const std::vector<float>& images) {
  const graph::Shape& in = network.input;
  const graph::Shape& out = network.layers.back().out;
  const auto rows = static_cast<std::int64_t>(images.size()) / in.size();
  const Engine engine(network);
  std::vector<float> scores(static_cast<std::size_t>(rows * engine.outputs()));
  ThreadPool pool(2);
  const std::vector<float> pixels = turned(images, rows, in.channels, in.height * in.width);
  engine.predict({.batch = rows, .values = pixels}, scores, pool);
  return turned(scores, rows, out.height * out.width, out.channels);
}

/// A model made in a test, whose input is [1, ...], and its scores.
struct ScoredModel {
  ScoredModel(const graph::OnnxBuilder& made, const std::vector<float>& input)
      : bytes(made.bytes()),
        read(graph::parse_onnx_network(bytes, "made.onnx")),
        scores(engine_scores(read.network, input)) {}
  std::string bytes;
  graph::OnnxNetwork read;
  std::vector<float> scores;
};

/// Up to the rounding of sums in float.
inline void expect_near(const std::vector<float>& got, const std::vector<double>& wanted) {
  constexpr double kRounding = 2e-5;
  ASSERT_EQ(got.size(), wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    ASSERT_NEAR(got[i], wanted[i], kRounding * (1 + std::abs(wanted[i]))) << "at " << i;
  }
}

/// Numbers around zero, the same for the same seed.
inline std::vector<float> some_numbers(std::int64_t count, std::uint64_t seed) {
  const CounterRandom random(seed);
  std::vector<float> numbers(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < numbers.size(); ++i)
    numbers[i] = static_cast<float>(random.normal(i));
  return numbers;
}

/// A window over images as ONNX has it.
struct PlainWindow {
  std::vector<std::int64_t> kernel = {3, 3};
  std::vector<std::int64_t> strides = {1, 1};
  std::vector<std::int64_t> dilations = {1, 1};
  std::vector<std::int64_t> pads = {0, 0, 0, 0};  ///< above, left, below, right
  std::int64_t groups = 1;
};

struct PlainImage {
  std::int64_t channels = 0;
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::vector<double> values = {};  ///< [channels, height, width]

  [[nodiscard]] double at(std::int64_t c, std::int64_t y, std::int64_t x) const {
    return values[static_cast<std::size_t>((c * height + y) * width + x)];
  }
};

inline PlainImage image_of(const std::vector<float>& x, std::int64_t channels, std::int64_t height,
                           std::int64_t width) {
  return {channels, height, width, {x.begin(), x.end()}};
}

/// How often a window fits along an axis: 0 of height, 1 of width.
inline std::int64_t windows_along(const PlainWindow& w, std::size_t d, std::int64_t side) {
  return (side + w.pads[d] + w.pads[d + 2] - (w.dilations[d] * (w.kernel[d] - 1) + 1)) /
             w.strides[d] +
         1;
}

/// Convolution by its definition. weights [outputs, channels / groups, kernel].
inline PlainImage plain_convolution(const PlainImage& in, const PlainWindow& w,
                                    std::int64_t outputs, const std::vector<float>& weights,
                                    const std::vector<float>& bias) {
  PlainImage out{outputs, windows_along(w, 0, in.height), windows_along(w, 1, in.width)};
  const std::int64_t inputs = in.channels / w.groups;
  for (std::int64_t o = 0; o < outputs; ++o) {
    for (std::int64_t oy = 0; oy < out.height; ++oy) {
      for (std::int64_t ox = 0; ox < out.width; ++ox) {
        double sum = bias.empty() ? 0.0 : bias[static_cast<std::size_t>(o)];
        for (std::int64_t i = 0; i < inputs; ++i) {
          for (std::int64_t ky = 0; ky < w.kernel[0]; ++ky) {
            for (std::int64_t kx = 0; kx < w.kernel[1]; ++kx) {
              const std::int64_t y = oy * w.strides[0] - w.pads[0] + ky * w.dilations[0];
              const std::int64_t x = ox * w.strides[1] - w.pads[1] + kx * w.dilations[1];
              if (y < 0 || y >= in.height || x < 0 || x >= in.width) continue;
              const auto at = static_cast<std::size_t>(
                  ((o * inputs + i) * w.kernel[0] + ky) * w.kernel[1] + kx);
              sum += weights[at] * in.at(o / (outputs / w.groups) * inputs + i, y, x);
            }
          }
        }
        out.values.push_back(sum);
      }
    }
  }
  return out;
}

}  // namespace taut::infer::test_support
