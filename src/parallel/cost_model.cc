#include "taut/parallel/cost_model.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "parallel/constraints.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::parallel {
namespace {

constexpr double kMaskWordsPerValue = 1.0 / 32;
constexpr double kMixedShare = 0.5;
constexpr std::size_t kMostStates = std::size_t{1} << 21;

void check_options(const CostOptions& options) {
  if (options.levels < 1 || options.levels > kMaxLevels) {
    throw_invalid_argument("levels", concat("in 1..", kMaxLevels), concat(options.levels));
  }
  if (options.types != 2 && options.types != 3) {
    throw_invalid_argument("types", "2 or 3", concat(options.types));
  }
  if (!(options.density > 0 && options.density <= 1)) {
    throw_invalid_argument("density", "above 0 and at most 1", concat(options.density));
  }
  if (options.batch < 1 || options.batch > (std::int64_t{1} << 32)) {
    throw_invalid_argument("batch", "in 1..2^32", concat(options.batch));
  }
  if (!options.groups.empty() && static_cast<int>(options.groups.size()) != options.levels) {
    throw_invalid_argument("groups", concat("of ", options.levels, " levels"),
                           concat(options.groups.size()));
  }
  std::int64_t accelerators = 1;
  for (const int groups : options.groups) {
    if (groups < 2 || groups > (std::int64_t{1} << kMaxLevels) / accelerators) {
      throw_invalid_argument("groups", concat("of 2 or more, 2^", kMaxLevels, " in all"),
                             concat(groups));
    }
    accelerators *= groups;
    if (groups == 2 || options.table == CostTable::kVolume) continue;
    throw Error(ErrorKind::kUnsupported, concat("HyPar's tables do not know levels of ", groups),
                concat("cost table ", to_string(options.table)), "use volume");
  }
  if (options.replicate && options.table != CostTable::kVolume) {
    throw Error(ErrorKind::kUnsupported, "HyPar's tables do not know layers that stay whole",
                concat("cost table ", to_string(options.table)), "use volume");
  }
  const std::int64_t parts = options.memory.accumulate;
  if (parts < 1 || options.batch % parts != 0) {
    throw_invalid_argument("accumulate", concat("a divisor of the batch of ", options.batch),
                           concat(parts));
  }
  if (options.memory.sharding >= Sharding::kWeights && options.table != CostTable::kVolume) {
    throw Error(ErrorKind::kUnsupported, "HyPar's tables do not know sharded weights",
                concat("cost table ", to_string(options.table)), "use volume");
  }
}

/// HyPar's tables of boundaries (arXiv 1901.02067), units of A(F), both directions.
double table_boundary(CostTable table, Split from, Split to) noexcept {
  // Element-wise nodes split by channels make what type III makes and want what type II wants.
  const auto row = from == Split::kChannels ? Split::kOutput : from;
  const auto column = to == Split::kChannels ? Split::kInput : to;
  static constexpr double kFig[3][3] = {{0, 1, 0}, {0, 0, 0}, {1, 0, 0}};
  static constexpr double kPrinted[3][3] = {{0, 1, 1}, {1, 1, 0}, {1, 0, 1}};
  const auto& costs = table == CostTable::kFig ? kFig : kPrinted;
  return costs[static_cast<int>(row)][static_cast<int>(column)];
}

}  // namespace

EdgeUnits EdgeCounter::step(Split from, Split to, int groups) noexcept {
  EdgeUnits units;
  if (table_ == CostTable::kVolume) {
    const SplitLayouts maker = layouts_of(from);
    const SplitLayouts reader = layouts_of(to);
    const MoveUnits features = features_.step(maker.feature_made, reader.feature_wanted, groups);
    const MoveUnits errors = errors_.step(reader.error_made, maker.error_wanted, groups);
    units = {features.reduce_scatter, features.change + features.all_gather, errors.reduce_scatter,
             errors.change + errors.all_gather, features.messages() + errors.messages()};
    return units;
  }
  units.features = table_boundary(table_, from, to) * pairs_ * halves_;
  units.messages = units.features > 0 ? 1 : 0;
  pairs_ *= 2;
  if (to != Split::kOutput) halves_ /= 2;
  return units;
}

NodeCounter::NodeCounter(const CostModel& model, int node, const LayerState& state)
    : table_(model.options().table),
      free_errors_(model.reads_input(node) && !model.options().charge_first_layer),
      weights_(model.weight_words(node)),
      inputs_(model.input_words(node)),
      outputs_(model.output_words(node)),
      passes_(model.gradient_passes(model.sharding(state))),
      copies_(model.copies(state)) {
  if (model.graph().node(node).kind != graph::NodeKind::kWeighted) {
    weights_ = inputs_ = outputs_ = 0;
  }
}

NodeCounter::Step NodeCounter::step(Split split, int groups) noexcept {
  Step step;
  if (table_ == CostTable::kVolume) {
    if (split == Split::kBatch) {
      step.words = passes_ * copies_ * (groups - 1) * weights_;
      copies_ *= groups;
    }
  } else {
    switch (split) {
      case Split::kBatch:
        step.words = 2 * pairs_ * weights_;
        inputs_ /= 2;
        outputs_ /= 2;
        break;
      case Split::kInput:
        step.words = 2 * pairs_ * outputs_;
        inputs_ /= 2;
        weights_ /= 2;
        break;
      case Split::kOutput:
        step.words = free_errors_ ? 0 : 2 * pairs_ * inputs_;
        weights_ /= 2;
        outputs_ /= 2;
        break;
      case Split::kChannels:
        inputs_ /= 2;
        weights_ /= 2;
        outputs_ /= 2;
        break;
      case Split::kReplicate:
        break;  // the tables do not know it
    }
    pairs_ *= 2;
  }
  // A reduce-scatter and one all-gather or more.
  const int messages = table_ == CostTable::kVolume ? static_cast<int>(passes_) : 2;
  step.messages = step.words > 0 ? messages : 0;
  step.gradient = split == Split::kBatch;
  return step;
}

CostModel::CostModel(const graph::Graph& graph, CostOptions options)
    : graph_(&graph), options_(std::move(options)) {
  check_options(options_);
  check_batch();
  if (options_.memory.precision == Precision::kMixed) word_share_ = kMixedShare;
  constexpr std::uint8_t kAll = 0b11111;
  allowed_.assign(static_cast<std::size_t>(graph.size()),
                  std::vector<std::uint8_t>(static_cast<std::size_t>(options_.levels), kAll));
  for (const Constraint& constraint : options_.constraints) apply(constraint);
}

bool CostModel::halves() const noexcept {
  return std::all_of(options_.groups.begin(), options_.groups.end(),
                     [](int groups) { return groups == 2; });
}

std::int64_t CostModel::parts(const LayerState& state,
                              std::initializer_list<Split> splits) const noexcept {
  std::int64_t parts = 1;
  for (int level = 0; level < state.levels(); ++level) {
    if (std::find(splits.begin(), splits.end(), state.at(level)) != splits.end()) {
      parts *= groups(level);
    }
  }
  return parts;
}

EdgeCopies CostModel::edge_copies(const LayerState& from, const LayerState& to) const noexcept {
  EdgeCopies copies;
  if (!options_.replicate) return copies;
  for (int level = 0; level < levels(); ++level) {
    copies.add(from.at(level), to.at(level), groups(level));
  }
  return copies;
}

void CostModel::check_batch() const {
  if (options_.replicate) return;
  const std::int64_t accelerators =
      parts(LayerState(options_.levels, Split::kBatch), {Split::kBatch});
  const auto nodes = graph_->nodes();
  const bool cut = options_.table == CostTable::kVolume &&
                   std::any_of(nodes.begin(), nodes.end(),
                               [](const graph::Node& node) { return node.positions > 1; });
  if (cut || part_batch() >= accelerators) return;
  if (options_.batch >= accelerators) {
    throw_invalid_argument("accumulate",
                           concat("what leaves the ", accelerators, " accelerators a sample each"),
                           concat(options_.memory.accumulate));
  }
  throw_invalid_argument("batch", concat("at least the ", accelerators, " accelerators"),
                         concat(options_.batch));
}

std::vector<Split> CostModel::splits(int node) const {
  std::uint8_t anywhere = 0;
  for (const std::uint8_t level : allowed(node)) anywhere |= level;
  std::vector<Split> known = known_splits(node);
  std::erase_if(known, [&](Split split) { return (anywhere & split_bit(split)) == 0; });
  return known;
}

std::vector<Split> CostModel::known_splits(int node) const {
  const graph::Node& layer = graph_->node(node);
  std::vector<Split> known = {Split::kBatch};
  if (layer.kind == graph::NodeKind::kElementwise ||
      (layer.kind == graph::NodeKind::kWeighted && layer.grouped)) {
    known.push_back(Split::kChannels);
  } else if (layer.kind == graph::NodeKind::kWeighted) {
    known.push_back(Split::kInput);
    if (options_.types > 2) known.push_back(Split::kOutput);
  }
  // What tables' rows enter is split by samples, as their exchange is counted.
  const auto tables = graph_->tables();
  const bool reads_tables =
      std::any_of(tables.begin(), tables.end(),
                  [&](const graph::GraphTable& table) { return table.node == node; });
  if (options_.replicate && !reads_tables) known.push_back(Split::kReplicate);
  return known;
}

std::optional<std::string> CostModel::infeasible_reason(int node, const LayerState& state) const {
  if (!options_.replicate && state.count(Split::kReplicate) > 0) {
    return concat("layer ", graph_->node(node).name,
                  ": stays whole (R) at a level, which goes with replicate alone");
  }
  for (int level = 0; level < state.levels(); ++level) {
    if ((allowed(node)[static_cast<std::size_t>(level)] & split_bit(state.at(level))) != 0)
      continue;
    return concat("layer ", graph_->node(node).name, ": constraints rule out ",
                  to_string(state.at(level)), " at level ", level + 1);
  }
  if (state.gathers() && (options_.memory.sharding != Sharding::kByLayer ||
                          graph_->node(node).weights == 0 || state.count(Split::kBatch) == 0)) {
    return concat("layer ", graph_->node(node).name, ": has no copies of weights to gather");
  }
  return size_reason(node, state);
}

void CostModel::add_gathering(int node, std::vector<LayerState>& states) const {
  if (options_.memory.sharding != Sharding::kByLayer || graph_->node(node).weights == 0) return;
  std::vector<LayerState> both;
  for (const LayerState& state : states) {
    both.push_back(state);
    if (state.count(Split::kBatch) == 0) continue;
    both.push_back(state);
    both.back().set_gathers(true);
  }
  states = std::move(both);
}

bool CostModel::alike(int level, int other) const {
  if (groups(level) != groups(other)) return false;
  return std::all_of(allowed_.begin(), allowed_.end(), [&](const std::vector<std::uint8_t>& node) {
    return node[static_cast<std::size_t>(level)] == node[static_cast<std::size_t>(other)];
  });
}

std::optional<std::string> CostModel::size_reason(int node, const LayerState& state) const {
  const graph::Node& layer = graph_->node(node);
  const auto too_many = [&](std::int64_t wanted, std::string_view what, std::int64_t there) {
    return concat("layer ", layer.name, ": ", there, " ", what, " cannot be cut into ", wanted,
                  options_.even_channels ? " equal parts" : " parts");
  };
  const auto fits = [&](std::int64_t wanted, std::int64_t there) {
    return options_.even_channels ? there % wanted == 0 : wanted <= there;
  };
  const bool volume = options_.table == CostTable::kVolume;
  const std::int64_t channels = parts(state, {Split::kChannels});
  const std::int64_t blocks = volume && options_.even_channels
                                  ? layer.in_channels
                                  : std::int64_t{1} << layer.channel_levels;
  if (state.count(Split::kChannels) > layer.channel_levels || !fits(channels, blocks)) {
    return too_many(channels, "channel parts", blocks);
  }
  if (!volume) return std::nullopt;  // halves are real numbers there
  const std::int64_t samples =
      part_batch() * std::min(layer.positions, std::int64_t{1} << kMaxLevels);
  if (const std::int64_t wanted = parts(state, {Split::kBatch}); wanted > samples) {
    return concat("layer ", layer.name, ": ", samples,
                  layer.positions > 1 ? " positions of samples" : " samples",
                  " cannot be cut into ", wanted, " parts");
  }
  if (const std::int64_t wanted = parts(state, {Split::kInput}); !fits(wanted, layer.in_channels)) {
    return too_many(wanted, "input channels", layer.in_channels);
  }
  if (const std::int64_t wanted = parts(state, {Split::kOutput});
      !fits(wanted, layer.out_channels)) {
    return too_many(wanted, "output channels", layer.out_channels);
  }
  return std::nullopt;
}

bool CostModel::feasible(int node, const LayerState& state) const {
  const std::vector<Split> known = splits(node);
  for (int level = 0; level < state.levels(); ++level) {
    if (std::find(known.begin(), known.end(), state.at(level)) == known.end()) return false;
  }
  return !infeasible_reason(node, state);
}

std::vector<LayerState> CostModel::states(int node) const {
  const std::vector<Split> known = splits(node);
  std::vector<LayerState> all = {LayerState(levels(), Split::kBatch)};
  for (int level = 0; level < levels(); ++level) {
    std::vector<LayerState> longer;
    longer.reserve(all.size() * known.size());
    for (const LayerState& state : all) {
      for (const Split split : known) {
        longer.push_back(state);
        longer.back().set(level, split);
      }
    }
    all = std::move(longer);
    if (all.size() > kMostStates) {
      throw_invalid_argument("states of layer " + graph_->node(node).name,
                             concat("at most ", kMostStates), "more");
    }
  }
  std::erase_if(all, [&](const LayerState& state) { return infeasible_reason(node, state); });
  add_gathering(node, all);
  return all;
}

Traffic CostModel::node_traffic(int node, const LayerState& state) const {
  Traffic traffic;
  NodeCounter counter(*this, node, state);
  for (int level = 0; level < levels(); ++level) {
    const NodeCounter::Step step = counter.step(state.at(level), groups(level));
    traffic.words.push_back(step.words);
    traffic.messages.push_back(step.messages);
  }
  return traffic;
}

Traffic CostModel::edge_traffic(int edge, const LayerState& from, const LayerState& to) const {
  Traffic traffic;
  const EdgeWords words = edge_words(edge);
  const auto parts = static_cast<double>(options_.memory.accumulate);
  EdgeCounter counter(options_.table, edge_copies(from, to));
  for (int level = 0; level < levels(); ++level) {
    const EdgeUnits units = counter.step(from.at(level), to.at(level), groups(level));
    traffic.words.push_back(units.feature_sums * words.feature_sums +
                            units.features * words.features + units.error_sums * words.error_sums +
                            units.errors * words.errors);
    traffic.messages.push_back(free_edge(edge) ? 0 : parts * units.messages);
  }
  return traffic;
}

void CostModel::check(const Plan& plan) const {
  if (plan.levels != levels() || static_cast<int>(plan.states.size()) != graph_->size()) {
    throw_invalid_argument("plan",
                           concat("for ", graph_->size(), " nodes and ", levels(), " levels"),
                           concat(plan.states.size(), " nodes and ", plan.levels, " levels"));
  }
  for (int v = 0; v < graph_->size(); ++v) {
    const LayerState& state = plan.states[v];
    const std::string& name = graph_->node(v).name;
    if (state.levels() != levels()) {
      throw_invalid_argument("plan of layer " + name, concat("for ", levels(), " levels"),
                             concat(state.levels()));
    }
    if (const auto reason = infeasible_reason(v, state)) {
      throw Error(ErrorKind::kInvalidArgument, *reason);
    }
    if (!feasible(v, state)) {
      throw Error(ErrorKind::kInvalidArgument,
                  concat("layer ", name, " cannot have a split of the plan"));
    }
  }
}

Traffic CostModel::traffic(const Plan& plan) const {
  check(plan);
  Traffic total{std::vector<double>(levels(), 0), std::vector<double>(levels(), 0)};
  const auto add = [&](const Traffic& part) {
    for (int level = 0; level < levels(); ++level) {
      total.words[level] += part.words[level];
      total.messages[level] += part.messages[level];
    }
  };
  for (int v = 0; v < graph_->size(); ++v) add(node_traffic(v, plan.states[v]));
  for (int e = 0; e < static_cast<int>(graph_->edges().size()); ++e) {
    const graph::Edge& edge = graph_->edges()[e];
    add(edge_traffic(e, plan.states[edge.from], plan.states[edge.to]));
  }
  return total;
}

std::vector<Redistribution> CostModel::redistributions(const Plan& plan) const {
  if (options_.table != CostTable::kVolume) {
    throw Error(ErrorKind::kUnsupported, "HyPar's tables do not say how tensors move",
                concat("cost table ", to_string(options_.table)), "use volume");
  }
  check(plan);
  std::vector<Redistribution> list;
  for (int v = 0; v < graph_->size(); ++v) {
    const Traffic traffic = node_traffic(v, plan.states[v]);
    for (int level = 0; level < levels(); ++level) {
      if (traffic.words[level] == 0) continue;
      list.push_back({Redistribution::What::kGradient, Collective::kAllReduce, v, -1, level,
                      traffic.words[level]});
    }
  }
  using What = Redistribution::What;
  for (int e = 0; e < static_cast<int>(graph_->edges().size()); ++e) {
    const graph::Edge& edge = graph_->edges()[e];
    const EdgeWords words = edge_words(e);
    const EdgeCopies copies = edge_copies(plan.states[edge.from], plan.states[edge.to]);
    MoveCounter features(copies.features);
    MoveCounter errors(copies.errors);
    const auto add = [&](What what, int level, const MoveUnits& units, double sums, double rest) {
      const auto one = [&](Collective collective, double moved) {
        if (moved > 0) list.push_back({what, collective, edge.from, edge.to, level, moved});
      };
      one(Collective::kReduceScatter, units.reduce_scatter * sums);
      one(Collective::kChange, units.change * rest);
      one(Collective::kAllGather, units.all_gather * rest);
    };
    for (int level = 0; level < levels(); ++level) {
      const SplitLayouts maker = layouts_of(plan.states[edge.from].at(level));
      const SplitLayouts reader = layouts_of(plan.states[edge.to].at(level));
      add(What::kFeature, level,
          features.step(maker.feature_made, reader.feature_wanted, groups(level)),
          words.feature_sums, words.features);
      add(What::kError, level, errors.step(reader.error_made, maker.error_wanted, groups(level)),
          words.error_sums, words.errors);
    }
  }
  return list;
}

EdgeWords CostModel::edge_words(int edge) const {
  const graph::Edge& read = graph_->edges()[edge];
  const double words =
      word_share_ * static_cast<double>(read.words) * static_cast<double>(options_.batch);
  if (options_.table != CostTable::kVolume) {
    return free_edge(edge) ? EdgeWords{} : EdgeWords{0, words, 0, 0};
  }
  const double raw =
      word_share_ * static_cast<double>(read.raw_words) * static_cast<double>(options_.batch);
  const double density = read.density.value_or(options_.density);
  const bool dense = density == 1 || graph_->node(read.to).op == "loss";
  const double values = dense ? 1 : density;
  const double features = dense ? 1 : std::min(1.0, density + kMaskWordsPerValue / word_share_);
  return {options_.raw_sums ? raw : words, words * features, words * values, words * values};
}

double CostModel::weight_words(int node) const {
  return word_share_ * static_cast<double>(graph_->node(node).weights);
}
double CostModel::input_words(int node) const {
  return word_share_ * static_cast<double>(graph_->node(node).in_words) *
         static_cast<double>(options_.batch);
}
double CostModel::output_words(int node) const {
  return word_share_ * static_cast<double>(graph_->node(node).out_words) *
         static_cast<double>(options_.batch);
}
bool CostModel::free_edge(int edge) const {
  return options_.table != CostTable::kVolume &&
         graph_->node(graph_->edges()[edge].to).op == "loss";
}
bool CostModel::reads_input(int node) const {
  return graph_->inputs(node).empty();
}

}  // namespace taut::parallel
