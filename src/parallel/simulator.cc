#include "taut/parallel/simulator.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "parallel/event_queue.h"
#include "parallel/step_parts.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::parallel {
namespace {

using Kind = SimulatedSpan::Kind;

constexpr int kMostSingleAccelerators = 256;
constexpr int kPorts = 0;  // resource pools
constexpr int kFirstLinks = 1;

/// One level's part of a transfer.
struct TransferStep {
  int level = 0;
  double words = 0;  ///< over the whole level
  int messages = 0;
};

class StepSimulator {
 public:
  StepSimulator(const CostModel& model, const Cluster& cluster, const Plan& plan,
                const SimulateOptions& options)
      : model_(model), cluster_(cluster), plan_(plan), options_(options) {
    check();
    accelerators_ = options.every_accelerator ? cluster.accelerators() : 1;
    previous_.assign(accelerators_, -1);
    computed_.assign(accelerators_, -1);
  }

  Simulation run() {
    const int count = model_.graph().size();
    arrived_.assign(count, std::vector<std::vector<int>>(accelerators_));
    for (int v = 0; v < count; ++v) forward(v);
    arrived_.assign(count, std::vector<std::vector<int>>(accelerators_));
    for (int v = count - 1; v >= 0; --v) backward(v);
    return collect(run_tasks(tasks_));
  }

 private:
  void check() const {
    model_.check(plan_);
    if (cluster_.depth() != model_.levels()) {
      throw_invalid_argument("cluster", concat("of ", model_.levels(), " levels"),
                             concat(cluster_.depth()));
    }
    if (options_.every_accelerator && cluster_.accelerators() > kMostSingleAccelerators) {
      throw_invalid_argument("accelerators simulated one by one",
                             concat("at most ", kMostSingleAccelerators),
                             concat(cluster_.accelerators()));
    }
    if (options_.speeds.empty()) return;
    if (!options_.every_accelerator ||
        static_cast<int>(options_.speeds.size()) != cluster_.accelerators()) {
      throw_invalid_argument("speeds",
                             concat("one for each of the ", cluster_.accelerators(),
                                    " accelerators, with every_accelerator"),
                             concat(options_.speeds.size()));
    }
    for (const double speed : options_.speeds) {
      if (!(speed > 0)) throw_invalid_argument("speed", "above 0", concat(speed));
    }
  }

  /// Accelerators of one group of a level, as simulated.
  int group_size(int level) const {
    return std::max(1, accelerators_ / cluster_.groups_above(level));
  }

  int add(Task task, SimulatedSpan span) {
    const int index = static_cast<int>(tasks_.size());
    std::sort(task.after.begin(), task.after.end());
    task.after.erase(std::unique(task.after.begin(), task.after.end()), task.after.end());
    std::erase(task.after, -1);
    tasks_.push_back(std::move(task));
    spans_.push_back(span);
    return index;
  }

  /// A share of a node's work on every accelerator, after what it reads has arrived.
  void compute(int v, Kind kind, double share) {
    const double seconds = share * compute_seconds(model_, cluster_, v, plan_.states[v]);
    const double dram = share * dram_seconds(v);
    for (int a = 0; a < accelerators_; ++a) {
      const double speed = options_.speeds.empty() ? 1 : options_.speeds[a];
      Task task{.seconds = std::max(seconds, dram) / speed, .after = arrived_[v][a]};
      task.after.push_back(computed_[a]);
      if (!options_.overlap) task.after.push_back(previous_[a]);
      const int index = add(task, {.kind = kind, .node = v, .accelerator = a});
      computed_[a] = previous_[a] = index;
      if (dram > 0) dram_.push_back({index, dram / speed});
    }
  }

  double local_words(int v) const {
    if (model_.graph().node(v).kind != graph::NodeKind::kWeighted) return 0;
    return local_dram_words(model_, v, plan_.states[v]);
  }

  double dram_seconds(int v) const {
    const double rate = cluster_.accelerator.dram_bytes_per_second;
    return rate > 0 ? 3 * 4 * local_words(v) / rate : 0;
  }

  /// A transfer as tasks, one for each group of each step's level. after: what each accelerator
  /// waits for; becomes the last task of the transfer.
  void transfer(const std::vector<TransferStep>& steps, SimulatedSpan span, bool background,
                std::vector<std::vector<int>>& after) {
    for (const TransferStep& step : steps) {
      const int size = group_size(step.level);
      const int groups = accelerators_ / size;
      const double seconds = step.words * cluster_.seconds_per_word(step.level) +
                             step.messages * cluster_.levels[step.level].latency_seconds;
      for (int g = 0; g < groups; ++g) {
        Task task{.seconds = seconds, .background = background};
        use_links(task, step.level, g);
        for (int a = g * size; a < (g + 1) * size; ++a) {
          task.after.insert(task.after.end(), after[a].begin(), after[a].end());
          if (!options_.overlap) task.after.push_back(previous_[a]);
        }
        span.level = step.level;
        span.accelerator = g * size;
        span.words = step.words / cluster_.groups_above(step.level);
        const int index = add(task, span);
        for (int a = g * size; a < (g + 1) * size; ++a) {
          after[a] = {index};
          if (!options_.overlap) previous_[a] = index;
        }
      }
    }
  }

  /// The ports of a group, or its links of the level's network.
  void use_links(Task& task, int level, int group) const {
    task.pool =
        options_.links == LinkUse::kPort ? kPorts : kFirstLinks + cluster_.network(level).first;
    task.first = group * group_size(level);
    task.last = task.first + group_size(level);
  }

  static std::vector<TransferStep> steps_of(const Traffic& traffic) {
    std::vector<TransferStep> steps;
    for (int level = 0; level < static_cast<int>(traffic.words.size()); ++level) {
      if (traffic.words[level] == 0 && traffic.messages[level] == 0) continue;
      steps.push_back({level, traffic.words[level], static_cast<int>(traffic.messages[level])});
    }
    return steps;
  }

  /// The steps of a feature's or error's way over an edge: reduce-scatters from the deepest level
  /// up, changes, all-gathers from the top down. HyPar's tables know words only: features at all
  /// levels.
  std::vector<TransferStep> edge_steps(int e, Kind kind) const {
    const graph::Edge& edge = model_.graph().edges()[e];
    const LayerState& from = plan_.states[edge.from];
    const LayerState& to = plan_.states[edge.to];
    if (model_.options().table != CostTable::kVolume) {
      if (kind == Kind::kError) return {};
      return steps_of(model_.edge_traffic(e, from, to));
    }
    const EdgeWords words = model_.edge_words(e);
    const bool feature = kind == Kind::kFeature;
    const double sums = feature ? words.feature_sums : words.error_sums;
    const double rest = feature ? words.features : words.errors;
    std::vector<TransferStep> reduce;
    std::vector<TransferStep> steps;
    std::vector<TransferStep> gather;
    const EdgeCopies copies = model_.edge_copies(from, to);
    MoveCounter counter(feature ? copies.features : copies.errors);
    for (int level = 0; level < model_.levels(); ++level) {
      const SplitLayouts maker = layouts_of(from.at(level));
      const SplitLayouts reader = layouts_of(to.at(level));
      const int groups = model_.groups(level);
      const MoveUnits units = feature
                                  ? counter.step(maker.feature_made, reader.feature_wanted, groups)
                                  : counter.step(reader.error_made, maker.error_wanted, groups);
      if (units.reduce_scatter > 0) reduce.push_back({level, units.reduce_scatter * sums, 1});
      if (units.change > 0) steps.push_back({level, units.change * rest, 1});
      if (units.all_gather > 0) gather.push_back({level, units.all_gather * rest, 1});
    }
    steps.insert(steps.begin(), reduce.rbegin(), reduce.rend());
    steps.insert(steps.end(), gather.begin(), gather.end());
    return steps;
  }

  std::vector<std::vector<int>> just_computed() const {
    std::vector<std::vector<int>> after(accelerators_);
    for (int a = 0; a < accelerators_; ++a) after[a] = {computed_[a]};
    return after;
  }

  void arrive(int node, const std::vector<std::vector<int>>& after) {
    for (int a = 0; a < accelerators_; ++a) {
      arrived_[node][a].insert(arrived_[node][a].end(), after[a].begin(), after[a].end());
    }
  }

  void forward(int v) {
    compute(v, Kind::kForward, 1 - kBackwardShare);
    std::vector<std::vector<int>> made = just_computed();
    const NodeTraffic own = split_node_traffic(model_, v, plan_.states[v]);
    transfer(steps_of(own.exposed), {.kind = Kind::kFeature, .node = v}, false, made);
    for (const int e : model_.graph().outputs(v)) {
      std::vector<std::vector<int>> after = made;
      const int reader = model_.graph().edges()[e].to;
      transfer(edge_steps(e, Kind::kFeature), {.kind = Kind::kFeature, .node = v, .reader = reader},
               false, after);
      arrive(reader, after);
    }
  }

  void backward(int v) {
    compute(v, Kind::kBackward, kBackwardShare);
    const NodeTraffic own = split_node_traffic(model_, v, plan_.states[v]);
    std::vector<std::vector<int>> gradient = just_computed();
    transfer(all_reduce_steps(own.gradients), {.kind = Kind::kGradient, .node = v},
             options_.overlap, gradient);
    for (const int e : model_.graph().inputs(v)) {
      std::vector<std::vector<int>> after = just_computed();
      const int from = model_.graph().edges()[e].from;
      transfer(edge_steps(e, Kind::kError), {.kind = Kind::kError, .node = from, .reader = v},
               false, after);
      arrive(from, after);
    }
  }

  /// Half of the words on the way up (reduce-scatter), half on the way down (all-gather).
  static std::vector<TransferStep> all_reduce_steps(const Traffic& traffic) {
    std::vector<TransferStep> down = steps_of(traffic);
    for (TransferStep& step : down) step = {step.level, step.words / 2, step.messages / 2};
    std::vector<TransferStep> steps(down.rbegin(), down.rend());
    steps.insert(steps.end(), down.begin(), down.end());
    return steps;
  }

  Simulation collect(const std::vector<TaskSpan>& ran) {
    Simulation result;
    result.simulated_accelerators = accelerators_;
    result.level_words.assign(model_.levels(), 0);
    result.level_busy_seconds.assign(model_.levels(), 0);
    std::vector<double> busy(accelerators_, 0);
    std::vector<std::vector<double>> link_busy(model_.levels(),
                                               std::vector<double>(accelerators_, 0));
    std::vector<std::pair<double, double>> dram(tasks_.size(), {0, 0});
    for (const auto& [task, seconds] : dram_) dram[task].second = seconds;
    for (const TaskSpan& part : ran) {
      SimulatedSpan span = spans_[part.task];
      span.start_seconds = part.start;
      span.seconds = part.seconds;
      result.seconds = std::max(result.seconds, part.start + part.seconds);
      if (span.level < 0) {
        busy[span.accelerator] += part.seconds;
        result.spans.push_back(span);
        if (const double seconds = dram[part.task].second; seconds > 0) {
          span.kind = Kind::kDram;
          span.seconds = seconds;
          result.spans.push_back(span);
        }
        continue;
      }
      span.words *= part.seconds / tasks_[part.task].seconds;
      link_busy[span.level][span.accelerator] += part.seconds;
      result.spans.push_back(span);
    }
    result.compute_busy_seconds = *std::max_element(busy.begin(), busy.end());
    for (int level = 0; level < model_.levels(); ++level) {
      result.level_busy_seconds[level] =
          *std::max_element(link_busy[level].begin(), link_busy[level].end());
    }
    count_words(result);
    count_energy(result);
    return result;
  }

  /// Words of all tasks, those that took no time (infinite bandwidth) too.
  void count_words(Simulation& result) const {
    for (const SimulatedSpan& span : spans_) {
      if (span.level < 0) continue;
      const double groups = accelerators_ == 1 ? cluster_.groups_above(span.level) : 1;
      result.level_words[span.level] += groups * span.words;
    }
  }

  /// Every compute task pays for its share of multiply-adds and local words, every transfer for its
  /// words.
  void count_energy(Simulation& result) const {
    const Accelerator& costs = cluster_.accelerator;
    constexpr double kPicojoule = 1e-12;
    const double alike = static_cast<double>(cluster_.accelerators()) / accelerators_;
    for (const SimulatedSpan& span : spans_) {
      if (span.level >= 0) continue;
      const double share =
          alike * (span.kind == Kind::kForward ? 1 - kBackwardShare : kBackwardShare);
      const double macs = share *
                          compute_seconds(model_, cluster_, span.node, plan_.states[span.node]) *
                          cluster_.accelerator.macs_per_second;
      result.energy.mac_joules +=
          macs * (costs.adder_picojoules + costs.multiplier_picojoules) * kPicojoule;
      result.energy.sram_joules +=
          macs * costs.sram_accesses_per_mac * costs.sram_picojoules * kPicojoule;
      result.energy.dram_joules +=
          share * 3 * local_words(span.node) * costs.dram_picojoules * kPicojoule;
    }
    for (const double words : result.level_words) {
      result.energy.link_joules +=
          words * costs.dram_words_per_sent_word * costs.dram_picojoules * kPicojoule;
    }
  }

  const CostModel& model_;
  const Cluster& cluster_;
  const Plan& plan_;
  const SimulateOptions& options_;
  int accelerators_ = 1;
  std::vector<Task> tasks_;
  std::vector<SimulatedSpan> spans_;          ///< by task, without times
  std::vector<std::pair<int, double>> dram_;  ///< compute tasks with their DRAM seconds
  std::vector<int> previous_;                 ///< by accelerator: its last task, without overlap
  std::vector<int> computed_;                 ///< by accelerator: its last compute task
  std::vector<std::vector<std::vector<int>>> arrived_;  ///< by node and accelerator: what it awaits
};

}  // namespace

Simulation simulate(const CostModel& model, const Cluster& cluster, const Plan& plan,
                    const SimulateOptions& options) {
  return StepSimulator(model, cluster, plan, options).run();
}

}  // namespace taut::parallel
