#pragma once
// A mutex that is free in a forked child, whoever held it in the parent.

#include <mutex>

namespace taut::nn {

/// fork() waits until no other thread holds such a mutex, so that what they guard is whole in the
/// child. Nobody may fork, make or destroy one, or wait for Python's lock while holding one.
class ForkSafeMutex {
 public:
  ForkSafeMutex();
  ~ForkSafeMutex();
  ForkSafeMutex(const ForkSafeMutex&) = delete;
  ForkSafeMutex& operator=(const ForkSafeMutex&) = delete;

  void lock() { mutex_.lock(); }
  void unlock() { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

}  // namespace taut::nn
