#pragma once
// Where a process stands among the workers of a run.

#include <optional>
#include <string>

namespace taut::dist {

/// What a process must know to meet the others.
struct WorkerEnvironment {
  int rank = 0;           ///< of this process, 0 .. workers - 1
  int workers = 1;        ///< processes in all
  int local_rank = 0;     ///< among those of this machine
  int local_workers = 1;  ///< processes of this machine
  int restart = 0;        ///< how often the run was started anew, so that attempts do not meet
  /// Where workers meet: a server at address and port, or, for workers of one machine, a file that
  /// all can write (address empty).
  std::string address;
  int port = 0;
  std::string file;
  bool hosts = false;  ///< this process opens the server; with torchrun its agent does
};

/// What torchrun tells its workers (RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR,
/// MASTER_PORT, TORCHELASTIC_RESTART_COUNT, TORCHELASTIC_USE_AGENT_STORE); nothing where WORLD_SIZE
/// and RANK are not set. Errors: kConfig, naming the variable, for one that is missing, no number
/// or out of range.
[[nodiscard]] std::optional<WorkerEnvironment> environment_of_torchrun();

}  // namespace taut::dist
