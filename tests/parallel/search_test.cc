// The searches against brute force and against each other, on random models. Seeds are printed.
#include <gtest/gtest.h>
#include <cmath>
#include <limits>

#include "parallel/expected.h"
#include "parallel/memory_search.h"
#include "parallel/overlap_search.h"
#include "parallel/random_models.h"
#include "parallel/search.h"

namespace taut::parallel {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

CostOptions random_options(Dice& dice, int levels) {
  CostOptions options;
  options.levels = levels;
  options.batch = (std::int64_t{1} << levels) * dice.in(1, 8);
  options.types = static_cast<int>(dice.in(2, 3));
  options.raw_sums = dice.once_in(3);
  options.density = dice.once_in(2) ? 1 : 0.05 + 0.9 * dice.uniform();
  const auto table = dice.in(1, 4);
  if (table == 1) options.table = CostTable::kFig;
  if (table == 2) options.table = CostTable::kPrinted;
  return options;
}

LevelWeights random_weights(Dice& dice, int levels) {
  LevelWeights weights = LevelWeights::words(levels);
  if (dice.once_in(2)) return weights;
  for (int level = 0; level < levels; ++level) {
    weights.per_word[level] = 0.1 + dice.uniform();
    weights.per_message[level] = dice.once_in(2) ? 0 : 1000 * dice.uniform();
  }
  return weights;
}

double brute_force(const CostModel& model, const LevelWeights& weights) {
  double least = kInfinity;
  for_every_plan(
      model, [&](const Plan& plan) { least = std::min(least, plan_cost(model, weights, plan)); });
  return least;
}

/// Joint search must give the least cost of all plans, and the cost of the plan that it returns.
template <typename MakeGraph>
void compare_with_brute_force(int cases, std::uint64_t first_seed, MakeGraph make, double most) {
  int checked = 0;
  for (std::uint64_t seed = first_seed; checked < cases; ++seed) {
    Dice dice(seed);
    const int levels = static_cast<int>(dice.in(1, 3));
    const graph::Graph graph = make(dice);
    const CostModel model(graph, random_options(dice, levels));
    const LevelWeights weights = random_weights(dice, levels);
    if (plan_count(model) > most) continue;
    ++checked;
    const std::optional<Found> found = JointSearch(model, weights).run();
    ASSERT_TRUE(found.has_value()) << "seed " << seed;
    ASSERT_NO_THROW(model.check(found->plan)) << "seed " << seed;
    const double least = brute_force(model, weights);
    ASSERT_NEAR(found->cost, least, 1e-9 * least) << "seed " << seed;
    ASSERT_NEAR(plan_cost(model, weights, found->plan), found->cost, 1e-9 * least)
        << "seed " << seed;
    const double greedy = plan_cost(model, weights, greedy_plan(model, weights).value());
    ASSERT_GE(greedy, least * (1 - 1e-12)) << "seed " << seed;
  }
}

TEST(JointSearch, EqualsBruteForceOnRandomChains) {
  compare_with_brute_force(
      2500, 1, [](Dice& dice) { return random_chain(dice, static_cast<int>(dice.in(1, 4))); },
      3000);
}

TEST(JointSearch, EqualsBruteForceOnRandomSeriesParallelGraphs) {
  compare_with_brute_force(
      2500, 100'000,
      [](Dice& dice) { return random_series_parallel(dice, static_cast<int>(dice.in(2, 6))); },
      3000);
}

TEST(JointSearch, EqualsBruteForceOnAnyRandomGraph) {
  compare_with_brute_force(
      1000, 200'000, [](Dice& dice) { return random_graph(dice, static_cast<int>(dice.in(4, 7))); },
      3000);
}

TEST(JointSearch, EqualsBruteForceOnThePublishedNetworks) {
  // All 16^4 plans of two types at H 4, all 9^4 plans of three types at H 2.
  for (const std::string name : {"sconv", "lenet-c"}) {
    const graph::Graph graph = graph::load_model(name);
    CostOptions options;
    options.types = 2;
    for (const CostTable table : {CostTable::kFig, CostTable::kVolume}) {
      options.table = table;
      const CostModel model(graph, options);
      const LevelWeights weights = LevelWeights::words(4);
      EXPECT_EQ(JointSearch(model, weights).run()->cost, brute_force(model, weights)) << name;
    }
  }
  const graph::Graph graph = graph::load_model("lenet-c");
  CostOptions options;
  options.levels = 2;
  const CostModel model(graph, options);
  const LevelWeights weights = LevelWeights::words(2);
  EXPECT_EQ(JointSearch(model, weights).run()->cost, 1'038'520);
  EXPECT_EQ(brute_force(model, weights), 1'038'520);
}

TEST(DeepSearch, EqualsTheTablesOnRandomChains) {
  // Equal levels, and levels in groups of equal cost: exact on every chain.
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    Dice dice(seed);
    const int levels = static_cast<int>(dice.in(1, 4));
    const graph::Graph graph = random_chain(dice, static_cast<int>(dice.in(1, 8)));
    CostOptions options = random_options(dice, levels);
    options.table = CostTable::kVolume;
    const CostModel model(graph, options);
    const LevelWeights weights = random_weights(dice, levels);
    const Found deep = deep_search(model, weights, {});
    const std::optional<Found> exact = JointSearch(model, weights).run();
    ASSERT_TRUE(deep.optimal) << "seed " << seed;
    ASSERT_NEAR(deep.cost, exact->cost, 1e-9 * exact->cost) << "seed " << seed;
    ASSERT_NEAR(deep.cost, plan_cost(model, weights, deep.plan), 1e-9 * exact->cost)
        << "seed " << seed;
    ASSERT_NO_THROW(model.check(deep.plan)) << "seed " << seed;
  }
}

TEST(DeepSearch, BoundsTheTablesOnRandomGraphs) {
  double worst = 1;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    Dice dice(seed);
    const int levels = static_cast<int>(dice.in(2, 4));
    const graph::Graph graph = random_series_parallel(dice, static_cast<int>(dice.in(3, 10)));
    CostOptions options = random_options(dice, levels);
    options.table = CostTable::kVolume;
    const CostModel model(graph, options);
    const LevelWeights weights = random_weights(dice, levels);
    const Found deep = deep_search(model, weights, {});
    const double exact = JointSearch(model, weights).run()->cost;
    ASSERT_LE(deep.lower_bound, exact * (1 + 1e-9)) << "seed " << seed;
    ASSERT_GE(deep.cost, exact * (1 - 1e-9)) << "seed " << seed;
    if (deep.optimal) {
      ASSERT_NEAR(deep.cost, exact, 1e-9 * exact) << "seed " << seed;
    }
    worst = std::max(worst, deep.cost / exact);
  }
  EXPECT_LT(worst, 1.25) << "the local search strays from the optimum";
}

TEST(DeepSearch, BoundsTheTablesWhereAllLevelsDiffer) {
  // 3^6 states are more than the groups may have, so levels of different cost are joined.
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    Dice dice(seed);
    const int levels = 6;
    const graph::Graph graph = random_chain(dice, static_cast<int>(dice.in(2, 3)));
    CostOptions options = random_options(dice, levels);
    options.table = CostTable::kVolume;
    const CostModel model(graph, options);
    LevelWeights weights = LevelWeights::words(levels);
    for (double& weight : weights.per_word) weight = 0.5 + dice.uniform();
    const Found deep = deep_search(model, weights, {});
    const std::optional<Found> exact = JointSearch(model, weights).run();
    ASSERT_TRUE(exact && exact->optimal) << "seed " << seed;
    ASSERT_LE(deep.lower_bound, exact->cost * (1 + 1e-9)) << "seed " << seed;
    ASSERT_GE(deep.cost, exact->cost * (1 - 1e-9)) << "seed " << seed;
    EXPECT_LT(deep.cost, 1.25 * exact->cost) << "seed " << seed;
  }
}

TEST(MemoryCap, EqualsBruteForceOnRandomChains) {
  int checked = 0;
  for (std::uint64_t seed = 1; checked < 400; ++seed) {
    Dice dice(seed);
    const int levels = static_cast<int>(dice.in(1, 2));
    const graph::Graph graph = random_chain(dice, static_cast<int>(dice.in(2, 5)));
    const CostModel model(graph, random_options(dice, levels));
    if (plan_count(model) > 20'000) continue;
    ++checked;
    const LevelWeights weights = random_weights(dice, levels);
    const double least = least_memory_bytes(model) / 4;
    const Plan dp{levels, std::vector<LayerState>(graph.size(), LayerState(levels, Split::kBatch))};
    const double cap = least + dice.uniform() * (memory_bytes(model, dp) / 4 - least);
    double best = kInfinity;
    double least_seen = kInfinity;
    for_every_plan(model, [&](const Plan& plan) {
      const double memory = memory_bytes(model, plan) / 4;
      least_seen = std::min(least_seen, memory);
      if (memory <= cap) best = std::min(best, plan_cost(model, weights, plan));
    });
    ASSERT_NEAR(least_seen, least, 1e-9 * least) << "seed " << seed;
    JointSearch search(model, weights);
    const std::optional<Found> found = search_within(search, {}, cap);
    ASSERT_TRUE(found && found->optimal) << "seed " << seed;
    ASSERT_NEAR(found->cost, best, 1e-9 * best) << "seed " << seed;
    ASSERT_LE(memory_bytes(model, found->plan) / 4, cap) << "seed " << seed;
  }
}

TEST(MemoryCap, BoundsBruteForceOnRandomGraphs) {
  int checked = 0;
  for (std::uint64_t seed = 5000; checked < 200; ++seed) {
    Dice dice(seed);
    const graph::Graph graph = random_series_parallel(dice, static_cast<int>(dice.in(3, 6)));
    const CostModel model(graph, random_options(dice, 1));
    if (plan_count(model) > 20'000) continue;
    ++checked;
    const LevelWeights weights = LevelWeights::words(1);
    const double least = least_memory_bytes(model) / 4;
    const double cap = least * (1 + 0.3 * dice.uniform());
    double best = kInfinity;
    for_every_plan(model, [&](const Plan& plan) {
      if (memory_bytes(model, plan) / 4 <= cap) {
        best = std::min(best, plan_cost(model, weights, plan));
      }
    });
    JointSearch search(model, weights);
    const std::optional<Found> found = search_within(search, {}, cap);
    ASSERT_TRUE(found.has_value()) << "seed " << seed;
    ASSERT_LE(found->lower_bound, best * (1 + 1e-9)) << "seed " << seed;
    ASSERT_GE(found->cost, best * (1 - 1e-9)) << "seed " << seed;
    ASSERT_LE(memory_bytes(model, found->plan) / 4, cap) << "seed " << seed;
    if (found->optimal) {
      ASSERT_NEAR(found->cost, best, 1e-9 * best) << "seed " << seed;
    }
  }
}

template <typename MakeGraph>
void compare_overlap(int cases, std::uint64_t first_seed, MakeGraph make, bool exact) {
  int checked = 0;
  for (std::uint64_t seed = first_seed; checked < cases; ++seed) {
    Dice dice(seed);
    const int levels = static_cast<int>(dice.in(1, 2));
    const graph::Graph graph = make(dice);
    CostOptions cost = random_options(dice, levels);
    const CostModel model(graph, cost);
    if (plan_count(model) > 3000) continue;
    ++checked;
    Cluster cluster = hypar_cluster(1 << levels);
    cluster.accelerator.macs_per_second = 1e6;
    for (Level& level : cluster.levels) {
      level.bytes_per_second = std::pow(10, 3 + 3 * dice.uniform());
      level.latency_seconds = dice.once_in(2) ? 0 : 0.1 * dice.uniform();
    }
    LevelWeights weights = LevelWeights::words(levels);
    for (int level = 0; level < levels; ++level) {
      weights.per_word[level] = cluster.seconds_per_word(level);
      weights.per_message[level] = cluster.levels[level].latency_seconds;
    }
    double best = kInfinity;
    for_every_plan(model, [&](const Plan& plan) {
      best = std::min(best, step_time(model, cluster, plan).overlapped_seconds);
    });
    const Planned found = overlap_plan(model, cluster, weights);
    ASSERT_LE(found.lower_bound, best * (1 + 1e-9)) << "seed " << seed;
    ASSERT_GE(found.objective, best * (1 - 1e-9)) << "seed " << seed;
    if (exact) {
      ASSERT_NEAR(found.objective, best, 1e-9 * best) << "seed " << seed;
    }
  }
}

TEST(Overlap, EqualsBruteForceOnRandomChains) {
  compare_overlap(
      300, 1, [](Dice& dice) { return random_chain(dice, static_cast<int>(dice.in(1, 4))); }, true);
}

TEST(Overlap, BoundsBruteForceOnRandomGraphs) {
  compare_overlap(
      200, 9000,
      [](Dice& dice) { return random_series_parallel(dice, static_cast<int>(dice.in(3, 6))); },
      false);
}

TEST(Properties, MoreBandwidthMoreTypesAndFewerWinnersNeverCostMore) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    Dice dice(seed);
    const graph::Graph graph = random_series_parallel(dice, static_cast<int>(dice.in(3, 9)));
    Cluster cluster = hypar_cluster(1 << dice.in(1, 3));
    PlanOptions options;
    options.cost.batch = 64;
    options.cost.density = 0.02 + 0.98 * dice.uniform();
    const auto seconds = [&](const Cluster& at, const PlanOptions& with) {
      return planned(graph, at, with).objective;
    };
    const double base = seconds(cluster, options);
    Cluster faster = cluster;
    faster.levels[dice.in(0, cluster.depth() - 1)].bytes_per_second *= 1 + dice.uniform();
    EXPECT_LE(seconds(faster, options), base * (1 + 1e-12)) << "seed " << seed;
    PlanOptions two = options;
    two.cost.types = 2;
    EXPECT_GE(seconds(cluster, two), base * (1 - 1e-12)) << "seed " << seed;
    PlanOptions sparser = options;
    sparser.cost.density *= dice.uniform();
    EXPECT_LE(seconds(cluster, sparser), base * (1 + 1e-12)) << "seed " << seed;
    options.method = Method::kGreedy;
    EXPECT_GE(seconds(cluster, options), base * (1 - 1e-12)) << "seed " << seed;
  }
}

TEST(Properties, TheSameCallGivesTheSamePlan) {
  const graph::Graph graph = graph::load_model("resnet-50");
  const Cluster cluster = hypar_cluster(16);
  const PlanOptions options = plan_options(Method::kExact, CostTable::kVolume, 32);
  EXPECT_EQ(planned(graph, cluster, options).plan, planned(graph, cluster, options).plan);
}

TEST(Properties, AmongPlansOfEqualWordsTheSmallestIsTaken) {
  const graph::Graph graph = graph::load_model("lenet-c");
  CostOptions cost;
  cost.levels = 2;
  const CostModel model(graph, cost);
  const PlanOptions options = plan_options(Method::kExact, CostTable::kVolume, 256);
  const Planned found = planned(graph, hypar_cluster(4), options);
  double least = kInfinity;
  for_every_plan(model, [&](const Plan& plan) {
    if (total_words(model, plan) == found.objective)
      least = std::min(least, memory_bytes(model, plan));
  });
  EXPECT_EQ(memory_bytes(model, found.plan), least);
}

TEST(Properties, RunnersUpAreTheBestOtherStates) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    Dice dice(seed);
    const graph::Graph graph = random_series_parallel(dice, 5);
    const Cluster cluster = hypar_cluster(4);
    PlanOptions options = plan_options(Method::kExact, CostTable::kVolume, 8);
    const CostModel model(graph, cost_options(cluster, options));
    const Plan plan = planned(graph, cluster, options).plan;
    const auto runners = runners_up(model, cluster, Objective::kWords, plan);
    const double base = total_words(model, plan);
    for (int v = 0; v < graph.size(); ++v) {
      double least = kInfinity;
      for (const LayerState& state : model.states(v)) {
        Plan other = plan;
        other.states[v] = state;
        if (state != plan.states[v]) least = std::min(least, total_words(model, other) - base);
      }
      ASSERT_EQ(runners[v].has_value(), least < kInfinity) << "seed " << seed;
      if (runners[v]) {
        EXPECT_NEAR(runners[v]->extra, least, 1e-9 * base) << "seed " << seed;
      }
    }
  }
}

}  // namespace
}  // namespace taut::parallel
