#pragma once
// What a plan moves: words and messages of every layer and boundary, level by level, by HyPar's
// published tables or by exact volumes.

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "taut/core/spelling.h"
#include "taut/graph/graph.h"
#include "taut/parallel/split.h"
#include "taut/parallel/volume.h"

namespace taut::parallel {

/// Which communication model (docs/parallel.md, "Three cost tables").
enum class CostTable {
  kFig,      ///< HyPar's tables in the reading that gives the plans and bytes of its figures
  kPrinted,  ///< HyPar's tables as printed, with AccPar's rows for type III
  kVolume,   ///< the exact volumes
};
constexpr auto spellings(std::type_identity<CostTable>) {
  return std::to_array<Spelling<CostTable>>(
      {{"fig", CostTable::kFig}, {"printed", CostTable::kPrinted}, {"volume", CostTable::kVolume}});
}

[[nodiscard]] constexpr std::string_view to_string(CostTable table) noexcept {
  return spelling_of(table);
}

/// What the optimizer keeps beside a weight and its gradient, in fp32.
enum class OptimizerState {
  kSgd,       ///< nothing
  kMomentum,  ///< one word
  kAdam,      ///< two words
};
constexpr auto spellings(std::type_identity<OptimizerState>) {
  return std::to_array<Spelling<OptimizerState>>({{"sgd", OptimizerState::kSgd},
                                                  {"momentum", OptimizerState::kMomentum},
                                                  {"adam", OptimizerState::kAdam}});
}

/// What accelerators that share weights (type I) keep a part of, instead of all of it: the stages
/// of ZeRO (arXiv 1910.02054). Each holds what those above it hold too.
enum class Sharding {
  kNone,
  kOptimizer,  ///< optimizer state and fp32 copies; the same words as an all-reduce
  kGradients,  ///< gradients too; the same words
  kWeights,    ///< weights too (FSDP): gathered for each forward and each backward pass
  kByLayer,    ///< kGradients or kWeights, as suits each layer: what plans choose under a cap
};
constexpr auto spellings(std::type_identity<Sharding>) {
  return std::to_array<Spelling<Sharding>>({{"none", Sharding::kNone},
                                            {"optimizer", Sharding::kOptimizer},
                                            {"gradients", Sharding::kGradients},
                                            {"weights", Sharding::kWeights},
                                            {"auto", Sharding::kByLayer}});
}

/// What numbers are computed with and travel as.
enum class Precision {
  kSingle,  ///< fp32
  kMixed,   ///< 16 bits: features, errors, weights, gradients; the optimizer has an fp32 copy
};
constexpr auto spellings(std::type_identity<Precision>) {
  return std::to_array<Spelling<Precision>>(
      {{"fp32", Precision::kSingle}, {"mixed", Precision::kMixed}});
}

/// What the backward pass computes again instead of finding it stored.
enum class Recompute {
  kNone,
  kCheap,  ///< layers without products by weights (attention, normalizations, sums): nothing that
           ///< they read is stored for them, and their forward pass is done twice
};
constexpr auto spellings(std::type_identity<Recompute>) {
  return std::to_array<Spelling<Recompute>>(
      {{"none", Recompute::kNone}, {"cheap", Recompute::kCheap}});
}

/// How training uses memory (docs/parallel.md, "Memory").
struct TrainingMemory {
  OptimizerState optimizer = OptimizerState::kMomentum;
  Sharding sharding = Sharding::kNone;
  Precision precision = Precision::kSingle;
  Recompute recompute = Recompute::kNone;
  /// Parts that a step's batch is worked off in, one after the other; gradients are added up.
  std::int64_t accumulate = 1;
};

/// What a user wants or refuses: a split of some layers at some levels.
struct Constraint {
  /// Layers by name; '*' stands for any run of characters.
  std::string layers = "*";
  Split split = Split::kBatch;
  int level = -1;       ///< 0: top; -1: at every level
  bool forbid = false;  ///< not this split; else this one alone
};

/// "LAYERS=TYPE[@LEVEL]", levels from 1: "fc1=III", "blocks.*.up=I@1"; or one type for each level,
/// "fc1=I III". Where forbid, the layers may be left out: "II@1". Errors: kConfig naming the text.
[[nodiscard]] std::vector<Constraint> parse_constraint(std::string_view text, bool forbid);

/// What a cost model counts.
struct CostOptions {
  CostTable table = CostTable::kVolume;
  std::int64_t batch = 256;  ///< samples of a step, over the whole array
  int levels = 4;
  /// How many groups each level joins; two where it is empty. Others for kVolume alone.
  std::vector<int> groups = {};
  /// kVolume: channels are cut into equal parts alone, so that their number is a multiple of the
  /// number of parts.
  bool even_channels = false;
  int types = 3;  ///< 2: types I and II only (HyPar); 3: type III too (AccPar)
  /// kVolume: a level may leave a layer whole, each of its groups computing all of it (type R). It
  /// moves nothing there, costs compute and memory, and suits layers that are cheap to compute; not
  /// those that tables enter. Searches use it where compute counts (docs/parallel.md,
  /// "Replication").
  bool replicate = false;
  /// kVolume: partial sums are added before pooling, as a non-linearity before the pool needs.
  bool raw_sums = false;
  /// kVolume: share of features that winners-take-all leaves, where the graph does not know it
  /// edge by edge; 1: dense. Sums before the activation stay dense; other features travel as values
  /// and a bitmask (density + 1/32, never above dense), errors as values of the winners
  /// (docs/parallel.md, "Objectives, time, energy, memory"). The tensor read by the loss is dense.
  double density = 1;
  /// kFig, kPrinted: charge type III on a layer that reads the model's input, as AccPar's program
  /// does.
  bool charge_first_layer = false;
  /// All hold at once.
  std::vector<Constraint> constraints = {};
  TrainingMemory memory = {};
};

/// Words (32 bit; both directions and all pairs of the level) and messages, level by level.
struct Traffic {
  std::vector<double> words;
  std::vector<double> messages;
};

/// One movement of a step: what an executor does and what it is predicted to move.
struct Redistribution {
  enum class What { kFeature, kError, kGradient };
  What what = What::kFeature;
  Collective collective = Collective::kAllReduce;
  int node = 0;      ///< the layer whose feature, error or weight gradient moves: the edge's source
  int reader = -1;   ///< the node at the other end of the edge; -1 for gradients
  int level = 0;     ///< 0: top
  double words = 0;  ///< predicted, over the whole level

  [[nodiscard]] double bytes() const noexcept { return 4 * words; }
};

/// Words of an edge's four kinds of movement per unit of move_units().
struct EdgeWords {
  double feature_sums = 0;  ///< reduce-scatters of features
  double features = 0;      ///< changes and all-gathers of features
  double error_sums = 0;    ///< reduce-scatters of errors
  double errors = 0;        ///< changes and all-gathers of errors
  auto operator<=>(const EdgeWords&) const = default;
};

/// How many times an edge's features and errors lie in whole copies that stay where they are, so
/// that what moves of them moves in each copy.
struct EdgeCopies {
  double features = 1;
  double errors = 1;

  /// Takes in a level that joins so many groups.
  void add(Split from, Split to, int groups) noexcept {
    const SplitLayouts maker = layouts_of(from);
    const SplitLayouts reader = layouts_of(to);
    if (stays_whole(maker.feature_made, reader.feature_wanted)) features *= groups;
    if (stays_whole(reader.error_made, maker.error_wanted)) errors *= groups;
  }
};

/// The communication of a model under plans. Threads: reading is free. Keeps a reference to the
/// graph.
class CostModel {
 public:
  /// Errors: kInvalidArgument for options out of range; a batch smaller than the array is refused
  /// with both numbers, unless nodes have positions to cut; constraints that name no layer, or a
  /// split that a layer does not have.
  CostModel(const graph::Graph& graph, CostOptions options);

  [[nodiscard]] const graph::Graph& graph() const noexcept { return *graph_; }
  [[nodiscard]] const CostOptions& options() const noexcept { return options_; }
  [[nodiscard]] int levels() const noexcept { return options_.levels; }
  /// How many groups a level joins.
  [[nodiscard]] int groups(int level) const noexcept {
    return options_.groups.empty() ? 2 : options_.groups[static_cast<std::size_t>(level)];
  }
  /// Whether all levels join two groups.
  [[nodiscard]] bool halves() const noexcept;
  /// Into how many parts the levels of a state that have one of some splits cut.
  [[nodiscard]] std::int64_t parts(const LayerState& state,
                                   std::initializer_list<Split> splits) const noexcept;

  /// How many accelerators compute the same: the product of the groups of levels of type R.
  [[nodiscard]] double copies(const LayerState& state) const noexcept {
    return options_.replicate ? static_cast<double>(parts(state, {Split::kReplicate})) : 1;
  }
  /// The copies of what an edge moves, over all levels of two states.
  [[nodiscard]] EdgeCopies edge_copies(const LayerState& from, const LayerState& to) const noexcept;

  /// The splits that a node may have at one level or another, lowest type first.
  [[nodiscard]] std::vector<Split> splits(int node) const;
  /// Whether a node can have a state: splits that it knows and, for kVolume, no dimension cut into
  /// more parts than it has (2^(levels of type I) <= batch and so on).
  [[nodiscard]] bool feasible(int node, const LayerState& state) const;
  /// Why not, naming layer and numbers; nothing when it can.
  [[nodiscard]] std::optional<std::string> infeasible_reason(int node,
                                                             const LayerState& state) const;
  /// The same without constraints: whether the node's sizes allow it.
  [[nodiscard]] std::optional<std::string> size_reason(int node, const LayerState& state) const;
  /// The splits that constraints leave a node at each level, as bits 1 << split.
  [[nodiscard]] const std::vector<std::uint8_t>& allowed(int node) const {
    return allowed_[static_cast<std::size_t>(node)];
  }
  /// Whether two levels join as many groups, and constraints treat them alike, in all nodes.
  [[nodiscard]] bool alike(int level, int other) const;
  /// All feasible states of a node in ascending order. Throws kInvalidArgument above 2^21 of them.
  [[nodiscard]] std::vector<LayerState> states(int node) const;

  /// Movement inside a node (weight gradients; HyPar's tables: outputs or errors too).
  [[nodiscard]] Traffic node_traffic(int node, const LayerState& state) const;
  /// Movement on an edge, features and errors.
  [[nodiscard]] Traffic edge_traffic(int edge, const LayerState& from, const LayerState& to) const;
  /// Everything that a plan moves. Checks the plan: kInvalidArgument naming the layer.
  [[nodiscard]] Traffic traffic(const Plan& plan) const;
  /// The same as a list, in the order of a step: per node its gradients, per edge its features and
  /// errors. Only kVolume knows it; kUnsupported for HyPar's tables.
  [[nodiscard]] std::vector<Redistribution> redistributions(const Plan& plan) const;
  /// Throws kInvalidArgument, naming the layer, unless the plan fits graph and levels and is
  /// feasible.
  void check(const Plan& plan) const;

  /// Words that one unit of movement stands for on an edge. Words are of 32 bits, so that what
  /// travels in 16 counts half, here and in the next three.
  [[nodiscard]] EdgeWords edge_words(int edge) const;
  /// Words of a node's weights, of its input and output over the whole batch.
  [[nodiscard]] double weight_words(int node) const;
  [[nodiscard]] double input_words(int node) const;
  [[nodiscard]] double output_words(int node) const;
  /// Whether HyPar's tables leave the edge free: it is read by the loss.
  [[nodiscard]] bool free_edge(int edge) const;
  /// Whether no node is read by this one: it reads the model's input alone.
  [[nodiscard]] bool reads_input(int node) const;

  /// What a state's weights are kept as: the options' stage, for kByLayer what the state says.
  [[nodiscard]] Sharding sharding(const LayerState& state) const noexcept;
  /// How often a copied weight travels in a step, per level and copy: 2 for an all-reduce; with
  /// sharded weights two gathers and a reduce-scatter, the gathers for each part of the batch.
  [[nodiscard]] double gradient_passes(Sharding sharding) const noexcept;
  /// Samples of one part of a step.
  [[nodiscard]] std::int64_t part_batch() const noexcept {
    return options_.batch / options_.memory.accumulate;
  }
  /// Passes of multiply-adds of a node in a step: forward, two backward, and forward once more
  /// where it is recomputed.
  [[nodiscard]] int passes(int node) const;

  /// 32-bit words that one accelerator keeps for a node: weights, gradient, optimizer state, and
  /// the features stored for the backward pass, as the options' memory has them.
  [[nodiscard]] double memory_words(int node, const LayerState& state) const;

 private:
  void check_batch() const;
  /// Adds to each state that copies weights the same with gathered ones, where that is a choice.
  void add_gathering(int node, std::vector<LayerState>& states) const;
  friend std::vector<LayerState> counted_states(const CostModel& model, int node);
  [[nodiscard]] std::vector<Split> known_splits(int node) const;
  void apply(const Constraint& constraint);

  const graph::Graph* graph_;
  CostOptions options_;
  double word_share_ = 1;                           ///< 32-bit words of a number that travels
  std::vector<std::vector<std::uint8_t>> allowed_;  ///< by node and level
};

/// Walks one edge's levels from the top; units of the four kinds of EdgeWords at each.
struct EdgeUnits {
  double feature_sums = 0;
  double features = 0;
  double error_sums = 0;
  double errors = 0;
  int messages = 0;
};

class EdgeCounter {
 public:
  explicit EdgeCounter(CostTable table, const EdgeCopies& copies = {})
      : table_(table), features_(copies.features), errors_(copies.errors) {}
  /// groups: how many the next level joins. HyPar's tables know two.
  EdgeUnits step(Split from, Split to, int groups = 2) noexcept;

 private:
  CostTable table_;
  MoveCounter features_;
  MoveCounter errors_;
  double pairs_ = 1;   ///< 2^(levels above), for HyPar's tables
  double halves_ = 1;  ///< what the reader's splits above leave of its input
};

/// Walks one node's levels from the top; words of the level.
class NodeCounter {
 public:
  /// state: decides how weights are sharded where that is chosen by layer, and how many copies of
  /// the layer exchange their gradients; its other levels do not count.
  NodeCounter(const CostModel& model, int node, const LayerState& state = {});
  /// Words and messages of the next level.
  struct Step {
    double words = 0;
    int messages = 0;
    bool gradient = false;  ///< an all-reduce of the weight gradient, which may hide behind compute
  };
  Step step(Split split, int groups) noexcept;

 private:
  CostTable table_;
  bool free_errors_;
  double weights_;
  double inputs_;
  double outputs_;
  double passes_;
  double pairs_ = 1;
  double copies_;
};

}  // namespace taut::parallel
