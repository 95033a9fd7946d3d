// Training steps of a recommender's dense half, alone: seconds a step, and a fingerprint of what it
// has learnt, which is the same on every build that computes the same bits.
//   build/release/bench/nn/nn_recommender_bench THREADS STEPS
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "taut/core/error.h"
#include "taut/core/hash.h"
#include "taut/core/random.h"
#include "taut/nn/recommender.h"

namespace taut::nn {
namespace {

constexpr std::int64_t kBatch = 2048;

std::vector<float> random_values(std::int64_t count, std::uint64_t seed) {
  const CounterRandom random(seed);
  std::vector<float> values;
  for (std::int64_t i = 0; i < count; ++i) {
    values.push_back(0.5f * static_cast<float>(random.normal(static_cast<std::uint64_t>(i))));
  }
  return values;
}

nlohmann::json measure(const RecommenderOptions& options, int threads, int steps) {
  Recommender model(options, std::make_shared<ThreadPool>(threads));
  const std::vector<float> dense = random_values(kBatch * options.dense, 1);
  std::vector<float> vectors = random_values(kBatch * options.tables * options.dim, 2);
  std::vector<float> labels;
  for (std::int64_t i = 0; i < kBatch; ++i) labels.push_back(i % 3 == 0 ? 1.0f : 0.0f);
  std::vector<float> logits(static_cast<std::size_t>(kBatch));
  std::vector<float> gradient(vectors.size());
  constexpr int kWarmUp = 5;
  auto start = std::chrono::steady_clock::now();
  for (int step = -kWarmUp; step < steps; ++step) {
    if (step == 0) start = std::chrono::steady_clock::now();
    model.train_step({.batch = kBatch, .dense = dense, .vectors = vectors}, labels, logits,
                     gradient);
    for (std::size_t i = 0; i < vectors.size(); ++i) vectors[i] -= 0.01f * gradient[i];
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::uint64_t bits = hash_bytes(vectors.data(), vectors.size() * sizeof(float));
  for (const NamedTensor& tensor : model.parameters()) {
    bits ^= hash_bytes(tensor.values.data(), tensor.values.size() * sizeof(float));
  }
  return {{"kind", options.kind},
          {"optimizer", options.optimizer},
          {"winner_rate", options.winner_rate},
          {"steps_per_second", steps / seconds},
          {"bits", bits}};
}

int run(std::span<char*> arguments) {
  if (arguments.size() != 3) {
    std::cerr << "usage: nn_recommender_bench THREADS STEPS\n";
    return 2;
  }
  for (const char* kind : {"dlrm", "wide_deep"}) {
    for (const char* optimizer : {"adam", "adagrad", "sgd"}) {
      for (const double rate : {1.0, 0.3}) {
        RecommenderOptions options;
        options.kind = kind;
        options.optimizer = optimizer;
        options.winner_rate = rate;
        options.dense = 13;
        options.tables = 26;
        std::cout << measure(options, std::atoi(arguments[1]), std::atoi(arguments[2])).dump()
                  << "\n";
      }
    }
  }
  return 0;
}

}  // namespace
}  // namespace taut::nn

int main(int argc, char** argv) {
  try {
    return taut::nn::run({argv, static_cast<std::size_t>(argc)});
  } catch (const taut::Error& failed) {
    std::cerr << "error: " << failed.what() << "\n";
    return taut::exit_code(failed.kind());
  }
}
