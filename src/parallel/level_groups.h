#pragma once
// Levels of equal cost next to each other, as one group: what a layer or boundary moves depends on
// how many levels of a group have which (pair of) splits, not on their order, because the powers of
// MoveCounter and NodeCounter are handed out one a level.

#include <array>
#include <utility>
#include <vector>

#include "parallel/elimination.h"
#include "parallel/problem.h"

namespace taut::parallel {

/// Neighbouring levels, which join as many groups of accelerators each.
struct Group {
  int first = 0;
  int levels = 0;
  int ways = 2;            ///< that many
  double per_word = 0;     ///< the least of its levels
  double per_message = 0;  ///< of boundaries, all parts of a step together
};

/// Groups of equal levels; neighbours of the nearest cost are joined, at the least of their costs,
/// until a layer has at most 450 states. Levels that constraints treat differently, or that join
/// another number of groups, stay apart; kUnsupported where that leaves more than 2,000 states, or
/// more than 20 million ways to pair those of two layers that may stay whole.
[[nodiscard]] std::vector<Group> group_levels(const CostModel& model, const LevelWeights& weights);

/// Counts of each split among the levels of each group: what a state is to the deep search.
class GroupCounts {
 public:
  static constexpr int kSplits = 5;

  /// replicate: whether states may have type R.
  GroupCounts(const std::vector<Group>& groups, bool replicate)
      : groups_(&groups), counted_(replicate ? kSplits : kSplits - 1) {
    for (const Group& group : groups) size_ *= cell(group);
  }

  /// A number for the counts of a state, below size().
  [[nodiscard]] std::size_t code(const LayerState& state) const {
    std::size_t code = 0;
    for (const Group& group : *groups_) {
      std::array<int, kSplits> counts{};
      for (int i = 0; i < group.levels; ++i) {
        ++counts[static_cast<int>(state.at(group.first + i))];
      }
      code = code * cell(group) + group_code(group, counts);
    }
    return code;
  }
  [[nodiscard]] std::size_t size() const { return size_; }

  /// How many codes the counts of one group have, and the code of some; the first split has what
  /// the others leave.
  [[nodiscard]] std::size_t cell(const Group& group) const {
    std::size_t cell = 1;
    for (int split = 1; split < counted_; ++split) cell *= group.levels + 1;
    return cell;
  }
  [[nodiscard]] std::size_t group_code(const Group& group,
                                       const std::array<int, kSplits>& counts) const {
    std::size_t code = 0;
    for (int split = 1; split < counted_; ++split) code = code * (group.levels + 1) + counts[split];
    return code;
  }

 private:
  const std::vector<Group>* groups_;
  int counted_;  ///< splits
  std::size_t size_ = 1;
};

/// Boundaries between states that stand for all orders of their levels within groups.
class Alignment {
 public:
  Alignment(const CostModel& model, std::vector<Group> groups)
      : model_(model), groups_(std::move(groups)), counts_(groups_, model.options().replicate) {}
  Alignment(const Alignment&) = delete;
  Alignment& operator=(const Alignment&) = delete;

  /// All states of some splits with the levels of each group in ascending order, ascending.
  [[nodiscard]] Domain states(const std::vector<Split>& splits) const;

  /// Cost of a boundary's cheapest alignment for all pairs of states of two sets of splits,
  /// [from, to]; words per unit of movement, and whether messages cost.
  [[nodiscard]] Costs table(const EdgeWords& words, bool charge_messages,
                            const std::vector<Split>& from, const std::vector<Split>& to) const;

  /// The levels of `to` put in the order that suits `from` best; `from` stays as it is.
  [[nodiscard]] LayerState aligned(int edge, const LayerState& from, const LayerState& to) const;

 private:
  /// Index of a state in a domain, by the code of its counts; -1 where there is none.
  [[nodiscard]] std::vector<int> places(const Domain& domain) const;

  const CostModel& model_;
  std::vector<Group> groups_;
  GroupCounts counts_;
};

}  // namespace taut::parallel
