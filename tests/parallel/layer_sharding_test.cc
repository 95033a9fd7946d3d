// Sharded weights as a choice of each layer, for plans that must fit a memory cap.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "parallel/expected.h"
#include "parallel/random_models.h"
#include "parallel/search.h"
#include "taut/core/error.h"
#include "taut/parallel/planner.h"
#include "taut/parallel/step_time.h"

namespace taut::parallel {
namespace {

CostOptions by_layer(int levels) {
  CostOptions options;
  options.levels = levels;
  options.memory.sharding = Sharding::kByLayer;
  options.memory.optimizer = OptimizerState::kAdam;
  return options;
}

TEST(LayerSharding, StatesThatCopyWeightsComeTwice) {
  Dice dice(3);
  graph::Node node = random_node(dice, 0);
  node.kind = graph::NodeKind::kWeighted;
  node.grouped = false;
  node.in_channels = node.out_channels = 8;
  node.weights = 64;
  const graph::Graph graph("one", {node, loss_node()}, {{0, 1, 8, 8}});
  const CostModel model(graph, by_layer(2));
  const std::vector<LayerState> states = model.states(0);
  EXPECT_EQ(states.size(), 9 + 5);  // five of the nine have type I somewhere
  EXPECT_TRUE(std::is_sorted(states.begin(), states.end()));
  EXPECT_EQ(model.states(1).size(), 1) << "a loss has no weights";
  LayerState gathered(2, Split::kBatch);
  gathered.set_gathers(true);
  const LayerState plain(2, Split::kBatch);
  CostOptions stage = by_layer(2);
  stage.memory.sharding = Sharding::kWeights;
  const CostModel weights(graph, stage);
  EXPECT_EQ(model.memory_words(0, gathered), weights.memory_words(0, plain));
  EXPECT_EQ(model.node_traffic(0, gathered).words, weights.node_traffic(0, plain).words);
  stage.memory.sharding = Sharding::kGradients;
  const CostModel gradients(graph, stage);
  EXPECT_EQ(model.memory_words(0, plain), gradients.memory_words(0, plain));
  EXPECT_EQ(model.node_traffic(0, plain).words, gradients.node_traffic(0, plain).words);
  EXPECT_FALSE(gradients.feasible(0, gathered)) << "where it is no choice";
  LayerState rows(2, Split::kInput);
  rows.set_gathers(true);
  EXPECT_THAT(*model.infeasible_reason(0, rows), testing::HasSubstr("no copies of weights"));
}

TEST(LayerSharding, CappedPlansAreTheBestOfAll) {
  int compared = 0;
  int mixed = 0;
  for (std::uint64_t seed = 1; compared < 150; ++seed) {
    Dice dice(seed);
    const graph::Graph graph = random_chain(dice, static_cast<int>(dice.in(1, 4)));
    CostOptions options = by_layer(static_cast<int>(dice.in(1, 2)));
    options.memory.precision = dice.once_in(2) ? Precision::kMixed : Precision::kSingle;
    options.memory.accumulate = dice.once_in(3) ? 2 : 1;
    const CostModel model(graph, options);
    if (plan_count(model) > 4000) continue;
    const LevelWeights weights = LevelWeights::words(options.levels);
    double least = std::numeric_limits<double>::infinity();
    double most = 0;
    for_every_plan(model, [&](const Plan& plan) {
      least = std::min(least, memory_bytes(model, plan));
      most = std::max(most, memory_bytes(model, plan));
    });
    const double cap = least + dice.uniform() * (most - least);
    double best = std::numeric_limits<double>::infinity();
    for_every_plan(model, [&](const Plan& plan) {
      if (memory_bytes(model, plan) <= cap) best = std::min(best, plan_cost(model, weights, plan));
    });
    ++compared;
    PlanOptions wanted{.cost = options, .objective = Objective::kWords};
    wanted.memory_cap_bytes = cap;
    const Cluster cluster = hypar_cluster(1LL << options.levels);
    const auto found = std::get<Planned>(make_plan(graph, cluster, wanted));
    ASSERT_NEAR(found.objective, best, 1e-9 * best) << "seed " << seed;
    ASSERT_LE(memory_bytes(model, found.plan), cap * (1 + 1e-9)) << "seed " << seed;
    ASSERT_NEAR(least_memory_bytes(model), least, 1e-9 * least) << "seed " << seed;
    for (const Sharding stage : {Sharding::kNone, Sharding::kGradients, Sharding::kWeights}) {
      PlanOptions whole = wanted;
      whole.cost.memory.sharding = stage;
      const PlanOutcome one = make_plan(graph, cluster, whole);
      if (const auto* planned = std::get_if<Planned>(&one)) {
        ASSERT_LE(found.objective, planned->objective * (1 + 1e-9)) << "seed " << seed;
      }
    }
    int gathering = 0;
    int copying = 0;
    for (int v = 0; v < graph.size(); ++v) {
      const LayerState& state = found.plan.states[v];
      gathering += state.gathers() ? 1 : 0;
      copying += graph.node(v).weights > 0 && state.count(Split::kBatch) > 0 ? 1 : 0;
    }
    mixed += gathering > 0 && gathering < copying ? 1 : 0;
  }
  EXPECT_GT(mixed, 0) << "layers of one plan choose differently";
}

TEST(LayerSharding, WithoutACapNothingIsGathered) {
  const graph::Graph graph = graph::load_model("alexnet");
  const auto plan_of = [&](Sharding sharding) {
    PlanOptions options{.cost = by_layer(4)};
    options.cost.memory.sharding = sharding;
    return std::get<Planned>(make_plan(graph, hypar_cluster(16), options));
  };
  const Planned free = plan_of(Sharding::kByLayer);
  EXPECT_EQ(free.objective, plan_of(Sharding::kGradients).objective);
  for (const LayerState& state : free.plan.states) EXPECT_FALSE(state.gathers());
}

TEST(LayerSharding, AGivenPlanKeepsItsChoice) {
  const graph::Graph graph = graph::load_model("lenet-c");
  const PlanOptions options{.cost = by_layer(4)};
  Plan plan{4, std::vector<LayerState>(graph.size(), LayerState(4, Split::kBatch))};
  const double before = evaluate_plan(graph, hypar_cluster(16), options, plan).objective;
  plan.states[2].set_gathers(true);
  const double after = evaluate_plan(graph, hypar_cluster(16), options, plan).objective;
  EXPECT_GT(after, before);
  PlanOptions stage = options;
  stage.cost.memory.sharding = Sharding::kWeights;
  EXPECT_THROW((void)evaluate_plan(graph, hypar_cluster(16), stage, plan), Error);
}

TEST(LayerSharding, ArraysTooDeepForItsTablesAreRefused) {
  const graph::Graph graph = graph::load_model("vgg-a");
  PlanOptions options{.cost = by_layer(10)};
  options.cost.batch = 4096;
  EXPECT_THROW((void)make_plan(graph, hypar_cluster(1024), options), Error);
}

}  // namespace
}  // namespace taut::parallel
