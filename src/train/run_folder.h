#pragma once
// The folder of a run: its config, and whether a run may start or go on in it.

#include <string>

#include "taut/core/file.h"
#include "train/checkpoint.h"

namespace taut::train {

[[nodiscard]] std::string config_path(const std::string& run);

/// Makes the folder and holds it, so that nobody else trains in it meanwhile. Errors: kConfig for a
/// path that is too long for the files of a run or no UTF-8, as configs and summaries are; kIo when
/// it is held or cannot be made.
[[nodiscard]] FolderLock hold_run_folder(const std::string& run);

/// Makes the folder and writes its config, or checks that a resumed run was made from the same one.
/// A folder without a checkpoint holds nothing that could be lost: the run starts anew in it.
/// Errors: kConfig when it holds a run and resume is off, or the configs differ (naming the first
/// line that does).
void prepare_folder(const std::string& run, const std::string& config, bool resume,
                    const CheckpointFolder& checkpoints);

/// Throws kNotFound unless the folder has a config.
void require_run(const std::string& run);

}  // namespace taut::train
