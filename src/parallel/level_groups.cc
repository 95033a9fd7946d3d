#include "parallel/level_groups.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::parallel {
namespace {

constexpr double kMostGroupStates = 450;
constexpr double kMostConstrainedStates = 2000;
constexpr double kMostPairings = 2e7;  // of two layers that may stay whole; fewer without type R

/// In how many ways levels can be shared out among kinds.
double multisets(int levels, int kinds) {
  double ways = 1;
  for (int i = 1; i < kinds; ++i) ways *= static_cast<double>(levels + i) / i;
  return ways;
}

using Pair = std::pair<Split, Split>;

/// Tries all ways of pairing the splits of two states, group by group, and gives the cost of each.
class Pairings {
 public:
  /// What one pairing costs: codes of both states' counts, cost, and the pair of each level in
  /// turn.
  using Visit = std::function<void(std::size_t from, std::size_t to, double cost,
                                   const std::vector<Pair>& pairs)>;

  Pairings(const std::vector<Group>& groups, const GroupCounts& counts, CostTable table,
           const EdgeWords& words, bool charge_messages, Visit visit)
      : groups_(groups),
        counts_(counts),
        table_(table),
        words_(words),
        charge_messages_(charge_messages),
        visit_(std::move(visit)) {}

  /// All pairings of the given splits.
  void all(const std::vector<Split>& from, const std::vector<Split>& to) {
    from_ = from;
    to_ = to;
    group(0, {EdgeCounter(table_), {}, 0, 0, 0}, 0, 0);
  }

  /// Those of two states, in any order of their levels.
  void between(const LayerState& from, const LayerState& to) {
    fixed_from_ = &from;
    fixed_to_ = &to;
    constexpr std::array kAll = {Split::kBatch, Split::kInput, Split::kOutput, Split::kChannels,
                                 Split::kReplicate};
    all({kAll.begin(), kAll.end()}, {kAll.begin(), kAll.end()});
  }

 private:
  using Counts = std::array<int, GroupCounts::kSplits>;

  /// What the levels so far cost.
  struct Walk {
    EdgeCounter counter;
    EdgeCopies copies;  ///< by which features and errors are multiplied in the end
    double cost;        ///< without copies
    double features;
    double errors;

    [[nodiscard]] double total() const {
      if (copies.features == 1 && copies.errors == 1) return cost;
      return cost + (copies.features - 1) * features + (copies.errors - 1) * errors;
    }
    void add(const EdgeUnits& units, const EdgeWords& words, double per_word, double messages) {
      const double sums = units.error_sums * words.error_sums;
      const double rest = units.errors * words.errors;
      const double forward =
          units.feature_sums * words.feature_sums + units.features * words.features;
      cost = cost + (forward + sums + rest) * per_word + messages;
      features += forward * per_word;
      errors += (sums + rest) * per_word;
    }
  };

  /// The levels of a group that may still take each split.
  Counts allowance(const Group& group, const LayerState* fixed) const {
    Counts counts;
    counts.fill(fixed == nullptr ? group.levels : 0);
    for (int i = 0; fixed != nullptr && i < group.levels; ++i) {
      ++counts[static_cast<int>(fixed->at(group.first + i))];
    }
    return counts;
  }

  void group(std::size_t g, const Walk& walk, std::size_t from_code, std::size_t to_code) {
    if (g == groups_.size()) {
      visit_(from_code, to_code, walk.total(), pairs_);
      return;
    }
    Place place{g,
                from_code,
                to_code,
                {},
                {},
                allowance(groups_[g], fixed_from_),
                allowance(groups_[g], fixed_to_)};
    levels(place, 0, 0, walk);
  }

  /// Where a walk stands inside one group.
  struct Place {
    std::size_t group;
    std::size_t from_code;  ///< of the groups above
    std::size_t to_code;
    Counts from_counts;
    Counts to_counts;
    Counts from_left;
    Counts to_left;
  };

  /// Level `done` of the group takes pair number `first` or a later one.
  void levels(Place& at, int done, std::size_t first, const Walk& walk) {
    const Group& levels_group = groups_[at.group];
    if (done == levels_group.levels) {
      group(
          at.group + 1, walk,
          at.from_code * counts_.cell(levels_group) +
              counts_.group_code(levels_group, at.from_counts),
          at.to_code * counts_.cell(levels_group) + counts_.group_code(levels_group, at.to_counts));
      return;
    }
    for (std::size_t p = first; p < from_.size() * to_.size(); ++p) {
      const Split from = from_[p / to_.size()];
      const Split to = to_[p % to_.size()];
      const int f = static_cast<int>(from);
      const int t = static_cast<int>(to);
      if (at.from_left[f] == 0 || at.to_left[t] == 0) continue;
      Walk next = walk;
      const EdgeUnits units = next.counter.step(from, to, levels_group.ways);
      next.copies.add(from, to, levels_group.ways);
      next.add(units, words_, levels_group.per_word,
               charge_messages_ ? units.messages * levels_group.per_message : 0);
      take(at, f, t, 1);
      pairs_.emplace_back(from, to);
      levels(at, done + 1, p, next);
      pairs_.pop_back();
      take(at, f, t, -1);
    }
  }

  static void take(Place& at, int f, int t, int count) {
    at.from_counts[f] += count;
    at.to_counts[t] += count;
    at.from_left[f] -= count;
    at.to_left[t] -= count;
  }

  const std::vector<Group>& groups_;
  const GroupCounts& counts_;
  CostTable table_;
  EdgeWords words_;
  bool charge_messages_;
  Visit visit_;
  std::vector<Split> from_;
  std::vector<Split> to_;
  const LayerState* fixed_from_ = nullptr;
  const LayerState* fixed_to_ = nullptr;
  std::vector<Pair> pairs_;
};

}  // namespace

std::vector<Group> group_levels(const CostModel& model, const LevelWeights& weights) {
  std::vector<Group> groups;
  for (int level = 0; level < static_cast<int>(weights.per_word.size()); ++level) {
    groups.push_back(
        {level, 1, model.groups(level), weights.per_word[level], weights.per_message[level]});
  }
  constexpr double kApart = std::numeric_limits<double>::infinity();
  const auto difference = [&](const Group& a, const Group& b) {
    if (!model.alike(a.first, b.first)) return kApart;
    const auto ratio = [](double x, double y) {
      if (x == y) return 0.0;
      return x > 0 && y > 0 ? std::abs(std::log(x / y)) : 1e3;
    };
    return ratio(a.per_word, b.per_word) + ratio(a.per_message, b.per_message);
  };
  const auto join_nearest = [&] {
    std::size_t best = 0;
    for (std::size_t g = 1; g + 1 < groups.size(); ++g) {
      if (difference(groups[g], groups[g + 1]) < difference(groups[best], groups[best + 1])) {
        best = g;
      }
    }
    Group& a = groups[best];
    const Group& b = groups[best + 1];
    a = {a.first, a.levels + b.levels, a.ways, std::min(a.per_word, b.per_word),
         std::min(a.per_message, b.per_message)};
    groups.erase(groups.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  };
  const auto nearest = [&] {
    double least = std::numeric_limits<double>::infinity();
    for (std::size_t g = 0; g + 1 < groups.size(); ++g) {
      least = std::min(least, difference(groups[g], groups[g + 1]));
    }
    return least;
  };
  const int kinds = model.options().replicate ? 4 : 3;  // of splits that one node may have
  const auto ways = [&](int of) {
    double product = 1;
    for (const Group& group : groups) product *= multisets(group.levels, of);
    return product;
  };
  const auto states = [&] { return ways(kinds); };
  while (groups.size() > 1 && nearest() < kApart &&
         (nearest() == 0 || states() > kMostGroupStates)) {
    join_nearest();
  }
  // A message on a boundary is sent for each part of a step.
  const auto parts = static_cast<double>(model.options().memory.accumulate);
  for (Group& group : groups) group.per_message *= parts;
  if (states() > kMostConstrainedStates) {
    throw Error(ErrorKind::kUnsupported,
                concat(groups.size(), " runs of ", model.levels(),
                       " levels that constraints, or their numbers of groups, tell apart"),
                "method exact", "constrain all levels alike, or fewer of them");
  }
  if (model.options().replicate && ways(kinds * kinds) > kMostPairings) {
    throw Error(ErrorKind::kUnsupported,
                concat("layers that may stay whole at ", model.levels(), " levels"), "method exact",
                "use fewer accelerators, or plan without --replicate");
  }
  return groups;
}

Domain Alignment::states(const std::vector<Split>& splits) const {
  Domain all = {LayerState(model_.levels(), splits[0])};
  for (const Group& group : groups_) {
    for (int i = 0; i < group.levels; ++i) {
      Domain longer;
      const int level = group.first + i;
      for (const LayerState& state : all) {
        for (const Split split : splits) {
          if (i > 0 && split < state.at(level - 1)) continue;
          longer.push_back(state);
          longer.back().set(level, split);
        }
      }
      all = std::move(longer);
    }
  }
  std::sort(all.begin(), all.end());
  return all;
}

Costs Alignment::table(const EdgeWords& words, bool charge_messages, const std::vector<Split>& from,
                       const std::vector<Split>& to) const {
  const std::vector<int> rows = places(states(from));
  const std::vector<int> columns = places(states(to));
  const std::size_t width = states(to).size();
  Costs least(states(from).size() * width, std::numeric_limits<double>::infinity());
  Pairings(groups_, counts_, model_.options().table, words, charge_messages,
           [&](std::size_t f, std::size_t t, double cost, const std::vector<Pair>&) {
             double& entry = least[static_cast<std::size_t>(rows[f]) * width + columns[t]];
             entry = std::min(entry, cost);
           })
      .all(from, to);
  return least;
}

LayerState Alignment::aligned(int edge, const LayerState& from, const LayerState& to) const {
  double best = std::numeric_limits<double>::infinity();
  std::vector<Pair> pairs;
  Pairings(groups_, counts_, model_.options().table, model_.edge_words(edge),
           !model_.free_edge(edge),
           [&](std::size_t, std::size_t, double cost, const std::vector<Pair>& tried) {
             if (cost >= best) return;
             best = cost;
             pairs = tried;
           })
      .between(from, to);
  LayerState result = to;
  std::vector<bool> used(pairs.size(), false);
  for (const Group& group : groups_) {
    for (int level = group.first; level < group.first + group.levels; ++level) {
      for (int p = group.first; p < group.first + group.levels; ++p) {
        if (used[p] || pairs[p].first != from.at(level)) continue;
        used[p] = true;
        result.set(level, pairs[p].second);
        break;
      }
    }
  }
  return result;
}

std::vector<int> Alignment::places(const Domain& domain) const {
  std::vector<int> places(counts_.size(), -1);
  for (std::size_t i = 0; i < domain.size(); ++i) {
    places[counts_.code(domain[i])] = static_cast<int>(i);
  }
  return places;
}

}  // namespace taut::parallel
