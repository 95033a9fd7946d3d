// Arrays whose levels join other numbers of groups than two: 12, 72, any other count.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <numeric>

#include "parallel/chunk_mover.h"
#include "parallel/expected.h"
#include "parallel/memory_search.h"
#include "parallel/random_models.h"
#include "parallel/search.h"
#include "taut/core/error.h"
#include "taut/parallel/planner.h"
#include "taut/parallel/simulator.h"
#include "taut/parallel/step_time.h"
#include "taut/parallel/tables.h"
#include "taut/parallel/unequal.h"
#include "taut/parallel/volume.h"

namespace taut::parallel {
namespace {

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

/// One to three levels of two to five groups, not all of two.
std::vector<int> random_groups(Dice& dice) {
  std::vector<int> groups;
  for (auto levels = dice.in(1, 3); levels > 0; --levels) {
    groups.push_back(static_cast<int>(dice.in(2, 5)));
  }
  groups[dice.in(0, static_cast<std::int64_t>(groups.size()) - 1)] =
      static_cast<int>(dice.in(3, 4));
  return groups;
}

Cluster cluster_of(const std::vector<int>& groups) {
  Cluster cluster;
  for (const int joined : groups) {
    cluster.levels.push_back({.name = "level", .bytes_per_second = 1e9, .groups = joined});
  }
  return cluster;
}

TEST(SeveralGroups, CountsAreTheirPrimeFactors) {
  const auto groups_of = [](long long accelerators) {
    const Cluster cluster = hypar_cluster(accelerators);
    EXPECT_EQ(cluster.accelerators(), accelerators);
    std::vector<int> groups;
    for (const Level& level : cluster.levels) groups.push_back(level.groups);
    return groups;
  };
  using testing::ElementsAre;
  EXPECT_THAT(groups_of(12), ElementsAre(2, 2, 3));
  EXPECT_THAT(groups_of(72), ElementsAre(2, 2, 2, 3, 3));
  EXPECT_THAT(groups_of(7), ElementsAre(7));
  EXPECT_THAT(groups_of(16), ElementsAre(2, 2, 2, 2));
  EXPECT_EQ(hypar_cluster(12).groups_above(2), 4);
  EXPECT_THAT(message_of([] { (void)hypar_cluster(12, Topology::kRing); }),
              testing::HasSubstr("a power of two (nearest: 8 and 16), got 12"));
  EXPECT_THAT(message_of([] { (void)hypar_cluster(1); }), testing::HasSubstr("in 2..65536, got 1"));
}

TEST(SeveralGroups, VolumesEqualMovedChunks) {
  constexpr std::array kMade = {Held::kBatch, Held::kChannel, Held::kPartial};
  constexpr std::array kWanted = {Held::kBatch, Held::kChannel, Held::kWhole};
  for (std::uint64_t seed = 1; seed <= 120; ++seed) {
    Dice dice(seed);
    std::vector<int> groups = random_groups(dice);
    if (std::accumulate(groups.begin(), groups.end(), 1, std::multiplies<>()) > 30) continue;
    std::vector<Held> made;
    std::vector<Held> wanted;
    for (std::size_t level = 0; level < groups.size(); ++level) {
      made.push_back(kMade[static_cast<std::size_t>(dice.in(0, 2))]);
      wanted.push_back(kWanted[static_cast<std::size_t>(dice.in(0, 2))]);
    }
    ChunkMover mover(made, wanted, groups);
    const std::vector<double>& moved = mover.run();
    ASSERT_TRUE(mover.correct()) << "seed " << seed;
    const std::vector<MoveUnits> units = move_units(made, wanted, groups);
    for (std::size_t level = 0; level < groups.size(); ++level) {
      const double words =
          units[level].reduce_scatter + units[level].change + units[level].all_gather;
      ASSERT_NEAR(moved[level], words * mover.chunks(), 1e-9 * mover.chunks()) << "seed " << seed;
    }
  }
  EXPECT_THROW((void)move_units({Held::kBatch}, {Held::kBatch}, {2, 3}), Error);
}

TEST(SeveralGroups, GradientsOfCopiedWeightsMoveTwiceToEachOtherCopy) {
  const std::vector<int> groups = {3, 2, 4};
  for (int mask = 0; mask < 8; ++mask) {
    std::vector<Held> layout;
    LayerState state(3, Split::kOutput);
    for (int level = 0; level < 3; ++level) {
      const bool copied = (mask >> level & 1) != 0;
      layout.push_back(copied ? Held::kPartial : Held::kChannel);
      if (copied) state.set(level, Split::kBatch);
    }
    std::vector<Held> whole = layout;
    for (Held& held : whole) held = held == Held::kPartial ? Held::kWhole : held;
    ChunkMover mover(layout, whole, groups);
    const std::vector<double> moved = mover.run();
    graph::Node node{.name = "fc", .op = "fc", .in_channels = 64, .out_channels = 64};
    node.in_words = node.out_words = node.raw_words = node.stored_words = 64;
    node.weights = mover.chunks();
    const graph::Graph graph("one", {node, loss_node()}, {{0, 1, 1, 1}});
    CostOptions options;
    options.levels = 3;
    options.groups = groups;
    const CostModel model(graph, options);
    EXPECT_EQ(model.node_traffic(0, state).words, moved) << mask;
  }
}

/// The least of every plan, and the least that one accelerator can hold.
struct Best {
  double words = std::numeric_limits<double>::infinity();
  double memory_bytes = std::numeric_limits<double>::infinity();
  double capped_words = std::numeric_limits<double>::infinity();  ///< with that memory and a tenth
};

Best best_of_all(const CostModel& model, const LevelWeights& weights) {
  Best best;
  for_every_plan(model, [&](const Plan& plan) {
    best.words = std::min(best.words, plan_cost(model, weights, plan));
    best.memory_bytes = std::min(best.memory_bytes, memory_bytes(model, plan));
  });
  for_every_plan(model, [&](const Plan& plan) {
    if (memory_bytes(model, plan) > 1.1 * best.memory_bytes) return;
    best.capped_words = std::min(best.capped_words, plan_cost(model, weights, plan));
  });
  return best;
}

TEST(SeveralGroups, SearchesFindTheBestOfAllPlans) {
  int compared = 0;
  for (std::uint64_t seed = 1; compared < 300; ++seed) {
    Dice dice(seed);
    const bool chain = dice.once_in(2);
    const graph::Graph graph = chain ? random_chain(dice, static_cast<int>(dice.in(1, 4)))
                                     : random_graph(dice, static_cast<int>(dice.in(3, 5)));
    CostOptions options;
    options.groups = random_groups(dice);
    options.levels = static_cast<int>(options.groups.size());
    options.raw_sums = dice.once_in(2);
    options.even_channels = dice.once_in(2);
    options.memory.sharding = dice.once_in(3) ? Sharding::kWeights : Sharding::kNone;
    const CostModel model(graph, options);
    if (plan_count(model) > 2500) continue;
    ++compared;
    const LevelWeights weights = LevelWeights::words(options.levels);
    const Best best = best_of_all(model, weights);
    const std::optional<Found> found = JointSearch(model, weights).run();
    ASSERT_TRUE(found.has_value()) << "seed " << seed;
    ASSERT_NEAR(found->cost, best.words, 1e-9 * best.words) << "seed " << seed;
    ASSERT_TRUE(found->optimal) << "seed " << seed;
    ASSERT_NEAR(least_memory_bytes(model), best.memory_bytes, 1e-9 * best.memory_bytes)
        << "seed " << seed;
    const Found deep = deep_search(model, weights, {});
    ASSERT_LE(deep.lower_bound, best.words * (1 + 1e-9)) << "seed " << seed;
    ASSERT_GE(deep.cost, best.words * (1 - 1e-9)) << "seed " << seed;
    if (const std::optional<Plan> greedy = greedy_plan(model, weights)) {
      ASSERT_GE(plan_cost(model, weights, *greedy), best.words * (1 - 1e-9)) << "seed " << seed;
    }
    PlanOptions wanted{.cost = options, .objective = Objective::kWords};
    wanted.memory_cap_bytes = 1.1 * best.memory_bytes;
    const PlanOutcome capped = make_plan(graph, cluster_of(options.groups), wanted);
    ASSERT_TRUE(std::holds_alternative<Planned>(capped)) << "seed " << seed;
    if (chain) {
      ASSERT_NEAR(std::get<Planned>(capped).objective, best.capped_words, 1e-9 * best.capped_words)
          << "seed " << seed;
    }
  }
}

TEST(SeveralGroups, LevelsOfTwoAreTheSameWithoutBeingNamed) {
  for (const char* name : {"lenet-c", "vgg-a", "resnet-50"}) {
    const graph::Graph graph = graph::load_model(name);
    CostOptions options;
    const CostModel plain(graph, options);
    options.groups = {2, 2, 2, 2};
    const CostModel named(graph, options);
    const LevelWeights weights = LevelWeights::words(4);
    const Found a = *JointSearch(plain, weights).run();
    const Found b = *JointSearch(named, weights).run();
    EXPECT_EQ(a.plan, b.plan) << name;
    EXPECT_EQ(a.cost, b.cost) << name;
    EXPECT_EQ(memory_bytes(plain, a.plan), memory_bytes(named, b.plan)) << name;
  }
}

TEST(SeveralGroups, DeepArraysAreNeverWorseThanUniformPlans) {
  const graph::Graph graph = graph::load_model("vgg-e");
  for (const long long accelerators : {72, 96, 360}) {
    const Cluster cluster = hypar_cluster(accelerators);
    PlanOptions options;
    options.cost.batch = 1024;
    const auto best = std::get<Planned>(make_plan(graph, cluster, options));
    options.method = Method::kData;
    const auto data = std::get<Planned>(make_plan(graph, cluster, options));
    EXPECT_LT(best.objective, data.objective) << accelerators;
    EXPECT_LE(best.lower_bound, best.objective * (1 + 1e-9)) << accelerators;
  }
}

TEST(SeveralGroups, SimulatedStepsTakeTheClosedFormsTime) {
  Dice dice(7);
  const graph::Graph graph = random_chain(dice, 5);
  const Cluster cluster = cluster_of({2, 3, 2});
  PlanOptions options;
  options.cost.batch = 48;
  const Plan plan = std::get<Planned>(make_plan(graph, cluster, options)).plan;
  const CostModel model(graph, cost_options(cluster, options));
  const double closed = step_time(model, cluster, plan).serial_seconds;
  for (const bool every : {false, true}) {
    const Simulation simulated =
        simulate(model, cluster, plan, {.overlap = false, .every_accelerator = every});
    EXPECT_NEAR(simulated.seconds, closed, 1e-9 * closed);
    const std::vector<double> words = model.traffic(plan).words;
    for (std::size_t level = 0; level < 3; ++level) {
      EXPECT_NEAR(simulated.level_words[level], words[level], 1e-9 * words[level]);
    }
  }
}

TEST(SeveralGroups, TablesAreSharedOutOverAllAccelerators) {
  std::vector<graph::GraphTable> tables;
  for (int t = 0; t < 12; ++t) {
    tables.push_back({.name = "t", .rows = 100, .dim = 4, .rows_read = 1});
  }
  const graph::Graph graph("tables", {loss_node()}, {}, tables);
  const TablePlacement placed = place_tables(graph, hypar_cluster(12), 24, {});
  EXPECT_EQ(placed.bytes, std::vector<double>(12, 1600));
  const double words =
      std::accumulate(placed.words_by_level.begin(), placed.words_by_level.end(), 0.0);
  EXPECT_NEAR(words, 2 * 12 * 4 * 24 * 11.0 / 12, 1e-9);  // all but what stays, there and back
}

TEST(SeveralGroups, WhatKnowsPairsAloneRefusesThem) {
  const graph::Graph graph = graph::load_model("lenet-c");
  PlanOptions options;
  options.cost.table = CostTable::kFig;
  EXPECT_THAT(message_of([&] { (void)make_plan(graph, hypar_cluster(12), options); }),
              testing::HasSubstr("HyPar's tables do not know levels of 3"));
  EXPECT_THAT(message_of([&] { (void)plan_unequal(graph, hypar_cluster(12), {}, {}); }),
              testing::HasSubstr("levels of an unequal array must be of two groups each"));
  CostOptions wrong;
  wrong.groups = {2, 2};
  EXPECT_THAT(message_of([&] { CostModel(graph, wrong); }),
              testing::HasSubstr("groups must be of 4 levels, got 2"));
  wrong.groups = {2, 2, 1, 2};
  EXPECT_THAT(message_of([&] { CostModel(graph, wrong); }), testing::HasSubstr("got 1"));
  const CostModel pairs(graph, {});
  const Plan data{4, std::vector<LayerState>(graph.size(), LayerState(4, Split::kBatch))};
  EXPECT_THAT(message_of([&] { (void)step_time(pairs, cluster_of({2, 2, 2, 3}), data); }),
              testing::HasSubstr("groups that level 4 of the cluster joins must be 2, got 3"));
}

TEST(SeveralGroups, ChannelsAreCutEvenlyWhereThatIsAsked) {
  graph::Node node{.name = "fc", .op = "fc", .in_channels = 8, .out_channels = 12};
  node.in_words = node.out_words = node.raw_words = node.stored_words = 12;
  node.weights = 96;
  const graph::Graph graph("one", {node, loss_node()}, {{0, 1, 12, 12}});
  CostOptions options;
  options.levels = 1;
  options.groups = {3};
  EXPECT_TRUE(CostModel(graph, options).feasible(0, LayerState(1, Split::kInput)));
  options.even_channels = true;
  const CostModel even(graph, options);
  EXPECT_FALSE(even.feasible(0, LayerState(1, Split::kInput)));
  EXPECT_THAT(*even.infeasible_reason(0, LayerState(1, Split::kInput)),
              testing::HasSubstr("8 input channels cannot be cut into 3 equal parts"));
  EXPECT_TRUE(even.feasible(0, LayerState(1, Split::kOutput)));
}

TEST(SeveralGroups, ClusterFilesNameThem) {
  const std::string file =
      "accelerators = 12\n[[level]]\nhalvings = 2\nlink_bytes_per_second = 1e9\n"
      "[[level]]\ngroups = 3\nlink_bytes_per_second = 1e8\n";
  const Cluster cluster = parse_cluster_toml(file, "file");
  EXPECT_EQ(cluster.accelerators(), 12);
  EXPECT_EQ(cluster.levels[2].groups, 3);
  EXPECT_EQ(cluster.levels[2].bytes_per_second, 4e8);
  const auto refused = [](const std::string& level) {
    return message_of(
        [&] { (void)parse_cluster_toml("[[level]]\nbytes_per_second = 1e9\n" + level, "file"); });
  };
  EXPECT_THAT(refused("groups = 1\n"),
              testing::HasSubstr("groups must be a whole number in 2..65536"));
  EXPECT_THAT(refused("groups = 2.5\n"), testing::HasSubstr("groups must be a whole number"));
  EXPECT_THAT(refused("groups = 3\nhalvings = 2\n"), testing::HasSubstr("halvings or groups"));
  EXPECT_THAT(refused("groups = 3\ntopology = \"ring\"\n"),
              testing::HasSubstr("rings and tori join two groups a level"));
}

}  // namespace
}  // namespace taut::parallel
