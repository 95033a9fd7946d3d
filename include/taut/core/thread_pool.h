#pragma once
// A fixed set of worker threads for fork-join loops.

#include <cstdint>
#include <functional>
#include <memory>

namespace taut {

/// Runs loops over a fixed number of threads, the caller among them. What a loop computes must not
/// depend on which thread takes which index: then results are the same for any number of threads.
/// Threads: one loop at a time; a second caller waits. A loop inside a loop runs on its own thread.
/// In a forked child a pool of the parent has no threads: loops run on the caller's.
class ThreadPool {
 public:
  /// While one lives, a thread of the pool that has nothing to do looks for the next loop for some
  /// 100 microseconds before it sleeps, as a caller does for the end of its loop: for many short
  /// loops one behind the other, as to wake a thread takes up to 50 microseconds. Must not outlive
  /// the pool.
  class Awake {
   public:
    explicit Awake(ThreadPool& pool) noexcept;
    ~Awake();
    Awake(const Awake&) = delete;
    Awake& operator=(const Awake&) = delete;

   private:
    ThreadPool& pool_;
  };

  /// threads: 1 to 1024; 0 means one for each processor that the process may use.
  /// Errors: kInvalidArgument outside that range, kIo when the system refuses so many threads.
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  [[nodiscard]] int threads() const noexcept;

  /// Calls body(i) once for each i in [0, tasks), in any order, on any thread, and waits for all.
  /// When bodies throw, the exception of the smallest index that threw reaches the caller; bodies
  /// not started by then are left out.
  void run(std::int64_t tasks, const std::function<void(std::int64_t)>& body);

  /// Splits [0, size) into contiguous ranges of at least grain and calls body(begin, end) on each.
  void parallel_for(std::int64_t size, std::int64_t grain,
                    const std::function<void(std::int64_t, std::int64_t)>& body);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace taut
