#include "taut/dist/overlap.h"

#include <algorithm>
#include <utility>

namespace taut::dist {

Overlap::Overlap(std::shared_ptr<ProcessGroup> group, Cause cause)
    : group_(std::move(group)), cause_(cause) {}

Overlap::~Overlap() {
  give_up();
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Overlap::start(std::int64_t count, std::function<void(std::int64_t)> exchange) {
  const std::lock_guard lock(mutex_);
  TAUT_ASSERT(next_ == static_cast<std::int64_t>(ready_.size()) && !busy_);
  ready_.assign(static_cast<std::size_t>(count), false);
  next_ = 0;
  failed_ = nullptr;
  exchange_ = std::move(exchange);
  if (count < 2) return;
  group_->begin_beside();
  if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
}

void Overlap::ready(std::int64_t number) {
  {
    const std::lock_guard lock(mutex_);
    TAUT_ASSERT(!ready_[static_cast<std::size_t>(number)]);
    ready_[static_cast<std::size_t>(number)] = true;
  }
  changed_.notify_all();
}

bool Overlap::may_begin() const {
  return next_ < static_cast<std::int64_t>(ready_.size()) && !failed_ && ready_.size() > 1 &&
         ready_[static_cast<std::size_t>(next_)];
}

// What the thread does.
void Overlap::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return ends_ || may_begin(); });
    if (ends_) return;
    busy_ = true;
    lock.unlock();
    std::exception_ptr failed;
    try {
      exchange_(next_);
    } catch (...) {
      failed = std::current_exception();
    }
    lock.lock();
    busy_ = false;
    failed_ = failed;
    ++next_;
    changed_.notify_all();
  }
}

void Overlap::finish() {
  std::unique_lock lock(mutex_);
  TAUT_ASSERT(std::all_of(ready_.begin(), ready_.end(), [](bool one) { return one; }));
  const auto count = static_cast<std::int64_t>(ready_.size());
  if (count < 2) {
    ready_.clear();
    lock.unlock();
    if (count == 1) exchange_(0);
    return;
  }
  const auto start = std::chrono::steady_clock::now();
  changed_.wait(lock, [&] { return failed_ || next_ == count; });
  ready_.clear();
  next_ = 0;
  group_->end_beside(cause_, start);
  if (failed_) std::rethrow_exception(std::exchange(failed_, nullptr));
}

void Overlap::give_up() noexcept {
  std::unique_lock lock(mutex_);
  const bool beside = ready_.size() > 1;
  const auto start = std::chrono::steady_clock::now();
  ready_.clear();
  changed_.wait(lock, [&] { return !busy_; });
  next_ = 0;
  if (beside) group_->end_beside(cause_, start);
}

}  // namespace taut::dist
