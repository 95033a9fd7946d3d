#include "taut/infer/random_values.h"

#include <cmath>
#include <deque>
#include <functional>
#include <numeric>
#include <vector>

#include "taut/core/random.h"

namespace taut::infer {

std::shared_ptr<const void> fill_random_values(graph::Network& network, std::uint64_t seed) {
  const auto held = std::make_shared<std::deque<std::vector<float>>>();  // views stay valid
  const auto same = [&](std::int64_t count, float value) {
    return std::span<const float>(
        held->emplace_back(std::vector<float>(static_cast<std::size_t>(count), value)));
  };
  network.values.assign(network.layers.size(), {});
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    const graph::Layer& layer = network.layers[i];
    graph::LayerValues& values = network.values[i];
    const std::int64_t channels = layer.out.channels;
    if (layer.op == graph::Op::kBatchNorm) {
      values.weight = same(channels, 1);
      values.bias = same(channels, 0);
      values.mean = same(channels, 0);
      values.variance = same(channels, 1);
      continue;
    }
    const std::vector<std::int64_t> shape = graph::weight_shape(layer);
    if (shape.empty()) continue;
    const std::int64_t inputs =
        std::accumulate(shape.begin() + 1, shape.end(), std::int64_t{1}, std::multiplies<>());
    const double bound = std::sqrt(6.0 / static_cast<double>(inputs));
    std::vector<float>& weight = held->emplace_back(static_cast<std::size_t>(shape[0] * inputs));
    const CounterRandom random(mix64(seed ^ mix64(i)));
    for (std::size_t w = 0; w < weight.size(); ++w) {
      weight[w] = static_cast<float>((2 * random.uniform(w) - 1) * bound);
    }
    values.weight = weight;
    if (layer.bias) values.bias = same(channels, 0);
  }
  return held;
}

}  // namespace taut::infer
