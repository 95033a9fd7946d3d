// Layers that stay whole at a level (type R): what they move and cost, and plans that choose it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <variant>

#include "parallel/chunk_mover.h"
#include "parallel/random_models.h"
#include "parallel/search.h"
#include "support/error_matchers.h"
#include "taut/graph/zoo.h"
#include "taut/parallel/planner.h"
#include "taut/parallel/simulator.h"
#include "taut/parallel/step_time.h"
#include "taut/parallel/unequal.h"
#include "taut/parallel/volume.h"

namespace taut::parallel {
namespace {

using test::error_of;
using test::IsError;

constexpr double kRounding = 1e-9;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::array kMade = {Held::kBatch, Held::kChannel, Held::kPartial, Held::kWhole};
constexpr std::array kWanted = {Held::kBatch, Held::kChannel, Held::kWhole};

void expect_moved_chunks(const std::vector<Held>& made, const std::vector<Held>& wanted,
                         const std::vector<int>& groups) {
  ChunkMover mover(made, wanted, groups);
  const std::vector<double>& moved = mover.run();
  ASSERT_TRUE(mover.correct());
  const std::vector<MoveUnits> units = move_units(made, wanted, groups);
  for (std::size_t level = 0; level < made.size(); ++level) {
    const double words =
        units[level].reduce_scatter + units[level].change + units[level].all_gather;
    ASSERT_NEAR(moved[level], words * mover.chunks(), kRounding * mover.chunks())
        << "level " << level;
  }
}

TEST(Replication, VolumesEqualMovedChunksForEveryPairOfLayouts) {
  for (int levels = 1; levels <= 3; ++levels) {
    const auto pairs = static_cast<int>(std::pow(kMade.size() * kWanted.size(), levels));
    for (int pair = 0; pair < pairs; ++pair) {
      std::vector<Held> made;
      std::vector<Held> wanted;
      for (int level = 0, left = pair; level < levels; ++level, left /= 12) {
        made.push_back(kMade[left % 4]);
        wanted.push_back(kWanted[left % 12 / 4]);
      }
      ASSERT_NO_FATAL_FAILURE(expect_moved_chunks(made, wanted, std::vector<int>(made.size(), 2)))
          << "pair " << pair << " of " << levels << " levels";
    }
  }
}

TEST(Replication, VolumesEqualMovedChunksWhereLevelsJoinSeveralGroups) {
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    Dice dice(seed);
    std::vector<int> groups;
    std::vector<Held> made;
    std::vector<Held> wanted;
    int devices = 1;
    for (auto levels = dice.in(1, 3); levels > 0; --levels) {
      groups.push_back(static_cast<int>(dice.in(2, 5)));
      devices *= groups.back();
      made.push_back(kMade[static_cast<std::size_t>(dice.in(0, 3))]);
      wanted.push_back(kWanted[static_cast<std::size_t>(dice.in(0, 2))]);
    }
    if (devices > 24) continue;
    ASSERT_NO_FATAL_FAILURE(expect_moved_chunks(made, wanted, groups)) << "seed " << seed;
  }
}

TEST(Replication, EachCopyExchangesItsGradients) {
  const std::vector<int> groups = {3, 2, 4};
  for (int code = 0; code < 27; ++code) {
    LayerState state(3, Split::kOutput);
    std::vector<Held> made;
    std::vector<Held> wanted;
    for (int level = 0, left = code; level < 3; ++level, left /= 3) {
      constexpr std::array kSplits = {Split::kOutput, Split::kBatch, Split::kReplicate};
      constexpr std::array kSums = {Held::kChannel, Held::kPartial, Held::kWhole};
      constexpr std::array kGradients = {Held::kChannel, Held::kWhole, Held::kWhole};
      state.set(level, kSplits[left % 3]);
      made.push_back(kSums[left % 3]);
      wanted.push_back(kGradients[left % 3]);
    }
    ChunkMover mover(made, wanted, groups);
    const std::vector<double> moved = mover.run();
    ASSERT_TRUE(mover.correct()) << code;
    graph::Node node{.name = "fc", .op = "fc", .in_channels = 64, .out_channels = 64};
    node.in_words = node.out_words = node.raw_words = node.stored_words = 64;
    node.weights = mover.chunks();
    const graph::Graph graph("one", {node, loss_node()}, {{0, 1, 1, 1}});
    const CostModel model(graph, {.levels = 3, .groups = groups, .replicate = true});
    EXPECT_EQ(model.node_traffic(0, state).words, moved) << code;
  }
}

/// Two to twelve accelerators whose links and compute take times of one order.
Cluster random_cluster(Dice& dice) {
  Cluster cluster;
  for (auto levels = dice.in(1, 3); levels > 0; --levels) {
    cluster.levels.push_back({.name = "level",
                              .bytes_per_second = 1e6 * (1 + 4 * dice.uniform()),
                              .latency_seconds = dice.once_in(2) ? 0 : 0.1 * dice.uniform(),
                              .groups = dice.once_in(3) ? 3 : 2});
  }
  cluster.accelerator.macs_per_second = std::pow(10, static_cast<double>(dice.in(6, 9)));
  return cluster;
}

PlanOptions random_plan_options(Dice& dice) {
  PlanOptions options;
  options.cost.batch = 24;
  options.cost.replicate = true;
  options.cost.raw_sums = dice.once_in(2);
  options.cost.density = dice.once_in(2) ? 1 : 0.05 + 0.9 * dice.uniform();
  options.cost.memory.accumulate = dice.once_in(3) ? 2 : 1;
  constexpr std::array kStages = {Sharding::kNone, Sharding::kWeights, Sharding::kByLayer};
  options.cost.memory.sharding = kStages[static_cast<std::size_t>(dice.in(0, 2))];
  if (dice.once_in(3)) options.cost.constraints = parse_constraint("n1=R", /*forbid=*/true);
  return options;
}

/// The least of every plan; a step's seconds, counted layer by layer and not by the searches.
struct LeastOfAll {
  double seconds = kInfinity;
  double overlapped = kInfinity;
  double memory_bytes = kInfinity;
  double capped_seconds = kInfinity;  ///< with that memory and a tenth
};

LeastOfAll least_of_all(const CostModel& model, const Cluster& cluster) {
  LeastOfAll least;
  std::vector<std::pair<double, double>> plans;  // memory, seconds
  for_every_plan(model, [&](const Plan& plan) {
    const StepTime time = step_time(model, cluster, plan);
    plans.emplace_back(memory_bytes(model, plan), time.serial_seconds);
    least.seconds = std::min(least.seconds, time.serial_seconds);
    least.overlapped = std::min(least.overlapped, time.overlapped_seconds);
    least.memory_bytes = std::min(least.memory_bytes, plans.back().first);
  });
  for (const auto& [memory, seconds] : plans) {
    if (memory <= 1.1 * least.memory_bytes) {
      least.capped_seconds = std::min(least.capped_seconds, seconds);
    }
  }
  return least;
}

bool has_copies(const Plan& plan) {
  return std::any_of(plan.states.begin(), plan.states.end(),
                     [](const LayerState& state) { return state.count(Split::kReplicate) > 0; });
}

/// Seconds that plans without copies compute.
double divided_compute(const CostModel& model, const Cluster& cluster) {
  double seconds = 0;
  for (int v = 0; v < model.graph().size(); ++v) seconds += compute_seconds(model, cluster, v);
  return seconds;
}

TEST(Replication, SearchesFindTheBestOfAllPlans) {
  int compared = 0;
  int with_copies = 0;
  for (std::uint64_t seed = 1; compared < 200; ++seed) {
    Dice dice(seed);
    const bool chain = dice.once_in(2);
    const graph::Graph graph = chain ? random_chain(dice, static_cast<int>(dice.in(2, 4)))
                                     : random_graph(dice, static_cast<int>(dice.in(3, 4)));
    const Cluster cluster = random_cluster(dice);
    PlanOptions options = random_plan_options(dice);
    const CostModel model(graph, cost_options(cluster, options));
    if (plan_count(model) > 6000) continue;
    ++compared;
    if (plan_count(model) == 0) {  // too few samples for a layer that must not stay whole
      ASSERT_TRUE(std::holds_alternative<NoPlan>(make_plan(graph, cluster, options)))
          << "seed " << seed;
      continue;
    }
    const LeastOfAll least = least_of_all(model, cluster);
    const double divided = divided_compute(model, cluster);
    const auto planned = [&] {
      const PlanOutcome outcome = make_plan(graph, cluster, options);
      EXPECT_TRUE(std::holds_alternative<Planned>(outcome)) << "seed " << seed;
      return std::get<Planned>(outcome);
    };
    const Planned best = planned();
    const double tolerance = kRounding * least.seconds;
    ASSERT_NEAR(best.objective + divided, least.seconds, tolerance) << "seed " << seed;
    ASSERT_TRUE(best.optimal) << "seed " << seed;
    with_copies += has_copies(best.plan) ? 1 : 0;
    ASSERT_NEAR(step_time(model, cluster, best.plan).serial_seconds, least.seconds, tolerance);
    ASSERT_NEAR(least_memory_bytes(model), least.memory_bytes, kRounding * least.memory_bytes);
    for (const auto& runner : runners_up(model, cluster, options.objective, best.plan)) {
      ASSERT_GE(runner ? runner->extra : 0, -tolerance) << "seed " << seed;
    }
    options.memory_cap_bytes = 1.1 * least.memory_bytes;
    const Planned capped = planned();
    ASSERT_LE(memory_bytes(model, capped.plan), options.memory_cap_bytes) << "seed " << seed;
    ASSERT_GE(capped.objective + divided, least.capped_seconds - tolerance) << "seed " << seed;
    ASSERT_LE(capped.lower_bound + divided, least.capped_seconds + tolerance) << "seed " << seed;
    options.memory_cap_bytes = 0;
    options.objective = Objective::kOverlap;
    const Planned overlapped = planned();
    ASSERT_GE(overlapped.objective, least.overlapped - tolerance) << "seed " << seed;
    ASSERT_LE(overlapped.lower_bound, least.overlapped + tolerance) << "seed " << seed;
    if (!chain) continue;
    ASSERT_NEAR(capped.objective + divided, least.capped_seconds, tolerance) << "seed " << seed;
    ASSERT_NEAR(overlapped.objective, least.overlapped, tolerance) << "seed " << seed;
  }
  EXPECT_GT(with_copies, 50);
}

TEST(Replication, CountedStatesBoundAllPlans) {
  int compared = 0;
  for (std::uint64_t seed = 1; compared < 120; ++seed) {
    Dice dice(seed);
    const bool chain = dice.once_in(2);
    const graph::Graph graph =
        chain ? random_chain(dice, static_cast<int>(dice.in(1, 3))) : random_graph(dice, 3);
    const int levels = static_cast<int>(dice.in(2, 3));
    const CostModel model(graph, {.batch = 64, .levels = levels, .replicate = true});
    if (plan_count(model) > 60'000) continue;
    ++compared;
    LevelWeights weights = LevelWeights::words(levels);
    for (int v = 0; v < graph.size(); ++v) {
      weights.compute.push_back(static_cast<double>(graph.node(v).macs));
    }
    double least = kInfinity;
    for_every_plan(
        model, [&](const Plan& plan) { least = std::min(least, plan_cost(model, weights, plan)); });
    const Found deep = deep_search(model, weights, {});
    ASSERT_LE(deep.lower_bound, least * (1 + kRounding)) << "seed " << seed;
    ASSERT_GE(deep.cost, least * (1 - kRounding)) << "seed " << seed;
    ASSERT_LE(deep.cost, chain ? least * (1 + kRounding) : kInfinity) << "seed " << seed;
  }
}

TEST(Replication, PlansNeverGetWorseAndKeepTheirCost) {
  int not_proven = 0;
  for (const char* name : {"lenet-c", "resnet-50", "bert-base"}) {
    const graph::Graph graph = graph::load_model(name);
    for (const int accelerators : {4, 16, 64}) {
      const Cluster cluster = hypar_cluster(accelerators);
      PlanOptions options;
      options.cost.batch = 64;
      const auto without = std::get<Planned>(make_plan(graph, cluster, options));
      options.cost.replicate = true;
      EXPECT_EQ(evaluate_plan(graph, cluster, options, without.plan).objective, without.objective);
      const auto with = std::get<Planned>(make_plan(graph, cluster, options));
      EXPECT_LE(with.objective, without.objective * (1 + kRounding)) << name << accelerators;
      EXPECT_LE(with.lower_bound, with.objective * (1 + kRounding)) << name << accelerators;
      not_proven += with.optimal ? 0 : 1;
      options.method = Method::kGreedy;
      EXPECT_FALSE(has_copies(std::get<Planned>(make_plan(graph, cluster, options)).plan));
    }
  }
  EXPECT_GT(not_proven, 0) << "which the search without copies stands by";
}

/// Two layers, of which the second stays whole at the top level.
struct HandMade {
  HandMade() {
    graph::Node node{.name = "a", .op = "fc", .in_channels = 8, .out_channels = 8};
    node.in_words = node.out_words = node.raw_words = node.stored_words = 8;
    node.weights = 64;
    node.macs = node.input_macs = 64;
    graph::Node second = node;
    second.name = "b";
    graph = graph::Graph("two", {node, second, loss_node()}, {{0, 1, 8, 8}, {1, 2, 8, 8}});
    options.cost.batch = 16;
    options.cost.replicate = true;
    plan = Plan{2, std::vector<LayerState>(3, LayerState(2, Split::kBatch))};
    plan.states[1].set(0, Split::kReplicate);
  }
  graph::Graph graph{"none", {loss_node()}, {}};
  Cluster cluster = hypar_cluster(4);
  PlanOptions options;
  Plan plan;
};

TEST(Replication, ALayerThatStaysWholeCostsWhatItIsCountedByHand) {
  HandMade made;
  const CostModel model(made.graph, cost_options(made.cluster, made.options));
  const LayerState divided(2, Split::kBatch);
  const LayerState& whole = made.plan.states[1];
  const double seconds = compute_seconds(model, made.cluster, 1);
  EXPECT_DOUBLE_EQ(compute_seconds(model, made.cluster, 1, whole), 2 * seconds);
  // Weights, gradient and momentum as before; features of half of the batch, not of a quarter.
  EXPECT_EQ(model.memory_words(1, divided), 3 * 64 + 16 * 8 / 4);
  EXPECT_EQ(model.memory_words(1, whole), 3 * 64 + 16 * 8 / 2);
  // Two halves exchange their gradients at the lower level, in both copies; nothing at the top.
  EXPECT_EQ(model.node_traffic(1, whole).words, (std::vector<double>{0, 2 * 2 * 64}));
  // a's samples are gathered, errors of b's input are there; what b makes is cut, errors gathered.
  EXPECT_EQ(model.edge_traffic(0, divided, whole).words, (std::vector<double>{16 * 8, 0}));
  EXPECT_EQ(model.edge_traffic(1, whole, divided).words, (std::vector<double>{16 * 8, 0}));
  EXPECT_EQ(model.edge_traffic(1, whole, whole).words, (std::vector<double>{0, 0}));
  double moved = 0;
  for (const Redistribution& one : model.redistributions(made.plan)) moved += one.words;
  const std::vector<double> words = model.traffic(made.plan).words;
  EXPECT_EQ(moved, words[0] + words[1]);
  const Plan data{2, std::vector<LayerState>(3, divided)};
  const StepEnergy more = step_energy(model, made.cluster, made.plan);
  const StepEnergy less = step_energy(model, made.cluster, data);
  EXPECT_DOUBLE_EQ(more.mac_joules, 1.5 * less.mac_joules);  // one of two layers, twice
  EXPECT_GT(more.dram_joules, less.dram_joules);
}

TEST(Replication, SimulatedStepsTakeTheClosedFormsTime) {
  const HandMade made;
  const CostModel model(made.graph, cost_options(made.cluster, made.options));
  const StepTime time = step_time(model, made.cluster, made.plan);
  const StepEnergy energy = step_energy(model, made.cluster, made.plan);
  for (const bool every : {false, true}) {
    for (const bool overlap : {false, true}) {
      const Simulation simulated = simulate(model, made.cluster, made.plan,
                                            {.overlap = overlap, .every_accelerator = every});
      const double closed = overlap ? time.overlapped_seconds : time.serial_seconds;
      EXPECT_NEAR(simulated.seconds, closed, kRounding * closed);
      EXPECT_NEAR(simulated.energy.total(), energy.total(), kRounding * energy.total());
      const std::vector<double> words = model.traffic(made.plan).words;
      EXPECT_EQ(simulated.level_words, words);
    }
  }
}

TEST(Replication, ABatchSmallerThanTheArrayHasPlans) {
  HandMade made;
  made.options.cost.batch = 2;
  const auto planned = std::get<Planned>(make_plan(made.graph, made.cluster, made.options));
  EXPECT_TRUE(has_copies(planned.plan)) << "two samples of a loss on four accelerators";
  made.options.cost.replicate = false;
  EXPECT_THAT(error_of([&] { (void)make_plan(made.graph, made.cluster, made.options); }),
              IsError(ErrorKind::kInvalidArgument, "batch"));
}

TEST(Replication, ConstraintsNameIt) {
  HandMade made;
  made.options.cost.constraints = parse_constraint("b=R@1", /*forbid=*/false);
  const auto fixed = std::get<Planned>(make_plan(made.graph, made.cluster, made.options));
  EXPECT_EQ(fixed.plan.states[1].at(0), Split::kReplicate);
  made.options.cost.constraints = parse_constraint("R", /*forbid=*/true);
  EXPECT_FALSE(
      has_copies(std::get<Planned>(make_plan(made.graph, made.cluster, made.options)).plan));
}

TEST(Replication, WhatTablesEnterIsSplitBySamples) {
  graph::Node pooled{.name = "pooled", .op = "embedding", .kind = graph::NodeKind::kBatchOnly};
  pooled.out_words = pooled.raw_words = 4;
  const graph::Graph graph("tables", {pooled, loss_node()}, {{0, 1, 4, 4}},
                           {{.name = "t", .node = 0, .rows = 10, .dim = 4}});
  const CostModel model(graph, {.levels = 1, .replicate = true});
  EXPECT_EQ(model.splits(0), std::vector<Split>{Split::kBatch});
  EXPECT_EQ(model.splits(1), (std::vector<Split>{Split::kBatch, Split::kReplicate}));
}

TEST(Replication, WhatDoesNotKnowItSaysSo) {
  HandMade made;
  const auto refused = [&](ErrorKind kind, const char* said) {
    EXPECT_THAT(error_of([&] { (void)make_plan(made.graph, made.cluster, made.options); }),
                IsError(kind, said));
  };
  made.options.objective = Objective::kWords;
  refused(ErrorKind::kInvalidArgument, "seconds or overlap");
  EXPECT_GT(evaluate_plan(made.graph, made.cluster, made.options, made.plan).objective, 0);
  made.options.objective = Objective::kSeconds;
  made.options.cost.table = CostTable::kFig;
  refused(ErrorKind::kUnsupported, "do not know layers that stay whole");
  made.options.cost.table = CostTable::kVolume;
  EXPECT_THAT(error_of([&] { (void)plan_unequal(made.graph, made.cluster, {}, made.options); }),
              IsError(ErrorKind::kUnsupported, "unequal array"));
  made.options.cost.replicate = false;
  EXPECT_THAT(
      error_of([&] { (void)evaluate_plan(made.graph, made.cluster, made.options, made.plan); }),
      IsError(ErrorKind::kInvalidArgument, "layer b: stays whole (R) at a level"));
  made.options.cost.constraints = parse_constraint("b=R", /*forbid=*/false);
  refused(ErrorKind::kInvalidArgument, "must be I, II, III, got R");
}

TEST(Replication, ArraysThatAreTooDeepAreRefusedByName) {
  const graph::Graph graph = graph::load_model("lenet-c");
  PlanOptions options;
  options.cost.batch = 8192;
  options.cost.replicate = true;
  EXPECT_THAT(error_of([&] { (void)make_plan(graph, hypar_cluster(8192), options); }),
              IsError(ErrorKind::kUnsupported, "layers that may stay whole at 13 levels"));
}

}  // namespace
}  // namespace taut::parallel
