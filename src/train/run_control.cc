#include "train/run_control.h"

#include <utility>

#include "taut/core/text.h"
#include "taut/train/run.h"

namespace taut::train {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

RunControl::RunControl(std::string run, const std::atomic<bool>* stop,
                       const CheckpointInterval& every)
    : run_(std::move(run)),
      stop_(stop),
      every_(every),
      checkpointed_(std::chrono::steady_clock::now()) {}

bool RunControl::stop_asked() const noexcept {
  return stop_ != nullptr && stop_->load();
}

void RunControl::stop_at(std::int64_t steps) const {
  throw Interrupted(ErrorKind::kIo, concat("stopped at step ", steps), run_,
                    "add --resume to go on");
}

bool RunControl::checkpoint_due(std::int64_t steps) const {
  if (every_.steps > 0) return steps % every_.steps == 0;
  return every_.seconds > 0 && seconds_since(checkpointed_) >= every_.seconds;
}

void RunControl::checkpointed() {
  checkpointed_ = std::chrono::steady_clock::now();
}

}  // namespace taut::train
