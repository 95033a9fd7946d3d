#include "train/image_schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace taut::train {
namespace {

constexpr double kRise = 0.3;            // share of a cycle's steps on the way up
constexpr double kCycleStart = 1 / 25.;  // of the highest rate
constexpr int kRampSteps = 4;

// From 1 at t = 0 to 0 at t = 1 along half a cosine.
double half_cosine(double t) {
  return 0.5 * (1 + std::cos(std::numbers::pi * std::clamp(t, 0.0, 1.0)));
}

double shaped(Ramp shape, double t) {
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

}  // namespace

double ramp_progress(double epoch, double from, double length) {
  if (epoch < from) return 0;
  return length <= 0 ? 1.0 : std::min(1.0, (epoch - from) / length);
}

double learning_rate_at(const ImageLoopConfig& loop, std::int64_t step, std::int64_t steps,
                        std::int64_t steps_per_epoch) {
  const auto at = static_cast<double>(step);
  const auto all = static_cast<double>(steps);
  if (loop.schedule == Schedule::kOneCycle) {
    const double top = kRise * all;
    const double factor = at < top ? kCycleStart + (1 - kCycleStart) * (1 - half_cosine(at / top))
                                   : half_cosine((at - top) / (all - top));
    return loop.learning_rate * factor;
  }
  const double warmup = loop.warmup * static_cast<double>(steps_per_epoch);
  if (at < warmup) return loop.learning_rate * (at + 1) / (warmup + 1);
  if (loop.schedule == Schedule::kConstant) return loop.learning_rate;
  return loop.learning_rate * half_cosine((at - warmup) / std::max(all - warmup, 1.0));
}

std::vector<double> winner_rates_at(const ImageConfig& config, double epoch) {
  const WinnerSchedule& schedule = config.winners;
  if (epoch < schedule.from) return {};
  const double t = shaped(schedule.shape, ramp_progress(epoch, schedule.from, schedule.ramp));
  std::vector<double> rates = config.network.winners.rates;
  for (double& rate : rates) rate = rate * t + (1 - t);
  return rates;
}

double pruned_share_at(const PruneConfig& prune, double epoch) {
  if (prune.share <= 0 || epoch < prune.from) return 0;
  return prune.share * shaped(Ramp::kCubic, ramp_progress(epoch, prune.from, prune.ramp));
}

}  // namespace taut::train
