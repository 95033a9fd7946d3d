#pragma once
// One line on the terminal that says how far a long job is.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace taut {

/// A progress bar on stderr with rate and time left. Silent for the first two seconds and whenever
/// stderr is not a terminal; the line is cleared at the end. Not for sharing between threads.
class ProgressBar {
 public:
  /// total: units of work, 0 if not known; unit: what the rate counts ("examples").
  ProgressBar(std::string label, std::int64_t total, std::string unit);
  ~ProgressBar();

  /// Sets how much is done and, if not empty, a note at the end ("loss 0.512"). Cheap: draws at
  /// most ten times a second.
  void update(std::int64_t done, std::string_view note = {});

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The line that a bar shows, exposed for its tests: "label  42% [####      ] 1.2M/2.8M examples,
/// 310k/s, 0:05 left, note". seconds: elapsed.
[[nodiscard]] std::string format_progress(std::string_view label, std::int64_t done,
                                          std::int64_t total, std::string_view unit, double seconds,
                                          std::string_view note);

}  // namespace taut
