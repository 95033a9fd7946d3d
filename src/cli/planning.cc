#include "cli/planning.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iostream>

#include "cli/network_source.h"
#include "cli/settings.h"
#include "cli/toml_kind.h"
#include "taut/core/error.h"
#include "taut/core/file.h"
#include "taut/core/text.h"
#include "taut/core/units.h"
#include "taut/embedding/options.h"

namespace taut::cli {
namespace {

constexpr long long kMostAccelerators = 1 << 16;

parallel::Cluster read_cluster(const PlanningOptions& options,
                               const std::vector<std::string>& sets) {
  parallel::Cluster cluster;
  if (options.cluster_file.empty()) {
    if (!sets.empty()) {
      throw Error(ErrorKind::kConfig, "--set needs a file to lie over", {}, "give --cluster FILE");
    }
    cluster = parallel::hypar_cluster(
        options.accelerators > 0 ? options.accelerators : 16,
        parse_spelling<parallel::Topology>(options.topology, ErrorKind::kConfig, "topology"));
  } else {
    expect_toml(options.cluster_file, TomlKind::kCluster);
    cluster =
        parallel::parse_cluster_toml(read_file(options.cluster_file), options.cluster_file, sets);
    if (options.accelerators > 0 && options.accelerators != cluster.accelerators()) {
      throw Error(ErrorKind::kConfig,
                  concat("--accelerators ", options.accelerators, ", but the cluster has ",
                         cluster.accelerators()),
                  options.cluster_file, "leave --accelerators out");
    }
  }
  if (!(options.bandwidth > 0)) {
    throw_invalid_argument("--bandwidth", "above 0", concat(options.bandwidth));
  }
  for (parallel::Level& level : cluster.levels) level.bytes_per_second *= options.bandwidth;
  return cluster;
}

parallel::TrainingMemory training_memory(const PlanningOptions& o) {
  return {.optimizer = parse_spelling<parallel::OptimizerState>(o.optimizer, ErrorKind::kConfig,
                                                                "--optimizer"),
          .sharding = parse_spelling<parallel::Sharding>(o.sharding, ErrorKind::kConfig, "--shard"),
          .precision =
              parse_spelling<parallel::Precision>(o.precision, ErrorKind::kConfig, "--precision"),
          .recompute =
              parse_spelling<parallel::Recompute>(o.recompute, ErrorKind::kConfig, "--recompute"),
          .accumulate = o.accumulate};
}

std::string scaled(double value, double step, std::span<const char* const> units) {
  std::size_t unit = 0;
  while (std::abs(value) >= 999.5 && unit + 1 < units.size()) {
    value /= step;
    ++unit;
  }
  if (std::abs(value) < 0.005) value = 0;  // nothing of it would show
  const int digits = std::abs(value) >= 99.95 ? 0 : std::abs(value) >= 9.995 ? 1 : 2;
  return concat(fixed_text(value, value == 0 ? 0 : digits), " ", units[unit]);
}

}  // namespace

void add_planning_options(CLI::App& app, PlanningOptions& o) {
  app.add_option(
         "MODEL", o.model,
         "A name of the zoo, a run folder, a package, a training config, or an .onnx, .toml or "
         ".json (cost graph) file")
      ->required();
  add_dimension_option(app, o.dimensions);
  app.add_option("--accelerators", o.accelerators,
                 "Accelerators (default 16); their prime factors are the levels")
      ->check(CLI::Range(1LL, kMostAccelerators));
  app.add_option("--batch", o.batch, "Samples of a step over the whole array")
      ->capture_default_str();
  app.add_option("--cluster", o.cluster_file, "Cluster file; without one, HyPar's array");
  app.add_option("--topology", o.topology, "Without a cluster file: tree, ring or torus")
      ->capture_default_str();
  app.add_option("--bandwidth", o.bandwidth, "Factor on the bandwidth of all levels")
      ->capture_default_str();
  app.add_option("--method", o.method, "hypar, greedy, exact, dp, mp, owt; several with commas")
      ->capture_default_str();
  app.add_option("--cost", o.cost,
                 "fig or printed (HyPar's tables in two readings), volume (exact volumes)")
      ->capture_default_str();
  app.add_option("--objective", o.objective, "words, seconds or overlap")->capture_default_str();
  app.add_option("--types", o.types, "2: batch and input channels; 3: output channels too")
      ->capture_default_str();
  app.add_flag("--replicate", o.replicate,
               "Layers may stay whole at a level (type R), each group computing all of them; "
               "methods other than exact leave it alone");
  app.add_option("--density", o.density,
                 "Share of activations that winners-take-all leaves, where the model does not say")
      ->capture_default_str();
  app.add_flag("--raw-sums", o.raw_sums, "Add partial sums before pooling");
  app.add_flag("--even-channels", o.even_channels, "Cut channels into equal parts alone");
  app.add_option("--memory-cap", o.memory_cap, "Most bytes on one accelerator (\"8GiB\")");
  app.add_option("--table-budget", o.table_budget,
                 "Bytes of all embedding tables together, or a share of the full ones (\"1/10\"), "
                 "as --memory-budget of train");
  app.add_option("--row-share", o.row_share, "Mean share of an embedding row that is kept")
      ->capture_default_str();
  app.add_option("--optimizer", o.optimizer, "What it keeps for a weight: sgd, momentum or adam")
      ->capture_default_str();
  app.add_option("--shard", o.sharding,
                 "What accelerators with the same weights keep a part of: none, optimizer, "
                 "gradients or weights (ZeRO; weights are gathered for each pass), or auto: "
                 "gradients or weights by layer")
      ->capture_default_str();
  app.add_option("--precision", o.precision,
                 "fp32, or mixed: 16 bits for all but the optimizer's copies")
      ->capture_default_str();
  app.add_option("--recompute", o.recompute,
                 "none, or cheap: what no weights multiply is computed again, not stored")
      ->capture_default_str();
  app.add_option("--accumulate", o.accumulate, "Parts that a step's batch is worked off in")
      ->capture_default_str();
  app.add_option(
         "--fix", o.fixed,
         "LAYER=TYPE[@LEVEL]: this split alone, at one level (from 1) or all; LAYER=\"I III\" "
         "has one for each. LAYER may have '*' in it")
      ->delimiter(',');
  app.add_option("--forbid", o.forbidden,
                 "[LAYER=]TYPE[@LEVEL]: not this split, of some layers or all")
      ->delimiter(',');
}

Bytes table_budget(const graph::Graph& graph, const std::string& text) {
  if (text.empty()) return {};
  Bytes full;
  for (const graph::GraphTable& table : graph.tables()) {
    full.count += embedding::full_bytes(table.rows, table.dim).count;
  }
  return std::min(resolve_budget(parse_budget(text), full), full);
}

Planning read_planning(const PlanningOptions& o, const Globals& globals) {
  // Settings lie over the config where MODEL is one, else over the cluster file.
  const bool config = source_of(o.model) == Source::kConfig;
  Planning planning{source_graph(o.model, globals.sets, dimension_sizes(o.dimensions)),
                    read_cluster(o, config ? std::vector<std::string>() : globals.sets),
                    {},
                    {},
                    {}};
  for (const std::string& name : comma_list(o.method)) {
    planning.methods.push_back(parallel::parse_method(name));
  }
  if (planning.methods.empty()) throw Error(ErrorKind::kConfig, "--method names no method");
  parallel::PlanOptions& options = planning.options;
  options.cost.table = parallel::parse_cost_table(o.cost);
  options.cost.batch = o.batch;
  options.cost.types = o.types;
  options.cost.replicate = o.replicate;
  options.cost.density = o.density;
  options.cost.raw_sums = o.raw_sums;
  options.cost.even_channels = o.even_channels;
  options.cost.memory = training_memory(o);
  for (const bool forbid : {false, true}) {
    for (const std::string& text : forbid ? o.forbidden : o.fixed) {
      const std::vector<parallel::Constraint> parsed = parallel::parse_constraint(text, forbid);
      options.cost.constraints.insert(options.cost.constraints.end(), parsed.begin(), parsed.end());
    }
  }
  options.objective = parallel::parse_objective(o.objective);
  options.method = planning.methods.front();
  if (!o.memory_cap.empty()) {
    options.memory_cap_bytes = static_cast<double>(parse_bytes(o.memory_cap).count);
  }
  parallel::TableOptions tables;
  tables.row_share = o.row_share;
  tables.budget_bytes = static_cast<double>(table_budget(planning.graph, o.table_budget).count);
  planning.tables = parallel::place_tables(planning.graph, planning.cluster, o.batch, tables);
  options.table_bytes = planning.tables.largest_bytes;
  return planning;
}

parallel::PlanOutcome plan_with(const Planning& planning, parallel::Method method) {
  parallel::PlanOptions options = planning.options;
  options.method = method;
  return parallel::make_plan(planning.graph, planning.cluster, options);
}

Outcome no_plan(const parallel::NoPlan& none) {
  std::cerr << none.reason << std::endl;
  nlohmann::json result = {{"plan", nullptr}, {"reason", none.reason}};
  if (none.least_memory_bytes > 0) result["least_memory_bytes"] = none.least_memory_bytes;
  return {result, 1};
}

std::string split_text(const parallel::LayerState& state) {
  std::string text;
  for (int level = 0; level < state.levels(); ++level) {
    text += concat(level > 0 ? " " : "", to_string(state.at(level)));
  }
  return state.gathers() ? text + " gathered" : text;
}

std::string bytes_text(double bytes) {
  static constexpr std::array<const char*, 6> kUnits = {"B", "kB", "MB", "GB", "TB", "PB"};
  return scaled(bytes, 1000, kUnits);
}

std::string seconds_text(double seconds) {
  static constexpr std::array<const char*, 4> kUnits = {"ns", "us", "ms", "s"};
  return scaled(1e9 * seconds, 1000, kUnits);
}

std::string aligned_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()), 0);
    for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t c = 0; c < row.size(); ++c) {
      const std::string fill(widths[c] - row[c].size(), ' ');
      line += c < 2 ? row[c] + fill : fill + row[c];
      if (c + 1 < row.size()) line += "  ";
    }
    while (!line.empty() && line.back() == ' ') line.pop_back();
    text += line + "\n";
  }
  return text;
}

}  // namespace taut::cli
