// What one accelerator keeps: by hand, against brute force under a cap, and what it costs.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <variant>
#include <vector>

#include "parallel/memory_search.h"
#include "parallel/random_models.h"
#include "parallel/search.h"
#include "support/error_matchers.h"
#include "taut/graph/zoo.h"
#include "taut/parallel/planner.h"
#include "taut/parallel/step_time.h"

namespace taut::parallel {
namespace {

using test::error_of;
using test::IsError;

graph::Graph one_layer() {
  return graph::Graph("one",
                      {{.name = "fc",
                        .op = "fc",
                        .in_channels = 64,
                        .out_channels = 64,
                        .weights = 4096,
                        .in_words = 64,
                        .out_words = 64,
                        .raw_words = 64,
                        .stored_words = 64,
                        .macs = 4096,
                        .input_macs = 4096},
                       {.name = "sum",
                        .op = "add",
                        .kind = graph::NodeKind::kElementwise,
                        .in_channels = 64,
                        .out_channels = 64,
                        .channel_levels = 6,
                        .in_words = 64,
                        .out_words = 64,
                        .raw_words = 64,
                        .stored_words = 64,
                        .macs = 10,
                        .input_macs = 10},
                       {.name = "loss", .op = "loss", .kind = graph::NodeKind::kBatchOnly}},
                      {{.from = 0, .to = 1, .words = 64, .raw_words = 64},
                       {.from = 1, .to = 2, .words = 64, .raw_words = 64}});
}

CostOptions of(const TrainingMemory& memory) {
  CostOptions options;
  options.levels = 2;
  options.batch = 64;
  options.memory = memory;
  return options;
}

TEST(TrainingMemory, EachPartIsCountedByHand) {
  const graph::Graph graph = one_layer();
  LayerState state(2, Split::kBatch);  // two accelerators share each half of the weights
  state.set(1, Split::kOutput);
  const double w = 4096.0 / 2;
  const double stored = 64.0 * 64 / 2;  // type III reads all channels of its half of the batch
  const auto words = [&](const TrainingMemory& memory) {
    return CostModel(graph, of(memory)).memory_words(0, state);
  };
  EXPECT_EQ(words({}), 3 * w + stored);
  EXPECT_EQ(words({.optimizer = OptimizerState::kSgd}), 2 * w + stored);
  const TrainingMemory adam{.optimizer = OptimizerState::kAdam};
  EXPECT_EQ(words(adam), 4 * w + stored);
  TrainingMemory sharded = adam;
  sharded.sharding = Sharding::kOptimizer;
  EXPECT_EQ(words(sharded), (2 + 2.0 / 2) * w + stored);
  sharded.sharding = Sharding::kGradients;
  EXPECT_EQ(words(sharded), (1 + 3.0 / 2) * w + stored);
  sharded.sharding = Sharding::kWeights;
  EXPECT_EQ(words(sharded), 4.0 / 2 * w + stored);
  sharded.precision = Precision::kMixed;  // 16 bytes a weight, as ZeRO counts, by two
  EXPECT_EQ(words(sharded), 4.0 / 2 * w + stored / 2);
  TrainingMemory parts = adam;
  parts.accumulate = 4;
  EXPECT_EQ(words(parts), 4 * w + stored / 4);
  const CostModel again(graph, of({.recompute = Recompute::kCheap}));
  EXPECT_EQ(again.memory_words(0, state), 3 * w + stored);
  EXPECT_EQ(again.memory_words(1, LayerState(2, Split::kBatch)), 0);
}

TEST(TrainingMemory, TrafficIsThatOfItsCollectives) {
  const graph::Graph graph = one_layer();
  const LayerState data(2, Split::kBatch);
  const auto gradients = [&](const TrainingMemory& memory) {
    return CostModel(graph, of(memory)).node_traffic(0, data);
  };
  const Traffic reduced = gradients({});
  EXPECT_EQ(reduced.words, (std::vector<double>{2 * 4096, 4 * 4096}));
  for (const Sharding stage : {Sharding::kOptimizer, Sharding::kGradients}) {
    EXPECT_EQ(gradients({.sharding = stage}).words, reduced.words);
  }
  EXPECT_EQ(gradients({.sharding = Sharding::kWeights}).words,
            (std::vector<double>{3 * 4096, 6 * 4096}));
  EXPECT_EQ(gradients({.sharding = Sharding::kWeights, .accumulate = 4}).words,
            (std::vector<double>{9 * 4096, 18 * 4096}));
  EXPECT_EQ(gradients({.precision = Precision::kMixed}).words,
            (std::vector<double>{4096, 2 * 4096}));
  const LayerState channels(2, Split::kChannels);
  const auto edge = [&](const TrainingMemory& memory) {
    return CostModel(graph, of(memory)).edge_traffic(0, data, channels);
  };
  EXPECT_EQ(edge({.precision = Precision::kMixed}).words[0], edge({}).words[0] / 2);
  EXPECT_EQ(edge({.accumulate = 4}).words, edge({}).words);
  EXPECT_EQ(edge({.accumulate = 4}).messages[0], 4 * edge({}).messages[0]);
}

TEST(TrainingMemory, WhatIsRecomputedTakesItsForwardPassAgain) {
  const graph::Graph graph = one_layer();
  const Cluster cluster = hypar_cluster(4);
  const CostModel once(graph, of({}));
  const CostModel twice(graph, of({.recompute = Recompute::kCheap}));
  EXPECT_EQ(compute_seconds(twice, cluster, 0), compute_seconds(once, cluster, 0));
  EXPECT_DOUBLE_EQ(compute_seconds(twice, cluster, 1), compute_seconds(once, cluster, 1) * 4 / 3);
}

TrainingMemory random_memory(Dice& dice) {
  return {.optimizer = static_cast<OptimizerState>(dice.in(0, 2)),
          .sharding = static_cast<Sharding>(dice.in(0, 3)),
          .precision = static_cast<Precision>(dice.in(0, 1)),
          .recompute = static_cast<Recompute>(dice.in(0, 1)),
          .accumulate = std::int64_t{1} << dice.in(0, 2)};
}

TEST(TrainingMemory, CappedPlansEqualBruteForce) {
  int checked = 0;
  for (std::uint64_t seed = 1; checked < 300; ++seed) {
    Dice dice(seed);
    const int levels = static_cast<int>(dice.in(1, 2));
    const graph::Graph graph = random_chain(dice, static_cast<int>(dice.in(2, 5)));
    CostOptions options;
    options.levels = levels;
    options.batch = std::int64_t{16} << dice.in(0, 2);
    options.memory = random_memory(dice);
    const CostModel model(graph, options);
    if (plan_count(model) > 20'000) continue;
    ++checked;
    LevelWeights weights = LevelWeights::words(levels);
    for (double& message : weights.per_message) message = dice.once_in(2) ? 0 : 100;
    const double least = least_memory_bytes(model) / 4;
    double most = least;
    for_every_plan(model,
                   [&](const Plan& plan) { most = std::max(most, memory_bytes(model, plan) / 4); });
    const double cap = least + dice.uniform() * (most - least);
    double best = std::numeric_limits<double>::infinity();
    double free = best;
    for_every_plan(model, [&](const Plan& plan) {
      const double cost = plan_cost(model, weights, plan);
      free = std::min(free, cost);
      if (memory_bytes(model, plan) / 4 <= cap) best = std::min(best, cost);
    });
    JointSearch search(model, weights);
    const std::optional<Found> found = search_within(search, {}, cap);
    ASSERT_TRUE(found && found->optimal) << "seed " << seed;
    ASSERT_NEAR(found->cost, best, 1e-9 * best) << "seed " << seed;
    const std::optional<Found> unbound = JointSearch(model, weights).run();
    ASSERT_NEAR(unbound->cost, free, 1e-9 * free) << "seed " << seed;
    const Found deep = deep_search(model, weights, {});
    ASSERT_LE(deep.lower_bound, free * (1 + 1e-9)) << "seed " << seed;
    ASSERT_GE(deep.cost, free * (1 - 1e-9)) << "seed " << seed;
    ASSERT_NEAR(plan_cost(model, weights, deep.plan), deep.cost, 1e-9 * deep.cost);
  }
}

TEST(Positions, AreCutWhereSamplesAreUsedUp) {
  int checked = 0;
  int sequences = 0;
  for (std::uint64_t seed = 1; checked < 300; ++seed) {
    Dice dice(seed);
    const graph::Graph plain = random_chain(dice, static_cast<int>(dice.in(2, 4)));
    std::vector<graph::Node> nodes(plain.nodes().begin(), plain.nodes().end());
    for (graph::Node& node : nodes) node.positions = dice.once_in(3) ? 1 : 8;
    nodes.back().positions = 8;
    const graph::Graph graph("positions", nodes, {plain.edges().begin(), plain.edges().end()});
    CostOptions options;
    options.levels = 2;
    options.batch = dice.in(1, 4);
    if (options.batch < 4 && std::none_of(
                                 nodes.begin(), nodes.end(),
                                 [](const graph::Node& node) { return node.positions > 1; })) {
      continue;
    }
    const CostModel model(graph, options);
    if (plan_count(model) > 20'000) continue;
    ++checked;
    const LevelWeights weights = LevelWeights::words(2);
    double best = std::numeric_limits<double>::infinity();
    for_every_plan(model, [&](const Plan& plan) {
      for (int v = 0; v < graph.size(); ++v) {
        const int ways = 1 << plan.states[v].count(Split::kBatch);
        ASSERT_LE(ways, options.batch * graph.node(v).positions);
      }
      best = std::min(best, plan_cost(model, weights, plan));
    });
    const std::optional<Found> found = JointSearch(model, weights).run();
    if (best == std::numeric_limits<double>::infinity()) {
      ASSERT_FALSE(found.has_value()) << "seed " << seed;
      continue;
    }
    ++sequences;
    ASSERT_NEAR(found->cost, best, 1e-9 * best) << "seed " << seed;
  }
  EXPECT_GT(sequences, 100);
}

TEST(Positions, SamplesThatAreTooFewAreRefusedWithoutThem) {
  graph::Graph graph = one_layer();
  CostOptions options;
  options.levels = 3;
  options.batch = 4;
  EXPECT_THAT(error_of([&] { const CostModel model(graph, options); }),
              IsError(ErrorKind::kInvalidArgument, "at least the 8 accelerators"));
  std::vector<graph::Node> nodes(graph.nodes().begin(), graph.nodes().end());
  for (graph::Node& node : nodes) node.positions = 16;
  const graph::Graph cut("cut", nodes, {graph.edges().begin(), graph.edges().end()});
  const PlanOutcome outcome =
      make_plan(cut, hypar_cluster(8), {.cost = options, .method = Method::kData});
  EXPECT_TRUE(std::holds_alternative<Planned>(outcome));
  nodes[1].positions = 1;  // attention reads all positions: it splits its heads instead
  const graph::Graph mixed("mixed", nodes, {graph.edges().begin(), graph.edges().end()});
  EXPECT_TRUE(std::holds_alternative<NoPlan>(
      make_plan(mixed, hypar_cluster(8), {.cost = options, .method = Method::kData})));
  const auto planned = std::get<Planned>(make_plan(mixed, hypar_cluster(8), {.cost = options}));
  EXPECT_GE(planned.plan.states[1].count(Split::kChannels), 1);
  options.table = CostTable::kFig;
  EXPECT_THAT(error_of([&] { const CostModel model(cut, options); }),
              IsError(ErrorKind::kInvalidArgument, "at least the 8 accelerators"));
}

TEST(TrainingMemory, ImpossibleOnesAreRefused) {
  const graph::Graph graph = one_layer();
  for (const std::int64_t parts : {std::int64_t{0}, std::int64_t{3}, std::int64_t{32}}) {
    EXPECT_THAT(error_of([&] { const CostModel model(graph, of({.accumulate = parts})); }),
                IsError(ErrorKind::kInvalidArgument, "accumulate"));
  }
  CostOptions options = of({.sharding = Sharding::kWeights});
  options.table = CostTable::kFig;
  EXPECT_THAT(error_of([&] { const CostModel model(graph, options); }),
              IsError(ErrorKind::kUnsupported, "sharded weights"));
}

}  // namespace
}  // namespace taut::parallel
