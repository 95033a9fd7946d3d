// What one accelerator keeps, and what sharding and recomputation cost for it.
#include "taut/core/error.h"
#include "taut/parallel/cost_model.h"

namespace taut::parallel {
namespace {

constexpr double kHalfWord = 0.5;

double optimizer_words(OptimizerState state) {
  switch (state) {
    case OptimizerState::kSgd:
      return 0;
    case OptimizerState::kMomentum:
      return 1;
    case OptimizerState::kAdam:
      return 2;
  }
  TAUT_ASSERT(false);
  return 0;
}

/// 32-bit words kept for each weight by one of so many accelerators that have it.
double words_for_weight(const TrainingMemory& memory, Sharding sharding, double copies) {
  const bool mixed = memory.precision == Precision::kMixed;
  const double number = mixed ? kHalfWord : 1;
  const auto part = [&](Sharding from, double words) {
    return sharding >= from ? words / copies : words;
  };
  return part(Sharding::kWeights, number) + part(Sharding::kGradients, number) +
         part(Sharding::kOptimizer, optimizer_words(memory.optimizer) + (mixed ? 1 : 0));
}

/// Nothing that weights multiply: cheap to do again beside them.
bool is_cheap(const graph::Node& node) {
  return node.kind != graph::NodeKind::kWeighted || node.macs == 0;
}

}  // namespace

Sharding CostModel::sharding(const LayerState& state) const noexcept {
  if (options_.memory.sharding != Sharding::kByLayer) return options_.memory.sharding;
  return state.gathers() ? Sharding::kWeights : Sharding::kGradients;
}

double CostModel::gradient_passes(Sharding sharding) const noexcept {
  if (sharding != Sharding::kWeights) return 2;
  return 2 * static_cast<double>(options_.memory.accumulate) + 1;
}

int CostModel::passes(int node) const {
  const bool twice = options_.memory.recompute == Recompute::kCheap && is_cheap(graph_->node(node));
  return twice ? 4 : 3;
}

double CostModel::memory_words(int node, const LayerState& state) const {
  const graph::Node& layer = graph_->node(node);
  const TrainingMemory& memory = options_.memory;
  const auto share = [&](std::initializer_list<Split> cutting) {
    return 1 / static_cast<double>(parts(state, cutting));
  };
  const auto copies = static_cast<double>(parts(state, {Split::kBatch}));
  const double weights =
      words_for_weight(memory, sharding(state), copies) * static_cast<double>(layer.weights);
  const bool again = memory.recompute == Recompute::kCheap && is_cheap(layer);
  const double number = memory.precision == Precision::kMixed ? kHalfWord : 1;
  const double stored =
      again ? 0
            : number * static_cast<double>(layer.stored_words) * static_cast<double>(part_batch());
  return weights * share({Split::kInput, Split::kOutput, Split::kChannels}) +
         stored * share({Split::kBatch, Split::kInput, Split::kChannels});
}

}  // namespace taut::parallel
