#include "parallel/bounded_solver.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <utility>

#include "parallel/star_search.h"

namespace taut::parallel {
namespace {

constexpr double kRounding = 1e-9;  // of sums in another order
constexpr int kPassesOfAStep = 4;
constexpr int kMostIdleSteps = 8;
constexpr double kLeastGain = 1e-3;  // of the gap, in a step that is not idle
constexpr double kStarShare = 0.2;   // of the additions, for one local search
constexpr double kWorthwhile = 0.9;  // states left, for the tables to be made anew

double add_slack(double cost) {
  return cost + kRounding * std::abs(cost);
}

/// A graph whose states become fewer, with the numbers that they had at first.
class Shrinking {
 public:
  explicit Shrinking(std::shared_ptr<const OrientedGraph> graph)
      : oriented_(std::move(graph)), messages_(std::make_unique<MessagePassing>(*oriented_)) {
    for (int v = 0; v < oriented_->size(); ++v) {
      first_.emplace_back(oriented_->states(v));
      std::iota(first_.back().begin(), first_.back().end(), 0);
    }
  }

  [[nodiscard]] const OrientedGraph& graph() const { return *oriented_; }
  [[nodiscard]] MessagePassing& messages() { return *messages_; }

  [[nodiscard]] std::vector<int> at_first(const std::vector<int>& states) const {
    std::vector<int> result;
    for (std::size_t v = 0; v < states.size(); ++v) result.push_back(first_[v][states[v]]);
    return result;
  }

  /// Drops the states whose extra costs pass a limit, where that is worth it.
  bool drop(const std::vector<Costs>& extra, double limit) {
    std::vector<std::vector<int>> kept;
    double entries = 0;
    for (const Costs& costs : extra) {
      std::vector<int>& some = kept.emplace_back();
      for (int s = 0; s < static_cast<int>(costs.size()); ++s) {
        if (costs[s] <= limit) some.push_back(s);
      }
      if (some.empty()) return false;  // rounding: the best choice known is the least
    }
    for (const ChoiceGraph::Edge& edge : oriented_->graph().edges) {
      entries += static_cast<double>(kept[edge.a].size() * kept[edge.b].size());
    }
    if (entries > kWorthwhile * oriented_->entries()) return false;
    MessagePassing::Messages messages = restricted(messages_->messages(), oriented_->graph(), kept);
    oriented_ = std::make_shared<const OrientedGraph>(restricted(oriented_->graph(), kept));
    messages_ = std::make_unique<MessagePassing>(*oriented_);
    messages_->start_from(std::move(messages));
    for (std::size_t v = 0; v < kept.size(); ++v) {
      std::vector<int> left;
      for (const int s : kept[v]) left.push_back(first_[v][s]);
      first_[v] = std::move(left);
    }
    return true;
  }

 private:
  std::shared_ptr<const OrientedGraph> oriented_;
  std::unique_ptr<MessagePassing> messages_;
  std::vector<std::vector<int>> first_;  ///< by node and state: its number at first
};

}  // namespace

bool BoundedSolver::has_shape_of_last(const ChoiceGraph& graph) const {
  if (last_states_.size() != graph.nodes.size()) return false;
  return std::equal(graph.edges.begin(), graph.edges.end(), last_edges_.begin(), last_edges_.end(),
                    [&](const ChoiceGraph::Edge& now, const ChoiceGraph::Edge& last) {
                      return now.a == last.a && now.b == last.b &&
                             now.table->size() == last.table->size();
                    });
}

BoundedChoice BoundedSolver::solve(const ChoiceGraph& graph,
                                   const std::optional<std::vector<int>>& start, double effort) {
  const bool again = has_shape_of_last(graph);  // which was too large
  if (!again) {
    if (std::optional<Choice> exact = parallel::solve(graph, limits_, &additions_)) {
      const double cost = exact->cost;
      return {std::move(*exact), cost, true};
    }
  }
  const double budget = effort * walk_additions_;
  double left = budget;
  const auto whole = std::make_shared<const OrientedGraph>(graph);
  Shrinking shrinking(whole);
  if (again) shrinking.messages().start_from(last_messages_);

  const auto improved = [&](const std::vector<int>& states) {
    const double before = std::min(std::max(left, 0.0), kStarShare * budget);
    double allowed = before;
    Choice choice = improve_by_stars(*whole, states, allowed);
    left -= before - allowed;
    return choice;
  };
  BoundedChoice best;
  best.lower_bound = -std::numeric_limits<double>::infinity();
  best.choice = improved(start   ? *start
                         : again ? last_states_
                                 : std::vector<int>(graph.nodes.size(), 0));
  const auto offer = [&](Choice choice) {
    if (choice.cost < best.choice.cost) best.choice = std::move(choice);
  };
  if (again && start) offer(improved(last_states_));

  int idle = 0;
  bool unrestricted = true;
  do {  // once at least, for a bound
    std::vector<int> suggested;
    for (int i = 0; i < kPassesOfAStep; ++i) {
      suggested = shrinking.messages().pass();
      left -= 2 * shrinking.graph().entries();
    }
    if (unrestricted) last_messages_ = shrinking.messages().messages();
    offer(improved(shrinking.at_first(suggested)));
    const MessagePassing::Bound bound = shrinking.messages().bound();
    left -= 2 * shrinking.graph().entries();
    const double before = best.lower_bound;
    // States that were dropped cost more than the best choice known.
    best.lower_bound = std::max(before, std::min(bound.cost, best.choice.cost));
    best.optimal = best.choice.cost <= add_slack(best.lower_bound);
    const double gap = best.choice.cost - before;
    idle = best.lower_bound - before > kLeastGain * gap ? 0 : idle + 1;
    if (shrinking.drop(bound.extra, add_slack(best.choice.cost) - bound.cost)) {
      unrestricted = false;
      idle = 0;
      if (const auto rest = parallel::solve(shrinking.graph().graph(), limits_, &additions_)) {
        std::vector<int> states = shrinking.at_first(rest->states);
        const double cost = cost_of(graph, states);
        offer({cost, std::move(states)});
        best.lower_bound = best.choice.cost;
        best.optimal = true;
      }
    }
  } while (!best.optimal && left > 0 && idle < kMostIdleSteps);
  additions_ += budget - left;
  last_edges_ = graph.edges;
  last_states_ = best.choice.states;
  return best;
}

}  // namespace taut::parallel
