#pragma once
// Commands that several processes run together, started by torchrun.

#include <functional>
#include <memory>

#include "cli/command.h"
#include "taut/dist/process_group.h"

namespace taut::cli {

/// --worker-timeout, of a command that workers run.
void add_worker_timeout(CLI::App& app, double& seconds);

/// The workers of this command, after they met; null for a process that is alone. All but the first
/// say nothing from now on but their own errors. Errors: those of dist::environment_of_torchrun and
/// dist::ProcessGroup::connect.
[[nodiscard]] std::shared_ptr<dist::ProcessGroup> meet_workers(double timeout_seconds);

/// Threads of this process: as wanted; 0 means the processors that it has, which the workers of a
/// machine share.
[[nodiscard]] int threads_of_worker(int wanted);

/// Runs what all workers do together. The outcome is the first worker's to print; of an error one
/// worker's alone, the first that met it. workers: may be null.
[[nodiscard]] Outcome run_together(dist::ProcessGroup* workers, const Action& action);

}  // namespace taut::cli
