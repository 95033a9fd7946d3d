#pragma once
// The exact words that move when a tensor made under one layout is wanted under another
// (docs/parallel.md). Every dimension is cut into 2^H chunks; a level that splits a dimension
// pins its own bit of the chunk number. Checked chunk by chunk against moved data in the tests.

#include <string_view>
#include <vector>

#include "taut/parallel/split.h"

namespace taut::parallel {

/// How a level moves a tensor.
enum class Collective : std::uint8_t {
  kReduceScatter,  ///< partial sums are added up, each group keeping its half; deepest level first
  kChange,         ///< from a split of one dimension to one of the other: an all-to-all
  kAllGather,      ///< each group gets the other's half; top level first
  kAllReduce,      ///< weight gradients of copied weights: reduce-scatter, then all-gather
};

/// "reduce-scatter", "change", "all-gather", "all-reduce".
[[nodiscard]] std::string_view to_string(Collective collective) noexcept;

/// Words moved at one level per word of the tensor, both directions and all pairs of the level.
struct MoveUnits {
  double reduce_scatter = 0;
  double change = 0;
  double all_gather = 0;
  [[nodiscard]] int messages() const noexcept {
    return (reduce_scatter > 0 ? 1 : 0) + (change > 0 ? 1 : 0) + (all_gather > 0 ? 1 : 0);
  }
};

/// Walks the levels of one tensor from the top, remembering what the levels above did.
class MoveCounter {
 public:
  /// The next level's units. Requires made != kWhole and wanted != kPartial.
  MoveUnits step(Held made, Held wanted) noexcept {
    MoveUnits units;
    Held held = made;
    if (made == Held::kPartial) {
      units.reduce_scatter = partial_;
      partial_ *= 2;
      held = wanted == Held::kWhole ? Held::kChannel : wanted;
    }
    if (wanted == Held::kWhole) {
      units.all_gather = whole_;
      whole_ *= 2;
    } else if (held != wanted) {
      changed_ /= 2;
      units.change = changed_;
    }
    return units;
  }

 private:
  double partial_ = 1;
  double changed_ = 1;
  double whole_ = 1;
};

/// All levels at once. Requires layouts of one length.
[[nodiscard]] std::vector<MoveUnits> move_units(const std::vector<Held>& made,
                                                const std::vector<Held>& wanted);

}  // namespace taut::parallel
