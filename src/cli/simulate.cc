// taut simulate MODEL: a step of the plan, event by event.
#include <iostream>
#include <map>
#include <memory>

#include "cli/planning.h"
#include "parallel/plan_file.h"
#include "taut/core/error.h"
#include "taut/core/file.h"
#include "taut/core/spelling.h"
#include "taut/core/text.h"
#include "taut/parallel/simulator.h"

namespace taut::cli {
namespace {

using nlohmann::json;

struct SimulateCommandOptions {
  PlanningOptions planning;
  bool overlap = false;
  std::string links = "port";
  std::string trace;
  std::vector<double> speeds;
};

/// Traces show each accelerator up to this many; above, one stands for all.
constexpr int kMostShownAccelerators = 16;

/// Seconds and words of one layer in a simulated step, by what they were spent on.
struct LayerSpent {
  std::map<std::string, double> seconds;
  std::map<std::string, double> words;
};

/// Sums over spans; words over the whole array, seconds of the first accelerator and its links.
std::vector<LayerSpent> spent_by_layer(const Planning& planning, const parallel::Simulation& step) {
  std::vector<LayerSpent> layers(planning.graph.size());
  for (const parallel::SimulatedSpan& span : step.spans) {
    LayerSpent& layer = layers[span.node];
    const std::string cause(to_string(span.kind));
    if (span.accelerator == 0) layer.seconds[cause] += span.seconds;
    if (span.level < 0) continue;
    const double groups = step.simulated_accelerators == 1 ? 1 << span.level : 1;
    layer.words[cause] += groups * span.words;
  }
  return layers;
}

json energy_json(const parallel::StepEnergy& energy) {
  return {{"mac", energy.mac_joules},
          {"sram", energy.sram_joules},
          {"dram", energy.dram_joules},
          {"link", energy.link_joules}};
}

json result_json(const Planning& planning, const parallel::Planned& planned,
                 const parallel::CostModel& model, const parallel::Simulation& step) {
  const parallel::StepTime closed = parallel::step_time(model, planning.cluster, planned.plan);
  json result = {{"model", planning.graph.name()},
                 {"method", to_string(planning.options.method)},
                 {"accelerators", planning.cluster.accelerators()},
                 {"batch", planning.options.cost.batch},
                 {"seconds", step.seconds},
                 {"joules", step.energy.total()},
                 {"joules_by_part", energy_json(step.energy)},
                 {"compute_busy_seconds", step.compute_busy_seconds},
                 {"closed_form_seconds", closed.serial_seconds},
                 {"closed_form_overlapped_seconds", closed.overlapped_seconds},
                 {"simulated_accelerators", step.simulated_accelerators}};
  double words = 0;
  for (int level = 0; level < planning.cluster.depth(); ++level) {
    words += step.level_words[level];
    result["levels"].push_back({{"name", planning.cluster.levels[level].name},
                                {"bytes", 4 * step.level_words[level]},
                                {"busy_seconds", step.level_busy_seconds[level]}});
  }
  result["bytes"] = 4 * words;
  const std::vector<LayerSpent> layers = spent_by_layer(planning, step);
  for (int v = 0; v < planning.graph.size(); ++v) {
    json bytes = json::object();
    for (const auto& [cause, moved] : layers[v].words) bytes[cause] = 4 * moved;
    result["layers"].push_back({{"name", planning.graph.node(v).name},
                                {"splits", parallel::splits_json(planned.plan.states[v])},
                                {"seconds_by_cause", json(layers[v].seconds)},
                                {"bytes_by_cause", std::move(bytes)}});
  }
  return result;
}

void print(const Planning& planning, const parallel::Planned& planned, const json& result,
           const parallel::Simulation& step) {
  const std::vector<LayerSpent> layers = spent_by_layer(planning, step);
  std::vector<std::vector<std::string>> rows = {
      {"layer", "split", "forward", "backward", "feature", "error", "gradient", "bytes"}};
  for (int v = 0; v < planning.graph.size(); ++v) {
    std::vector<std::string> row = {planning.graph.node(v).name,
                                    split_text(planned.plan.states[v])};
    double words = 0;
    for (const char* cause : {"forward", "backward", "feature", "error", "gradient"}) {
      const auto seconds = layers[v].seconds.find(cause);
      row.push_back(seconds_text(seconds == layers[v].seconds.end() ? 0 : seconds->second));
    }
    for (const auto& [cause, moved] : layers[v].words) words += moved;
    row.push_back(bytes_text(4 * words));
    rows.push_back(std::move(row));
  }
  std::cout << aligned_table(rows) << "\n"
            << seconds_text(step.seconds) << " a step, " << bytes_text(result["bytes"]) << ", "
            << step.energy.total() << " J (mac " << step.energy.mac_joules << ", sram "
            << step.energy.sram_joules << ", dram " << step.energy.dram_joules << ", links "
            << step.energy.link_joules << ")" << std::endl;
}

Outcome run(const SimulateCommandOptions& options, const Globals& globals) {
  const Planning planning = read_planning(options.planning, globals);
  if (planning.methods.size() > 1) {
    throw Error(ErrorKind::kConfig, "simulate takes one method", {}, "plan compares several");
  }
  parallel::PlanOutcome outcome = plan_with(planning, planning.options.method);
  if (const auto* none = std::get_if<parallel::NoPlan>(&outcome)) return no_plan(*none);
  const auto& planned = std::get<parallel::Planned>(outcome);
  const parallel::CostModel model(planning.graph,
                                  parallel::cost_options(planning.cluster, planning.options));
  parallel::SimulateOptions how;
  how.overlap = options.overlap;
  how.links = parse_spelling<parallel::LinkUse>(options.links, ErrorKind::kConfig, "--links");
  how.speeds = options.speeds;
  how.every_accelerator =
      !options.speeds.empty() || planning.cluster.accelerators() <= kMostShownAccelerators;
  const parallel::Simulation step = parallel::simulate(model, planning.cluster, planned.plan, how);
  if (!options.trace.empty()) {
    write_file(options.trace, parallel::chrome_trace(model, planning.cluster, step));
  }
  const json result = result_json(planning, planned, model, step);
  if (!globals.json) print(planning, planned, result, step);
  return {result, 0};
}

}  // namespace

Command add_simulate(CLI::App& root, const Globals& globals) {
  CLI::App* app = root.add_subcommand("simulate", "Run a step of a plan on a modelled array");
  auto options = std::make_shared<SimulateCommandOptions>();
  add_planning_options(*app, options->planning);
  app->add_flag("--overlap", options->overlap, "Weight gradients travel behind the backward pass");
  app->add_option("--links", options->links,
                  "port: an accelerator takes part in one transfer at a time; levels: the levels' "
                  "links work side by side")
      ->capture_default_str();
  app->add_option("--speeds", options->speeds, "Relative speed of each accelerator")
      ->delimiter(',');
  app->add_option("--trace", options->trace,
                  "Write the step as a Chrome trace (opens in Perfetto)");
  return {app, [options, &globals] { return run(*options, globals); }};
}

}  // namespace taut::cli
