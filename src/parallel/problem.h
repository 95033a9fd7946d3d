#pragma once
// From a communication model to tables of costs: which states a node may take, what they cost.

#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "parallel/elimination.h"
#include "taut/parallel/cost_model.h"

namespace taut::parallel {

/// What a word and a message cost at each level, and how much weight gradients count (1: fully).
struct LevelWeights {
  std::vector<double> per_word;
  std::vector<double> per_message;
  double gradient = 1;
  /// By node: what it computes, divided over all accelerators. A plan costs as much again for each
  /// further copy of the node; empty: nothing.
  std::vector<double> compute = {};

  [[nodiscard]] static LevelWeights words(int levels) {
    return {std::vector<double>(levels, 1), std::vector<double>(levels, 0)};
  }
};

using Domain = std::vector<LayerState>;
using SharedDomain = std::shared_ptr<const Domain>;

/// An extra cost of a node's state, such as a price of memory. May be empty.
using NodeExtra = std::function<double(int node, const LayerState& state)>;

/// A pairwise problem over chosen states of each node.
struct Problem {
  std::vector<SharedDomain> domains;  ///< by node
  ChoiceGraph costs;

  [[nodiscard]] Plan plan(const std::vector<int>& states, int levels) const;
  /// The states of a plan. Requires that the domains, ascending, hold them.
  [[nodiscard]] std::vector<int> states(const Plan& plan) const;
};

/// All feasible states of each node; equal domains are one object.
[[nodiscard]] std::vector<SharedDomain> full_domains(const CostModel& model);

/// Only the states that keep() accepts. A node that is left without any keeps none (size 0).
[[nodiscard]] std::vector<SharedDomain> filtered_domains(
    const CostModel& model, const std::function<bool(int node, const LayerState&)>& keep);

/// What the further copies of a node compute, where the weights count it.
[[nodiscard]] double replication_cost(const CostModel& model, const LevelWeights& weights, int node,
                                      const LayerState& state);
/// Cost of a node's state and of an edge's pair of states.
[[nodiscard]] double node_cost(const CostModel& model, const LevelWeights& weights, int node,
                               const LayerState& state);
[[nodiscard]] double edge_cost(const CostModel& model, const LevelWeights& weights, int edge,
                               const LayerState& from, const LayerState& to);
/// Cost of a node in a state and of its edges, all other nodes as in the plan.
[[nodiscard]] double cost_around(const CostModel& model, const LevelWeights& weights,
                                 const Plan& plan, int node, const LayerState& state);
/// Feasible states to try in place of one: all where they are few, else those that differ from it
/// at one level.
[[nodiscard]] std::vector<LayerState> states_around(const CostModel& model, int node,
                                                    const LayerState& state);
/// Feasible states of a node with their levels in ascending order of types: one for each way to
/// count them, which is what memory depends on.
[[nodiscard]] std::vector<LayerState> counted_states(const CostModel& model, int node);
/// Cost of a whole plan.
[[nodiscard]] double plan_cost(const CostModel& model, const LevelWeights& weights,
                               const Plan& plan);

/// Builds problems over one model and one set of weights, keeping the tables of units between
/// calls.
class ProblemBuilder {
 public:
  ProblemBuilder(const CostModel& model, LevelWeights weights)
      : model_(model), weights_(std::move(weights)) {}

  /// Requires a state for each node.
  [[nodiscard]] Problem build(std::vector<SharedDomain> domains, const NodeExtra& extra = {});

 private:
  /// Weighted units of all pairs of two domains, for each of the four kinds of EdgeWords, and the
  /// cost of their messages.
  struct Units {
    Costs feature_sums;
    Costs features;
    Costs error_sums;
    Costs errors;
    Costs messages;
    Costs all;  ///< the four kinds together
  };
  using DomainPair = std::pair<SharedDomain, SharedDomain>;

  const Units& units(const DomainPair& domains);
  SharedCosts edge_table(int edge, const DomainPair& domains);
  SharedCosts intern(Costs costs);

  const CostModel& model_;
  LevelWeights weights_;
  std::map<DomainPair, Units> units_;
  std::map<std::pair<DomainPair, std::pair<EdgeWords, bool>>, SharedCosts> tables_;
  std::multimap<std::uint64_t, SharedCosts> interned_;
};

}  // namespace taut::parallel
