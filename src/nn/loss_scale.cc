#include "nn/loss_scale.h"

#include <torch/csrc/autograd/graph_task.h>

#include <map>
#include <mutex>
#include <utility>

#include "nn/fork_safe_mutex.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::nn {
namespace {

struct Scales {
  ForkSafeMutex mutex;
  std::map<std::int64_t, double> by_pass;
};

Scales& scales() {
  static Scales instance;
  return instance;
}

thread_local std::int64_t around_pass = -1;

}  // namespace

std::int64_t begin_loss_scale(double scale) {
  if (!(scale > 0)) throw_invalid_argument("scale", "above 0", concat(scale));
  const std::int64_t pass = current_pass();
  const std::lock_guard lock(scales().mutex);
  scales().by_pass[pass] = scale;
  return pass;
}

void end_loss_scale(std::int64_t pass) noexcept {
  const std::lock_guard lock(scales().mutex);
  scales().by_pass.erase(pass);
}

std::int64_t current_pass() noexcept {
  return torch::autograd::get_current_graph_task_id();
}

double loss_scale(std::int64_t pass, std::int64_t around) {
  const std::lock_guard lock(scales().mutex);
  for (const std::int64_t candidate : {pass, around}) {
    const auto found = scales().by_pass.find(candidate);
    if (candidate >= 0 && found != scales().by_pass.end()) return found->second;
  }
  return 0;
}

WithinPass::WithinPass(std::int64_t around) noexcept
    : before_(std::exchange(around_pass, around)) {}

WithinPass::~WithinPass() {
  around_pass = before_;
}

std::int64_t WithinPass::around() noexcept {
  return around_pass;
}

}  // namespace taut::nn
