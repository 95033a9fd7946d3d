#include "taut/parallel/step_time.h"

#include <algorithm>
#include <numeric>

#include "parallel/step_parts.h"
#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/parallel/planner.h"

namespace taut::parallel {
namespace {

constexpr double kPicojoule = 1e-12;

void check_depth(const CostModel& model, const Cluster& cluster) {
  if (model.levels() != cluster.depth()) {
    throw_invalid_argument("cluster", concat("of ", model.levels(), " levels"),
                           concat(cluster.depth()));
  }
  for (int level = 0; level < model.levels(); ++level) {
    if (model.groups(level) == cluster.levels[level].groups) continue;
    throw_invalid_argument(concat("groups that level ", level + 1, " of the cluster joins"),
                           concat(model.groups(level)), concat(cluster.levels[level].groups));
  }
}

double macs_of(const graph::Node& node, const Cluster& cluster) {
  return static_cast<double>(cluster.mac_count == MacCount::kInputSize ? node.input_macs
                                                                       : node.macs);
}

double sum(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

}  // namespace

double seconds_of(const Traffic& traffic, const Cluster& cluster) {
  double seconds = 0;
  for (int level = 0; level < cluster.depth(); ++level) {
    seconds += traffic.words[level] * cluster.seconds_per_word(level) +
               traffic.messages[level] * cluster.levels[level].latency_seconds;
  }
  return seconds;
}

NodeTraffic split_node_traffic(const CostModel& model, int node, const LayerState& state) {
  NodeTraffic parts;
  NodeCounter counter(model, node, state);
  for (int level = 0; level < model.levels(); ++level) {
    const NodeCounter::Step step = counter.step(state.at(level), model.groups(level));
    for (auto [traffic, mine] :
         {std::pair(&parts.gradients, step.gradient), std::pair(&parts.exposed, !step.gradient)}) {
      traffic->words.push_back(mine ? step.words : 0);
      traffic->messages.push_back(mine ? step.messages : 0);
    }
  }
  return parts;
}

double local_dram_words(const CostModel& model, int node, const LayerState& state) {
  const auto shard = [&](double words, std::initializer_list<Split> cutting) {
    return words / static_cast<double>(model.parts(state, cutting));
  };
  return shard(model.input_words(node), {Split::kBatch, Split::kInput, Split::kChannels}) +
         shard(model.output_words(node), {Split::kBatch, Split::kOutput, Split::kChannels}) +
         shard(model.weight_words(node), {Split::kInput, Split::kOutput, Split::kChannels});
}

double step_macs(const graph::Graph& graph, const Cluster& cluster, std::int64_t batch) {
  double macs = 0;
  for (const graph::Node& node : graph.nodes()) macs += macs_of(node, cluster);
  return 3 * static_cast<double>(batch) * macs;
}

double compute_seconds(const CostModel& model, const Cluster& cluster, int node,
                       const LayerState& state) {
  return model.copies(state) * (model.passes(node) * static_cast<double>(model.options().batch) *
                                macs_of(model.graph().node(node), cluster) /
                                (cluster.accelerators() * cluster.accelerator.macs_per_second));
}

StepTime step_time(const CostModel& model, const Cluster& cluster, const Plan& plan) {
  check_depth(model, cluster);
  model.check(plan);
  StepTime time;
  double waiting = 0;  // seconds of weight gradients that still have to travel
  for (int v = model.graph().size() - 1; v >= 0; --v) {
    const double compute = compute_seconds(model, cluster, v, plan.states[v]);
    const NodeTraffic parts = split_node_traffic(model, v, plan.states[v]);
    const double gradients = seconds_of(parts.gradients, cluster);
    double exposed = seconds_of(parts.exposed, cluster);
    for (const int e : model.graph().inputs(v)) {
      const int from = model.graph().edges()[e].from;
      exposed += seconds_of(model.edge_traffic(e, plan.states[from], plan.states[v]), cluster);
    }
    time.compute_seconds += compute;
    time.gradient_seconds += gradients;
    time.communication_seconds += gradients + exposed;
    time.overlapped_seconds += compute + exposed;
    waiting = std::max(0.0, waiting - kBackwardShare * compute) + gradients;
  }
  time.overlapped_seconds += waiting;
  time.serial_seconds = time.compute_seconds + time.communication_seconds;
  return time;
}

StepEnergy step_energy(const CostModel& model, const Cluster& cluster, const Plan& plan) {
  check_depth(model, cluster);
  const Accelerator& accelerator = cluster.accelerator;
  const auto batch = static_cast<double>(model.options().batch);
  double macs = step_macs(model.graph(), cluster, model.options().batch);
  double local = 0;
  for (int v = 0; v < model.graph().size(); ++v) {
    macs += (model.copies(plan.states[v]) * model.passes(v) - 3) * batch *
            macs_of(model.graph().node(v), cluster);
    if (model.graph().node(v).kind != graph::NodeKind::kWeighted) continue;
    local += local_dram_words(model, v, plan.states[v]);
  }
  StepEnergy energy;
  energy.mac_joules =
      macs * (accelerator.adder_picojoules + accelerator.multiplier_picojoules) * kPicojoule;
  energy.sram_joules =
      macs * accelerator.sram_accesses_per_mac * accelerator.sram_picojoules * kPicojoule;
  energy.dram_joules =
      3 * local * cluster.accelerators() * accelerator.dram_picojoules * kPicojoule;
  energy.link_joules = sum(model.traffic(plan).words) * accelerator.dram_words_per_sent_word *
                       accelerator.dram_picojoules * kPicojoule;
  return energy;
}

PlanReport report(const CostModel& model, const Cluster& cluster, const Plan& plan) {
  PlanReport whole;
  whole.time = step_time(model, cluster, plan);
  whole.energy = step_energy(model, cluster, plan);
  whole.traffic = model.traffic(plan);
  whole.words = sum(whole.traffic.words);
  whole.memory_bytes = memory_bytes(model, plan);
  for (int v = 0; v < model.graph().size(); ++v) {
    LayerCost layer;
    layer.node = v;
    const Traffic inside = model.node_traffic(v, plan.states[v]);
    layer.gradient_words = sum(inside.words);
    layer.communication_seconds = seconds_of(inside, cluster);
    layer.words_by_level = inside.words;
    for (const int e : model.graph().inputs(v)) {
      const int from = model.graph().edges()[e].from;
      const Traffic boundary = model.edge_traffic(e, plan.states[from], plan.states[v]);
      layer.boundary_words += sum(boundary.words);
      layer.communication_seconds += seconds_of(boundary, cluster);
      for (int level = 0; level < model.levels(); ++level) {
        layer.words_by_level[level] += boundary.words[level];
      }
    }
    layer.compute_seconds = compute_seconds(model, cluster, v, plan.states[v]);
    layer.memory_bytes = 4 * model.memory_words(v, plan.states[v]);
    whole.layers.push_back(std::move(layer));
  }
  return whole;
}

}  // namespace taut::parallel
