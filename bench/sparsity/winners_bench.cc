// Choosing winners: nanoseconds a value by unit, type and rate, on one thread.
//   build/release/bench/sparsity/sparsity_winners_bench
#include <benchmark/benchmark.h>

#include <bit>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "taut/core/random.h"
#include "taut/sparsity/winners.h"

namespace taut::sparsity {
namespace {

template <typename Value>
std::vector<Value> relu_activations(std::int64_t count) {
  std::vector<Value> values;
  const CounterRandom random(1);
  for (std::int64_t i = 0; i < count; ++i) {
    const auto value = static_cast<float>(random.normal(static_cast<std::uint64_t>(i)));
    const float active = value > 0 ? value : 0;
    if constexpr (std::is_same_v<Value, float>) {
      values.push_back(active);
    } else {
      values.push_back(static_cast<Value>(std::bit_cast<std::uint32_t>(active) >> 16));
    }
  }
  return values;
}

template <typename Value>
void choose(benchmark::State& state, Shape shape, Layout layout, WinnersOptions options) {
  const WinnerSelector selector(shape, layout, options);
  const std::vector<Value> x = relu_activations<Value>(shape.size());
  std::vector<Value> y(x.size());
  for (auto _ : state) {
    selector.forward(x.data(), y.data(), 0, selector.items());
    benchmark::DoNotOptimize(y.data());
  }
  state.counters["values"] = benchmark::Counter(static_cast<double>(shape.size()),
                                                benchmark::Counter::kIsIterationInvariantRate);
}

void add(const std::string& name, Shape shape, Layout layout, WinnersOptions options) {
  benchmark::RegisterBenchmark((name + "/fp32").c_str(), choose<float>, shape, layout, options);
  benchmark::RegisterBenchmark((name + "/bf16").c_str(), choose<std::uint16_t>, shape, layout,
                               options);
}

void add_all() {
  for (const std::int64_t n : {100, 300, 512, 4096, 25088}) {
    add("neuron/" + std::to_string(n), {.batch = 128, .channels = n}, Layout::kChannelsLast,
        {.unit = Unit::kNeuron, .rate = 0.3});
  }
  for (const auto& [channels, side] :
       {std::pair{16, 32}, {32, 16}, {48, 16}, {64, 32}, {256, 16}, {512, 8}}) {
    const Shape shape{.batch = 16, .channels = channels, .height = side, .width = side};
    for (const Layout layout : {Layout::kChannelsLast, Layout::kChannelsFirst}) {
      const std::string form = layout == Layout::kChannelsLast ? "/NHWC/" : "/NCHW/";
      for (const Unit unit : {Unit::kPosition, Unit::kElement, Unit::kChannel, Unit::kBlock}) {
        add(to_string(unit) + form + std::to_string(channels), shape, layout,
            {.unit = unit, .rate = 0.3});
      }
    }
  }
}

}  // namespace
}  // namespace taut::sparsity

int main(int argc, char** argv) {
  taut::sparsity::add_all();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
