#pragma once
// A lower bound on all choices of a graph that is too entangled to eliminate: sequential
// tree-reweighted message passing (Kolmogorov, TPAMI 2006), the dual of the linear relaxation.

#include <vector>

#include "parallel/oriented_graph.h"

namespace taut::parallel {

class MessagePassing {
 public:
  /// Keeps a reference to the graph.
  explicit MessagePassing(const OrientedGraph& graph);

  /// Messages to the nodes of each edge, by its other node's states: what one call learns and
  /// another may start from, whatever the nodes' costs.
  struct Messages {
    std::vector<Costs> to_a;  ///< by edge
    std::vector<Costs> to_b;
  };
  /// Starts from messages of a graph of the same shape.
  void start_from(Messages messages) { messages_ = std::move(messages); }
  [[nodiscard]] const Messages& messages() const noexcept { return messages_; }

  /// One walk over all nodes from the first to the last, choosing each node's state as the messages
  /// and the nodes before it suggest, and one back.
  std::vector<int> pass();

  /// What the messages prove, whatever they are.
  struct Bound {
    double cost = 0;           ///< no choice costs less
    std::vector<Costs> extra;  ///< by node and state: at least how much more where it is chosen
  };
  [[nodiscard]] Bound bound() const;

 private:
  [[nodiscard]] Costs belief(int node) const;
  [[nodiscard]] Costs& message(int edge, int to);
  [[nodiscard]] const Costs& message(int edge, int to) const;
  void send(int node, const OrientedGraph::Link& link, const Costs& belief);
  [[nodiscard]] int chosen(int node, const std::vector<int>& states) const;

  const OrientedGraph& graph_;
  Messages messages_;
  std::vector<double> shares_;  ///< by node: of its costs that each of its edges gets
};

/// The messages for fewer states, as restricted() keeps them.
[[nodiscard]] MessagePassing::Messages restricted(const MessagePassing::Messages& messages,
                                                  const ChoiceGraph& graph,
                                                  const std::vector<std::vector<int>>& kept);

}  // namespace taut::parallel
