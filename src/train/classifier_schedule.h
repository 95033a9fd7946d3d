#pragma once
// What moves while an image network trains: all functions of the step alone, so that a run that
// goes on after a stop goes on to the same bits.

#include <cstdint>
#include <vector>

#include "taut/train/classifier.h"

namespace taut::train {

/// The learning rate of step (from 0) of a run of `steps` with `steps_per_epoch`.
[[nodiscard]] double learning_rate_at(const ImageConfig& config, std::int64_t step,
                                      std::int64_t steps, std::int64_t steps_per_epoch);

/// Winner rates at an epoch: empty (dense) before the schedule begins, then from 1 down to the
/// config's.
[[nodiscard]] std::vector<double> winner_rates_at(const ImageConfig& config, double epoch);

/// Share of weights that are pruned at an epoch, 0 before pruning begins.
[[nodiscard]] double pruned_share_at(const PruneConfig& prune, double epoch);

}  // namespace taut::train
