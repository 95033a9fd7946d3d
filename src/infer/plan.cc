#include "infer/plan.h"

#include <algorithm>

namespace taut::infer {
namespace {

using graph::kNetworkInput;
using graph::Layer;
using graph::Network;
using graph::Op;

std::size_t at(int layer) {
  return static_cast<std::size_t>(layer);
}

// Whether a layer may write over its first input.
bool works_in_place(const Layer& layer) {
  const Op op = layer.op;
  return op == Op::kBatchNorm || op == Op::kLayerNorm || op == Op::kSoftmax || op == Op::kRelu ||
         op == Op::kRelu6 || op == Op::kPointwise || op == Op::kAdd ||
         (op == Op::kArithmetic && layer.in == layer.out);
}

// Joins layers into steps.
class Joiner {
 public:
  explicit Joiner(const Network& network)
      : network_(network), readers_(network.layers.size()), taken_(network.layers.size(), false) {
    for (std::size_t i = 0; i < network.layers.size(); ++i) {
      for (const int input : network.layers[i].inputs) {
        if (input != kNetworkInput) readers_[at(input)].push_back(i);
      }
    }
  }

  void join(Plan& plan) {
    plan.step_of.assign(network_.layers.size(), -1);
    for (std::size_t i = 0; i < network_.layers.size(); ++i) {
      if (taken_[i]) continue;
      Step step{.layer = i, .last = i, .layers = {i}};
      const Op op = network_.layers[i].op;
      if (op == Op::kConv || op == Op::kLinear) {
        while (extend(step, plan)) {
        }
      }
      plan.step_of[step.last] = static_cast<int>(plan.steps.size());
      plan.steps.push_back(std::move(step));
    }
  }

 private:
  // Takes the one reader of the step's last layer into the step, if that can be.
  bool extend(Step& step, const Plan& plan) {
    const Layer& last = network_.layers[step.last];
    const graph::LayerValues& values = network_.values[step.last];
    if (last.winner_site >= 0 || !values.kept_maps.empty()) return false;  // chosen from as it is
    if (readers_[step.last].size() != 1) return false;
    const std::size_t next = readers_[step.last].front();
    switch (network_.layers[next].op) {
      case Op::kBatchNorm:
        if (step.layers.size() > 1) return false;
        step.norm = static_cast<int>(next);
        break;
      case Op::kAdd:
        if (step.sum != Step::kNone || step.activation != Step::kNone) return false;
        if (!take_sum(step, next, plan)) return false;
        break;
      case Op::kRelu:
      case Op::kRelu6:
      case Op::kPointwise:
        if (step.activation != Step::kNone) return false;
        step.activation = static_cast<int>(next);
        break;
      default:
        return false;
    }
    step.last = next;
    step.layers.push_back(next);
    taken_[next] = true;
    return true;
  }

  // A sum of two, the other of which is there when the step is computed.
  bool take_sum(Step& step, std::size_t sum, const Plan& plan) const {
    const std::vector<int>& inputs = network_.layers[sum].inputs;
    if (inputs.size() != 2) return false;
    const bool first = inputs[0] != static_cast<int>(step.last);
    const int other = first ? inputs[0] : inputs[1];
    if (other != kNetworkInput && plan.step_of[at(other)] < 0) return false;
    step.sum = static_cast<int>(sum);
    step.added = other;
    step.added_first = first;
    return true;
  }

  const Network& network_;
  std::vector<std::vector<std::size_t>> readers_;
  std::vector<bool> taken_;
};

// Places for the steps' outputs, each used again as soon as nobody reads what it holds.
class Slots {
 public:
  // A free place, made large enough.
  int take(std::int64_t size) {
    if (free_.empty()) {
      free_.push_back(static_cast<int>(sizes_.size()));
      sizes_.push_back(0);
    }
    const int slot = free_.back();
    free_.pop_back();
    std::int64_t& held = sizes_[at(slot)];
    held = std::max(held, size);
    return slot;
  }
  void give_back(int slot) { free_.push_back(slot); }
  [[nodiscard]] const std::vector<std::int64_t>& sizes() const noexcept { return sizes_; }

 private:
  std::vector<std::int64_t> sizes_;
  std::vector<int> free_;
};

// Steps whose outputs a step reads, each once.
std::vector<std::size_t> steps_read(const Network& network, const Plan& plan, const Step& step) {
  std::vector<int> layers = network.layers[step.layer].inputs;
  if (step.added != Step::kNone) layers.push_back(step.added);
  std::vector<std::size_t> steps;
  for (const int layer : layers) {
    if (layer == kNetworkInput) continue;
    const auto read = at(plan.step_of[at(layer)]);
    if (std::find(steps.begin(), steps.end(), read) == steps.end()) steps.push_back(read);
  }
  return steps;
}

void place(const Network& network, Plan& plan) {
  std::vector<std::size_t> last_reader(plan.steps.size());
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    last_reader[i] = i;
    for (const std::size_t read : steps_read(network, plan, plan.steps[i])) last_reader[read] = i;
  }
  last_reader[at(plan.step_of.back())] = plan.steps.size();
  Slots places;
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    Step& step = plan.steps[i];
    const Layer& layer = network.layers[step.layer];
    std::vector<int> done;  // slots that nobody reads after this step
    for (const std::size_t read : steps_read(network, plan, step)) {
      if (last_reader[read] == i) done.push_back(plan.steps[read].slot);
    }
    const int first = layer.inputs.empty() ? kNetworkInput : layer.inputs.front();
    const bool over_first = works_in_place(layer) && first != kNetworkInput &&
                            last_reader[at(plan.step_of[at(first)])] == i;
    if (over_first) {
      step.slot = plan.steps[at(plan.step_of[at(first)])].slot;
      std::erase(done, step.slot);
    } else {
      step.slot = places.take(network.layers[step.last].out.size());
    }
    for (const int slot : done) places.give_back(slot);
    if (last_reader[i] == i) places.give_back(step.slot);
  }
  plan.slots = places.sizes();
}

}  // namespace

Plan make_plan(const Network& network) {
  Plan plan;
  Joiner(network).join(plan);
  place(network, plan);
  return plan;
}

}  // namespace taut::infer
