#pragma once
// Values that the planner must give (expected.json, worked out by a program of its own), and
// helpers.

#include <algorithm>
#include <cctype>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "taut/graph/zoo.h"
#include "taut/parallel/planner.h"
#include "taut/parallel/step_time.h"

namespace taut::parallel {

inline const nlohmann::json& expected() {
  static const nlohmann::json values = nlohmann::json::parse(
      std::ifstream(std::string(TAUT_SOURCE_DIR) + "/tests/parallel/expected.json"));
  return values;
}

/// What the zoo calls a network that the file spells so: HyPar's AlexNet is one tower.
inline std::string zoo_name(std::string text) {
  if (text == "AlexNet") return "alexnet-tower";
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

/// Names of the ten networks as the file spells them.
inline std::vector<std::string> expected_networks() {
  return {"SFC",   "SCONV", "Lenet-c", "Cifar-c", "AlexNet",
          "VGG-A", "VGG-B", "VGG-C",   "VGG-D",   "VGG-E"};
}

inline std::vector<int> weighted_nodes(const graph::Graph& graph) {
  std::vector<int> nodes;
  for (int v = 0; v < graph.size(); ++v) {
    if (graph.node(v).kind == graph::NodeKind::kWeighted) nodes.push_back(v);
  }
  return nodes;
}

inline std::vector<std::string> digits(const graph::Graph& graph, const Plan& plan) {
  std::vector<std::string> levels;
  for (int level = 0; level < plan.levels; ++level) {
    levels.push_back(level_digits(plan, level, weighted_nodes(graph)));
  }
  return levels;
}

/// The plan of digits for a chain of weighted nodes with a loss at its end.
inline Plan plan_of(const graph::Graph& graph, const std::vector<std::string>& levels) {
  const int depth = static_cast<int>(levels.size());
  Plan plan{depth, std::vector<LayerState>(graph.size(), LayerState(depth, Split::kBatch))};
  const std::vector<int> nodes = weighted_nodes(graph);
  for (int level = 0; level < depth; ++level) {
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      plan.states[nodes[i]].set(level, static_cast<Split>(levels[level][i] - '0'));
    }
  }
  return plan;
}

inline double total_words(const CostModel& model, const Plan& plan) {
  double words = 0;
  for (const double level : model.traffic(plan).words) words += level;
  return words;
}

inline PlanOptions plan_options(Method method, CostTable table, std::int64_t batch, int types = 3) {
  PlanOptions options;
  options.method = method;
  options.objective = Objective::kWords;
  options.cost.table = table;
  options.cost.batch = batch;
  options.cost.types = types;
  return options;
}

/// The plan that make_plan finds; fails the test when there is none.
inline Planned planned(const graph::Graph& graph, const Cluster& cluster,
                       const PlanOptions& options) {
  PlanOutcome outcome = make_plan(graph, cluster, options);
  if (const auto* none = std::get_if<NoPlan>(&outcome)) {
    throw std::runtime_error("no plan: " + none->reason);
  }
  return std::get<Planned>(std::move(outcome));
}

}  // namespace taut::parallel
