#pragma once
// Random small models and plans for tests against brute force. Everything follows from one seed.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "taut/core/random.h"
#include "taut/graph/graph.h"
#include "taut/parallel/cost_model.h"

namespace taut::parallel {

/// Numbers from one counter-based sequence.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : random_(seed) {}
  std::int64_t in(std::int64_t least, std::int64_t most) {
    return least + static_cast<std::int64_t>(
                       random_.below(counter_++, static_cast<std::uint64_t>(most - least + 1)));
  }
  double uniform() { return random_.uniform(counter_++); }
  bool once_in(int n) { return in(1, n) == 1; }

 private:
  CounterRandom random_;
  std::uint64_t counter_ = 0;
};

inline graph::Node random_node(Dice& dice, int index) {
  graph::Node node{.name = "n" + std::to_string(index), .op = "conv"};
  const auto kind = dice.in(1, 8);
  if (kind == 1) node.kind = graph::NodeKind::kElementwise;
  if (kind == 2) node.kind = graph::NodeKind::kBatchOnly;
  node.grouped = kind == 3;
  node.in_channels = dice.in(1, 12);
  node.out_channels = dice.in(1, 12);
  node.channel_levels = static_cast<int>(dice.in(0, 3));
  node.weights = node.kind == graph::NodeKind::kWeighted ? dice.in(1, 4000) : 0;
  node.in_words = dice.in(1, 400);
  node.out_words = node.raw_words = dice.in(1, 400);
  node.stored_words = node.in_words;
  node.macs = node.input_macs = dice.in(1, 100000);
  return node;
}

inline graph::Node loss_node() {
  graph::Node loss{.name = "loss", .op = "loss", .kind = graph::NodeKind::kBatchOnly};
  loss.in_words = 1;
  return loss;
}

inline graph::Edge random_edge(Dice& dice, int from, int to) {
  const std::int64_t words = dice.in(1, 400);
  return {from, to, words, words * dice.in(1, 4)};
}

/// A chain of `layers` nodes and a loss.
inline graph::Graph random_chain(Dice& dice, int layers) {
  std::vector<graph::Node> nodes;
  std::vector<graph::Edge> edges;
  for (int v = 0; v < layers; ++v) {
    nodes.push_back(random_node(dice, v));
    if (v == 0) nodes[0].kind = graph::NodeKind::kWeighted, nodes[0].weights = dice.in(1, 4000);
    edges.push_back(random_edge(dice, v, v + 1));
  }
  nodes.push_back(loss_node());
  return graph::Graph("chain", nodes, edges);
}

/// A series-parallel graph: starts from one edge; edges are split by a node or doubled by a branch.
inline graph::Graph random_series_parallel(Dice& dice, int layers) {
  struct Link {
    int from;
    int to;
  };
  std::vector<Link> links = {{0, 1}};
  int count = 2;
  while (count < layers + 1) {
    const auto at =
        static_cast<std::size_t>(dice.in(0, static_cast<std::int64_t>(links.size()) - 1));
    const Link link = links[at];
    if (dice.once_in(2)) {
      links[at] = {link.from, count};
    } else {
      links.push_back({link.from, count});
    }
    links.push_back({count, link.to});
    ++count;
  }
  std::vector<graph::Node> nodes;
  for (int v = 0; v < count; ++v) nodes.push_back(v == 1 ? loss_node() : random_node(dice, v));
  std::vector<graph::Edge> edges;
  for (const Link& link : links) edges.push_back(random_edge(dice, link.from, link.to));
  return graph::Graph("series-parallel", nodes, edges);
}

/// Any acyclic graph: every node reads one or two earlier ones; ends are gathered by the loss.
inline graph::Graph random_graph(Dice& dice, int layers) {
  std::vector<graph::Node> nodes;
  std::vector<graph::Edge> edges;
  std::vector<bool> read(layers, false);
  for (int v = 0; v < layers; ++v) {
    nodes.push_back(random_node(dice, v));
    for (int i = 0; v > 0 && i < (dice.once_in(2) ? 1 : 3); ++i) {
      const int from = static_cast<int>(dice.in(0, v - 1));
      edges.push_back(random_edge(dice, from, v));
      read[from] = true;
    }
  }
  nodes.push_back(loss_node());
  for (int v = 0; v < layers; ++v) {
    if (!read[v]) edges.push_back(random_edge(dice, v, layers));
  }
  return graph::Graph("graph", nodes, edges);
}

/// Calls visit with every feasible plan. Stops the test's patience at a few million.
inline void for_every_plan(const CostModel& model, const std::function<void(const Plan&)>& visit) {
  const int count = model.graph().size();
  std::vector<std::vector<LayerState>> states;
  for (int v = 0; v < count; ++v) states.push_back(model.states(v));
  Plan plan{model.levels(), std::vector<LayerState>(count)};
  const std::function<void(int)> choose = [&](int v) {
    if (v == count) {
      visit(plan);
      return;
    }
    for (const LayerState& state : states[v]) {
      plan.states[v] = state;
      choose(v + 1);
    }
  };
  choose(0);
}

/// How many plans for_every_plan() visits.
inline double plan_count(const CostModel& model) {
  double count = 1;
  for (int v = 0; v < model.graph().size(); ++v)
    count *= static_cast<double>(model.states(v).size());
  return count;
}

}  // namespace taut::parallel
