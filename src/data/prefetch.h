#pragma once
// Makes values ahead in a thread of its own, in a queue of bounded length.

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace taut::data {

/// Calls produce(value) in a thread of its own until it returns false or throws; next() hands the
/// values out in order, then the exception, each time again. Values are recycled: what the caller
/// gives up in next() is refilled by produce().
/// Threads: produce() runs in one thread; one caller of next() at a time. After next() has returned
/// false or thrown, produce() is not running and what it wrote is visible to the caller.
template <typename T>
class Prefetcher {
 public:
  Prefetcher(std::size_t depth, std::function<bool(T&)> produce)
      : depth_(depth), produce_(std::move(produce)), thread_([this] { work(); }) {}

  ~Prefetcher() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    room_.notify_one();
    thread_.join();
  }

  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  /// Swaps the next value in; false at the end.
  bool next(T& value) {
    std::unique_lock lock(mutex_);
    ready_.wait(lock, [this] { return !queue_.empty() || ended_; });
    if (queue_.empty()) {
      if (error_) std::rethrow_exception(error_);
      return false;
    }
    std::swap(value, queue_.front());
    spare_.push_back(std::move(queue_.front()));
    queue_.pop_front();
    lock.unlock();
    room_.notify_one();
    return true;
  }

 private:
  void work() {
    std::exception_ptr error;
    try {
      while (true) {
        T value = take_spare();
        if (stopping() || !produce_(value)) break;
        push(std::move(value));
      }
    } catch (...) {
      error = std::current_exception();
    }
    const std::lock_guard lock(mutex_);
    error_ = error;
    ended_ = true;
    ready_.notify_one();
  }

  T take_spare() {
    const std::lock_guard lock(mutex_);
    if (spare_.empty()) return T();
    T value = std::move(spare_.back());
    spare_.pop_back();
    return value;
  }

  bool stopping() {
    const std::lock_guard lock(mutex_);
    return stopping_;
  }

  void push(T&& value) {
    std::unique_lock lock(mutex_);
    room_.wait(lock, [this] { return queue_.size() < depth_ || stopping_; });
    queue_.push_back(std::move(value));
    lock.unlock();
    ready_.notify_one();
  }

  const std::size_t depth_;
  const std::function<bool(T&)> produce_;

  std::mutex mutex_;  // guards what follows
  std::condition_variable ready_;
  std::condition_variable room_;
  std::deque<T> queue_;
  std::vector<T> spare_;
  std::exception_ptr error_;
  bool ended_ = false;
  bool stopping_ = false;

  std::thread thread_;  // last: starts when all else is there
};

}  // namespace taut::data
