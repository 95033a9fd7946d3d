#include "train/classifier_schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace taut::train {
namespace {

constexpr double kRise = 0.3;            // share of a cycle's steps on the way up
constexpr double kCycleStart = 1 / 25.;  // of the highest rate

// From 1 at t = 0 to 0 at t = 1 along half a cosine.
double half_cosine(double t) {
  return 0.5 * (1 + std::cos(std::numbers::pi * std::clamp(t, 0.0, 1.0)));
}

}  // namespace

double learning_rate_at(const ImageConfig& config, std::int64_t step, std::int64_t steps,
                        std::int64_t steps_per_epoch) {
  const auto at = static_cast<double>(step);
  const auto all = static_cast<double>(steps);
  if (config.schedule == Schedule::kOneCycle) {
    const double top = kRise * all;
    const double factor = at < top ? kCycleStart + (1 - kCycleStart) * (1 - half_cosine(at / top))
                                   : half_cosine((at - top) / (all - top));
    return config.train.learning_rate * factor;
  }
  const double warmup = config.warmup * static_cast<double>(steps_per_epoch);
  if (at < warmup) return config.train.learning_rate * (at + 1) / (warmup + 1);
  if (config.schedule == Schedule::kConstant) return config.train.learning_rate;
  return config.train.learning_rate * half_cosine((at - warmup) / std::max(all - warmup, 1.0));
}

std::vector<double> winner_rates_at(const ImageConfig& config, double epoch) {
  const WinnerSchedule& schedule = config.winners;
  if (epoch < schedule.from) return {};
  std::vector<double> rates = config.model.winners.rates;
  for (double& rate : rates) rate = winner_rate_at(schedule, rate, epoch);
  return rates;
}

double pruned_share_at(const PruneConfig& prune, double epoch) {
  if (prune.share <= 0 || epoch < prune.from) return 0;
  return prune.share * ramp_value(Ramp::kCubic, ramp_progress(epoch, prune.from, prune.ramp));
}

}  // namespace taut::train
