// A training step with winners beside the dense one: vgg-small, CIFAR's shape, batch 128.
//   build/release/bench/nn/nn_step_bench THREADS PAIRS UNIT RATE bf16|fp32
// Prints seconds of each pair of steps as JSON. Checks that winners were chosen.
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "taut/core/error.h"
#include "taut/core/random.h"
#include "taut/nn/image_network.h"

namespace taut::nn {
namespace {

constexpr std::int64_t kBatch = 128;
constexpr Shape kImage{3, 32, 32};

struct Images {
  Images() {
    const CounterRandom random(1);
    for (std::int64_t i = 0; i < kBatch * kImage.size(); ++i) {
      pixels.push_back(static_cast<float>(random.normal(static_cast<std::uint64_t>(i))));
    }
    for (std::int64_t i = 0; i < kBatch; ++i) labels.push_back(i % 10);
  }
  [[nodiscard]] ImageInput input() const {
    return {.size = kBatch, .pixels = pixels, .labels = labels};
  }
  std::vector<float> pixels;
  std::vector<std::int64_t> labels;
};

double step_seconds(ImageNetwork& network, const Images& images) {
  const auto start = std::chrono::steady_clock::now();
  network.train_step(images.input(), 0.01);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

int run(std::span<char*> arguments) {
  if (arguments.size() != 6) {
    std::cerr << "usage: nn_step_bench THREADS PAIRS UNIT RATE bf16|fp32\n";
    return 2;
  }
  const auto pool = std::make_shared<ThreadPool>(std::atoi(arguments[1]));
  ImageNetworkOptions options;
  options.input = kImage;
  options.bf16 = std::string(arguments[5]) == "bf16";
  ImageNetwork dense(options, pool);
  options.winners.unit = sparsity::parse_unit(arguments[3]);
  options.winners.rates = {std::atof(arguments[4])};
  ImageNetwork winners(options, pool);
  const Images images;
  for (const SiteReport& site : winners.report_sites(images.input())) {
    if (site.density > options.winners.rates[0] + 0.04) {
      throw Error(ErrorKind::kInternal, "too many winners", site.layer);
    }
  }
  nlohmann::json seconds;
  for (int pair = -3; pair < std::atoi(arguments[2]); ++pair) {
    const double without = step_seconds(dense, images);
    const double with = step_seconds(winners, images);
    if (pair < 0) continue;  // warming up
    seconds["dense"].push_back(without);
    seconds["winners"].push_back(with);
  }
  std::cout << seconds.dump() << "\n";
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
