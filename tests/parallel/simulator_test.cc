// The simulator against the closed form, and what only it can show.
#include <gtest/gtest.h>
#include <cmath>

#include "parallel/event_queue.h"
#include "parallel/expected.h"
#include "parallel/random_models.h"
#include "taut/core/error.h"
#include "taut/parallel/simulator.h"

namespace taut::parallel {
namespace {

constexpr double kRounding = 1e-9;  // sums of some thousand terms in another order

Cluster random_cluster(Dice& dice, int levels) {
  Cluster cluster = hypar_cluster(1 << levels);
  cluster.accelerator.macs_per_second = 1e6;
  for (Level& level : cluster.levels) {
    level.bytes_per_second = std::pow(10, 3 + 3 * dice.uniform());
    level.latency_seconds = dice.once_in(2) ? 0 : 0.01 * dice.uniform();
    level.topology = static_cast<Topology>(dice.in(0, 2));
  }
  return cluster;
}

Plan random_plan(Dice& dice, const CostModel& model) {
  Plan plan{model.levels(), {}};
  for (int v = 0; v < model.graph().size(); ++v) {
    const std::vector<LayerState> states = model.states(v);
    plan.states.push_back(states[dice.in(0, static_cast<std::int64_t>(states.size()) - 1)]);
  }
  return plan;
}

CostOptions options_of(Dice& dice, int levels) {
  CostOptions options;
  options.levels = levels;
  options.batch = 32;
  options.table = static_cast<CostTable>(dice.in(0, 2));
  return options;
}

TEST(Simulator, EqualsTheClosedFormOnChains) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    Dice dice(seed);
    const int levels = static_cast<int>(dice.in(1, 4));
    const graph::Graph graph = random_chain(dice, static_cast<int>(dice.in(1, 7)));
    const CostModel model(graph, options_of(dice, levels));
    const Cluster cluster = random_cluster(dice, levels);
    const Plan plan = random_plan(dice, model);
    const StepTime time = step_time(model, cluster, plan);
    for (const bool every : {false, true}) {
      const Simulation serial = simulate(model, cluster, plan, {.every_accelerator = every});
      EXPECT_NEAR(serial.seconds, time.serial_seconds, kRounding * time.serial_seconds)
          << "seed " << seed;
      const Simulation overlapped =
          simulate(model, cluster, plan, {.overlap = true, .every_accelerator = every});
      EXPECT_NEAR(overlapped.seconds, time.overlapped_seconds, kRounding * time.overlapped_seconds)
          << "seed " << seed;
      const Traffic traffic = model.traffic(plan);
      for (int level = 0; level < levels; ++level) {
        EXPECT_NEAR(overlapped.level_words[level], traffic.words[level],
                    kRounding * traffic.words[level]);
      }
      const StepEnergy energy = step_energy(model, cluster, plan);
      EXPECT_NEAR(serial.energy.total(), energy.total(), kRounding * energy.total());
      EXPECT_NEAR(serial.energy.link_joules, energy.link_joules, kRounding * energy.total());
      EXPECT_NEAR(serial.energy.dram_joules, energy.dram_joules, kRounding * energy.total());
    }
  }
}

TEST(Simulator, NeverExceedsTheClosedFormOnGraphs) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    Dice dice(seed);
    const graph::Graph graph = random_series_parallel(dice, static_cast<int>(dice.in(3, 9)));
    const CostModel model(graph, options_of(dice, 3));
    const Cluster cluster = random_cluster(dice, 3);
    const Plan plan = random_plan(dice, model);
    const StepTime time = step_time(model, cluster, plan);
    const Simulation serial = simulate(model, cluster, plan);
    EXPECT_NEAR(serial.seconds, time.serial_seconds, kRounding * time.serial_seconds);
    const double overlapped = simulate(model, cluster, plan, {.overlap = true}).seconds;
    EXPECT_LE(overlapped, time.overlapped_seconds * (1 + kRounding)) << "seed " << seed;
    const double side_by_side =
        simulate(model, cluster, plan, {.overlap = true, .links = LinkUse::kLevels}).seconds;
    EXPECT_LE(side_by_side, overlapped * (1 + kRounding)) << "seed " << seed;
    EXPECT_GE(side_by_side, time.compute_seconds * (1 - kRounding)) << "seed " << seed;
  }
}

TEST(Simulator, OneAcceleratorStandsForAllEqualOnes) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    Dice dice(seed);
    const graph::Graph graph = random_series_parallel(dice, 6);
    const CostModel model(graph, options_of(dice, 3));
    const Cluster cluster = random_cluster(dice, 3);
    const Plan plan = random_plan(dice, model);
    for (const LinkUse links : {LinkUse::kPort, LinkUse::kLevels}) {
      SimulateOptions options{.overlap = true, .links = links};
      const double one = simulate(model, cluster, plan, options).seconds;
      options.every_accelerator = true;
      const double all = simulate(model, cluster, plan, options).seconds;
      EXPECT_NEAR(all, one, kRounding * one) << "seed " << seed;
    }
  }
}

TEST(Simulator, ASlowAcceleratorHoldsUpItsGroups) {
  const graph::Graph graph = graph::load_model("lenet-c");
  const Cluster cluster = hypar_cluster(8);
  CostOptions cost;
  cost.levels = 3;
  const CostModel model(graph, cost);
  const Plan plan =
      planned(graph, cluster, plan_options(Method::kExact, CostTable::kVolume, 256)).plan;
  SimulateOptions options{.every_accelerator = true};
  const double equal = simulate(model, cluster, plan, options).seconds;
  options.speeds = std::vector<double>(8, 1);
  options.speeds[5] = 0.5;
  const double slowed = simulate(model, cluster, plan, options).seconds;
  const double compute = step_time(model, cluster, plan).compute_seconds;
  EXPECT_NEAR(slowed, equal + compute, 1e-9) << "all wait for the one that takes twice as long";
}

TEST(Simulator, DramLimitsLayersThatComputeLittle) {
  const graph::Graph graph = graph::load_model("sfc");
  Cluster cluster = hypar_cluster(4);
  CostOptions cost;
  cost.levels = 2;
  const CostModel model(graph, cost);
  const Plan dp{2, std::vector<LayerState>(graph.size(), LayerState(2, Split::kBatch))};
  const double fast = simulate(model, cluster, dp).seconds;
  cluster.accelerator.dram_bytes_per_second = 1e9;
  const Simulation slow = simulate(model, cluster, dp);
  EXPECT_GT(slow.seconds, fast);
  double dram = 0;
  for (const SimulatedSpan& span : slow.spans) {
    if (span.kind == SimulatedSpan::Kind::kDram) dram += span.seconds;
  }
  EXPECT_NEAR(slow.compute_busy_seconds,
              std::max(dram, step_time(model, cluster, dp).compute_seconds), 0.2 * dram);
}

TEST(Simulator, SpansOfOneResourceDoNotMeet) {
  const graph::Graph graph = graph::load_model("resnet-18");
  const Cluster cluster = hypar_cluster(8);
  CostOptions cost;
  cost.levels = 3;
  const CostModel model(graph, cost);
  const Plan plan =
      planned(graph, cluster, plan_options(Method::kExact, CostTable::kVolume, 32)).plan;
  const Simulation step =
      simulate(model, cluster, plan, {.overlap = true, .every_accelerator = true});
  std::vector<double> port_free(8, 0);
  std::vector<double> compute_free(8, 0);
  for (const SimulatedSpan& span : step.spans) {
    const int size = span.level < 0 ? 1 : 8 >> span.level;
    auto& free = span.level < 0 ? compute_free : port_free;
    for (int a = span.accelerator; a < span.accelerator + size; ++a) {
      EXPECT_GE(span.start_seconds, free[a] - 1e-12);
      free[a] = span.start_seconds + span.seconds;
    }
  }
}

TEST(Simulator, RefusesWhatDoesNotFit) {
  const graph::Graph graph = graph::load_model("lenet-c");
  CostOptions cost;
  cost.levels = 2;
  const CostModel model(graph, cost);
  const Plan dp{2, std::vector<LayerState>(graph.size(), LayerState(2, Split::kBatch))};
  const Cluster cluster = hypar_cluster(4);
  EXPECT_THROW((void)simulate(model, hypar_cluster(8), dp), Error);
  EXPECT_THROW((void)simulate(model, cluster, dp, {.every_accelerator = true, .speeds = {1, 1}}),
               Error);
  EXPECT_THROW(
      (void)simulate(model, cluster, dp, {.every_accelerator = true, .speeds = {1, 1, 0, 1}}),
      Error);
  EXPECT_THROW((void)simulate(model, cluster, {2, {}}), Error);
}

TEST(EventQueue, BackgroundTasksGiveWayAndGoOn) {
  const std::vector<Task> tasks = {
      {.seconds = 10, .background = true, .pool = 0, .first = 0, .last = 2},
      {.seconds = 4},
      {.seconds = 3, .pool = 0, .first = 1, .last = 2, .after = {1}},
  };
  const std::vector<TaskSpan> spans = run_tasks(tasks);
  ASSERT_EQ(spans.size(), 4u);
  EXPECT_EQ(spans[0].seconds, 4);  // the background task until the exchange
  EXPECT_EQ(spans[2].start, 4);    // the exchange
  EXPECT_EQ(spans[3].start, 7);    // the rest of the background task
  EXPECT_EQ(spans[3].seconds, 6);
}

TEST(Trace, IsJsonWithATrackForEachAcceleratorAndLink) {
  const graph::Graph graph = graph::load_model("lenet-c");
  const Cluster cluster = hypar_cluster(4);
  CostOptions cost;
  cost.levels = 2;
  const CostModel model(graph, cost);
  const Plan dp{2, std::vector<LayerState>(graph.size(), LayerState(2, Split::kBatch))};
  const Simulation step =
      simulate(model, cluster, dp, {.overlap = true, .every_accelerator = true});
  const nlohmann::json trace = nlohmann::json::parse(chrome_trace(model, cluster, step));
  int compute_tracks = 0;
  int link_tracks = 0;
  double end = 0;
  for (const nlohmann::json& event : trace["traceEvents"]) {
    if (event["name"] == "thread_name") {
      (event["pid"] == 3 ? link_tracks : compute_tracks) += 1;
    } else if (event["ph"] == "X") {
      end = std::max(end, event["ts"].get<double>() + event["dur"].get<double>());
    }
  }
  EXPECT_EQ(compute_tracks, 4);
  EXPECT_EQ(link_tracks, 3);
  EXPECT_NEAR(end, 1e6 * step.seconds, 1e-6 * end);
}

/// The busiest link of a ring when all pairs of a level send at once, by routing each message.
double routed_ring(int levels, int level) {
  const int size = 1 << levels;
  const int distance = size >> (level + 1);
  std::vector<double> load(size, 0);  // link i joins i and i + 1
  for (int a = 0; a < size; ++a) {
    const int b = a ^ distance;
    if (level == 0) {  // both ways are equally long: half of the words each
      for (int i = 0; i < size; ++i) load[i] += 0.5;
      continue;
    }
    for (int i = std::min(a, b); i < std::max(a, b); ++i) load[i] += 1;
  }
  return *std::max_element(load.begin(), load.end());
}

TEST(Cluster, CongestionOfRingsAndToriIsThatOfRoutedMessages) {
  for (int levels = 1; levels <= 6; ++levels) {
    Cluster ring = hypar_cluster(1 << levels, Topology::kRing);
    Cluster torus = hypar_cluster(1 << levels, Topology::kTorus);
    const int along_x = (levels + 1) / 2;
    for (int level = 0; level < levels; ++level) {
      EXPECT_EQ(ring.congestion(level), routed_ring(levels, level));
      EXPECT_EQ(torus.congestion(level), level < along_x
                                             ? routed_ring(along_x, level)
                                             : routed_ring(levels - along_x, level - along_x));
    }
  }
  EXPECT_EQ(hypar_cluster(16, Topology::kTorus).congestion(0), 2);
  EXPECT_EQ(hypar_cluster(16).congestion(0), 1);
}

}  // namespace
}  // namespace taut::parallel
