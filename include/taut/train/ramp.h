#pragma once
// Values that move over epochs, and when winners begin: functions of the step alone, so that a run
// that goes on after a stop goes on to the same bits.

#include "taut/core/spelling.h"

namespace taut::train {

/// How a value moves from its start to its end over epochs.
enum class Ramp {
  kStep,    ///< in four equal steps
  kLinear,  ///< in a line
  kCubic,   ///< fast first (Zhu and Gupta, arXiv 1710.01878)
};
constexpr auto spellings(std::type_identity<Ramp>) {
  return std::to_array<Spelling<Ramp>>(
      {{"step", Ramp::kStep}, {"linear", Ramp::kLinear}, {"cubic", Ramp::kCubic}});
}

/// When winners begin. Before `from` the network is dense; over `ramp` epochs the rates fall from 1
/// to model.winner_rate.
struct WinnerSchedule {
  double from = 0;
  double ramp = 0;
  Ramp shape = Ramp::kCubic;
};

/// Share of a ramp of `length` epochs that is done at `epoch` (fractional), in [0, 1]; 0 before
/// `from`.
[[nodiscard]] double ramp_progress(double epoch, double from, double length);

/// How far the value has moved when a share t in [0, 1] of the ramp is done, in [0, 1].
[[nodiscard]] double ramp_value(Ramp shape, double t);

/// The winner rate at an epoch on the way from 1 to `rate`.
[[nodiscard]] double winner_rate_at(const WinnerSchedule& schedule, double rate, double epoch);

}  // namespace taut::train
