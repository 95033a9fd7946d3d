#include "train/plan_choice.h"

#include <bit>

#include "parallel/plan_file.h"
#include "taut/core/error.h"
#include "taut/core/file.h"
#include "taut/core/text.h"
#include "taut/graph/cost_graph.h"
#include "taut/parallel/planner.h"
#include "taut/parallel/step_time.h"
#include "taut/parallel/volume.h"

namespace taut::train {
namespace {

parallel::PlanOptions plan_options(std::int64_t batch, int levels) {
  parallel::PlanOptions options;
  options.cost.batch = batch;
  options.cost.levels = levels;
  options.cost.raw_sums = true;
  return options;
}

parallel::Cluster cluster_of(const PlanChoice& choice, int workers) {
  (void)parallel::levels_of(workers);  // tensors are moved by halves
  if (choice.cluster.empty() && choice.plan == "auto") {
    throw Error(ErrorKind::kConfig, "plan \"auto\" is made for a cluster, and none is given",
                "--cluster", "measure one by taut calibrate --out cluster.toml");
  }
  if (choice.cluster.empty()) return parallel::hypar_cluster(workers);  // its rates do not matter
  parallel::Cluster cluster =
      parallel::parse_cluster_toml(read_file(choice.cluster), choice.cluster);
  if (cluster.accelerators() == workers) return cluster;
  throw Error(ErrorKind::kConfig,
              concat("a cluster of ", cluster.accelerators(), " where ", workers, " workers train"),
              choice.cluster, "measure these by taut calibrate");
}

// The method of a plan that is made here; nothing for the path of one.
std::optional<parallel::Method> method_of(const std::string& plan) {
  using parallel::Method;
  if (plan == "auto") return Method::kExact;
  const std::optional<Method> named = find_spelling<Method>(plan);
  return named == Method::kModel || named == Method::kTrick ? named : std::nullopt;
}

parallel::Plan made_plan(const graph::Graph& graph, const PlanChoice& choice,
                         parallel::Method method, const parallel::PlanOptions& options,
                         const parallel::Cluster& cluster) {
  parallel::PlanOptions wanted = options;
  wanted.method = method;
  const parallel::PlanOutcome outcome = parallel::make_plan(graph, cluster, wanted);
  if (const auto* planned = std::get_if<parallel::Planned>(&outcome)) return planned->plan;
  throw Error(ErrorKind::kConfig,
              concat("no plan \"", choice.plan, "\": ", std::get<parallel::NoPlan>(outcome).reason),
              "--plan", "use another plan");
}

using parallel::Held;

// Words of a move of a tensor, and of its partial sums, over all levels.
double moved(const std::vector<Held>& made, const std::vector<Held>& wanted, double sums,
             double words) {
  double all = 0;
  for (const parallel::MoveUnits& units : parallel::move_units(made, wanted)) {
    all += units.reduce_scatter * sums + (units.change + units.all_gather) * words;
  }
  return all;
}

// What running a plan sends beyond the model, which looks at each reader of a layer by itself: the
// partial sums of type II are added once, in the layout that the first reader wants, and what the
// others want is made of that; the errors of all are gathered once, behind pools, at the size
// before them.
double words_beyond_model(const graph::Graph& graph, const parallel::Plan& plan,
                          std::int64_t batch) {
  using Layouts = parallel::SplitLayouts;
  double more = 0;
  for (int node = 0; node < std::ssize(graph.nodes()); ++node) {
    const auto state_of = [&](int of) { return plan.states[static_cast<std::size_t>(of)]; };
    const std::vector<Held> made = parallel::layout_of(state_of(node), &Layouts::feature_made);
    const std::vector<Held> error_wanted =
        parallel::layout_of(state_of(node), &Layouts::error_wanted);
    std::vector<Held> held;
    for (const graph::Edge& edge : graph.edges()) {
      if (edge.from != node) continue;
      const std::vector<Held> wanted =
          parallel::layout_of(state_of(edge.to), &Layouts::feature_wanted);
      const std::vector<Held> error_made =
          parallel::layout_of(state_of(edge.to), &Layouts::error_made);
      const auto words = static_cast<double>(edge.words * batch);
      const auto raw = static_cast<double>(edge.raw_words * batch);
      if (held.empty()) {
        held = parallel::summed(made, wanted);
        more += moved(made, held, raw, raw) + moved(held, error_wanted, raw, raw);
      }
      more += moved(held, wanted, words, words) + moved(error_made, held, words, words) -
              moved(made, wanted, raw, words) - moved(error_made, error_wanted, words, words);
    }
  }
  return more;
}

}  // namespace

ChosenPlan choose_plan(const graph::Network& network, const PlanChoice& choice, std::int64_t batch,
                       int workers) {
  const auto count = static_cast<unsigned>(workers);
  if (!std::has_single_bit(count) || workers < 2) {
    throw Error(
        ErrorKind::kConfig,
        concat("plan \"", choice.plan, "\" is for 2, 4, 8, ... workers, and there are ", workers),
        "--plan", "use dp, or another number of workers");
  }
  const int levels = std::countr_zero(count);
  const graph::Graph graph = graph::cost_graph(network);
  const parallel::PlanOptions options = plan_options(batch, levels);
  const parallel::Cluster cluster = cluster_of(choice, workers);
  const std::optional<parallel::Method> method = method_of(choice.plan);
  const parallel::Plan plan = method ? made_plan(graph, choice, *method, options, cluster)
                                     : parallel::read_plan(choice.plan, graph, levels);
  ChosenPlan chosen{.name = choice.plan,
                    .levels = levels,
                    .splits = {},
                    .layers = parallel::layers_json(graph, plan)};
  for (std::size_t i = 0; i < plan.states.size(); ++i) {
    if (plan.states[i].gathers()) {
      throw Error(ErrorKind::kUnsupported,
                  concat("workers keep their weights, and layer ", graph.nodes()[i].name,
                         " of the plan gathers them"),
                  choice.plan, "plan without --shard");
    }
    if (graph.nodes()[i].kind == graph::NodeKind::kBatchOnly) continue;  // the loss
    chosen.splits.push_back(plan.states[i]);
  }
  const parallel::CostModel model(graph, options.cost);
  for (const double words : model.traffic(plan).words) chosen.words_per_step += words;
  chosen.words_per_step += words_beyond_model(graph, plan, batch);
  if (!choice.cluster.empty()) {
    chosen.predicted_seconds = parallel::step_time(model, cluster, plan).serial_seconds;
  }
  return chosen;
}

nlohmann::json plan_json(const ChosenPlan& plan) {
  nlohmann::json json = {{"plan", plan.name},
                         {"levels", plan.levels},
                         {"words_per_step", plan.words_per_step},
                         {"layers", plan.layers}};
  if (plan.predicted_seconds) json["predicted_seconds_per_step"] = *plan.predicted_seconds;
  return json;
}

}  // namespace taut::train
