#include "taut/parallel/volume.h"

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::parallel {

std::vector<Held> summed(const std::vector<Held>& made, const std::vector<Held>& wanted) {
  TAUT_ASSERT(made.size() == wanted.size());
  std::vector<Held> layout;
  layout.reserve(made.size());
  for (std::size_t level = 0; level < made.size(); ++level) {
    layout.push_back(summed(made[level], wanted[level]));
  }
  return layout;
}

std::vector<Held> layout_of(const LayerState& state, Held SplitLayouts::* which) {
  std::vector<Held> layout;
  for (int level = 0; level < state.levels(); ++level) {
    layout.push_back(layouts_of(state.at(level)).*which);
  }
  return layout;
}

std::vector<MoveUnits> move_units(const std::vector<Held>& made, const std::vector<Held>& wanted,
                                  const std::vector<int>& groups) {
  if (made.size() != wanted.size()) {
    throw_invalid_argument("wanted layout", concat("of ", made.size(), " levels"),
                           concat(wanted.size()));
  }
  if (!groups.empty() && groups.size() != made.size()) {
    throw_invalid_argument("groups", concat("of ", made.size(), " levels"), concat(groups.size()));
  }
  const auto joined = [&](std::size_t level) { return groups.empty() ? 2 : groups[level]; };
  double copies = 1;
  for (std::size_t level = 0; level < made.size(); ++level) {
    if (stays_whole(made[level], wanted[level])) copies *= joined(level);
  }
  MoveCounter counter(copies);
  std::vector<MoveUnits> units;
  units.reserve(made.size());
  for (std::size_t level = 0; level < made.size(); ++level) {
    units.push_back(counter.step(made[level], wanted[level], joined(level)));
  }
  return units;
}

}  // namespace taut::parallel
