// Linear layers by how their weights are kept: processor time of fp32 over that of bf16 and of
// 8-bit codes, one thread, by size, examples and share of inputs that are not zero. Kinds take
// turns; the least of some calls counts. Before, each answer is compared with that of the same
// weights in fp32.
//   build/release/bench/infer/infer_linear_bench
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <limits>
#include <utility>
#include <vector>

#include "infer/layers.h"
#include "infer/product.h"
#include "taut/core/random.h"
#include "taut/sparsity/quantize.h"

namespace taut::infer {
namespace {

double processor_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

std::vector<float> random_values(std::int64_t count, std::uint64_t seed, double density) {
  std::vector<float> values(static_cast<std::size_t>(count));
  const CounterRandom random(seed);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (CounterRandom(seed + 1).uniform(i) < density) {
      values[i] = static_cast<float>(random.normal(i));
    }
  }
  return values;
}

graph::LayerValues values_of(const std::vector<float>& weight) {
  graph::LayerValues values;
  values.weight = weight;
  return values;
}

// One layer, its weights kept in three ways.
class LinearCase {
 public:
  LinearCase(std::int64_t inputs, std::int64_t outputs)
      : inputs_(inputs), outputs_(outputs), weight_(random_values(inputs * outputs, 1, 1)) {
    layer_.op = graph::Op::kLinear;
    layer_.in = {.channels = inputs};
    layer_.out = {.channels = outputs};
    const graph::LayerValues full = values_of(weight_);
    const sparsity::QuantizedWeight quantized = sparsity::quantize_weight(weight_, outputs);
    graph::LayerValues codes;
    codes.codes = quantized.codes;
    codes.code_scales = quantized.scales;
    kinds_.emplace_back(layer_, full, WeightType::kFloat32);
    kinds_.emplace_back(layer_, full, WeightType::kBfloat16);
    kinds_.emplace_back(layer_, codes, WeightType::kFloat32);
    std::vector<float> rounded = weight_;
    for (float& weight : rounded) weight = nearest_bfloat16(weight);
    check(kinds_[1], rounded);
    check(kinds_[2], decoded_weight(codes));
  }

  void measure(std::int64_t rows, double rate, int calls) {
    const std::vector<float> x = random_values(rows * inputs_, 3, rate);
    std::vector<double> least(kinds_.size(), std::numeric_limits<double>::infinity());
    for (int call = 0; call < calls; ++call) {
      for (std::size_t kind = 0; kind < kinds_.size(); ++kind) {
        const double start = processor_seconds();
        answer(kinds_[kind], x, rows);
        least[kind] = std::min(least[kind], processor_seconds() - start);
      }
    }
    std::printf("%lld to %lld, %lld examples, rate %.2f: fp32 %.0f us, bf16 %.2fx, codes %.2fx\n",
                static_cast<long long>(inputs_), static_cast<long long>(outputs_),
                static_cast<long long>(rows), rate, 1e6 * least[0], least[0] / least[1],
                least[0] / least[2]);
    std::fflush(stdout);
  }

  [[nodiscard]] bool agrees() const { return agrees_; }

 private:
  std::vector<float> answer(const Product& product, const std::vector<float>& x,
                            std::int64_t rows) {
    std::vector<float> y(static_cast<std::size_t>(rows * outputs_));
    product.run(x.data(), rows, {}, y.data(), Kernel::kMeasured, scratch_, pool_);
    return y;
  }

  void check(const Product& product, const std::vector<float>& weight) {
    const Product plain(layer_, values_of(weight), WeightType::kFloat32);
    const std::vector<float> x = random_values(2 * inputs_, 5, 0.5);
    agrees_ = agrees_ && answer(product, x, 2) == answer(plain, x, 2);
  }

  std::int64_t inputs_;
  std::int64_t outputs_;
  std::vector<float> weight_;
  graph::Layer layer_;
  std::vector<Product> kinds_;  // fp32, bf16, codes
  ScratchPool scratch_;
  ThreadPool pool_{1};
  bool agrees_ = true;
};

bool measure_all(std::int64_t inputs, std::int64_t outputs, int calls,
                 const std::vector<std::int64_t>& examples) {
  LinearCase one(inputs, outputs);
  if (!one.agrees()) return false;
  for (const std::int64_t rows : examples) {
    for (const double rate : {1.0, 0.3, 0.15, 0.1}) one.measure(rows, rate, calls);
  }
  return true;
}

}  // namespace
}  // namespace taut::infer

int main() {
  using taut::infer::measure_all;
  constexpr int kCalls = 20;
  constexpr int kFewCalls = 6;
  if (measure_all(1024, 1024, kCalls, {1, 4, 16}) && measure_all(4096, 4096, kCalls, {1, 4, 16}) &&
      measure_all(25088, 4096, kFewCalls, {1})) {
    return 0;
  }
  std::fprintf(stderr, "error: answers differ from those of the same weights in fp32\n");
  return 1;
}
