#pragma once
// How finely work is cut for threads.

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace taut::infer {

/// Multiply-adds that are worth a task of their own, when their operands come from a core's caches:
/// some 15 microseconds from all channels, 4 from lists of a tenth. A loop over threads that are
/// awake (ThreadPool::Awake) takes a few microseconds to start and to join.
inline constexpr double kTaskProducts = 1 << 20;
/// The same of depthwise convolutions and pools, which read two operands a multiply-add.
inline constexpr double kTaskWindows = 1 << 17;
/// The same of linear layers for a few examples, listed channels counted: each weight is read once
/// or a few times, from memory where it is far.
inline constexpr double kTaskListed = 1 << 17;

/// How many pieces of so much work a task takes at least.
[[nodiscard]] inline std::int64_t grain_of(double work, double task) {
  constexpr double kMostPieces = 1 << 30;
  return static_cast<std::int64_t>(std::clamp(std::ceil(task / work), 1.0, kMostPieces));
}

}  // namespace taut::infer
