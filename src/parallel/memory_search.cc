#include "parallel/memory_search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "taut/core/error.h"

namespace taut::parallel {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kLaterEffort = 1.0 / 16;  // of a search that is not exact, behind the first
constexpr std::size_t kMostLabels = 3'000'000;

double memory_of(const CostModel& model, const Plan& plan) {
  double words = 0;
  for (int v = 0; v < model.graph().size(); ++v) words += model.memory_words(v, plan.states[v]);
  return words;
}

/// A plan on the hull: cost without the price of memory.
struct Point {
  Plan plan;
  double cost = 0;
  double memory = 0;
};

/// What the sweep of prices leaves behind.
struct Hull {
  Point best;        ///< the cheapest that fits
  double bound = 0;  ///< no plan that fits costs less
  double price = 0;  ///< of a word, where the bound is reached
  bool closed = false;
};

class PriceSweep {
 public:
  PriceSweep(JointSearch& search, const NodeExtra& ties, double cap)
      : search_(search), ties_(ties), cap_(cap) {}

  std::optional<Hull> run() {
    std::optional<Point> above = at_price(0);
    if (!above) return std::nullopt;
    if (above->memory <= cap_) return Hull{*above, bound_, 0, exact_};
    Point below = least_memory();
    if (!exact_) return bisect(*above, below);
    double best_price = 0;
    constexpr int kMostSteps = 60;
    for (int step = 0; step < kMostSteps && below.cost > above->cost; ++step) {
      const double price = slope(*above, below);
      const double line = above->cost + price * above->memory;
      const double before = bound_;
      const std::optional<Point> next = at_price(price);
      TAUT_ASSERT(next.has_value());
      if (!exact_) return bisect(*above, next->memory <= cap_ ? *next : below);
      if (bound_ > before) best_price = price;
      if (next->cost + price * next->memory >= line * (1 - 1e-12)) break;  // the hull has no more
      (next->memory <= cap_ ? below : *above) = *next;
    }
    return Hull{below, bound_, best_price, exact_ && below.cost <= bound_ * (1 + 1e-12)};
  }

 private:
  double priced(int v, const LayerState& state, double price) const {
    return (ties_ ? ties_(v, state) : 0) + price * search_.model().memory_words(v, state);
  }

  /// The price of a word at which two plans cost the same.
  static double slope(const Point& above, const Point& below) {
    return (below.cost - above.cost) / (above.memory - below.memory);
  }

  /// Where searches are not exact, points need not lie on the hull: the price is narrowed down
  /// between plans that fit and plans that do not.
  Hull bisect(const Point& above, Point below) {
    constexpr int kMostSteps = 16;
    constexpr double kFirstFactor = 8;
    constexpr double kClose = 1.02;
    double low = 0;
    double high = kInfinity;
    double price = slope(above, below);
    for (int step = 0; step < kMostSteps && high > kClose * low && price > 0; ++step) {
      const std::optional<Point> next = at_price(price);
      TAUT_ASSERT(next.has_value());
      const bool fits = next->memory <= cap_;
      if (fits && next->cost < below.cost) below = *next;
      (fits ? high : low) = price;
      price = high == kInfinity ? price * kFirstFactor
              : low == 0        ? price / kFirstFactor
                                : std::sqrt(low * high);
    }
    return Hull{below, bound_, 0, below.cost <= bound_ * (1 + 1e-12)};
  }

  std::optional<Point> at_price(double price) {
    const double effort = searched_ ? kLaterEffort : 1;
    searched_ = true;
    const std::optional<Found> found = search_.run(
        [&](int v, const LayerState& state) { return priced(v, state, price); }, effort);
    if (!found) return std::nullopt;
    exact_ = exact_ && found->optimal;
    bound_ = std::max(bound_, found->lower_bound - price * cap_);
    const double memory = memory_of(search_.model(), found->plan);
    return Point{found->plan, found->cost - price * memory, memory};
  }

  /// The cheapest of the plans of least memory, found by a price that leaves nothing else.
  Point least_memory() {
    const CostModel& model = search_.model();
    const Plan data{
        model.levels(),
        std::vector<LayerState>(model.graph().size(), LayerState(model.levels(), Split::kBatch))};
    const double cost = plan_cost(model, search_.weights(), data);
    const double scale = std::max(cost, 1e-30) / std::max(memory_of(model, data), 1.0);
    for (double price = scale;; price *= 64) {
      const double before = bound_;
      const std::optional<Point> point = at_price(price);
      TAUT_ASSERT(point.has_value());
      bound_ = std::max(bound_, before);
      if (point->memory <= cap_) return *point;
      if (price > scale * 1e15 || !exact_) break;
    }
    Point least{smallest_plan(), 0, 0};
    least.cost = plan_cost(model, search_.weights(), least.plan);
    for (int v = 0; ties_ && v < model.graph().size(); ++v) {
      least.cost += ties_(v, least.plan.states[v]);
    }
    least.memory = memory_of(model, least.plan);
    return least;
  }

  /// Every node by itself in its state of least memory, the lowest one among equals.
  Plan smallest_plan() {
    const CostModel& model = search_.model();
    Plan plan{model.levels(), {}};
    for (int v = 0; v < model.graph().size(); ++v) {
      const std::vector<LayerState> states = counted_states(model, v);
      plan.states.push_back(*std::min_element(
          states.begin(), states.end(), [&](const LayerState& a, const LayerState& b) {
            return model.memory_words(v, a) < model.memory_words(v, b);
          }));
    }
    return plan;
  }

  JointSearch& search_;
  const NodeExtra& ties_;
  double cap_;
  double bound_ = 0;
  bool exact_ = true;
  bool searched_ = false;
};

/// Exact on a chain: labels (cost, memory) of partial plans from the first node on, dropped when
/// another of the same state is no worse in both, when their memory cannot fit any more, or when
/// even at the best price they cannot beat the best plan known.
class ChainLabels {
 public:
  ChainLabels(JointSearch& search, const NodeExtra& ties, double cap, double price, double best)
      : model_(search.model()),
        problem_(search.problem(ties)),
        cap_(cap),
        price_(price),
        best_(best) {
    prepare_remainders();
  }

  /// The optimum when it beats best; `complete` is false when there were too many labels.
  std::optional<Plan> run(bool& complete) {
    complete = true;
    const int count = model_.graph().size();
    layers_.resize(count);
    for (int s = 0; s < problem_.costs.states(0); ++s) {
      add(layers_[0], {s, -1, (*problem_.costs.nodes[0])[s], memory(0, s)}, 0);
    }
    std::size_t labels = 0;
    for (int v = 1; v < count; ++v) {
      prune(layers_[v - 1]);
      labels += layers_[v - 1].size();
      if (labels > kMostLabels) {
        complete = false;
        return std::nullopt;
      }
      extend(v);
    }
    const std::vector<Label>& last = layers_[count - 1];
    const auto least = std::min_element(
        last.begin(), last.end(), [](const Label& a, const Label& b) { return a.cost < b.cost; });
    if (least == last.end()) return std::nullopt;
    return trace(static_cast<int>(least - last.begin()));
  }

 private:
  struct Label {
    int state;
    int before;  ///< index of the label that it extends
    double cost;
    double memory;
  };

  double memory(int v, int state) const {
    return model_.memory_words(v, (*problem_.domains[v])[state]);
  }

  /// From each state to the end: least priced cost, and least memory of what follows.
  void prepare_remainders() {
    const int count = model_.graph().size();
    priced_.resize(count);
    memory_left_.assign(count, 0);
    for (int v = count - 1; v >= 0; --v) {
      const int states = problem_.costs.states(v);
      priced_[v].assign(states, v + 1 < count ? kInfinity : 0);
      if (v + 1 == count) continue;
      double least = kInfinity;
      const int next = problem_.costs.states(v + 1);
      for (int t = 0; t < next; ++t) least = std::min(least, memory(v + 1, t));
      memory_left_[v] = memory_left_[v + 1] + least;
      for (int t = 0; t < next; ++t) {
        const double after =
            priced_[v + 1][t] + (*problem_.costs.nodes[v + 1])[t] + price_ * memory(v + 1, t);
        for (int s = 0; s < states; ++s) {
          priced_[v][s] = std::min(priced_[v][s], table(v + 1)[s * next + t] + after);
        }
      }
    }
  }

  const Costs& table(int v) const { return *problem_.costs.edges[v - 1].table; }

  void add(std::vector<Label>& labels, const Label& label, int v) const {
    if (label.memory + memory_left_[v] > cap_) return;
    const double bound = label.cost + priced_[v][label.state] + price_ * (label.memory - cap_);
    if (bound >= best_ * (1 - 1e-12)) return;
    labels.push_back(label);
  }

  void extend(int v) {
    const std::vector<Label>& before = layers_[v - 1];
    const int states = problem_.costs.states(v);
    std::vector<double> memories(states);
    for (int t = 0; t < states; ++t) memories[t] = memory(v, t);
    for (std::size_t i = 0; i < before.size(); ++i) {
      for (int t = 0; t < states; ++t) {
        add(layers_[v],
            {t, static_cast<int>(i),
             before[i].cost + table(v)[before[i].state * states + t] +
                 (*problem_.costs.nodes[v])[t],
             before[i].memory + memories[t]},
            v);
      }
    }
    prune(layers_[v]);
  }

  static void prune(std::vector<Label>& labels) {
    std::sort(labels.begin(), labels.end(), [](const Label& a, const Label& b) {
      return std::tuple(a.state, a.cost, a.memory, a.before) <
             std::tuple(b.state, b.cost, b.memory, b.before);
    });
    std::vector<Label> kept;
    for (const Label& label : labels) {
      const bool same = !kept.empty() && kept.back().state == label.state;
      if (!same || label.memory < kept.back().memory) kept.push_back(label);
    }
    labels = std::move(kept);
  }

  Plan trace(int label) const {
    std::vector<int> states(layers_.size());
    for (int v = static_cast<int>(layers_.size()) - 1; v >= 0; --v) {
      states[v] = layers_[v][label].state;
      label = layers_[v][label].before;
    }
    return problem_.plan(states, model_.levels());
  }

  const CostModel& model_;
  Problem problem_;
  double cap_;
  double price_;
  double best_;
  std::vector<Costs> priced_;
  std::vector<double> memory_left_;
  std::vector<std::vector<Label>> layers_;
};

/// Changes of one node, the best one each time around, as long as they make a plan that fits
/// cheaper and leave it so.
Plan improve_within(const CostModel& model, const LevelWeights& weights, double cap, Plan plan) {
  constexpr double kMostSteps = 5e5;  // counted edges
  double memory = memory_of(model, plan);
  double steps = 0;
  for (bool improved = true; improved && steps < kMostSteps;) {
    improved = false;
    for (int v = 0; v < model.graph().size(); ++v) {
      const double held = model.memory_words(v, plan.states[v]);
      LayerState best = plan.states[v];
      double least = cost_around(model, weights, plan, v, best) * (1 - 1e-12);
      for (const LayerState& state : states_around(model, v, plan.states[v])) {
        if (memory - held + model.memory_words(v, state) > cap) continue;
        const double cost = cost_around(model, weights, plan, v, state);
        steps +=
            static_cast<double>(model.graph().inputs(v).size() + model.graph().outputs(v).size());
        if (cost >= least) continue;
        least = cost;
        best = state;
      }
      if (best == plan.states[v]) continue;
      memory += model.memory_words(v, best) - held;
      plan.states[v] = best;
      improved = true;
    }
  }
  return plan;
}

}  // namespace

std::optional<Found> search_within(JointSearch& search, const NodeExtra& ties, double cap_words) {
  std::optional<Hull> hull = PriceSweep(search, ties, cap_words).run();
  if (!hull) return std::nullopt;
  const CostModel& model = search.model();
  bool optimal = hull->closed;
  if (!optimal && search.has_tables() && model.graph().is_chain()) {
    bool complete = false;
    ChainLabels labels(search, ties, cap_words, hull->price, hull->best.cost);
    if (std::optional<Plan> better = labels.run(complete)) hull->best.plan = std::move(*better);
    optimal = complete;
  }
  if (!optimal)
    hull->best.plan =
        improve_within(model, search.weights(), cap_words, std::move(hull->best.plan));
  Found found;
  found.plan = hull->best.plan;
  found.cost = plan_cost(model, search.weights(), found.plan);
  for (int v = 0; ties && v < model.graph().size(); ++v) {
    found.cost += ties(v, found.plan.states[v]);
  }
  found.lower_bound = optimal ? found.cost : hull->bound;
  found.optimal = optimal;
  return found;
}

}  // namespace taut::parallel
