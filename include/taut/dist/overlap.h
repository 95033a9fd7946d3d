#pragma once
// Exchanges that go on while a worker computes.

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "taut/dist/process_group.h"

namespace taut::dist {

/// Exchanges of a group that a thread of their own makes, one after another in the order of their
/// numbers, each as soon as what it sends is there: all workers make the same ones in the same
/// order, whatever becomes ready first on which of them.
/// Threads: ready() by any; the others by the thread that computes, which calls no operation of the
/// group between start() and finish() or give_up().
class Overlap {
 public:
  /// cause: of the exchanges, for the wait at their end.
  Overlap(std::shared_ptr<ProcessGroup> group, Cause cause);
  /// Gives up.
  ~Overlap();
  Overlap(const Overlap&) = delete;
  Overlap& operator=(const Overlap&) = delete;

  /// So many exchanges follow, number k by exchange(k). One alone is made by finish(), as there is
  /// nothing beside which it could go on. Requires that the ones before were finished or given up.
  void start(std::int64_t count, std::function<void(std::int64_t)> exchange);
  /// What exchange `number` sends is there; called once for each.
  void ready(std::int64_t number);
  /// Returns when all are made; all must be ready. How long it waits is counted by the group
  /// (Traffic::exposed_seconds). Throws what an exchange threw, after which none was begun.
  void finish();
  /// Begins no more, and returns when the one at work has ended: the others come to it too, or it
  /// fails. Does nothing after finish().
  void give_up() noexcept;

 private:
  void work();
  [[nodiscard]] bool may_begin() const;

  std::shared_ptr<ProcessGroup> group_;
  Cause cause_;
  std::function<void(std::int64_t)> exchange_;
  std::mutex mutex_;  ///< over all below
  std::condition_variable changed_;
  std::vector<bool> ready_;  ///< by number
  std::int64_t next_ = 0;    ///< the first that was not begun, or is at work
  bool busy_ = false;
  bool ends_ = false;
  std::exception_ptr failed_;
  std::thread thread_;  ///< once there was something to do beside
};

/// Gives up, at the end of a scope, what was not finished in it.
class OverlapScope {
 public:
  explicit OverlapScope(Overlap& overlap) : overlap_(overlap) {}
  ~OverlapScope() { overlap_.give_up(); }
  OverlapScope(const OverlapScope&) = delete;
  OverlapScope& operator=(const OverlapScope&) = delete;

 private:
  Overlap& overlap_;
};

}  // namespace taut::dist
