#pragma once
// What is looked at before the work, so that it does not end the run after it.

#include <string>

#include "train/checkpoint.h"

namespace taut::train {

/// Throws kIo when the disk of a run's folder has less room than one checkpoint takes; logs a
/// warning when it has less than the most that lie there at once. save: adds its sections, as they
/// are before the first step.
void check_room(const std::string& run, const CheckpointFolder::Save& save);

}  // namespace taut::train
