// Pairwise dots of a DLRM's vectors, forward and backward: nanoseconds an example on one thread, at
// 26 tables and a bottom MLP, lying apart as a training step has them. Checks both answers.
//   build/release/bench/nn/nn_interaction_bench
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "taut/core/aligned_buffer.h"
#include "taut/core/random.h"
#include "taut/embedding/interaction.h"

namespace taut::embedding {
namespace {

constexpr std::int64_t kExamples = 512;
constexpr std::int64_t kTables = 26;

AlignedBuffer<float> random_values(std::int64_t count, std::uint64_t seed) {
  AlignedBuffer<float> values(static_cast<std::size_t>(count));
  const CounterRandom random(seed);
  for (std::int64_t i = 0; i < count; ++i) {
    values[static_cast<std::size_t>(i)] =
        static_cast<float>(random.normal(static_cast<std::uint64_t>(i)));
  }
  return values;
}

// The same examples in two places, as the kernels read them, and in one, as the references do.
struct Examples {
  explicit Examples(std::int64_t dim)
      : shape{.vectors = kTables + 1, .dim = dim, .copied = 1},
        all(random_values(kExamples * shape.vectors * dim, 1)),
        bottom(static_cast<std::size_t>(kExamples * dim)),
        pooled(static_cast<std::size_t>(kExamples * kTables * dim)),
        bottom_gradient(bottom.size()),
        pooled_gradient(pooled.size()),
        out(static_cast<std::size_t>(kExamples * shape.outputs())),
        out_gradient(random_values(kExamples * shape.outputs(), 2)) {
    for (std::int64_t row = 0; row < kExamples; ++row) {
      const float* from = all.data() + row * shape.vectors * dim;
      std::copy_n(from, dim, bottom.data() + row * dim);
      std::copy_n(from + dim, kTables * dim, pooled.data() + row * kTables * dim);
    }
  }

  void forward() {
    const RowVectors<const float> x[] = {
        {.values = bottom.data(), .count = 1, .stride = shape.dim},
        {.values = pooled.data(), .count = kTables, .stride = kTables * shape.dim}};
    interact(shape, kExamples, x, out.data());
  }

  void backward() {
    const RowVectors<const float> x[] = {
        {.values = bottom.data(), .count = 1, .stride = shape.dim},
        {.values = pooled.data(), .count = kTables, .stride = kTables * shape.dim}};
    const RowVectors<float> gradient[] = {
        {.values = bottom_gradient.data(), .count = 1, .stride = shape.dim},
        {.values = pooled_gradient.data(), .count = kTables, .stride = kTables * shape.dim}};
    interact_backward(shape, kExamples, x, out_gradient.data(), gradient);
  }

  // Sums of 128 products of normal numbers at most: float rounding stays below 1e-3.
  [[nodiscard]] bool is_right() {
    forward();
    backward();
    AlignedBuffer<float> wanted(out.size());
    interact_reference(shape, kExamples, all.data(), wanted.data());
    for (std::size_t i = 0; i < out.size(); ++i) {
      if (!(std::abs(out[i] - wanted[i]) < 1e-3F)) return false;
    }
    AlignedBuffer<float> back(all.size());
    interact_backward_reference(shape, kExamples, all.data(), out_gradient.data(), back.data());
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(back.size()); ++i) {
      const std::int64_t row = i / (shape.vectors * shape.dim);
      const std::int64_t at = i % (shape.vectors * shape.dim);
      const float got = at < shape.dim
                            ? bottom_gradient.data()[row * shape.dim + at]
                            : pooled_gradient.data()[row * kTables * shape.dim + at - shape.dim];
      if (!(std::abs(got - back.data()[i]) < 1e-3F)) return false;
    }
    return true;
  }

  InteractionShape shape;
  AlignedBuffer<float> all;
  AlignedBuffer<float> bottom;
  AlignedBuffer<float> pooled;
  AlignedBuffer<float> bottom_gradient;
  AlignedBuffer<float> pooled_gradient;
  AlignedBuffer<float> out;
  AlignedBuffer<float> out_gradient;
};

template <typename Pass>
void measure(benchmark::State& state, Pass&& pass) {
  Examples examples(state.range(0));
  if (!examples.is_right()) state.SkipWithError("the answer differs from the reference's");
  for (auto _ : state) {
    pass(examples);
    benchmark::ClobberMemory();
  }
  state.counters["seconds_an_example"] = benchmark::Counter(
      static_cast<double>(kExamples),
      benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

void forward(benchmark::State& state) {
  measure(state, [](Examples& examples) { examples.forward(); });
}
void backward(benchmark::State& state) {
  measure(state, [](Examples& examples) { examples.backward(); });
}

BENCHMARK(forward)->Arg(16)->Arg(64)->Arg(128);
BENCHMARK(backward)->Arg(16)->Arg(64)->Arg(128);

}  // namespace
}  // namespace taut::embedding

BENCHMARK_MAIN();
