#include "taut/core/thread_pool.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/error_matchers.h"

namespace taut {
namespace {

using test::error_of;
using test::IsError;

class ThreadPoolOf : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Threads, ThreadPoolOf, testing::Values(1, 2, 3, 8));

TEST_P(ThreadPoolOf, CallsTheBodyOnceForEachIndex) {
  ThreadPool pool(GetParam());
  EXPECT_EQ(pool.threads(), GetParam());
  for (const std::int64_t tasks : {0, 1, 2, 7, 1000}) {
    std::vector<std::atomic<int>> calls(static_cast<std::size_t>(tasks));
    pool.run(tasks, [&](std::int64_t i) { ++calls[static_cast<std::size_t>(i)]; });
    EXPECT_TRUE(std::all_of(calls.begin(), calls.end(), [](const auto& n) { return n == 1; }))
        << tasks;
  }
}

TEST_P(ThreadPoolOf, DoesNothingForANegativeNumberOfTasks) {
  ThreadPool pool(GetParam());
  pool.run(-5, [](std::int64_t) { FAIL() << "called"; });
  pool.parallel_for(-5, 1, [](std::int64_t, std::int64_t) { FAIL() << "called"; });
  pool.parallel_for(0, 1, [](std::int64_t, std::int64_t) { FAIL() << "called"; });
}

TEST_P(ThreadPoolOf, MakesWritesOfBodiesVisibleToTheCaller) {
  ThreadPool pool(GetParam());
  std::vector<std::int64_t> values(10'000);  // plain memory: the thread sanitizer would complain
  for (int round = 1; round <= 20; ++round) {
    pool.run(10'000, [&](std::int64_t i) { values[static_cast<std::size_t>(i)] += i; });
    EXPECT_EQ(std::accumulate(values.begin(), values.end(), std::int64_t{0}), round * 49'995'000LL);
  }
}

TEST_P(ThreadPoolOf, DoesTheSameAwake) {
  ThreadPool pool(GetParam());
  std::vector<std::int64_t> values(64);
  const auto run_loops = [&](int loops) {
    for (int i = 0; i < loops; ++i) {
      pool.run(64, [&](std::int64_t k) { values[static_cast<std::size_t>(k)] += k; });
    }
  };
  std::int64_t loops = 0;
  for (int round = 0; round < 20; ++round) {
    const ThreadPool::Awake awake(pool);
    run_loops(50);
    {
      const ThreadPool::Awake within(pool);
      run_loops(3);
    }
    std::this_thread::sleep_for(std::chrono::microseconds(round * 20));  // some go to sleep
    run_loops(7);
    loops += 60;
    EXPECT_THROW(pool.run(8, [](std::int64_t) { throw std::runtime_error("one"); }),
                 std::runtime_error);
  }
  run_loops(5);  // not awake any more
  EXPECT_EQ(std::accumulate(values.begin(), values.end(), std::int64_t{0}),
            (loops + 5) * 64 * 63 / 2);
}

TEST(ThreadPool, EndsWhileItIsAwake) {
  for (int round = 0; round < 50; ++round) {
    ThreadPool pool(3);
    {
      const ThreadPool::Awake awake(pool);
    }
    const ThreadPool::Awake awake(pool);
    pool.run(4, [](std::int64_t) {});
  }
}

TEST_P(ThreadPoolOf, RunsManySmallLoops) {
  ThreadPool pool(GetParam());
  std::atomic<std::int64_t> sum{0};
  for (int loop = 0; loop < 5000; ++loop) {
    pool.run(3, [&](std::int64_t i) { sum.fetch_add(i, std::memory_order_relaxed); });
  }
  EXPECT_EQ(sum, 15'000);
}

TEST_P(ThreadPoolOf, CarriesTheExceptionOfTheSmallestIndexThatThrew) {
  ThreadPool pool(GetParam());
  for (int round = 0; round < 200; ++round) {
    std::atomic<std::int64_t> smallest{std::numeric_limits<std::int64_t>::max()};
    std::string message;
    try {
      pool.run(50, [&](std::int64_t i) {
        if (i % 3 != 1) return;
        for (std::int64_t seen = smallest; i < seen && !smallest.compare_exchange_weak(seen, i);) {
        }
        throw std::runtime_error(std::to_string(i));
      });
    } catch (const std::runtime_error& error) {
      message = error.what();
    }
    EXPECT_EQ(message, std::to_string(smallest.load()));
  }
}

TEST_P(ThreadPoolOf, LeavesOutBodiesThatHadNotStartedWhenOneThrew) {
  ThreadPool pool(GetParam());
  std::atomic<int> calls{0};
  EXPECT_THROW(pool.run(1'000'000,
                        [&](std::int64_t) {
                          ++calls;
                          throw std::runtime_error("first");
                        }),
               std::runtime_error);
  EXPECT_LE(calls, GetParam());
}

TEST_P(ThreadPoolOf, KeepsTheTypeOfWhatWasThrown) {
  ThreadPool pool(GetParam());
  const Error error = error_of([&] {
    pool.run(10, [](std::int64_t i) {
      if (i == 4) throw Error(ErrorKind::kData, "row is broken", "a.csv row 4");
    });
  });
  EXPECT_THAT(error, IsError(ErrorKind::kData, "a.csv row 4"));
}

TEST_P(ThreadPoolOf, WorksAsBeforeAfterAnException) {
  ThreadPool pool(GetParam());
  for (int round = 0; round < 50; ++round) {
    EXPECT_THROW(pool.run(20, [](std::int64_t) { throw std::logic_error("no"); }),
                 std::logic_error);
    std::atomic<int> calls{0};
    pool.run(20, [&](std::int64_t) { ++calls; });
    EXPECT_EQ(calls, 20);
  }
}

TEST_P(ThreadPoolOf, RunsALoopInsideALoopOnItsOwnThread) {
  ThreadPool pool(GetParam());
  std::vector<int> inner_calls(40);
  std::atomic<int> strangers{0};
  pool.run(40, [&](std::int64_t outer) {
    const std::thread::id mine = std::this_thread::get_id();
    pool.run(5, [&](std::int64_t) {
      if (std::this_thread::get_id() != mine) ++strangers;
      ++inner_calls[static_cast<std::size_t>(outer)];
    });
  });
  EXPECT_EQ(strangers, 0);
  EXPECT_TRUE(std::all_of(inner_calls.begin(), inner_calls.end(), [](int n) { return n == 5; }));
}

TEST_P(ThreadPoolOf, CarriesAnExceptionOutOfANestedLoop) {
  ThreadPool pool(GetParam());
  EXPECT_THROW(pool.run(4,
                        [&](std::int64_t) {
                          pool.run(4, [](std::int64_t i) {
                            if (i == 3) throw std::out_of_range("inner");
                          });
                        }),
               std::out_of_range);
}

TEST_P(ThreadPoolOf, ServesSeveralCallersOneAfterAnother) {
  ThreadPool pool(GetParam());
  std::atomic<std::int64_t> sum{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 3; ++caller) {
    callers.emplace_back([&] {
      for (int loop = 0; loop < 200; ++loop) pool.run(10, [&](std::int64_t i) { sum += i; });
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(sum, 3 * 200 * 45);
}

TEST_P(ThreadPoolOf, SplitsARangeIntoPartsThatCoverItOnce) {
  ThreadPool pool(GetParam());
  const std::vector<std::pair<std::int64_t, std::int64_t>> sizes_and_grains = {
      {1, 1}, {1, 100}, {7, 3}, {100, 1}, {100, 0}, {100, -4}, {1000, 64}, {65, 64}, {12345, 10}};
  for (const auto& [size, grain] : sizes_and_grains) {
    std::mutex mutex;
    std::set<std::pair<std::int64_t, std::int64_t>> ranges;
    pool.parallel_for(size, grain, [&](std::int64_t begin, std::int64_t end) {
      const std::lock_guard lock(mutex);
      ranges.insert({begin, end});
    });
    std::int64_t next = 0;
    for (const auto& [begin, end] : ranges) {
      EXPECT_EQ(begin, next);
      EXPECT_GE(end - begin, std::min(size, std::max<std::int64_t>(1, grain)));
      next = end;
    }
    EXPECT_EQ(next, size);
  }
}

TEST(ThreadPool, OfZeroTakesOneThreadForEachUsableProcessor) {
  const ThreadPool pool(0);
  EXPECT_GE(pool.threads(), 1);
  EXPECT_LE(pool.threads(), std::max(1, static_cast<int>(std::thread::hardware_concurrency())));
}

TEST(ThreadPool, RejectsNumbersThatAreNoNumberOfThreads) {
  for (const int threads :
       {-1, 1025, std::numeric_limits<int>::max(), std::numeric_limits<int>::min()}) {
    EXPECT_THAT(error_of([&] { const ThreadPool pool(threads); }),
                IsError(ErrorKind::kInvalidArgument,
                        "threads must be 0 to 1024, got " + std::to_string(threads)));
  }
}

TEST(ThreadPool, IsMadeAndEndedWithoutALoop) {
  for (int i = 0; i < 50; ++i) const ThreadPool pool(4);
}

TEST(ThreadPool, UsesAllItsThreads) {
  ThreadPool pool(3);
  std::mutex mutex;
  std::set<std::thread::id> seen;
  std::atomic<int> arrived{0};
  // No body ends before all three have started: only three threads can do that.
  pool.run(3, [&](std::int64_t) {
    ++arrived;
    while (arrived < 3) std::this_thread::yield();
    const std::lock_guard lock(mutex);
    seen.insert(std::this_thread::get_id());
  });
  EXPECT_EQ(seen.size(), 3u);
  EXPECT_TRUE(seen.contains(std::this_thread::get_id()));
}

// Runs a body in a forked child, which is killed if it hangs; its exit code.
template <typename Body>
int exit_code_of_child(const Body& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(20);
    body();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

TEST(ThreadPool, RunsOnTheCallingThreadInAForkedChild) {
  auto pool = std::make_unique<ThreadPool>(4);
  pool->run(8, [](std::int64_t) {});
  EXPECT_EQ(exit_code_of_child([&] {
              std::set<std::thread::id> seen;
              std::int64_t sum = 0;
              pool->run(100, [&](std::int64_t i) {
                sum += i;
                seen.insert(std::this_thread::get_id());
              });
              if (sum != 4950 || seen.size() != 1) ::_exit(1);
              pool.reset();        // joins no thread of the parent
#if !defined(__SANITIZE_THREAD__)  // which starts no threads in a child of several
              std::atomic<std::int64_t> own{0};
              ThreadPool(4).run(100, [&](std::int64_t i) { own += i; });
              if (own != 4950) ::_exit(2);
#endif
            }),
            0);
  std::atomic<std::int64_t> sum{0};
  pool->run(100, [&](std::int64_t i) { sum += i; });
  EXPECT_EQ(sum, 4950);
}

TEST(ThreadPool, RunsInAChildThatWasForkedDuringALoop) {
  ThreadPool pool(4);
  std::atomic<bool> stop = false;
  std::thread busy([&] {
    while (!stop) pool.run(64, [](std::int64_t) {});
  });
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(exit_code_of_child([&] { pool.run(64, [](std::int64_t) {}); }), 0);
  }
  stop = true;
  busy.join();
}

}  // namespace
}  // namespace taut
