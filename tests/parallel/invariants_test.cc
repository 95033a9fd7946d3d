// What must hold for every model, plan and array: the whole planner against all plans, the event
// queue against a plain one, and laws of conservation and order.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "parallel/event_queue.h"
#include "parallel/expected.h"
#include "parallel/random_models.h"
#include "taut/core/error.h"
#include "taut/parallel/simulator.h"

namespace taut::parallel {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kRounding = 1e-9;  // sums of some thousand terms in another order

Cluster random_cluster(Dice& dice, int levels) {
  Cluster cluster = hypar_cluster(1 << levels);
  cluster.accelerator.macs_per_second = std::pow(10, 5 + 2 * dice.uniform());
  for (Level& level : cluster.levels) {
    level.bytes_per_second = std::pow(10, 3 + 3 * dice.uniform());
    level.latency_seconds = dice.once_in(2) ? 0 : 0.01 * dice.uniform();
    level.topology = static_cast<Topology>(dice.in(0, 2));
  }
  return cluster;
}

graph::Graph any_graph(Dice& dice, int most_layers) {
  const int layers = static_cast<int>(dice.in(2, most_layers));
  const auto kind = dice.in(1, 3);
  if (kind == 1) return random_chain(dice, layers);
  return kind == 2 ? random_series_parallel(dice, layers) : random_graph(dice, layers);
}

Plan random_plan(Dice& dice, const CostModel& model) {
  Plan plan{model.levels(), {}};
  for (int v = 0; v < model.graph().size(); ++v) {
    const std::vector<LayerState> states = model.states(v);
    plan.states.push_back(
        states[static_cast<std::size_t>(dice.in(0, static_cast<std::int64_t>(states.size()) - 1))]);
  }
  return plan;
}

// The objective of a plan, from what is reported of it.
double objective_of(const CostModel& model, const Cluster& cluster, Objective objective,
                    const Plan& plan) {
  if (objective == Objective::kWords) return total_words(model, plan);
  const StepTime time = step_time(model, cluster, plan);
  return objective == Objective::kSeconds ? time.communication_seconds : time.overlapped_seconds;
}

TEST(Planner, FindsTheBestOfAllPlansForEveryObjectiveAndCap) {
  int checked = 0;
  int without = 0;
  int proven = 0;
  for (std::uint64_t seed = 1; checked < 500; ++seed) {
    Dice dice(seed);
    const int levels = static_cast<int>(dice.in(1, 3));
    const graph::Graph graph = any_graph(dice, 6);
    const Cluster cluster = random_cluster(dice, levels);
    PlanOptions options;
    options.objective = static_cast<Objective>(dice.in(0, 2));
    options.cost.batch = (std::int64_t{1} << levels) * dice.in(1, 8);
    options.cost.types = static_cast<int>(dice.in(2, 3));
    options.cost.raw_sums = dice.once_in(3);
    options.cost.density = dice.once_in(2) ? 1 : 0.05 + 0.9 * dice.uniform();
    const CostModel model(graph, cost_options(cluster, options));
    if (plan_count(model) > 3000) continue;
    ++checked;
    SCOPED_TRACE(testing::Message() << "seed " << seed << ", " << to_string(options.objective));
    const double least_memory = least_memory_bytes(model);
    if (options.objective != Objective::kOverlap && dice.once_in(2)) {
      options.table_bytes = static_cast<double>(dice.in(0, 1000));
      options.memory_cap_bytes = options.table_bytes + least_memory * (0.9 + 0.6 * dice.uniform());
    }
    const double cap =
        options.memory_cap_bytes > 0 ? options.memory_cap_bytes - options.table_bytes : kInfinity;
    double best = kInfinity;
    double least_seen = kInfinity;
    for_every_plan(model, [&](const Plan& plan) {
      const double memory = memory_bytes(model, plan);
      least_seen = std::min(least_seen, memory);
      if (memory > cap) return;
      best = std::min(best, objective_of(model, cluster, options.objective, plan));
    });
    ASSERT_NEAR(least_seen, least_memory, kRounding * least_memory);
    const PlanOutcome outcome = make_plan(graph, cluster, options);
    if (const auto* none = std::get_if<NoPlan>(&outcome)) {
      ++without;
      ASSERT_EQ(best, kInfinity) << none->reason;
      ASSERT_NEAR(none->least_memory_bytes, least_memory + options.table_bytes,
                  kRounding * least_memory);
      ASSERT_FALSE(none->reason.empty());
      continue;
    }
    const Planned& found = std::get<Planned>(outcome);
    ASSERT_NO_THROW(model.check(found.plan));
    ASSERT_LE(memory_bytes(model, found.plan), cap * (1 + kRounding));
    const double value = objective_of(model, cluster, options.objective, found.plan);
    ASSERT_NEAR(found.objective, value, kRounding * value);
    ASSERT_GE(value, best * (1 - kRounding));
    ASSERT_LE(found.lower_bound, best * (1 + kRounding));
    if (found.optimal) {
      ++proven;
      ASSERT_NEAR(value, best, kRounding * best);
    }
  }
  EXPECT_GT(without, 10);
  EXPECT_GT(proven, 300);
}

TEST(Planner, NoMethodBeatsTheExactOneAndFixedOnesAreWhatTheySay) {
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    SCOPED_TRACE(seed);
    Dice dice(seed);
    const int levels = static_cast<int>(dice.in(1, 3));
    const graph::Graph graph = random_chain(dice, static_cast<int>(dice.in(2, 7)));
    const Cluster cluster = random_cluster(dice, levels);
    PlanOptions options;
    options.objective = dice.once_in(2) ? Objective::kWords : Objective::kSeconds;
    options.cost.batch = 64;
    const CostModel model(graph, cost_options(cluster, options));
    const double exact = planned(graph, cluster, options).objective;
    for (const Method method :
         {Method::kHypar, Method::kGreedy, Method::kData, Method::kModel, Method::kTrick}) {
      options.method = method;
      const PlanOutcome outcome = make_plan(graph, cluster, options);
      const auto* found = std::get_if<Planned>(&outcome);
      if (found == nullptr) continue;  // a dimension that cannot be cut so often
      EXPECT_GE(found->objective, exact * (1 - kRounding)) << to_string(method);
      for (int v = 0; v < graph.size(); ++v) {
        const LayerState& state = found->plan.states[static_cast<std::size_t>(v)];
        if (graph.node(v).kind != graph::NodeKind::kWeighted) continue;
        if (method == Method::kData) {
          EXPECT_EQ(state.count(Split::kBatch), levels);
        }
        if (method == Method::kHypar) {
          EXPECT_EQ(state.count(Split::kOutput), 0);
        }
      }
    }
  }
}

TEST(StepTime, FasterLinksAndAcceleratorsNeverMakeAnyPlanSlower) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    Dice dice(seed);
    const int levels = static_cast<int>(dice.in(1, 4));
    const graph::Graph graph = any_graph(dice, 9);
    CostOptions cost;
    cost.levels = levels;
    cost.batch = 64;
    cost.table = static_cast<CostTable>(dice.in(0, 2));
    const CostModel model(graph, cost);
    const Cluster cluster = random_cluster(dice, levels);
    const Plan plan = random_plan(dice, model);
    const StepTime base = step_time(model, cluster, plan);
    EXPECT_NEAR(base.serial_seconds, base.compute_seconds + base.communication_seconds,
                kRounding * base.serial_seconds);
    EXPECT_LE(base.gradient_seconds, base.communication_seconds * (1 + kRounding));
    EXPECT_LE(base.overlapped_seconds, base.serial_seconds * (1 + kRounding));
    EXPECT_GE(base.overlapped_seconds * (1 + kRounding),
              base.compute_seconds + base.communication_seconds - base.gradient_seconds);
    const double simulated = simulate(model, cluster, plan).seconds;
    for (int change = 0; change <= 2 * levels; ++change) {
      Cluster faster = cluster;
      Level& level = faster.levels[static_cast<std::size_t>(change % levels)];
      if (change == 2 * levels) {
        faster.accelerator.macs_per_second *= 1 + dice.uniform();
      } else if (change < levels) {
        level.bytes_per_second *= 1 + 3 * dice.uniform();
      } else {
        level.latency_seconds *= dice.uniform();
      }
      const StepTime now = step_time(model, faster, plan);
      EXPECT_LE(now.serial_seconds, base.serial_seconds * (1 + kRounding)) << change;
      EXPECT_LE(now.overlapped_seconds, base.overlapped_seconds * (1 + kRounding)) << change;
      EXPECT_LE(simulate(model, faster, plan).seconds, simulated * (1 + kRounding)) << change;
    }
  }
}

TEST(Report, PartsAddUpToTheWhole) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    Dice dice(seed);
    const int levels = static_cast<int>(dice.in(1, 4));
    const graph::Graph graph = any_graph(dice, 9);
    CostOptions cost;
    cost.levels = levels;
    cost.batch = 64;
    const CostModel model(graph, cost);
    const Cluster cluster = random_cluster(dice, levels);
    const Plan plan = random_plan(dice, model);
    const PlanReport whole = report(model, cluster, plan);
    const Traffic traffic = model.traffic(plan);
    EXPECT_EQ(whole.traffic.words, traffic.words);
    double words = 0;
    double seconds = 0;
    double memory = 0;
    std::vector<double> by_level(static_cast<std::size_t>(levels), 0.0);
    for (const LayerCost& layer : whole.layers) {
      words += layer.gradient_words + layer.boundary_words;
      seconds += layer.communication_seconds + layer.compute_seconds;
      memory += layer.memory_bytes;
      for (std::size_t level = 0; level < by_level.size(); ++level) {
        by_level[level] += layer.words_by_level[level];
      }
    }
    EXPECT_NEAR(words, whole.words, kRounding * whole.words);
    EXPECT_NEAR(seconds, whole.time.serial_seconds, kRounding * whole.time.serial_seconds);
    EXPECT_NEAR(memory, whole.memory_bytes, kRounding * whole.memory_bytes);
    std::vector<double> listed(by_level.size(), 0.0);
    for (const Redistribution& one : model.redistributions(plan)) {
      EXPECT_GE(one.words, 0);
      listed[static_cast<std::size_t>(one.level)] += one.words;
    }
    for (std::size_t level = 0; level < by_level.size(); ++level) {
      EXPECT_NEAR(by_level[level], traffic.words[level], kRounding * (1 + traffic.words[level]));
      EXPECT_NEAR(listed[level], traffic.words[level], kRounding * (1 + traffic.words[level]));
    }
  }
}

TEST(Simulator, ConservesWordsAndWorkWhateverItsOrder) {
  for (std::uint64_t seed = 1; seed <= 120; ++seed) {
    SCOPED_TRACE(seed);
    Dice dice(seed);
    const int levels = static_cast<int>(dice.in(1, 3));
    const graph::Graph graph = any_graph(dice, 7);
    CostOptions cost;
    cost.levels = levels;
    cost.batch = 64;
    const CostModel model(graph, cost);
    Cluster cluster = random_cluster(dice, levels);
    if (dice.once_in(2)) cluster.accelerator.dram_bytes_per_second = 1e5;
    const Plan plan = random_plan(dice, model);
    const Traffic traffic = model.traffic(plan);
    const StepTime time = step_time(model, cluster, plan);
    for (int choice = 0; choice < 8; ++choice) {
      SimulateOptions options{.overlap = (choice & 1) != 0,
                              .links = (choice & 2) != 0 ? LinkUse::kLevels : LinkUse::kPort,
                              .every_accelerator = (choice & 4) != 0};
      const Simulation step = simulate(model, cluster, plan, options);
      const int accelerators = step.simulated_accelerators;
      ASSERT_EQ(accelerators, options.every_accelerator ? cluster.accelerators() : 1);
      std::vector<double> words(static_cast<std::size_t>(levels), 0.0);
      double compute = 0;
      double last = 0;
      double start = 0;
      for (const SimulatedSpan& span : step.spans) {
        ASSERT_GE(span.start_seconds, start) << "spans are not in order";
        start = span.start_seconds;
        ASSERT_GE(span.seconds, 0);
        last = std::max(last, span.start_seconds + span.seconds);
        if (span.level >= 0) {
          const double groups = options.every_accelerator ? 1 : 1 << span.level;
          words[static_cast<std::size_t>(span.level)] += span.words * groups;
        } else if (span.kind != SimulatedSpan::Kind::kDram) {
          compute += span.seconds;
        }
      }
      EXPECT_NEAR(last, step.seconds, kRounding * step.seconds);
      const double wanted = time.compute_seconds * accelerators;
      EXPECT_GE(compute * (1 + kRounding), wanted);
      if (cluster.accelerator.dram_bytes_per_second == 0) {  // else layers may wait for it
        EXPECT_NEAR(compute, wanted, kRounding * wanted);
      }
      for (std::size_t level = 0; level < words.size(); ++level) {
        EXPECT_NEAR(step.level_words[level], traffic.words[level],
                    kRounding * (1 + traffic.words[level]));
        EXPECT_NEAR(words[level], traffic.words[level], kRounding * (1 + traffic.words[level]))
            << "level " << level << ", choice " << choice;
        EXPECT_LE(step.level_busy_seconds[level], step.seconds * (1 + kRounding));
      }
      EXPECT_LE(step.compute_busy_seconds, step.seconds * (1 + kRounding));
    }
  }
}

// The rules of the event queue, followed in small steps of equal length: all times are whole.
std::vector<TaskSpan> plain_run(const std::vector<Task>& tasks) {
  std::vector<int> left;
  for (const Task& task : tasks) left.push_back(static_cast<int>(task.seconds));
  std::vector<bool> done(tasks.size(), false);
  std::vector<bool> running(tasks.size(), false);
  std::vector<TaskSpan> spans;
  const auto meet = [&](std::size_t a, std::size_t b) {
    return tasks[a].pool >= 0 && tasks[a].pool == tasks[b].pool && tasks[a].first < tasks[b].last &&
           tasks[b].first < tasks[a].last;
  };
  for (int now = 0; std::find(done.begin(), done.end(), false) != done.end() && now < 100000;) {
    const auto waits = [&](std::size_t i) {
      return std::any_of(tasks[i].after.begin(), tasks[i].after.end(),
                         [&](int before) { return !done[static_cast<std::size_t>(before)]; });
    };
    for (const bool background : {false, true}) {
      for (std::size_t i = 0; i < tasks.size(); ++i) {
        if (tasks[i].background != background || done[i] || running[i] || waits(i)) continue;
        bool free = true;
        for (std::size_t other = 0; other < tasks.size(); ++other) {
          if (running[other] && meet(i, other) && (background || !tasks[other].background)) {
            free = false;
          }
        }
        if (!free) continue;
        for (std::size_t other = 0; other < tasks.size(); ++other) {
          if (running[other] && meet(i, other)) running[other] = false;  // gives way
        }
        running[i] = true;
      }
    }
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      if (!running[i]) continue;
      const bool goes_on = !spans.empty() && std::any_of(spans.begin(), spans.end(), [&](auto& s) {
        return s.task == static_cast<int>(i) && s.start + s.seconds == now;
      });
      if (goes_on) {
        for (TaskSpan& span : spans) {
          if (span.task == static_cast<int>(i) && span.start + span.seconds == now) ++span.seconds;
        }
      } else {
        spans.push_back({static_cast<int>(i), static_cast<double>(now), 1});
      }
      if (--left[i] == 0) {
        done[i] = true;
        running[i] = false;
      }
    }
    ++now;
  }
  return spans;
}

TEST(EventQueue, FollowsItsRulesAsAPlainClockDoes) {
  for (std::uint64_t seed = 1; seed <= 500; ++seed) {
    SCOPED_TRACE(seed);
    Dice dice(seed);
    std::vector<Task> tasks(static_cast<std::size_t>(dice.in(1, 14)));
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      Task& task = tasks[i];
      task.seconds = static_cast<double>(dice.in(1, 9));
      task.background = dice.once_in(3);
      task.pool = static_cast<int>(dice.in(-1, 1));
      task.first = static_cast<int>(dice.in(0, 3));
      task.last = task.first + static_cast<int>(dice.in(1, 3));
      std::set<int> after;
      for (std::int64_t n = i == 0 ? 0 : dice.in(0, 2); n > 0; --n) {
        after.insert(static_cast<int>(dice.in(0, static_cast<std::int64_t>(i) - 1)));
      }
      task.after.assign(after.begin(), after.end());
    }
    // Spans of a task that touch are one for this comparison.
    const auto by_task = [](std::vector<TaskSpan> spans) {
      std::map<int, std::vector<std::pair<double, double>>> all;
      for (const TaskSpan& span : spans) {
        auto& of_task = all[span.task];
        if (!of_task.empty() && of_task.back().second == span.start) {
          of_task.back().second += span.seconds;
        } else {
          of_task.emplace_back(span.start, span.start + span.seconds);
        }
      }
      return all;
    };
    const std::vector<TaskSpan> spans = run_tasks(tasks);
    const auto got = by_task(spans);
    ASSERT_EQ(got, by_task(plain_run(tasks)));
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      double sum = 0;
      for (const auto& [start, end] : got.at(static_cast<int>(i))) sum += end - start;
      ASSERT_EQ(sum, tasks[i].seconds);
      for (const int before : tasks[i].after) {
        ASSERT_LE(got.at(before).back().second, got.at(static_cast<int>(i)).front().first);
      }
    }
  }
}

}  // namespace
}  // namespace taut::parallel
