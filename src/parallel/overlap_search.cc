#include "parallel/overlap_search.h"

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

#include "parallel/step_parts.h"
#include "taut/core/error.h"
#include "taut/parallel/step_time.h"

namespace taut::parallel {
namespace {

/// Partial plans of a chain from the last node up to one node in one state.
struct Label {
  int state;
  int after;  ///< index of the label that it extends
  double time;
  double waiting;  ///< seconds of gradients that still have to travel
};

/// Keeps, for each state, labels that no other beats in both time and waiting.
void prune(std::vector<Label>& labels) {
  std::sort(labels.begin(), labels.end(), [](const Label& a, const Label& b) {
    return std::tuple(a.state, a.time, a.waiting, a.after) <
           std::tuple(b.state, b.time, b.waiting, b.after);
  });
  std::vector<Label> kept;
  for (const Label& label : labels) {
    const bool same = !kept.empty() && kept.back().state == label.state;
    if (!same || label.waiting < kept.back().waiting) kept.push_back(label);
  }
  labels = std::move(kept);
}

class ChainOverlap {
 public:
  ChainOverlap(const CostModel& model, const Cluster& cluster, const Problem& problem)
      : model_(model), cluster_(cluster), problem_(problem) {}

  Plan run() {
    const int count = model_.graph().size();
    layers_.resize(count);
    for (int v = count - 1; v >= 0; --v) {
      if (v == count - 1) {
        for (int s = 0; s < problem_.costs.states(v); ++s) layers_[v].push_back({s, -1, 0, 0});
      } else {
        exchange(v);
      }
      compute(v);
      prune(layers_[v]);
    }
    const std::vector<Label>& first = layers_[0];
    const auto best = std::min_element(
        first.begin(), first.end(),
        [](const Label& a, const Label& b) { return a.time + a.waiting < b.time + b.waiting; });
    std::vector<int> states(count);
    int label = static_cast<int>(best - first.begin());
    for (int v = 0; v < count; ++v) {
      states[v] = layers_[v][label].state;
      label = layers_[v][label].after;
    }
    return problem_.plan(states, model_.levels());
  }

 private:
  /// The boundary between v and v + 1: the labels of v + 1 continued by each state of v.
  void exchange(int v) {
    const Costs& table = *problem_.costs.edges[v].table;
    const int columns = problem_.costs.states(v + 1);
    for (int s = 0; s < problem_.costs.states(v); ++s) {
      std::vector<Label> labels;
      const std::vector<Label>& after = layers_[v + 1];
      for (std::size_t i = 0; i < after.size(); ++i) {
        const double seconds = table[static_cast<std::size_t>(s) * columns + after[i].state];
        labels.push_back({s, static_cast<int>(i), after[i].time + seconds, after[i].waiting});
      }
      prune(labels);
      layers_[v].insert(layers_[v].end(), labels.begin(), labels.end());
    }
  }

  void compute(int v) {
    struct Own {
      double seconds;
      double exposed;
      double gradients;
    };
    std::vector<Own> own;  // by state
    for (const LayerState& state : *problem_.domains[v]) {
      const NodeTraffic parts = split_node_traffic(model_, v, state);
      own.push_back({compute_seconds(model_, cluster_, v, state),
                     seconds_of(parts.exposed, cluster_), seconds_of(parts.gradients, cluster_)});
    }
    for (Label& label : layers_[v]) {
      const auto& [seconds, exposed, gradients] = own[label.state];
      label.time += seconds + exposed;
      label.waiting = std::max(0.0, label.waiting - kBackwardShare * seconds) + gradients;
    }
  }

  const CostModel& model_;
  const Cluster& cluster_;
  const Problem& problem_;
  std::vector<std::vector<Label>> layers_;
};

/// For any share x in [0, 1], exchanges + x (gradients - 2/3 compute) + compute is a lower bound of
/// the step, because what is left of the gradients is at least their sum less the whole backward
/// pass.
Planned sweep(const CostModel& model, const Cluster& cluster, const LevelWeights& weights) {
  double compute = 0;
  for (int v = 0; v < model.graph().size(); ++v) compute += compute_seconds(model, cluster, v);
  Planned best;
  best.objective = std::numeric_limits<double>::infinity();
  constexpr int kShares = 16;
  for (int i = 0; i <= kShares; ++i) {
    LevelWeights shared = weights;
    shared.gradient = static_cast<double>(i) / kShares;
    for (double& seconds : shared.compute) seconds *= 1 - shared.gradient * kBackwardShare;
    const std::optional<Found> found = JointSearch(model, shared).run({}, 1.0 / kShares);
    TAUT_ASSERT(found.has_value());
    best.lower_bound = std::max(best.lower_bound, found->lower_bound + compute -
                                                      shared.gradient * kBackwardShare * compute);
    const double seconds = step_time(model, cluster, found->plan).overlapped_seconds;
    if (seconds < best.objective) {
      best.objective = seconds;
      best.plan = found->plan;
    }
  }
  best.optimal = best.objective <= best.lower_bound * (1 + 1e-12);
  return best;
}

}  // namespace

Planned overlap_plan(const CostModel& model, const Cluster& cluster, const LevelWeights& weights) {
  JointSearch search(model, weights);
  if (!search.has_tables() || !model.graph().is_chain()) return sweep(model, cluster, weights);
  const Problem problem = search.problem();
  Planned planned;
  planned.plan = ChainOverlap(model, cluster, problem).run();
  planned.objective = step_time(model, cluster, planned.plan).overlapped_seconds;
  planned.lower_bound = planned.objective;
  planned.optimal = true;
  return planned;
}

}  // namespace taut::parallel
