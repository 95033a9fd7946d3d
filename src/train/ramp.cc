#include "taut/train/ramp.h"

#include <algorithm>
#include <cmath>

namespace taut::train {
namespace {

constexpr int kRampSteps = 4;

}  // namespace

double ramp_progress(double epoch, double from, double length) {
  if (epoch < from) return 0;
  return length <= 0 ? 1.0 : std::min(1.0, (epoch - from) / length);
}

double ramp_value(Ramp shape, double t) {
  switch (shape) {
    case Ramp::kStep:
      return std::min(1.0, std::floor(t * kRampSteps + 1) / kRampSteps);
    case Ramp::kLinear:
      return t;
    case Ramp::kCubic:
      return 1 - (1 - t) * (1 - t) * (1 - t);
  }
  return t;
}

double winner_rate_at(const WinnerSchedule& schedule, double rate, double epoch) {
  if (epoch < schedule.from) return 1;
  const double t = ramp_progress(epoch, schedule.from, schedule.ramp);
  const double done = ramp_value(schedule.shape, t);
  return rate * done + (1 - done);
}

}  // namespace taut::train
