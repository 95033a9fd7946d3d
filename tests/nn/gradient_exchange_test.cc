// Gradients that travel while the pass back goes on: the sums of before, bit for bit.
#include "nn/gradient_exchange.h"

#include <gtest/gtest.h>

#include <thread>

#include "nn/program.h"
#include "support/workers.h"
#include "taut/core/random.h"
#include "taut/nn/image_network.h"
#include "taut/nn/recommender.h"

namespace taut::nn {
namespace {

using dist::ProcessGroup;
using dist::WorkerEnvironment;
using test::expect_workers;
using torch::Tensor;

const dist::GroupOptions kWaits{.timeout = std::chrono::seconds(60)};

std::vector<float> spread_values(std::size_t count, std::uint64_t seed) {
  const CounterRandom random(seed);
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<float>(random.uniform(i) - 0.5);
  return values;
}

Tensor gradient_of(const Tensor& like, std::uint64_t worker, std::size_t slice) {
  const auto values = spread_values(static_cast<std::size_t>(like.numel()), 10 * worker + slice);
  return torch::tensor(values).view(like.sizes());
}

// In two buckets; one parameter holds maps whose values lie otherwise.
std::vector<Tensor> odd_parameters() {
  return {torch::zeros({3, 5}), torch::zeros({kGradientBucket + 7}),
          torch::zeros({2, 3, 3, 3}).contiguous(at::MemoryFormat::ChannelsLast),
          torch::zeros({kGradientBucket - 60}), torch::zeros({})};
}

// Worker k has k slices: the first has none.
TEST(GradientExchange, AddsSlicesThenWorkersWhoeverComesFirst) {
  expect_workers(3, [](const WorkerEnvironment& environment) {
    const auto group = ProcessGroup::connect(environment, kWaits);
    const std::vector<Tensor> like = odd_parameters();
    GradientExchange exchange(group, like);
    const auto slices = static_cast<std::size_t>(environment.rank);
    for (int round = 0; round < 3; ++round) {
      std::vector<std::vector<Tensor>> gradients(slices);
      const dist::OverlapScope scope(exchange.start(slices));
      std::vector<std::thread> threads;
      for (std::size_t s = 0; s < slices; ++s) {
        for (const Tensor& one : like) {
          gradients[s].push_back(gradient_of(one, static_cast<std::uint64_t>(environment.rank), s));
        }
        threads.emplace_back([&, s] {
          for (std::size_t k = 0; k < like.size(); ++k) {
            const std::size_t p = (k * (s + 2) + 1) % like.size();  // of five
            exchange.put(s, p, gradients[s][p]);
          }
        });
      }
      for (std::thread& thread : threads) thread.join();
      const std::vector<Tensor> sums = exchange.finish(gradients);
      ASSERT_EQ(sums.size(), like.size());
      for (std::size_t p = 0; p < like.size(); ++p) {
        const Tensor second = gradient_of(like[p], 1, 0);
        const Tensor third = gradient_of(like[p], 2, 0) + gradient_of(like[p], 2, 1);
        EXPECT_TRUE(torch::equal(sums[p], (torch::zeros_like(second) + second) + third)) << p;
      }
    }
    const dist::Traffic sent = group->traffic()[dist::Cause::kGradients];
    std::int64_t words = 0;
    for (const Tensor& one : like) words += one.numel();
    std::int64_t bytes = 0;
    for (const std::int64_t theirs : group->each(sent.bytes)) bytes += theirs;
    EXPECT_EQ(bytes, 3 * 2 * (3 - 1) * 4 * words);
  });
}

template <typename Network>
std::vector<float> values_of(const Network& network) {
  std::vector<float> all;
  for (const NamedTensor& one : network.parameters()) {
    all.insert(all.end(), one.values.begin(), one.values.end());
  }
  return all;
}

// Two buckets; the first worker has no image of the second batch.
std::vector<float> trained_images(const std::shared_ptr<ProcessGroup>& group) {
  ImageNetworkOptions o;
  o.kind = "lenet-c";
  o.input = {.channels = 1, .height = 28, .width = 28};
  o.classes = 10;
  o.piece = 2;
  o.winners = {.unit = sparsity::Unit::kElement, .rates = {0.5}};
  ImageNetwork network(o, std::make_shared<ThreadPool>(1));
  network.set_workers(group);
  for (const std::int64_t batch : {6, 4, 5}) {
    const std::vector<float> pixels = spread_values(static_cast<std::size_t>(batch * 784), 5);
    const std::vector<std::int64_t> labels = {1, 7, 3, 0, 9, 4};
    Range mine{.begin = 0, .size = batch};
    if (group != nullptr) mine = group->part_of(group->rank(), batch, o.piece);
    const auto from = static_cast<std::size_t>(mine.begin);
    const auto size = static_cast<std::size_t>(mine.size);
    static_cast<void>(
        network.train_step({.size = mine.size,
                            .pixels = std::span(pixels).subspan(from * 784, size * 784),
                            .labels = std::span(labels).subspan(from, size),
                            .whole = batch},
                           0.05));
  }
  return values_of(network);
}

TEST(GradientExchange, LeavesImageNetworksTheBitsOfOneProcess) {
  expect_workers(3, [](const WorkerEnvironment& environment) {
    const auto group = ProcessGroup::connect(environment, kWaits);
    EXPECT_EQ(trained_images(group), trained_images(nullptr));
  });
}

// Two buckets of weights that several tiles make; a batch of one piece gives work to one worker.
std::vector<float> trained_clicks(const std::shared_ptr<ProcessGroup>& group) {
  RecommenderOptions o;
  o.dense = 3;
  o.tables = 2;
  o.dim = 8;
  o.bottom = {9};
  o.top = {600, 500};
  o.piece = 16;
  Recommender network(o, std::make_shared<ThreadPool>(2));
  network.set_workers(group);
  for (const std::int64_t batch : {100, 16, 333}) {
    const auto count = static_cast<std::size_t>(batch);
    const std::vector<float> dense = spread_values(count * 3, 1);
    const std::vector<float> vectors = spread_values(count * 16, 2);
    std::vector<float> labels = spread_values(count, 3);
    for (float& label : labels) label = label > 0 ? 1.0F : 0.0F;
    Range mine{.begin = 0, .size = batch};
    if (group != nullptr) mine = group->part_of(group->rank(), batch, o.piece);
    const auto from = static_cast<std::size_t>(mine.begin);
    const auto size = static_cast<std::size_t>(mine.size);
    std::vector<float> logits(size);
    std::vector<float> slopes(size * 16);
    static_cast<void>(
        network.train_step({.batch = mine.size,
                            .dense = std::span(dense).subspan(from * 3, size * 3),
                            .vectors = std::span(vectors).subspan(from * 16, size * 16),
                            .whole = batch},
                           std::span(labels).subspan(from, size), logits, slopes));
  }
  return values_of(network);
}

TEST(GradientExchange, LeavesRecommendersTheBitsOfOneProcess) {
  expect_workers(3, [](const WorkerEnvironment& environment) {
    const auto group = ProcessGroup::connect(environment, kWaits);
    EXPECT_EQ(trained_clicks(group), trained_clicks(nullptr));
    EXPECT_GT(group->traffic()[dist::Cause::kGradients].operations, 3 * 2);
  });
}

}  // namespace
}  // namespace taut::nn
