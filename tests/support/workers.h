#pragma once
// Real processes for tests of workers: forks them, and says what they did.

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <functional>
#include <string>
#include <vector>

#include "support/temporary_directory.h"
#include "taut/core/log.h"
#include "taut/dist/environment.h"

namespace taut::test {

/// Code of a worker whose expectations failed.
inline constexpr int kWorkerFailed = 77;

/// What each of some forked processes ended with: its exit code, or minus the signal.
/// The body runs in a process of its own, in which expectations of GoogleTest count: where one
/// failed, or an exception left the body, the code is kWorkerFailed.
/// Call it before this process has started threads.
inline std::vector<int> run_workers(
    int workers, const std::function<void(const dist::WorkerEnvironment&)>& body) {
  const TemporaryDirectory folder;
  std::fflush(nullptr);
  std::vector<pid_t> children;
  for (int rank = 0; rank < workers; ++rank) {
    const pid_t child = ::fork();
    if (child == 0) {
      set_log_level(LogLevel::kWarning);
      dist::WorkerEnvironment environment;
      environment.rank = environment.local_rank = rank;
      environment.workers = environment.local_workers = workers;
      environment.file = folder.file("meeting");
      int code = 0;
      try {
        body(environment);
      } catch (const std::exception& failed) {
        std::fprintf(stderr, "worker %d: %s\n", rank, failed.what());
        code = kWorkerFailed;
      }
      if (::testing::Test::HasFailure()) code = kWorkerFailed;
      std::fflush(nullptr);
      ::_exit(code);
    }
    children.push_back(child);
  }
  std::vector<int> codes;
  for (const pid_t child : children) {
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    codes.push_back(WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
  }
  return codes;
}

/// Expects all workers to end well.
inline void expect_workers(int workers,
                           const std::function<void(const dist::WorkerEnvironment&)>& body) {
  EXPECT_EQ(run_workers(workers, body), std::vector<int>(static_cast<std::size_t>(workers), 0));
}

}  // namespace taut::test
