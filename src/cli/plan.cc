// taut plan MODEL: which layer is split how at which level, what it costs, and why.
#include <algorithm>
#include <iostream>
#include <memory>
#include <optional>
#include <utility>

#include "cli/planning.h"
#include "parallel/plan_file.h"
#include "taut/core/text.h"
#include "taut/core/units.h"
#include "taut/parallel/step_time.h"
#include "taut/parallel/unequal.h"

namespace taut::cli {
namespace {

using nlohmann::json;

struct PlanCommandOptions {
  PlanningOptions planning;
  bool redistributions = false;
  double fast_compute = 0;  ///< > 0: half of the accelerators are so much faster
  double fast_links = 1;
  std::string given;  ///< --evaluate FILE
};

/// One method's plan and what it costs.
struct Planned {
  std::string method;  ///< "given" of a plan from a file
  parallel::Planned plan;
  parallel::CostOptions cost;
  parallel::PlanReport report;
};

Planned cost_of(const Planning& planning, parallel::Method method, parallel::Planned plan) {
  parallel::PlanOptions options = planning.options;
  options.method = method;
  const parallel::CostOptions cost = parallel::cost_options(planning.cluster, options);
  const parallel::CostModel model(planning.graph, cost);
  parallel::PlanReport report = parallel::report(model, planning.cluster, plan.plan);
  return {std::string(to_string(method)), std::move(plan), cost, std::move(report)};
}

/// What a constraint adds to the objective, all others kept.
struct ConstraintCost {
  std::string text;
  double extra = 0;  ///< words or seconds
};

std::string constraint_text(const parallel::Constraint& constraint) {
  std::string text =
      concat(constraint.forbid ? "not " : "", constraint.layers, "=", to_string(constraint.split));
  return constraint.level < 0 ? text : concat(text, "@", constraint.level + 1);
}

/// By how much each constraint raises what the method reaches, all others kept; first of all, what
/// all of them together add. The first kMostPriced are looked at.
std::vector<ConstraintCost> constraint_costs(const Planning& planning, const Planned& one) {
  constexpr std::size_t kMostPriced = 16;
  const std::vector<parallel::Constraint>& all = planning.options.cost.constraints;
  std::vector<ConstraintCost> costs;
  const auto price = [&](std::string text, std::vector<parallel::Constraint> kept) {
    Planning freer = planning;
    freer.options.cost.constraints = std::move(kept);
    const parallel::PlanOutcome outcome = plan_with(freer, parallel::parse_method(one.method));
    if (const auto* found = std::get_if<parallel::Planned>(&outcome)) {
      costs.push_back({std::move(text), one.plan.objective - found->objective});
    }
  };
  if (all.empty()) return costs;
  price("all", {});
  for (std::size_t i = 0; all.size() > 1 && i < std::min(all.size(), kMostPriced); ++i) {
    std::vector<parallel::Constraint> kept = all;
    kept.erase(kept.begin() + static_cast<std::ptrdiff_t>(i));
    price(constraint_text(all[i]), std::move(kept));
  }
  return costs;
}

double table_seconds(const Planning& planning) {
  return planning.tables.seconds;
}

double table_bytes(const Planning& planning) {
  double words = 0;
  for (const double level : planning.tables.words_by_level) words += level;
  return 4 * words;
}

/// By how much of the bound a plan may be off at most; null without a bound.
json gap(double objective, double lower_bound) {
  return lower_bound > 0 ? json(objective / lower_bound - 1) : json(nullptr);
}

json summary(const Planning& planning, const Planned& one) {
  return {
      {"method", one.method},
      {"bytes_per_step", one.report.bytes() + table_bytes(planning)},
      {"seconds_per_step", one.report.time.serial_seconds + table_seconds(planning)},
      {"seconds_per_step_overlapped", one.report.time.overlapped_seconds + table_seconds(planning)},
      {"compute_seconds", one.report.time.compute_seconds},
      {"communication_seconds", one.report.time.communication_seconds},
      {"joules_per_step", one.report.energy.total()},
      {"memory_bytes", one.report.memory_bytes + planning.tables.largest_bytes},
      {"objective", one.plan.objective},
      {"lower_bound", one.plan.lower_bound},
      {"gap", gap(one.plan.objective, one.plan.lower_bound)},
      {"optimal", one.plan.optimal},
      {"guarantee", one.plan.guarantee}};
}

std::vector<std::optional<parallel::RunnerUp>> runners_of(const Planning& planning,
                                                          const Planned& one) {
  const parallel::CostModel model(planning.graph, one.cost);
  return parallel::runners_up(model, planning.cluster, planning.options.objective, one.plan.plan);
}

bool counts_words(const Planning& planning) {
  return planning.options.objective == parallel::Objective::kWords;
}

json layers_json(const Planning& planning, const Planned& one) {
  const auto runners = runners_of(planning, one);
  json layers = json::array();
  for (const parallel::LayerCost& layer : one.report.layers) {
    const graph::Node& node = planning.graph.node(layer.node);
    json entry = {{"name", node.name},
                  {"op", node.op},
                  {"splits", parallel::splits_json(one.plan.plan.states[layer.node])},
                  {"inside_bytes", 4 * layer.gradient_words},
                  {"boundary_bytes", 4 * layer.boundary_words},
                  {"communication_seconds", layer.communication_seconds},
                  {"compute_seconds", layer.compute_seconds},
                  {"memory_bytes", layer.memory_bytes}};
    if (one.cost.memory.sharding == parallel::Sharding::kByLayer) {
      entry["gathers"] = one.plan.plan.states[layer.node].gathers();
    }
    for (const double words : layer.words_by_level) entry["bytes_by_level"].push_back(4 * words);
    if (const auto& runner = runners[layer.node]) {
      const bool words = counts_words(planning);
      entry["runner_up"] = {
          {"splits", parallel::splits_json(runner->state)},
          {words ? "extra_bytes" : "extra_seconds", words ? 4 * runner->extra : runner->extra}};
    }
    layers.push_back(std::move(entry));
  }
  return layers;
}

json levels_json(const Planning& planning, const Planned& one) {
  json levels = json::array();
  for (int level = 0; level < planning.cluster.depth(); ++level) {
    const double words = one.report.traffic.words[level];
    levels.push_back({{"name", planning.cluster.levels[level].name},
                      {"topology", to_string(planning.cluster.levels[level].topology)},
                      {"groups", planning.cluster.levels[level].groups},
                      {"bytes", 4 * words},
                      {"table_exchange_bytes", 4 * planning.tables.words_by_level[level]},
                      {"seconds", words * planning.cluster.seconds_per_word(level) +
                                      one.report.traffic.messages[level] *
                                          planning.cluster.levels[level].latency_seconds}});
  }
  return levels;
}

json redistributions_json(const Planning& planning, const Planned& one) {
  using What = parallel::Redistribution::What;
  const parallel::CostModel model(planning.graph, one.cost);
  json list = json::array();
  for (const parallel::Redistribution& move : model.redistributions(one.plan.plan)) {
    json entry = {{"tensor", move.what == What::kFeature ? "feature"
                             : move.what == What::kError ? "error"
                                                         : "gradient"},
                  {"collective", to_string(move.collective)},
                  {"layer", planning.graph.node(move.node).name},
                  {"level", move.level + 1},
                  {"bytes", move.bytes()}};
    if (move.reader >= 0) entry["reader"] = planning.graph.node(move.reader).name;
    list.push_back(std::move(entry));
  }
  return list;
}

json tables_json(const Planning& planning) {
  json tables = {{"bytes", planning.tables.total_bytes},
                 {"largest_accelerator_bytes", planning.tables.largest_bytes},
                 {"exchange_bytes_per_step", table_bytes(planning)},
                 {"exchange_seconds", planning.tables.seconds}};
  for (std::size_t t = 0; t < planning.tables.accelerator.size(); ++t) {
    tables["accelerator"][planning.graph.tables()[t].name] = planning.tables.accelerator[t];
  }
  return tables;
}

/// More of what is minimized, "+2.15 ms", or less of it, "-2.15 ms".
std::string extra_text(const Planning& planning, double extra) {
  const std::string text = counts_words(planning) ? bytes_text(4 * extra) : seconds_text(extra);
  return text.starts_with('-') ? text : "+" + text;
}

/// The other state and what it would add.
std::string runner_text(const Planning& planning, const parallel::RunnerUp& runner) {
  return concat(split_text(runner.state), " ", extra_text(planning, runner.extra));
}

void print_layers(const Planning& planning, const Planned& one) {
  const auto runners = runners_of(planning, one);
  std::vector<std::vector<std::string>> rows = {
      {"layer", "split H1..H" + std::to_string(planning.cluster.depth()), "inside", "boundary",
       "exchange", "compute", "memory", "runner-up (others kept)"}};
  for (const parallel::LayerCost& layer : one.report.layers) {
    const auto& runner = runners[layer.node];
    rows.push_back({planning.graph.node(layer.node).name,
                    split_text(one.plan.plan.states[layer.node]),
                    bytes_text(4 * layer.gradient_words), bytes_text(4 * layer.boundary_words),
                    seconds_text(layer.communication_seconds), seconds_text(layer.compute_seconds),
                    bytes_text(layer.memory_bytes),
                    runner ? runner_text(planning, *runner) : std::string("-")});
  }
  std::cout << aligned_table(rows);
}

/// An exact search that gave a bound.
bool ended_early(const Planned& one) {
  return one.method == to_string(parallel::Method::kExact) && !one.plan.optimal;
}

void print_methods(const Planning& planning, const std::vector<Planned>& plans) {
  std::vector<std::vector<std::string>> rows = {
      {"method", "guarantee", "bytes/step", "seconds/step", "overlapped", "joules", "memory"}};
  for (const Planned& one : plans) {
    rows.push_back({one.method, one.plan.guarantee,
                    bytes_text(one.report.bytes() + table_bytes(planning)),
                    seconds_text(one.report.time.serial_seconds + table_seconds(planning)),
                    seconds_text(one.report.time.overlapped_seconds + table_seconds(planning)),
                    concat(one.report.energy.total()),
                    bytes_text(one.report.memory_bytes + planning.tables.largest_bytes)});
  }
  std::cout << aligned_table(rows);
  if (std::any_of(plans.begin(), plans.end(), ended_early)) {
    std::cout << "\na search ends at " << parallel::kSearchAdditions << " additions and "
              << format_bytes({static_cast<std::int64_t>(parallel::kSearchTableBytes)})
              << " of tables; what it has not proven by then is said as a bound\n";
  }
}

json constraints_json(const Planning& planning, const std::vector<ConstraintCost>& costs) {
  const bool words = counts_words(planning);
  json list = json::array();
  for (const ConstraintCost& one : costs) {
    list.push_back({{"constraint", one.text},
                    {words ? "extra_bytes" : "extra_seconds", words ? 4 * one.extra : one.extra}});
  }
  return list;
}

void print_constraints(const Planning& planning, const std::vector<ConstraintCost>& costs) {
  std::vector<std::vector<std::string>> rows = {{"constraint", "adds"}};
  for (const ConstraintCost& one : costs) {
    rows.push_back({one.text, extra_text(planning, one.extra)});
  }
  std::cout << "\n" << aligned_table(rows);
}

void print(const Planning& planning, const std::vector<Planned>& plans) {
  std::cout << planning.graph.name() << ", batch " << planning.options.cost.batch << ", "
            << planning.cluster.accelerators() << " accelerators (" << planning.cluster.name
            << "), cost " << to_string(planning.options.cost.table) << ", objective "
            << to_string(planning.options.objective) << "\n\n";
  print_layers(planning, plans.front());
  std::cout << "\n";
  print_methods(planning, plans);
  if (!planning.graph.tables().empty()) {
    std::cout << "\ntables: " << bytes_text(planning.tables.total_bytes) << ", at most "
              << bytes_text(planning.tables.largest_bytes) << " on an accelerator; exchange "
              << bytes_text(table_bytes(planning)) << " a step\n";
  }
}

Outcome plan_unequal(const Planning& planning, const PlanCommandOptions& options, bool quiet) {
  const parallel::UnequalOptions unequal{.compute_ratio = options.fast_compute,
                                         .link_ratio = options.fast_links};
  const parallel::UnequalPlan best =
      parallel::plan_unequal(planning.graph, planning.cluster, unequal, planning.options);
  json result = {{"model", planning.graph.name()},
                 {"slow_share", best.slow_share},
                 {"seconds_per_step", best.seconds},
                 {"lower_bound", best.lower_bound},
                 {"gap", gap(best.seconds, best.lower_bound)},
                 {"layers", parallel::layers_json(planning.graph, best.plan)}};
  std::vector<std::vector<std::string>> rows = {{"layer", "split"}};
  for (int v = 0; v < planning.graph.size(); ++v) {
    rows.push_back({planning.graph.node(v).name, split_text(best.plan.states[v])});
  }
  if (!quiet) {
    std::cout << aligned_table(rows) << "\nslow half takes " << best.slow_share << " of the work, "
              << seconds_text(best.seconds) << " a step (no share tried can take less than "
              << seconds_text(best.lower_bound) << ")" << std::endl;
  }
  return {result, 0};
}

Outcome run(const PlanCommandOptions& options, const Globals& globals) {
  const Planning planning = read_planning(options.planning, globals);
  if (options.fast_compute > 0) return plan_unequal(planning, options, globals.json);
  std::vector<Planned> plans;
  if (!options.given.empty()) {
    plans.push_back(
        cost_of(planning, planning.methods.front(),
                parallel::evaluate_plan(
                    planning.graph, planning.cluster, planning.options,
                    parallel::read_plan(options.given, planning.graph, planning.cluster.depth()))));
    plans.back().method = "given";
  }
  std::optional<parallel::NoPlan> first_failure;
  json failures = json::array();
  for (const parallel::Method method : planning.methods) {
    parallel::PlanOutcome outcome = plan_with(planning, method);
    if (auto* found = std::get_if<parallel::Planned>(&outcome)) {
      plans.push_back(cost_of(planning, method, std::move(*found)));
      continue;
    }
    const auto& none = std::get<parallel::NoPlan>(outcome);
    if (!first_failure) first_failure = none;
    failures.push_back({{"method", to_string(method)}, {"reason", none.reason}});
    if (planning.methods.size() > 1) std::cerr << none.reason << std::endl;
  }
  if (plans.empty()) return no_plan(*first_failure);
  const std::vector<ConstraintCost> priced = options.given.empty()
                                                 ? constraint_costs(planning, plans.front())
                                                 : std::vector<ConstraintCost>();
  if (!globals.json) {
    print(planning, plans);
    if (!priced.empty()) print_constraints(planning, priced);
    std::cout << std::flush;
  }

  json result = summary(planning, plans.front());
  result["model"] = planning.graph.name();
  result["batch"] = planning.options.cost.batch;
  result["accelerators"] = planning.cluster.accelerators();
  result["cluster"] = planning.cluster.name;
  result["cost"] = to_string(planning.options.cost.table);
  result["objective_name"] = to_string(planning.options.objective);
  result["replicate"] = plans.front().cost.replicate;
  const parallel::TrainingMemory& memory = planning.options.cost.memory;
  result["training"] = {{"optimizer", spelling_of(memory.optimizer)},
                        {"shard", spelling_of(memory.sharding)},
                        {"precision", spelling_of(memory.precision)},
                        {"recompute", spelling_of(memory.recompute)},
                        {"accumulate", memory.accumulate}};
  result["search_limits"] = {{"additions", parallel::kSearchAdditions},
                             {"table_bytes", parallel::kSearchTableBytes}};
  result["levels"] = levels_json(planning, plans.front());
  for (const parallel::Level& level : planning.cluster.levels) {
    result["factors"].push_back(level.groups);
  }
  result["layers"] = layers_json(planning, plans.front());
  for (const Planned& one : plans) result["methods"].push_back(summary(planning, one));
  if (!priced.empty()) result["constraints"] = constraints_json(planning, priced);
  if (!failures.empty()) result["methods_without_plan"] = failures;
  if (!planning.graph.tables().empty()) result["tables"] = tables_json(planning);
  if (options.redistributions) {
    result["redistributions"] = redistributions_json(planning, plans.front());
  }
  return {result, 0};
}

}  // namespace

Command add_plan(CLI::App& root, const Globals& globals) {
  CLI::App* app = root.add_subcommand("plan", "Split each layer over an array of accelerators");
  auto options = std::make_shared<PlanCommandOptions>();
  add_planning_options(*app, options->planning);
  app->add_flag("--redistributions", options->redistributions,
                "With --json: list every movement with its predicted bytes");
  app->add_option(
      "--evaluate", options->given,
      "A plan's file, as --json prints it: what it costs, beside the plans of --method");
  app->add_option("--fast-compute", options->fast_compute,
                  "Half of the accelerators compute so many times faster; finds their share");
  app->add_option("--fast-links", options->fast_links,
                  "Bandwidth inside the fast half over that of the slow one")
      ->capture_default_str();
  return {app, [options, &globals] { return run(*options, globals); }};
}

}  // namespace taut::cli
