// Graphs that are too entangled to eliminate: densely connected networks, and any small graph with
// the limits of elimination taken away.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <ctime>
#include <limits>
#include <memory>
#include <type_traits>

#include "parallel/bounded_solver.h"
#include "parallel/expected.h"
#include "parallel/memory_search.h"
#include "parallel/random_models.h"
#include "parallel/search.h"
#include "taut/core/text.h"
#include "taut/graph/cost_graph.h"
#include "taut/graph/network_builder.h"
#include "taut/parallel/unequal.h"

namespace taut::parallel {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr SearchLimits kNone{.additions = 0, .entries = 0};

/// Every pair of nodes has an edge once in `sparsity`; costs of three kinds.
ChoiceGraph random_choices(Dice& dice, int nodes, int most_states, int sparsity) {
  ChoiceGraph graph;
  for (int v = 0; v < nodes; ++v) {
    Costs costs;
    for (auto s = dice.in(1, most_states); s > 0; --s) costs.push_back(10 * dice.uniform());
    graph.nodes.push_back(std::make_shared<const Costs>(std::move(costs)));
  }
  for (int a = 0; a < nodes; ++a) {
    for (int b = a + 1; b < nodes; ++b) {
      if (!dice.once_in(sparsity)) continue;
      Costs table;
      const auto kind = dice.in(1, 3);
      for (int i = 0; i < graph.states(a) * graph.states(b); ++i) {
        const bool agree = i / graph.states(b) == i % graph.states(b);
        const double free = kind == 1 ? 10 * dice.uniform() : 3 * dice.in(0, 1);
        table.push_back(kind == 3 ? (agree ? 0 : 5) : free);
      }
      graph.edges.push_back({a, b, std::make_shared<const Costs>(std::move(table))});
    }
  }
  return graph;
}

double least_of(const ChoiceGraph& graph) {
  std::vector<int> states(graph.nodes.size(), 0);
  double least = kInfinity;
  while (true) {
    least = std::min(least, cost_of(graph, states));
    std::size_t v = 0;
    while (v < states.size() && ++states[v] == graph.states(static_cast<int>(v))) states[v++] = 0;
    if (v == states.size()) return least;
  }
}

void expect_bounds(const BoundedChoice& found, double least, const ChoiceGraph& graph,
                   std::uint64_t seed) {
  const double slack = 1e-9 * (1 + least);
  ASSERT_LE(found.lower_bound, least + slack) << "seed " << seed;
  ASSERT_GE(found.choice.cost, least - slack) << "seed " << seed;
  ASSERT_NEAR(found.choice.cost, cost_of(graph, found.choice.states), slack) << "seed " << seed;
  if (found.optimal) {
    ASSERT_NEAR(found.choice.cost, least, slack) << "seed " << seed;
  }
}

TEST(BoundedSolver, BoundsBruteForceWhereNothingMayBeEliminated) {
  int optimal = 0;
  double found = 0;
  double best = 0;
  for (std::uint64_t seed = 1; seed <= 500; ++seed) {
    Dice dice(seed);
    const ChoiceGraph graph =
        random_choices(dice, static_cast<int>(dice.in(1, 7)), 4, static_cast<int>(dice.in(1, 2)));
    const double least = least_of(graph);
    const BoundedChoice choice = BoundedSolver(kNone).solve(graph);
    expect_bounds(choice, least, graph, seed);
    optimal += choice.optimal ? 1 : 0;
    found += choice.choice.cost;
    best += least;
  }
  EXPECT_GT(optimal, 250) << "the bound proves little";
  EXPECT_LT(found, 1.02 * best) << "the walks stray from the optimum";
}

TEST(BoundedSolver, IsExactWhereTheStatesThatAreLeftCanBeEliminated) {
  int exact = 0;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    Dice dice(seed);
    const ChoiceGraph graph = random_choices(dice, 6, 5, 1);
    const SearchLimits few{.additions = 300, .entries = 200};
    if (can_solve(graph, few)) continue;
    const BoundedChoice choice = BoundedSolver(few).solve(graph);
    expect_bounds(choice, least_of(graph), graph, seed);
    exact += choice.optimal ? 1 : 0;
  }
  EXPECT_GT(exact, 200);
}

TEST(BoundedSolver, AWarmStartBoundsOtherCosts) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    Dice dice(seed);
    ChoiceGraph graph = random_choices(dice, 6, 4, 1);
    BoundedSolver solver(kNone);
    (void)solver.solve(graph);
    for (SharedCosts& costs : graph.nodes) {
      Costs other = *costs;
      for (double& cost : other) cost = 10 * dice.uniform();
      costs = std::make_shared<const Costs>(std::move(other));
    }
    expect_bounds(solver.solve(graph, std::nullopt, 0.01), least_of(graph), graph, seed);
  }
}

TEST(BoundedSolver, NeverLosesAGivenStart) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    Dice dice(seed);
    const ChoiceGraph graph = random_choices(dice, 7, 4, 1);
    const Choice best = *solve(graph, {});
    const BoundedChoice found = BoundedSolver(kNone, 0).solve(graph, best.states);
    EXPECT_NEAR(found.choice.cost, best.cost, 1e-9) << "seed " << seed;
  }
}

TEST(BoundedSolver, SpendsNoMoreThanItMay) {
  Dice dice(3);
  const ChoiceGraph graph = random_choices(dice, 40, 27, 1);
  EXPECT_FALSE(can_solve(graph, {}));
  double entries = 0;
  for (const ChoiceGraph::Edge& edge : graph.edges) {
    entries += static_cast<double>(edge.table->size());
  }
  BoundedSolver solver({}, 1e7);
  const BoundedChoice found = solver.solve(graph);
  EXPECT_LT(found.lower_bound, found.choice.cost);
  EXPECT_GT(found.lower_bound, 0);
  // The last step may run over by its passes, its bound and one star.
  EXPECT_LT(solver.additions(), 1e7 + 12 * entries);
}

TEST(Elimination, KeepsToItsLimits) {
  Dice dice(5);
  const ChoiceGraph graph = random_choices(dice, 8, 4, 1);
  EXPECT_TRUE(solve(graph, {}));
  EXPECT_FALSE(solve(graph, {.additions = 100, .entries = 1e9}));
  EXPECT_FALSE(solve(graph, {.additions = 1e9, .entries = 100}));
}

/// Every layer reads all that were made before it, through a concatenation.
graph::Graph random_dense(Dice& dice, int layers) {
  std::vector<graph::Node> nodes = {random_node(dice, 0)};
  std::vector<graph::Edge> edges;
  std::vector<int> made = {0};
  for (int i = 1; i < layers; ++i) {
    graph::Node gather = random_node(dice, static_cast<int>(nodes.size()));
    gather.kind = graph::NodeKind::kElementwise;
    gather.grouped = false;
    gather.weights = 0;
    const int at = static_cast<int>(nodes.size());
    nodes.push_back(gather);
    for (const int from : made) edges.push_back(random_edge(dice, from, at));
    nodes.push_back(random_node(dice, at + 1));
    edges.push_back(random_edge(dice, at, at + 1));
    made.push_back(at + 1);
  }
  const int loss = static_cast<int>(nodes.size());
  nodes.push_back(loss_node());
  for (const int from : made) edges.push_back(random_edge(dice, from, loss));
  return graph::Graph("dense", nodes, edges);
}

TEST(DenseGraphs, PlansEqualBruteForceWithTablesAndBoundItWithout) {
  int checked = 0;
  for (std::uint64_t seed = 1; checked < 200; ++seed) {
    Dice dice(seed);
    const graph::Graph graph = random_dense(dice, static_cast<int>(dice.in(2, 4)));
    CostOptions options;
    options.levels = static_cast<int>(dice.in(1, 2));
    options.batch = 16;
    const std::array tables = {CostTable::kVolume, CostTable::kFig, CostTable::kPrinted};
    options.table = tables[static_cast<std::size_t>(dice.in(0, 2))];
    const CostModel model(graph, options);
    if (plan_count(model) > 20'000) continue;
    ++checked;
    const LevelWeights weights = LevelWeights::words(options.levels);
    double least = kInfinity;
    for_every_plan(
        model, [&](const Plan& plan) { least = std::min(least, plan_cost(model, weights, plan)); });
    const double slack = 1e-9 * least;
    const std::optional<Found> exact = JointSearch(model, weights).run();
    ASSERT_TRUE(exact && exact->optimal) << "seed " << seed;
    ASSERT_NEAR(exact->cost, least, slack) << "seed " << seed;
    const std::optional<Found> bounded = JointSearch(model, weights, {}, kNone).run();
    ASSERT_NO_THROW(model.check(bounded->plan)) << "seed " << seed;
    ASSERT_LE(bounded->lower_bound, least + slack) << "seed " << seed;
    ASSERT_GE(bounded->cost, least - slack) << "seed " << seed;
    ASSERT_NEAR(plan_cost(model, weights, bounded->plan), bounded->cost, slack) << "seed " << seed;
  }
}

TEST(DenseGraphs, AMemoryCapIsKeptAndBounded) {
  int checked = 0;
  for (std::uint64_t seed = 1; checked < 150; ++seed) {
    Dice dice(seed);
    const graph::Graph graph = random_dense(dice, static_cast<int>(dice.in(2, 4)));
    CostOptions options;
    options.levels = 1;
    options.batch = 8;
    const CostModel model(graph, options);
    if (plan_count(model) > 20'000) continue;
    ++checked;
    const LevelWeights weights = LevelWeights::words(1);
    const double smallest = least_memory_bytes(model) / 4;
    // Once in four nothing but the smallest plan fits.
    const double cap = smallest * (1 + (dice.once_in(4) ? 1e-12 : 0.3 * dice.uniform()));
    double best = kInfinity;
    for_every_plan(model, [&](const Plan& plan) {
      if (memory_bytes(model, plan) / 4 <= cap) {
        best = std::min(best, plan_cost(model, weights, plan));
      }
    });
    for (const SearchLimits& limits : {SearchLimits{}, kNone}) {
      JointSearch search(model, weights, {}, limits);
      const std::optional<Found> found = search_within(search, {}, cap);
      ASSERT_TRUE(found.has_value()) << "seed " << seed;
      ASSERT_LE(memory_bytes(model, found->plan) / 4, cap) << "seed " << seed;
      ASSERT_LE(found->lower_bound, best * (1 + 1e-9)) << "seed " << seed;
      ASSERT_GE(found->cost, best * (1 - 1e-9)) << "seed " << seed;
      if (found->optimal) {
        ASSERT_NEAR(found->cost, best, 1e-9 * best) << "seed " << seed;
      }
    }
  }
}

/// A block of convolutions that each read all before them, on small images.
graph::Graph dense_block(int layers) {
  graph::NetworkBuilder net("dense", {3, 8, 8});
  int x = net.conv("c0", graph::kNetworkInput, 16, {3, 1, 1});
  std::vector<int> made = {x};
  for (int i = 1; i <= layers; ++i) {
    made.push_back(net.activation(concat("r", i), net.conv(concat("c", i), x, 16, {3, 1, 1})));
    x = net.concat(concat("cat", i), made);
  }
  net.fully_connected("fc", net.global_mean("mean", x), 10);
  return graph::cost_graph(net.finish());
}

/// Seconds of this thread's processor.
double processor_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(NDEBUG)
constexpr double kMostSeconds = 60;
#else
constexpr double kMostSeconds = 2;
#endif

TEST(DenseGraphs, BlocksOfAnyDepthArePlannedInTime) {
  for (const int layers : {5, 10, 24, 48}) {
    const graph::Graph graph = dense_block(layers);
    for (const int accelerators : {4, 16, 64}) {
      const PlanOptions options = plan_options(Method::kExact, CostTable::kVolume, 64);
      const double start = processor_seconds();
      const Planned found = planned(graph, hypar_cluster(accelerators), options);
      EXPECT_LT(processor_seconds() - start, kMostSeconds) << layers << " on " << accelerators;
      EXPECT_LT(found.objective, 1.02 * found.lower_bound) << layers << " on " << accelerators;
    }
  }
}

TEST(DenseGraphs, DenseNet121IsPlannedInTimeByEveryMethodAndTable) {
  const graph::Graph graph = graph::load_model("densenet-121");
  const Cluster cluster = hypar_cluster(16);
  for (const CostTable table : {CostTable::kVolume, CostTable::kFig, CostTable::kPrinted}) {
    for (const auto& [name, method] : spellings(std::type_identity<Method>())) {
      PlanOptions options = plan_options(method, table, 64);
      if (method == Method::kModel && table == CostTable::kVolume) continue;  // 3 input channels
      const double start = processor_seconds();
      const Planned found = planned(graph, cluster, options);
      EXPECT_LT(processor_seconds() - start, kMostSeconds) << name;
      if (method != Method::kExact) continue;
      EXPECT_TRUE(found.optimal) << to_string(table) << ": " << found.guarantee;
      EXPECT_EQ(found.objective, found.lower_bound);
    }
  }
}

TEST(DenseGraphs, DenseNet121IsPlannedWithinAMemoryCap) {
  const graph::Graph graph = graph::load_model("densenet-121");
  const Cluster cluster = hypar_cluster(16);
  PlanOptions options = plan_options(Method::kExact, CostTable::kVolume, 64);
  const CostModel model(graph, cost_options(cluster, options));
  const double free_bytes = memory_bytes(model, planned(graph, cluster, options).plan);
  const double least = least_memory_bytes(model);
  ASSERT_LT(least, 0.9 * free_bytes);
  double before = kInfinity;
  for (const double share : {0.0, 0.1, 0.5, 0.9}) {
    options.memory_cap_bytes = std::ceil(least + share * (free_bytes - least));
    const double start = processor_seconds();
    const Planned found = planned(graph, cluster, options);
    EXPECT_LT(processor_seconds() - start, kMostSeconds);
    EXPECT_LE(memory_bytes(model, found.plan), options.memory_cap_bytes);
    EXPECT_LT(found.objective, 1.5 * found.lower_bound) << share << ": " << found.guarantee;
    EXPECT_LE(found.lower_bound, before);
    before = found.objective;
  }
  options.memory_cap_bytes = 0.9 * least;
  const PlanOutcome outcome = make_plan(graph, cluster, options);
  ASSERT_TRUE(std::holds_alternative<NoPlan>(outcome));
  EXPECT_EQ(std::get<NoPlan>(outcome).least_memory_bytes, least);
}

TEST(DenseGraphs, ADeepBlockIsPlannedWithinAMemoryCap) {
  // So many boundaries that a search may pass them a few times only.
  const graph::Graph graph = dense_block(100);
  const Cluster cluster = hypar_cluster(16);
  PlanOptions options = plan_options(Method::kExact, CostTable::kVolume, 64);
  options.memory_cap_bytes =
      1.15 * least_memory_bytes(CostModel(graph, cost_options(cluster, options)));
  const double start = processor_seconds();
  const Planned found = planned(graph, cluster, options);
  EXPECT_LT(processor_seconds() - start, kMostSeconds);
  EXPECT_LT(found.objective, 1.1 * found.lower_bound) << found.guarantee;
}

TEST(DenseGraphs, DenseNet121IsPlannedForOverlapAndForUnequalHalves) {
  const graph::Graph graph = graph::load_model("densenet-121");
  const Cluster cluster = hypar_cluster(16);
  PlanOptions options = plan_options(Method::kExact, CostTable::kVolume, 64);
  options.objective = Objective::kOverlap;
  double start = processor_seconds();
  const Planned found = planned(graph, cluster, options);
  EXPECT_LT(processor_seconds() - start, kMostSeconds);
  EXPECT_LE(found.lower_bound, found.objective);
  EXPECT_LT(found.objective, 1.02 * found.lower_bound);

  options.objective = Objective::kSeconds;
  UnequalOptions unequal;
  unequal.share_step = 0.1;
  start = processor_seconds();
  const UnequalPlan plan = plan_unequal(graph, cluster, unequal, options);
  EXPECT_LT(processor_seconds() - start, kMostSeconds);
  EXPECT_LE(plan.lower_bound, plan.seconds);
  EXPECT_LT(plan.seconds, 1.02 * plan.lower_bound);
}

TEST(DenseGraphs, TheSameCallGivesTheSameBoundedPlan) {
  const graph::Graph graph = graph::load_model("densenet-121");
  const Cluster cluster = hypar_cluster(64);
  const PlanOptions options = plan_options(Method::kExact, CostTable::kVolume, 64);
  const Planned first = planned(graph, cluster, options);
  const Planned second = planned(graph, cluster, options);
  EXPECT_EQ(first.plan, second.plan);
  EXPECT_EQ(first.lower_bound, second.lower_bound);
}

}  // namespace
}  // namespace taut::parallel
