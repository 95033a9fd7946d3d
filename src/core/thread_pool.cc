#include "taut/core/thread_pool.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <limits>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut {
namespace {

constexpr int kMostThreads = 1024;
thread_local bool inside_loop = false;

// How many forks lie between this process and the first: a child has none of its parent's threads.
std::atomic<std::uint64_t> forks{0};

std::uint64_t forks_so_far() {
  static const int counted =
      ::pthread_atfork(nullptr, nullptr, [] { forks.fetch_add(1, std::memory_order_relaxed); });
  static_cast<void>(counted);
  return forks.load(std::memory_order_relaxed);
}

void pause_processor() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

int usable_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  const bool known = sched_getaffinity(0, sizeof(set), &set) == 0;
  const int processors =
      known ? CPU_COUNT(&set) : static_cast<int>(std::thread::hardware_concurrency());
  return std::clamp(processors, 1, kMostThreads);
}

}  // namespace

struct ThreadPool::Impl {
  // One loop: who runs it takes indices until none is left or one has failed.
  struct Loop {
    Loop(const std::function<void(std::int64_t)>& loop_body, std::int64_t loop_tasks)
        : body(&loop_body), tasks(loop_tasks) {}

    const std::function<void(std::int64_t)>* body;
    std::int64_t tasks;
    std::atomic<std::int64_t> next{0};
    std::atomic<bool> failed{false};
    std::mutex error_mutex;
    std::int64_t error_index = std::numeric_limits<std::int64_t>::max();
    std::exception_ptr error;
  };

  explicit Impl(int threads) {
    workers.reserve(static_cast<std::size_t>(threads - 1));
    try {
      for (int i = 1; i < threads; ++i) workers.emplace_back([this] { serve(); });
    } catch (const std::system_error& refused) {
      stop();
      throw Error(ErrorKind::kIo, concat("cannot start ", threads, " threads: ", refused.what()),
                  {}, "ask for fewer threads");
    } catch (...) {  // out of memory: those that run must end before their handles do
      stop();
      throw;
    }
  }

  ~Impl() { stop(); }

  // Whether this is a forked child's copy, whose workers, and whoever held a mutex, are the
  // parent's.
  [[nodiscard]] bool orphaned() const { return forks_so_far() != made_after_forks; }

  void stop() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    wake.notify_all();
    for (std::thread& worker : workers) worker.join();
  }

  static void work_on(Loop& current) {
    inside_loop = true;
    while (!current.failed.load(std::memory_order_relaxed)) {
      const std::int64_t index = current.next.fetch_add(1, std::memory_order_relaxed);
      if (index >= current.tasks) break;
      try {
        (*current.body)(index);
      } catch (...) {
        const std::lock_guard lock(current.error_mutex);
        if (index < current.error_index) {
          current.error_index = index;
          current.error = std::current_exception();
        }
        current.failed.store(true, std::memory_order_relaxed);
      }
    }
    inside_loop = false;
  }

  // Waits for `ready` without sleeping, while the pool is to stay awake: not for long.
  template <typename Ready>
  void look_for(const Ready& ready) const {
    constexpr std::chrono::microseconds kLongest(100);
    constexpr int kPauses = 16;  // between looks at the clock
    if (awake.load(std::memory_order_relaxed) == 0 || ready()) return;
    const auto end = std::chrono::steady_clock::now() + kLongest;
    do {
      for (int i = 0; i < kPauses; ++i) {
        if (ready()) return;
        pause_processor();
      }
    } while (awake.load(std::memory_order_relaxed) != 0 && std::chrono::steady_clock::now() < end);
  }

  void serve() {
    std::uint64_t seen = 0;
    while (true) {
      look_for([&] { return generation.load(std::memory_order_relaxed) != seen; });
      std::unique_lock lock(mutex);
      wake.wait(lock, [&] { return stopping || generation != seen; });
      if (stopping) return;
      seen = generation;
      Loop* current = loop;
      lock.unlock();
      work_on(*current);
      lock.lock();
      if (--active == 0) done.notify_one();
    }
  }

  std::mutex loop_mutex;  // held by the caller of run() for a whole loop
  std::mutex mutex;       // guards what follows; atomics are looked at without it
  std::condition_variable wake;
  std::condition_variable done;
  Loop* loop = nullptr;
  std::atomic<std::uint64_t> generation{0};
  std::atomic<std::size_t> active{0};
  bool stopping = false;
  std::atomic<int> awake{0};  // how many want it
  const std::uint64_t made_after_forks = forks_so_far();
  std::vector<std::thread> workers;
};

ThreadPool::ThreadPool(int threads) {
  if (threads < 0 || threads > kMostThreads) {
    throw_invalid_argument("threads", concat("0 to ", kMostThreads), std::to_string(threads));
  }
  impl_ = std::make_unique<Impl>(threads == 0 ? usable_processors() : threads);
}

ThreadPool::~ThreadPool() {
  // There is nobody to wake or to join: what is left of an orphan stays until the process ends.
  if (impl_ == nullptr || !impl_->orphaned()) return;
  [[maybe_unused]] const Impl* left = impl_.release();
}

ThreadPool::Awake::Awake(ThreadPool& pool) noexcept : pool_(pool) {
  pool_.impl_->awake.fetch_add(1, std::memory_order_relaxed);
}

ThreadPool::Awake::~Awake() {
  pool_.impl_->awake.fetch_sub(1, std::memory_order_relaxed);
}

int ThreadPool::threads() const noexcept {
  return static_cast<int>(impl_->workers.size()) + 1;
}

void ThreadPool::run(std::int64_t tasks, const std::function<void(std::int64_t)>& body) {
  if (tasks <= 0) return;
  if (inside_loop || tasks == 1 || impl_->workers.empty() || impl_->orphaned()) {
    for (std::int64_t i = 0; i < tasks; ++i) body(i);
    return;
  }
  const std::lock_guard whole_loop(impl_->loop_mutex);
  Impl::Loop loop(body, tasks);
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->loop = &loop;
    impl_->active = impl_->workers.size();
    ++impl_->generation;
  }
  impl_->wake.notify_all();
  Impl::work_on(loop);
  impl_->look_for([&] { return impl_->active.load(std::memory_order_relaxed) == 0; });
  {
    std::unique_lock lock(impl_->mutex);
    impl_->done.wait(lock, [&] { return impl_->active == 0; });
    impl_->loop = nullptr;
  }
  if (loop.error) std::rethrow_exception(loop.error);
}

void ThreadPool::parallel_for(std::int64_t size, std::int64_t grain,
                              const std::function<void(std::int64_t, std::int64_t)>& body) {
  if (size <= 0) return;
  const std::int64_t most = std::max<std::int64_t>(1, size / std::max<std::int64_t>(1, grain));
  const std::int64_t ranges = std::min<std::int64_t>(most, std::int64_t{4} * threads());
  run(ranges, [&](std::int64_t i) { body(size * i / ranges, size * (i + 1) / ranges); });
}

}  // namespace taut
