// Cost graphs, plans and simulations with memory that runs out at each allocation in turn.
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <utility>
#include <variant>

#include "support/failing_allocations.h"
#include "taut/graph/cost_graph.h"
#include "taut/graph/graph_json.h"
#include "taut/graph/network_builder.h"
#include "taut/parallel/planner.h"
#include "taut/parallel/simulator.h"

namespace taut::parallel {
namespace {

using test::fail_making;

// Two layers behind each other and one around them.
graph::Network small_network() {
  graph::NetworkBuilder net("small", {.channels = 16});
  const int first = net.activation("relu", net.linear("a", graph::kNetworkInput, 32));
  const int second = net.linear("b", first, 32);
  const std::array<int, 2> both = {first, second};
  net.linear("c", net.add("sum", both), 8);
  graph::Network network = net.finish();
  network.winners.rates.assign(network.sites(), 0.5);
  return network;
}

TEST(Allocation, ACostGraphIsMadeWholeOrNotAtAll) {
  const graph::Network network = small_network();
  EXPECT_GT(fail_making([&] { return graph::cost_graph(network); },
                        [](const graph::Graph& graph) { return graph::graph_json(graph); }),
            10);
}

TEST(Allocation, APlanIsMadeWholeOrNotAtAllByEveryMethod) {
  const graph::Graph graph = graph::cost_graph(small_network());
  const Cluster cluster = hypar_cluster(4);
  for (const Spelling<Method>& method : kSpellings<Method>) {
    SCOPED_TRACE(method.name);
    PlanOptions options;
    options.method = method.value;
    const auto plan = [&] { return std::get<Planned>(make_plan(graph, cluster, options)); };
    const auto told = [&](const Planned& planned) {
      std::string text = concat(planned.objective, " ", planned.guarantee);
      for (const LayerState& state : planned.plan.states) {
        for (int level = 0; level < state.levels(); ++level) {
          text += concat(" ", to_string(state.at(level)));
        }
      }
      return text;
    };
    EXPECT_GT(fail_making(plan, told), 10);
  }
}

TEST(Allocation, AStepIsSimulatedWholeOrNotAtAll) {
  const graph::Graph graph = graph::cost_graph(small_network());
  const Cluster cluster = hypar_cluster(4);
  const PlanOptions options;
  const CostModel model(graph, cost_options(cluster, options));
  const Plan plan = std::get<Planned>(make_plan(graph, cluster, options)).plan;
  const auto simulated = [&] { return simulate(model, cluster, plan, {.overlap = true}); };
  const auto told = [&](const Simulation& step) { return chrome_trace(model, cluster, step); };
  EXPECT_GT(fail_making(simulated, told), 10);
}

}  // namespace
}  // namespace taut::parallel
