#include "taut/parallel/planner.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <optional>
#include <utility>

#include "parallel/memory_search.h"
#include "parallel/overlap_search.h"
#include "parallel/search.h"
#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/core/units.h"
#include "taut/parallel/step_time.h"

namespace taut::parallel {
namespace {

constexpr double kBytesPerWord = 4;

/// The value of a name. Throws kConfig with the nearest names.
template <Spelled Enum>
Enum parse_name(std::string_view what, std::string_view name) {
  if (const std::optional<Enum> value = find_spelling<Enum>(name)) return *value;
  throw Error(ErrorKind::kConfig, concat("unknown ", what, " ", name), {},
              suggest(name, spelling_names<Enum>()));
}

std::string size_text(double bytes) {
  return format_bytes({static_cast<std::int64_t>(std::llround(bytes))});
}

LevelWeights objective_weights(const CostModel& model, const Cluster& cluster,
                               Objective objective) {
  LevelWeights weights = LevelWeights::words(cluster.depth());
  if (objective == Objective::kWords) return weights;
  for (int level = 0; level < cluster.depth(); ++level) {
    weights.per_word[level] = cluster.seconds_per_word(level);
    weights.per_message[level] = cluster.levels[level].latency_seconds;
  }
  if (!model.options().replicate) return weights;
  for (int v = 0; v < model.graph().size(); ++v) {
    weights.compute.push_back(compute_seconds(model, cluster, v));
  }
  return weights;
}

/// The split that dp, mp and owt give a weighted layer.
Split fixed_split(Method method, const graph::Node& node) {
  const bool data = method == Method::kData || (method == Method::kTrick && node.op != "fc");
  if (data) return Split::kBatch;
  return node.grouped ? Split::kChannels : Split::kInput;
}

/// dp, mp or owt: weighted layers as the method says, the others as suits them best.
PlanOutcome fixed_plan(const CostModel& model, const LevelWeights& weights, Method method) {
  for (int v = 0; v < model.graph().size(); ++v) {
    const graph::Node& node = model.graph().node(v);
    const bool weighted = node.kind == graph::NodeKind::kWeighted;
    if (!weighted && method != Method::kData) continue;
    const LayerState state(model.levels(), weighted ? fixed_split(method, node) : Split::kBatch);
    if (const auto reason = model.infeasible_reason(v, state)) {
      return NoPlan{concat(to_string(method), " does not fit: ", *reason), 0};
    }
  }
  JointSearch search(model, weights, [&](int v, const LayerState& state) {
    const graph::Node& node = model.graph().node(v);
    const bool fixed = node.kind == graph::NodeKind::kWeighted;
    const Split split = fixed ? fixed_split(method, node) : Split::kBatch;
    if (!fixed && method != Method::kData) return true;
    return state == LayerState(model.levels(), split);
  });
  const std::optional<Found> found = search.run();
  TAUT_ASSERT(found.has_value());
  return Planned{found->plan, found->cost, 0, false, concat("fixed by ", to_string(method))};
}

/// A price on memory so low that it only decides between plans of equal cost.
NodeExtra tie_break(const CostModel& model, const LevelWeights& weights) {
  const Plan data{
      model.levels(),
      std::vector<LayerState>(model.graph().size(), LayerState(model.levels(), Split::kBatch))};
  double memory = 0;
  for (int v = 0; v < model.graph().size(); ++v) memory += model.memory_words(v, data.states[v]);
  const double cost = plan_cost(model, weights, data);
  if (!(memory > 0 && cost > 0)) return {};
  constexpr double kBelowAnyDifference = 1e-11;
  const double price = kBelowAnyDifference * cost / memory;
  return [&model, price](int v, const LayerState& state) {
    return price * model.memory_words(v, state);
  };
}

std::string guarantee_text(const Planned& planned) {
  if (planned.optimal) return "optimal: no plan has less";
  if (planned.lower_bound <= 0) return "no bound: the search ended at its cap of work";
  const double gap = planned.objective / planned.lower_bound - 1;
  std::array<char, 32> percent{};
  std::snprintf(percent.data(), percent.size(), "%.3g", 100 * gap);
  return concat("within ", percent.data(), "% of the least possible");
}

PlanOutcome exact_plan(const CostModel& model, const Cluster& cluster, const PlanOptions& options,
                       const LevelWeights& weights, double cap_words) {
  if (options.objective == Objective::kOverlap) {
    if (cap_words > 0) {
      throw Error(ErrorKind::kUnsupported, "a memory cap with the objective overlap", "make_plan",
                  "use the objective seconds, or no cap");
    }
    Planned planned = overlap_plan(model, cluster, weights);
    planned.guarantee = guarantee_text(planned);
    return planned;
  }
  JointSearch search(model, weights);
  const NodeExtra ties = tie_break(model, weights);
  std::optional<Found> found =
      cap_words > 0 ? search_within(search, ties, cap_words) : search.run(ties);
  TAUT_ASSERT(found.has_value());  // every node has a state, and a plan that fits was seen to exist
  Planned planned;
  planned.plan = found->plan;
  planned.objective = plan_cost(model, weights, planned.plan);
  planned.optimal = found->optimal;
  planned.lower_bound =
      planned.optimal ? planned.objective : std::min(found->lower_bound, planned.objective);
  planned.guarantee = guarantee_text(planned);
  return planned;
}

PlanOutcome plan_without_cap(const CostModel& model, const Cluster& cluster,
                             const PlanOptions& options, const LevelWeights& weights,
                             double cap_words) {
  switch (options.method) {
    case Method::kHypar:
    case Method::kGreedy: {
      bool exact = false;
      const std::optional<Plan> plan = greedy_plan(model, weights, &exact);
      if (!plan) {
        return NoPlan{concat(to_string(options.method),
                             " chose splits above that leave a layer none that fits below; exact "
                             "finds plans under constraints"),
                      0};
      }
      return Planned{*plan, plan_cost(model, weights, *plan), 0, false,
                     exact ? "best at each level given those above"
                           : "near the best at each level given those above"};
    }
    case Method::kExact:
      return exact_plan(model, cluster, options, weights, cap_words);
    case Method::kData:
    case Method::kModel:
    case Method::kTrick:
      break;
  }
  return fixed_plan(model, weights, options.method);
}

}  // namespace

Method parse_method(std::string_view name) {
  return parse_name<Method>("method", name);
}

CostTable parse_cost_table(std::string_view name) {
  return parse_name<CostTable>("cost table", name);
}

Objective parse_objective(std::string_view name) {
  return parse_name<Objective>("objective", name);
}

CostOptions cost_options(const Cluster& cluster, const PlanOptions& options) {
  CostOptions cost = options.cost;
  cost.levels = cluster.depth();
  cost.groups.clear();
  for (const Level& level : cluster.levels) cost.groups.push_back(level.groups);
  if (options.method == Method::kHypar) cost.types = 2;
  if (options.method != Method::kExact) cost.replicate = false;
  return cost;
}

namespace {

PlanOutcome plan_as_asked(const graph::Graph& graph, const Cluster& cluster,
                          const PlanOptions& options) {
  const CostModel model(graph, cost_options(cluster, options));
  if (model.options().replicate && options.objective == Objective::kWords) {
    throw_invalid_argument("objective of plans that may leave layers whole",
                           "seconds or overlap, in which computing counts",
                           to_string(options.objective));
  }
  const LevelWeights weights = objective_weights(model, cluster, options.objective);
  for (int v = 0; v < graph.size(); ++v) {
    if (!counted_states(model, v).empty()) continue;
    return NoPlan{
        concat("layer ", graph.node(v).name, ": no split that constraints and sizes allow"), 0};
  }
  const double cap_bytes =
      options.memory_cap_bytes > 0 ? options.memory_cap_bytes : cluster.accelerator.memory_bytes;
  if (cap_bytes > 0) {
    const double least = least_memory_bytes(model) + options.table_bytes;
    if (least > cap_bytes) {
      return NoPlan{
          concat("no plan fits in ", size_text(cap_bytes),
                 " on each accelerator; the least that any plan needs is ", size_text(least)),
          least};
    }
  }
  const double cap_words = cap_bytes > 0 ? (cap_bytes - options.table_bytes) / kBytesPerWord : 0;
  PlanOutcome outcome = plan_without_cap(model, cluster, options, weights, cap_words);
  auto* planned = std::get_if<Planned>(&outcome);
  if (planned == nullptr) return outcome;
  if (options.objective == Objective::kOverlap) {
    planned->objective = step_time(model, cluster, planned->plan).overlapped_seconds;
  }
  const double needed = memory_bytes(model, planned->plan) + options.table_bytes;
  if (cap_bytes > 0 && needed > cap_bytes) {
    return NoPlan{concat("the plan of ", to_string(options.method), " needs ", size_text(needed),
                         " on each accelerator, ", size_text(cap_bytes),
                         " are allowed; exact finds plans that fit"),
                  least_memory_bytes(model) + options.table_bytes};
  }
  return outcome;
}

}  // namespace

PlanOutcome make_plan(const graph::Graph& graph, const Cluster& cluster,
                      const PlanOptions& options) {
  PlanOutcome outcome = plan_as_asked(graph, cluster, options);
  auto* planned = std::get_if<Planned>(&outcome);
  const bool replicate = options.cost.replicate && options.method == Method::kExact;
  if (!replicate || planned == nullptr || planned->optimal) return outcome;
  // More choices can lead a search astray that is not exact.
  PlanOptions divided = options;
  divided.cost.constraints.push_back({.split = Split::kReplicate, .forbid = true});
  const PlanOutcome other = plan_as_asked(graph, cluster, divided);
  const auto* without = std::get_if<Planned>(&other);
  if (without == nullptr || without->objective >= planned->objective) return outcome;
  planned->plan = without->plan;
  planned->objective = without->objective;
  planned->guarantee = guarantee_text(*planned);
  return outcome;
}

Planned evaluate_plan(const graph::Graph& graph, const Cluster& cluster, const PlanOptions& options,
                      Plan plan) {
  const CostModel model(graph, cost_options(cluster, options));
  model.check(plan);
  Planned planned{std::move(plan), 0, 0, false, "as given"};
  planned.objective =
      options.objective == Objective::kOverlap
          ? step_time(model, cluster, planned.plan).overlapped_seconds
          : plan_cost(model, objective_weights(model, cluster, options.objective), planned.plan);
  return planned;
}

double memory_bytes(const CostModel& model, const Plan& plan) {
  double words = 0;
  for (int v = 0; v < model.graph().size(); ++v) words += model.memory_words(v, plan.states.at(v));
  return kBytesPerWord * words;
}

double least_memory_bytes(const CostModel& model) {
  double words = 0;
  for (int v = 0; v < model.graph().size(); ++v) {
    double least = std::numeric_limits<double>::infinity();
    for (const LayerState& state : counted_states(model, v)) {
      least = std::min(least, model.memory_words(v, state));
    }
    words += least;
  }
  return kBytesPerWord * words;
}

std::vector<std::optional<RunnerUp>> runners_up(const CostModel& model, const Cluster& cluster,
                                                Objective objective, const Plan& plan) {
  const LevelWeights weights = objective_weights(model, cluster, objective);
  std::vector<std::optional<RunnerUp>> result(plan.states.size());
  for (int v = 0; v < model.graph().size(); ++v) {
    const double now = cost_around(model, weights, plan, v, plan.states[v]);
    for (const LayerState& state : states_around(model, v, plan.states[v])) {
      if (state == plan.states[v]) continue;
      const double extra = cost_around(model, weights, plan, v, state) - now;
      if (!result[v] || extra < result[v]->extra) result[v] = RunnerUp{state, extra};
    }
  }
  return result;
}

}  // namespace taut::parallel
