#pragma once
// The exact words that move when a tensor made under one layout is wanted under another
// (docs/parallel.md, "Three cost tables"). Every dimension is cut into a chunk for each
// accelerator; a level that splits a dimension pins its own digit of the chunk number. Checked
// chunk by chunk against moved data in the tests.

#include <string_view>
#include <vector>

#include "taut/core/spelling.h"
#include "taut/parallel/split.h"

namespace taut::parallel {

/// How a level moves a tensor.
enum class Collective : std::uint8_t {
  kReduceScatter,  ///< partial sums are added up, each group keeping its part; deepest level first
  kChange,         ///< from a split of one dimension to one of the other: an all-to-all
  kAllGather,      ///< each group gets the others' parts; top level first
  kAllReduce,      ///< weight gradients of copied weights: reduce-scatter, then all-gather
};
constexpr auto spellings(std::type_identity<Collective>) {
  return std::to_array<Spelling<Collective>>({{"reduce-scatter", Collective::kReduceScatter},
                                              {"change", Collective::kChange},
                                              {"all-gather", Collective::kAllGather},
                                              {"all-reduce", Collective::kAllReduce}});
}

[[nodiscard]] constexpr std::string_view to_string(Collective collective) noexcept {
  return spelling_of(collective);
}

/// Words moved at one level per word of the tensor, both directions and all pairs of the level.
struct MoveUnits {
  double reduce_scatter = 0;
  double change = 0;
  double all_gather = 0;
  [[nodiscard]] int messages() const noexcept {
    return (reduce_scatter > 0 ? 1 : 0) + (change > 0 ? 1 : 0) + (all_gather > 0 ? 1 : 0);
  }
};

/// How a tensor lies once its partial sums are added on the way to `wanted`, at one level.
[[nodiscard]] constexpr Held summed(Held made, Held wanted) noexcept {
  if (made != Held::kPartial) return made;
  return wanted == Held::kWhole ? Held::kChannel : wanted;
}
/// Whether a level leaves a tensor whole in each of its groups. What other levels move, they then
/// move in each of them; where parts of a whole tensor are wanted, they are cut from it first.
[[nodiscard]] constexpr bool stays_whole(Held made, Held wanted) noexcept {
  return made == Held::kWhole && wanted == Held::kWhole;
}
/// The same at all levels. Requires lists of one length.
[[nodiscard]] std::vector<Held> summed(const std::vector<Held>& made,
                                       const std::vector<Held>& wanted);

/// One of a layer's layouts, from the top level down.
[[nodiscard]] std::vector<Held> layout_of(const LayerState& state, Held SplitLayouts::* which);

/// Walks the levels of one tensor from the top, remembering what the levels above did.
class MoveCounter {
 public:
  /// copies: the product of the groups of all levels at which the tensor stays_whole().
  explicit MoveCounter(double copies = 1) : partial_(copies), changed_(copies), whole_(copies) {}

  /// The units of the next level, which joins so many groups. Requires wanted != kPartial.
  MoveUnits step(Held made, Held wanted, int groups = 2) noexcept {
    MoveUnits units;
    if (made == Held::kPartial) {
      units.reduce_scatter = (groups - 1) * partial_;
      partial_ *= groups;
    }
    if (made == Held::kWhole) return units;
    if (wanted == Held::kWhole) {
      units.all_gather = (groups - 1) * whole_;
      whole_ *= groups;
    } else if (summed(made, wanted) != wanted) {
      changed_ /= groups;
      units.change = (groups - 1) * changed_;
    }
    return units;
  }

 private:
  double partial_;
  double changed_;
  double whole_;
};

/// All levels at once; groups: how many each joins, two where it is empty. Requires lists of one
/// length.
[[nodiscard]] std::vector<MoveUnits> move_units(const std::vector<Held>& made,
                                                const std::vector<Held>& wanted,
                                                const std::vector<int>& groups = {});

}  // namespace taut::parallel
