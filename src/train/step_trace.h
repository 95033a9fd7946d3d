#pragma once
// What each worker did in one step, when: a trace that Perfetto opens.

#include <chrono>
#include <cstdint>
#include <string>

#include "train/crew.h"

namespace taut::train {

/// Records one step of all workers. Each worker's times begin when all have met before the step, so
/// they can be held together on one machine and on several, to how long the last message of that
/// meeting takes. Threads: one call at a time, on all workers alike.
class StepTrace {
 public:
  /// step: counted from 1; 0: none. crew outlives it. Errors: kConfig for a process alone, which
  /// exchanges nothing; kInvalidArgument for a step below 0.
  StepTrace(const Crew& crew, std::int64_t step);

  /// Before a step is taken. Nothing happens unless it is the one.
  void begin(std::int64_t step);
  /// After it: the leader writes folder/trace.json. For each rank a process with three tracks:
  /// its exchanges by cause with their bytes, the time between those that went on alone, and the
  /// waits for those that went on beside its computing.
  void end(const std::string& folder);

 private:
  using Clock = std::chrono::steady_clock;

  const Crew& crew_;
  std::int64_t step_;
  bool records_ = false;
  Clock::time_point start_;
};

}  // namespace taut::train
