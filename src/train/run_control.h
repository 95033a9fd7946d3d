#pragma once
// When a training loop stops and when it writes checkpoints.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

#include "taut/train/config.h"

namespace taut::train {

/// Seconds since a point in time.
[[nodiscard]] double seconds_since(std::chrono::steady_clock::time_point start);

/// The stop that a caller may ask for, and the interval of checkpoints.
class RunControl {
 public:
  /// stop: may be null; must live as long.
  RunControl(std::string run, const std::atomic<bool>* stop, const CheckpointInterval& every);

  [[nodiscard]] bool stop_asked() const noexcept;
  /// Throws Interrupted.
  [[noreturn]] void stop_at(std::int64_t steps) const;
  [[nodiscard]] bool checkpoint_due(std::int64_t steps) const;
  /// A checkpoint was written, or the loop begins.
  void checkpointed();

 private:
  std::string run_;
  const std::atomic<bool>* stop_;
  CheckpointInterval every_;
  std::chrono::steady_clock::time_point checkpointed_;
};

}  // namespace taut::train
