#pragma once
// Finds plans: which layer is split how at which level of the array.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "taut/core/spelling.h"
#include "taut/graph/graph.h"
#include "taut/parallel/cluster.h"
#include "taut/parallel/cost_model.h"
#include "taut/parallel/split.h"

namespace taut::parallel {

/// How a plan is found (docs/parallel.md, "Searches").
enum class Method {
  kHypar,   ///< HyPar's Algorithm 2: level by level from the top, types I and II
  kGreedy,  ///< the same with all types that divide work
  kExact,   ///< all levels at once
  kData,    ///< every layer by the batch (dp)
  kModel,   ///< every layer by the model, type II (mp)
  kTrick,   ///< convolutions by the batch, fully connected layers by the model (owt)
};
constexpr auto spellings(std::type_identity<Method>) {
  return std::to_array<Spelling<Method>>({{"hypar", Method::kHypar},
                                          {"greedy", Method::kGreedy},
                                          {"exact", Method::kExact},
                                          {"dp", Method::kData},
                                          {"mp", Method::kModel},
                                          {"owt", Method::kTrick}});
}

[[nodiscard]] constexpr std::string_view to_string(Method method) noexcept {
  return spelling_of(method);
}
/// The method of a name. Throws kConfig with the nearest names.
[[nodiscard]] Method parse_method(std::string_view name);
/// The table of a name. Throws kConfig with the nearest names.
[[nodiscard]] CostTable parse_cost_table(std::string_view name);

/// What "cheapest" means.
enum class Objective {
  kWords,    ///< words of all levels together
  kSeconds,  ///< seconds of a step without overlap: words by each level's bandwidth, latencies, and
             ///< what copies of layers compute beside the first (CostOptions::replicate)
  kOverlap,  ///< seconds of a step whose weight gradients travel behind the backward pass
};
constexpr auto spellings(std::type_identity<Objective>) {
  return std::to_array<Spelling<Objective>>({{"words", Objective::kWords},
                                             {"seconds", Objective::kSeconds},
                                             {"overlap", Objective::kOverlap}});
}

[[nodiscard]] constexpr std::string_view to_string(Objective objective) noexcept {
  return spelling_of(objective);
}
/// The objective of a name. Throws kConfig with the nearest names.
[[nodiscard]] Objective parse_objective(std::string_view name);

/// What to plan. The number of levels is the cluster's.
struct PlanOptions {
  CostOptions cost;
  Method method = Method::kExact;
  Objective objective = Objective::kSeconds;
  /// Bytes that one accelerator may hold (tables included); 0: the cluster's accelerator's memory,
  /// where 0 is unlimited.
  double memory_cap_bytes = 0;
  /// Bytes of embedding tables per accelerator; they count against the cap.
  double table_bytes = 0;
};

/// Caps of an exact search. Where a graph needs more, a search of bounded work gives a plan and a
/// lower bound (docs/parallel.md, "Searches"). Work is counted, not timed: the same call gives the
/// same plan on any machine.
inline constexpr double kSearchAdditions = 1e9;
inline constexpr double kSearchTableBytes = 256.0 * 1024 * 1024;

/// A plan and what is known of it.
struct Planned {
  Plan plan;
  double objective = 0;    ///< words or seconds (of communication, or of the step for kOverlap)
  double lower_bound = 0;  ///< no plan of these types within the cap has less; kExact only
  bool optimal = false;    ///< proven, to rounding (1e-9): objective is lower_bound
  std::string guarantee;   ///< the same in words
};

/// Why there is no plan.
struct NoPlan {
  std::string reason;
  /// The least that any plan needs on one accelerator, tables included; 0 when memory is not why.
  double least_memory_bytes = 0;
};

using PlanOutcome = std::variant<Planned, NoPlan>;

/// Makes a plan; there is one unless a method's fixed splits, constraints or a memory cap rule it
/// out. Only kExact leaves layers whole. Errors: kInvalidArgument (see CostModel; replicate with
/// the objective words, in which computing counts nothing), kUnsupported (an exact search that is
/// too large with HyPar's tables, with constraints that differ from level to level, or with
/// replicate). Deterministic. Threads: may run beside itself.
[[nodiscard]] PlanOutcome make_plan(const graph::Graph& graph, const Cluster& cluster,
                                    const PlanOptions& options);

/// A plan that somebody made, with what it costs by the options' objective. Errors:
/// kInvalidArgument when it does not fit graph, cluster or constraints, naming the layer (see
/// CostModel::check).
[[nodiscard]] Planned evaluate_plan(const graph::Graph& graph, const Cluster& cluster,
                                    const PlanOptions& options, Plan plan);

/// The options that a method really uses: its types (only kExact has type R) and levels.
[[nodiscard]] CostOptions cost_options(const Cluster& cluster, const PlanOptions& options);

/// Bytes of one accelerator under a plan, without embedding tables.
[[nodiscard]] double memory_bytes(const CostModel& model, const Plan& plan);

/// The least bytes that any feasible plan needs on one accelerator, without embedding tables.
[[nodiscard]] double least_memory_bytes(const CostModel& model);

/// The best change of one layer, all others kept.
struct RunnerUp {
  LayerState state;
  double extra = 0;  ///< by how much it raises the objective (words or seconds; not for kOverlap)
};

/// For each node, the best other state; nothing where there is only one. Costs are the objective's
/// additive part (kOverlap is treated as kSeconds).
[[nodiscard]] std::vector<std::optional<RunnerUp>> runners_up(const CostModel& model,
                                                              const Cluster& cluster,
                                                              Objective objective,
                                                              const Plan& plan);

}  // namespace taut::parallel
