#include "cli/workers.h"

#include <algorithm>

#include "taut/core/log.h"
#include "taut/core/thread_pool.h"

namespace taut::cli {

void add_worker_timeout(CLI::App& app, double& seconds) {
  app.add_option("--worker-timeout", seconds, "Seconds that a worker waits for the others")
      ->check(CLI::Range(0.1, 1e6))
      ->capture_default_str();
}

std::shared_ptr<dist::ProcessGroup> meet_workers(double timeout_seconds) {
  const std::optional<dist::WorkerEnvironment> found = dist::environment_of_torchrun();
  if (!found || found->workers == 1) return nullptr;
  if (found->rank > 0) set_log_level(LogLevel::kSilent);  // all would say the same
  const std::chrono::duration<double> timeout(timeout_seconds);
  return dist::ProcessGroup::connect(
      *found, {.timeout = std::chrono::duration_cast<std::chrono::milliseconds>(timeout)});
}

int threads_of_worker(int wanted) {
  const std::optional<dist::WorkerEnvironment> found = dist::environment_of_torchrun();
  if (wanted > 0 || !found) return wanted;
  return std::max(1, ThreadPool(0).threads() / found->local_workers);
}

Outcome run_together(dist::ProcessGroup* workers, const Action& action) {
  if (workers == nullptr) return action();
  const auto quiet = [](int code) {
    return Outcome{.result = {}, .exit_code = code, .quiet = true};
  };
  try {
    Outcome outcome = action();
    outcome.quiet = workers->rank() > 0;
    return outcome;
  } catch (const dist::WorkerLost&) {
    if (workers->reports_failure()) throw;
    return quiet(1);
  } catch (const Error& failed) {
    if (workers->reports_failure()) throw;
    return quiet(exit_code(failed.kind()));
  }
}

}  // namespace taut::cli
