#pragma once
// Runs small networks in the engine, and compares them with the plain pass.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "infer/plain_pass.h"
#include "infer/small_network.h"
#include "taut/core/thread_pool.h"
#include "taut/embedding/embedding.h"
#include "taut/infer/engine.h"

namespace taut::infer::test_support {

inline constexpr std::int64_t kBatch = 5;

/// Logits of a batch.
inline std::vector<float> predicted(const graph::Network& network, const std::vector<float>& values,
                                    std::int64_t batch, int threads = 1,
                                    const embedding::FrozenEmbedding* tables = nullptr,
                                    std::span<const embedding::JaggedIds> ids = {}) {
  const Engine engine(network, tables);
  std::vector<float> logits(static_cast<std::size_t>(batch * engine.outputs()));
  ThreadPool pool(threads);
  engine.predict({.batch = batch, .values = values, .ids = ids}, logits, pool);
  return logits;
}

/// For any number of threads, and for each example by itself.
inline void expect_same_bits(const graph::Network& network, const std::vector<float>& x,
                             std::int64_t batch) {
  const std::vector<float> wanted = predicted(network, x, batch, 1);
  EXPECT_EQ(predicted(network, x, batch, 3), wanted);
  const std::int64_t size = network.input.size();
  const std::int64_t outputs = std::ssize(wanted) / batch;
  for (std::int64_t one = 0; one < batch; ++one) {
    const std::vector<float> alone(x.begin() + one * size, x.begin() + (one + 1) * size);
    const std::vector<float> got = predicted(network, alone, 1, 2);
    EXPECT_TRUE(std::equal(got.begin(), got.end(), wanted.begin() + one * outputs,
                           wanted.begin() + (one + 1) * outputs))
        << one;
  }
}

/// The engine's answer beside the plain one; tolerance is relative to the largest value.
inline void expect_plain(SmallNetwork& small, double tolerance) {
  ASSERT_EQ(graph::wrong_layer(small.network), std::nullopt);
  const std::vector<float> x = small.random_input(kBatch);
  const std::vector<float> got = predicted(small.network, x, kBatch, 2);
  const Shape& out = small.network.layers.back().out;
  const std::int64_t positions = out.height * out.width;
  for (std::int64_t b = 0; b < kBatch; ++b) {
    const std::vector<double> wanted =
        PlainPass(small.network, x.data() + b * small.network.input.size(), nullptr).run();
    double largest = 0;
    for (const double value : wanted) largest = std::max(largest, std::abs(value));
    for (std::int64_t c = 0; c < out.channels; ++c) {
      for (std::int64_t p = 0; p < positions; ++p) {
        const double mine = got[static_cast<std::size_t>(b * out.size() + p * out.channels + c)];
        ASSERT_NEAR(mine, wanted[static_cast<std::size_t>(c * positions + p)],
                    tolerance * (largest + 1e-30))
            << "example " << b << ", channel " << c << ", position " << p;
      }
    }
  }
}

}  // namespace taut::infer::test_support
