#include "parallel/message_passing.h"

#include <algorithm>
#include <utility>

namespace taut::parallel {
namespace {

double least(const Costs& costs) {
  return *std::min_element(costs.begin(), costs.end());
}

void add(Costs& sum, const Costs& term) {
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += term[i];
}

}  // namespace

MessagePassing::MessagePassing(const OrientedGraph& graph) : graph_(graph) {
  for (const ChoiceGraph::Edge& edge : graph.graph().edges) {
    messages_.to_a.emplace_back(graph.states(edge.a), 0);
    messages_.to_b.emplace_back(graph.states(edge.b), 0);
  }
  for (int v = 0; v < graph.size(); ++v) {
    int before = 0;
    for (const OrientedGraph::Link& link : graph.links(v)) before += link.other < v ? 1 : 0;
    const int after = static_cast<int>(graph.links(v).size()) - before;
    shares_.push_back(1.0 / std::max({before, after, 1}));
  }
}

Costs& MessagePassing::message(int edge, int to) {
  return graph_.graph().edges[edge].a == to ? messages_.to_a[edge] : messages_.to_b[edge];
}

const Costs& MessagePassing::message(int edge, int to) const {
  return graph_.graph().edges[edge].a == to ? messages_.to_a[edge] : messages_.to_b[edge];
}

/// A node's costs and all that its neighbours say.
Costs MessagePassing::belief(int node) const {
  Costs sum = graph_.costs(node);
  for (const OrientedGraph::Link& link : graph_.links(node)) add(sum, message(link.edge, node));
  return sum;
}

void MessagePassing::send(int node, const OrientedGraph::Link& link, const Costs& belief) {
  const Costs& back = message(link.edge, node);
  Costs from(belief.size());
  for (std::size_t s = 0; s < from.size(); ++s) from[s] = shares_[node] * belief[s] - back[s];
  Costs sent = graph_.least_through(link.edge, node, from);
  const double floor = least(sent);
  for (double& value : sent) value -= floor;
  message(link.edge, link.other) = std::move(sent);
}

int MessagePassing::chosen(int node, const std::vector<int>& states) const {
  Costs sum = graph_.costs(node);
  for (const OrientedGraph::Link& link : graph_.links(node)) {
    if (link.other > node) {
      add(sum, message(link.edge, node));
      continue;
    }
    const double* row = graph_.row(link.edge, link.other, states[link.other]);
    for (std::size_t s = 0; s < sum.size(); ++s) sum[s] += row[s];
  }
  return static_cast<int>(std::min_element(sum.begin(), sum.end()) - sum.begin());
}

std::vector<int> MessagePassing::pass() {
  std::vector<int> states(graph_.size());
  for (int v = 0; v < graph_.size(); ++v) {
    states[v] = chosen(v, states);
    const Costs sum = belief(v);
    for (const OrientedGraph::Link& link : graph_.links(v)) {
      if (link.other > v) send(v, link, sum);
    }
  }
  for (int v = graph_.size() - 1; v >= 0; --v) {
    const Costs sum = belief(v);
    for (const OrientedGraph::Link& link : graph_.links(v)) {
      if (link.other < v) send(v, link, sum);
    }
  }
  return states;
}

// The costs are rewritten so that their sum is the same for every choice: each node keeps a part of
// its belief and gives a share to every edge to an earlier node; an edge has its table, less the
// messages, plus that share. The sum of all minima bounds every choice.
MessagePassing::Bound MessagePassing::bound() const {
  Bound bound;
  for (int v = 0; v < graph_.size(); ++v) {
    Costs own = belief(v);
    int before = 0;
    for (const OrientedGraph::Link& link : graph_.links(v)) before += link.other < v ? 1 : 0;
    for (double& cost : own) cost *= 1 - before * shares_[v];
    const double floor = least(own);
    bound.cost += floor;
    for (double& cost : own) cost -= floor;
    bound.extra.push_back(std::move(own));
  }
  for (int b = 0; b < graph_.size(); ++b) {
    const Costs given = belief(b);
    for (const OrientedGraph::Link& link : graph_.links(b)) {
      const int a = link.other;
      if (a > b) continue;
      Costs from_b(given.size());
      for (std::size_t s = 0; s < given.size(); ++s) {
        from_b[s] = shares_[b] * given[s] - message(link.edge, b)[s];
      }
      Costs from_a = message(link.edge, a);
      for (double& value : from_a) value = -value;
      Costs by_a = graph_.least_through(link.edge, b, from_b);
      add(by_a, from_a);
      Costs by_b = graph_.least_through(link.edge, a, from_a);
      add(by_b, from_b);
      const double floor = least(by_a);
      bound.cost += floor;
      for (std::size_t s = 0; s < by_a.size(); ++s) bound.extra[a][s] += by_a[s] - floor;
      for (std::size_t s = 0; s < by_b.size(); ++s) bound.extra[b][s] += by_b[s] - floor;
    }
  }
  return bound;
}

MessagePassing::Messages restricted(const MessagePassing::Messages& messages,
                                    const ChoiceGraph& graph,
                                    const std::vector<std::vector<int>>& kept) {
  const auto some = [](const Costs& costs, const std::vector<int>& states) {
    Costs result;
    for (const int s : states) result.push_back(costs[s]);
    return result;
  };
  MessagePassing::Messages smaller;
  for (std::size_t e = 0; e < graph.edges.size(); ++e) {
    smaller.to_a.push_back(some(messages.to_a[e], kept[graph.edges[e].a]));
    smaller.to_b.push_back(some(messages.to_b[e], kept[graph.edges[e].b]));
  }
  return smaller;
}

}  // namespace taut::parallel
