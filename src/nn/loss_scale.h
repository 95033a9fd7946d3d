#pragma once
// What a loss was multiplied by before its backward pass (torch.amp.GradScaler), by pass.

#include <cstdint>

namespace taut::nn {

/// Announces, from a hook within a backward pass, what the loss of that pass was multiplied by.
/// Returns the number of the pass, for end_loss_scale(). Threads: may be called at once.
std::int64_t begin_loss_scale(double scale);
/// Fine for a pass that announced nothing.
void end_loss_scale(std::int64_t pass) noexcept;

/// The number of the backward pass that this thread works on; below 0: none.
[[nodiscard]] std::int64_t current_pass() noexcept;

/// What the loss of one of two passes was multiplied by, 0 where neither announced anything: the
/// pass at work, or the one around it in which its lookup was done again (a reentrant checkpoint).
[[nodiscard]] double loss_scale(std::int64_t pass, std::int64_t around);

/// While it lives, passes that this thread works on count as lying within another.
class WithinPass {
 public:
  explicit WithinPass(std::int64_t around) noexcept;
  ~WithinPass();
  WithinPass(const WithinPass&) = delete;
  WithinPass& operator=(const WithinPass&) = delete;
  /// The pass around the one that this thread works on; below 0: none.
  [[nodiscard]] static std::int64_t around() noexcept;

 private:
  std::int64_t before_;
};

}  // namespace taut::nn
