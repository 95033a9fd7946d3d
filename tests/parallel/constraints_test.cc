// Plans under constraints against brute force, and what constraints are refused.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <variant>

#include "parallel/constraints.h"
#include "parallel/memory_search.h"
#include "parallel/random_models.h"
#include "parallel/search.h"
#include "support/error_matchers.h"
#include "taut/graph/zoo.h"
#include "taut/parallel/planner.h"

namespace taut::parallel {
namespace {

using test::error_of;
using test::IsError;

/// Whether a state of a node obeys a constraint, told anew.
bool obeys(const Constraint& constraint, const std::string& name, const LayerState& state) {
  if (!name_matches(constraint.layers, name)) return true;
  for (int level = 0; level < state.levels(); ++level) {
    if (constraint.level >= 0 && constraint.level != level) continue;
    if ((state.at(level) == constraint.split) == constraint.forbid) return false;
  }
  return true;
}

bool obeys(const std::vector<Constraint>& constraints, const graph::Graph& graph,
           const Plan& plan) {
  for (int v = 0; v < graph.size(); ++v) {
    for (const Constraint& one : constraints) {
      if (!obeys(one, graph.node(v).name, plan.states[v])) return false;
    }
  }
  return true;
}

std::vector<Constraint> random_constraints(Dice& dice, const graph::Graph& graph, int levels) {
  std::vector<Constraint> constraints;
  for (auto count = dice.in(1, 3); count > 0; --count) {
    const int node = static_cast<int>(dice.in(0, graph.size() - 1));
    Constraint one;
    one.forbid = !dice.once_in(3);
    one.layers = one.forbid && dice.once_in(3) ? "*" : graph.node(node).name;
    one.level = dice.once_in(2) ? -1 : static_cast<int>(dice.in(0, levels - 1));
    CostOptions free;
    free.levels = levels;
    const std::vector<Split> known = CostModel(graph, free).splits(node);
    one.split =
        known[static_cast<std::size_t>(dice.in(0, static_cast<std::int64_t>(known.size()) - 1))];
    constraints.push_back(one);
  }
  return constraints;
}

TEST(Constraints, SearchesFindTheBestOfThePlansThatObey) {
  int compared = 0;
  int without = 0;
  for (std::uint64_t seed = 1; compared < 600; ++seed) {
    Dice dice(seed);
    const int levels = static_cast<int>(dice.in(1, 3));
    const graph::Graph graph = dice.once_in(2)
                                   ? random_chain(dice, static_cast<int>(dice.in(1, 4)))
                                   : random_graph(dice, static_cast<int>(dice.in(3, 5)));
    CostOptions options;
    options.levels = levels;
    const CostModel free(graph, options);
    if (plan_count(free) > 3000) continue;
    options.constraints = random_constraints(dice, graph, levels);
    const CostModel model(graph, options);
    const LevelWeights weights = LevelWeights::words(levels);
    double least = std::numeric_limits<double>::infinity();
    double least_memory = least;
    for_every_plan(free, [&](const Plan& plan) {
      if (!obeys(options.constraints, graph, plan)) return;
      least = std::min(least, plan_cost(free, weights, plan));
      least_memory = std::min(least_memory, memory_bytes(free, plan));
    });
    ++compared;
    const std::optional<Found> found = JointSearch(model, weights).run();
    if (least == std::numeric_limits<double>::infinity()) {
      ++without;
      ASSERT_FALSE(found.has_value()) << "seed " << seed;
      Cluster cluster = hypar_cluster(1LL << levels);
      const PlanOutcome outcome = make_plan(graph, cluster, {.cost = options});
      ASSERT_TRUE(std::holds_alternative<NoPlan>(outcome)) << "seed " << seed;
      continue;
    }
    ASSERT_TRUE(found.has_value()) << "seed " << seed;
    ASSERT_TRUE(obeys(options.constraints, graph, found->plan)) << "seed " << seed;
    ASSERT_NEAR(found->cost, least, 1e-9 * least) << "seed " << seed;
    ASSERT_NEAR(least_memory_bytes(model), least_memory, 1e-9 * least_memory) << "seed " << seed;
    const Found deep = deep_search(model, weights, {});
    ASSERT_TRUE(obeys(options.constraints, graph, deep.plan)) << "seed " << seed;
    ASSERT_LE(deep.lower_bound, least * (1 + 1e-9)) << "seed " << seed;
    ASSERT_GE(deep.cost, least * (1 - 1e-9)) << "seed " << seed;
    if (const std::optional<Plan> greedy = greedy_plan(model, weights)) {
      ASSERT_TRUE(obeys(options.constraints, graph, *greedy)) << "seed " << seed;
    }
  }
  EXPECT_GT(without, 0);
}

TEST(Constraints, DeepArraysObeyThemAndNeverMoveLess) {
  const graph::Graph graph = graph::load_model("vgg-a");
  const Cluster cluster = hypar_cluster(256);
  PlanOptions options;
  const auto best = [&] { return std::get<Planned>(make_plan(graph, cluster, options)); };
  const double free = best().objective;
  for (const char* text : {"*=II", "fc*=III@3", "conv*=II"}) {
    options.cost.constraints = parse_constraint(text, /*forbid=*/true);
    const Planned planned = best();
    EXPECT_TRUE(obeys(options.cost.constraints, graph, planned.plan)) << text;
    EXPECT_GE(planned.objective, free) << text;
    EXPECT_LE(planned.lower_bound, planned.objective) << text;
  }
  options.cost.constraints = parse_constraint("fc1=II", /*forbid=*/false);
  const Planned fixed = best();
  EXPECT_TRUE(obeys(options.cost.constraints, graph, fixed.plan));
  const Planned again = evaluate_plan(graph, cluster, options, fixed.plan);
  EXPECT_EQ(again.objective, fixed.objective);
}

TEST(Constraints, NamesMatchWithStars) {
  EXPECT_TRUE(name_matches("*", ""));
  EXPECT_TRUE(name_matches("blocks.*.up", "blocks.12.up"));
  EXPECT_TRUE(name_matches("*a*b", "xaab"));
  EXPECT_FALSE(name_matches("blocks.*.up", "blocks.1.down"));
  EXPECT_FALSE(name_matches("fc", "fc1"));
}

TEST(Constraints, WhatIsWrittenIsReadOrNamed) {
  const std::vector<Constraint> listed = parse_constraint("a=b=I III", false);
  ASSERT_EQ(listed.size(), 2U);
  EXPECT_EQ(listed[1].layers, "a=b");
  EXPECT_EQ(listed[1].split, Split::kOutput);
  EXPECT_EQ(listed[1].level, 1);
  EXPECT_EQ(parse_constraint("II@4", true)[0].level, 3);
  EXPECT_EQ(parse_constraint("II@4", true)[0].layers, "*");
  const auto refused = [](const char* text, bool forbid, const char* said) {
    EXPECT_THAT(error_of([&] { (void)parse_constraint(text, forbid); }),
                IsError(ErrorKind::kConfig, said))
        << text;
  };
  refused("II", false, "names no layer");
  refused("fc=IV", false, "no type IV");
  refused("fc=I@0", false, "no level 0");
  refused("fc=I@x", false, "no level x");
  refused("fc=", true, "empty");
  refused("=I", false, "empty");
  refused("fc=I@1 II", false, "levels beside");
  const graph::Graph graph = graph::load_model("lenet-c");
  const auto impossible = [&](const char* text, const char* said) {
    CostOptions options;
    options.constraints = parse_constraint(text, false);
    EXPECT_THAT(error_of([&] { const CostModel model(graph, options); }),
                IsError(ErrorKind::kInvalidArgument, said))
        << text;
  };
  impossible("fc9=I", "no layer is called");
  impossible("loss=II", "split of layer loss");
  impossible("fc1=I@5", "level");
}

TEST(Constraints, APlanThatDoesNotFitIsRefused) {
  const graph::Graph graph = graph::load_model("lenet-c");
  PlanOptions options;
  const Cluster cluster = hypar_cluster(16);
  Plan plan{4, std::vector<LayerState>(static_cast<std::size_t>(graph.size()),
                                       LayerState(4, Split::kBatch))};
  EXPECT_GT(evaluate_plan(graph, cluster, options, plan).objective, 0);
  options.cost.constraints = parse_constraint("fc1=II", false);
  EXPECT_THAT(error_of([&] { (void)evaluate_plan(graph, cluster, options, plan); }),
              IsError(ErrorKind::kInvalidArgument, "constraints rule out I at level 1"));
}

}  // namespace
}  // namespace taut::parallel
