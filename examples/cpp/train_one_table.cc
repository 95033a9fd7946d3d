// Trains one elastic table without LibTorch: 100,000 ids, of which a few hundred matter, in 64 KiB.
// Each id has a secret direction; the table learns it from gradients of a squared error.
#include <cmath>
#include <cstdio>
#include <memory>
#include <vector>

#include "taut/core/random.h"
#include "taut/embedding/embedding.h"

int main() {
  constexpr std::int64_t kBatch = 256;
  constexpr int kDim = 16;
  taut::embedding::Options options;
  options.method = "elastic";
  options.tables = {{.name = "item", .distinct_ids = 100'000}};
  options.dim = kDim;
  options.budget = taut::parse_bytes("64KiB");
  options.learning_rate = 0.1;
  const auto table = taut::embedding::make_embedding(options, std::make_shared<taut::ThreadPool>());

  const taut::CounterRandom random(1);
  std::vector<std::uint64_t> ids(kBatch);
  std::vector<float> rows(kBatch * kDim), gradient(rows.size());
  double first = 0, last = 0;
  for (std::uint64_t step = 0; step < 2000; ++step) {
    for (std::uint64_t i = 0; i < kBatch; ++i) {  // skewed: low ids come often
      ids[i] = static_cast<std::uint64_t>(std::pow(1e5, random.uniform(step * kBatch + i)));
    }
    const taut::embedding::JaggedIds column{.ids = ids, .offsets = {}, .weights = {}};
    table->lookup({&column, 1}, kBatch, rows);
    double error = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const bool up = random.with(ids[i / kDim]).bits(i % kDim) & 1;
      gradient[i] = rows[i] - (up ? 0.5f : -0.5f);
      error += gradient[i] * gradient[i] / static_cast<double>(rows.size());
    }
    table->update({&column, 1}, kBatch, gradient);
    (step == 0 ? first : last) = error;
  }
  std::printf("error %.4f -> %.4f with %lld of %lld bytes\n", first, last,
              static_cast<long long>(table->memory_bytes()),
              static_cast<long long>(options.budget.count));
  return last < 0.7 * first ? 0 : 1;
}
