#pragma once
// What plan and simulate have in common: the options that say which model, which array, which plan.

#include <cstdint>
#include <string>
#include <vector>

#include "cli/command.h"
#include "taut/core/units.h"
#include "taut/graph/graph.h"
#include "taut/parallel/cluster.h"
#include "taut/parallel/cost_model.h"
#include "taut/parallel/planner.h"
#include "taut/parallel/tables.h"

namespace taut::cli {

/// As written on the command line.
struct PlanningOptions {
  std::string model;
  std::vector<std::string> dimensions;  ///< --dim NAME=SIZE, for ONNX files
  long long accelerators = 0;           ///< 0: the cluster file's, else 16
  std::int64_t batch = 256;
  std::string cluster_file;
  std::string topology = "tree";
  double bandwidth = 1;  ///< factor on all levels
  std::string method = "exact";
  std::string cost = "volume";
  std::string objective = "seconds";
  int types = 3;
  bool replicate = false;
  double density = 1;
  bool raw_sums = false;
  bool even_channels = false;
  std::string memory_cap;
  std::string table_budget;
  double row_share = 1;
  std::string optimizer = "momentum";
  std::string sharding = "none";
  std::string precision = "fp32";
  std::string recompute = "none";
  std::int64_t accumulate = 1;
  std::vector<std::string> fixed;      ///< --fix LAYER=TYPE[@LEVEL]
  std::vector<std::string> forbidden;  ///< --forbid [LAYER=]TYPE[@LEVEL]
};

/// Declares the options on a command.
void add_planning_options(CLI::App& app, PlanningOptions& options);

/// What --table-budget means for tables: bytes, or a share of what training counts as the full
/// tables, embedding::full_bytes(), as --memory-budget does. Never above these; 0 for an empty
/// text.
[[nodiscard]] Bytes table_budget(const graph::Graph& graph, const std::string& text);

/// The same, read and checked.
struct Planning {
  graph::Graph graph;
  parallel::Cluster cluster;
  parallel::PlanOptions options;  ///< method: the first
  std::vector<parallel::Method> methods;
  parallel::TablePlacement tables;
};

[[nodiscard]] Planning read_planning(const PlanningOptions& options, const Globals& globals);

/// The plan of one method; prints why there is none.
[[nodiscard]] parallel::PlanOutcome plan_with(const Planning& planning, parallel::Method method);

/// What commands say when there is no plan: the reason on stderr, exit code 1.
[[nodiscard]] Outcome no_plan(const parallel::NoPlan& none);

/// Splits at every level, "I I II III".
[[nodiscard]] std::string split_text(const parallel::LayerState& state);

/// "1.23 MB", "45 ms": three digits, powers of 1000.
[[nodiscard]] std::string bytes_text(double bytes);
[[nodiscard]] std::string seconds_text(double seconds);

/// Rows of cells as text, columns aligned; the first row is the header. Numbers' columns (all but
/// the first two) are aligned to the right.
[[nodiscard]] std::string aligned_table(const std::vector<std::vector<std::string>>& rows);

}  // namespace taut::cli
