// Exchanges that go on beside what a worker computes, between real processes.
#include "taut/dist/overlap.h"

#include <gtest/gtest.h>

#include <csignal>
#include <future>
#include <stdexcept>

#include "support/error_matchers.h"
#include "support/workers.h"

namespace taut::dist {
namespace {

using test::expect_workers;
using test::run_workers;

const GroupOptions kWaits{.timeout = std::chrono::seconds(60)};

// Each worker has its own order in which things become ready; sums tell who was given what.
TEST(Overlap, MakesExchangesInOneOrderWhateverIsReadyFirst) {
  expect_workers(3, [](const WorkerEnvironment& environment) {
    const auto group = ProcessGroup::connect(environment, kWaits);
    constexpr std::int64_t kCount = 7;
    Overlap overlap(group, Cause::kGradients);
    for (int round = 0; round < 20; ++round) {
      std::vector<float> values(kCount);
      for (std::size_t k = 0; k < values.size(); ++k) values[k] = static_cast<float>(1 << k);
      std::vector<std::int64_t> made;
      overlap.start(kCount, [&](std::int64_t k) {
        made.push_back(k);
        group->all_reduce({&values[static_cast<std::size_t>(k)], 1}, Cause::kGradients);
      });
      const std::int64_t stride = 1 + (group->rank() + round) % 6;  // 7 is a prime
      for (std::int64_t k = 0; k < kCount; ++k) overlap.ready((k * stride + round) % kCount);
      overlap.finish();
      EXPECT_EQ(made, (std::vector<std::int64_t>{0, 1, 2, 3, 4, 5, 6}));
      for (std::size_t k = 0; k < values.size(); ++k) {
        EXPECT_EQ(values[k], static_cast<float>(3 << k)) << "round " << round;
      }
      group->barrier();  // other operations of the group fit in between
    }
  });
}

TEST(Overlap, SendsWhileTheRestIsNotThere) {
  expect_workers(2, [](const WorkerEnvironment& environment) {
    const auto group = ProcessGroup::connect(environment, kWaits);
    Overlap overlap(group, Cause::kGradients);
    std::promise<float> first;
    overlap.start(2, [&](std::int64_t k) {
      float one = 1;
      group->all_reduce({&one, 1}, Cause::kGradients);
      if (k == 0) first.set_value(one);
    });
    overlap.ready(0);
    EXPECT_EQ(first.get_future().get(), 2);  // nothing else would ever come
    overlap.ready(1);
    overlap.finish();
  });
}

// Of what goes on beside, the wait at the end is exposed; of the rest all.
TEST(Overlap, CountsAndRecordsWhatIsWaitedFor) {
  expect_workers(2, [](const WorkerEnvironment& environment) {
    const auto group = ProcessGroup::connect(environment, kWaits);
    Overlap overlap(group, Cause::kErrors);
    std::vector<float> values(1000, 1.0F);
    const auto exchange = [&](std::int64_t /*number*/) {
      group->all_reduce(values, Cause::kErrors);
    };
    const auto make = [&](std::int64_t count) {
      group->record();
      const Traffic before = group->traffic()[Cause::kErrors];
      overlap.start(count, exchange);
      for (std::int64_t k = 0; k < count; ++k) overlap.ready(k);
      overlap.finish();
      Traffic made = group->traffic()[Cause::kErrors];
      made.operations -= before.operations;
      made.bytes -= before.bytes;
      made.seconds -= before.seconds;
      made.exposed_seconds -= before.exposed_seconds;
      return made;
    };
    const Traffic two = make(2);
    EXPECT_EQ(two.operations, 4);  // a reduce-scatter and an all-gather each
    EXPECT_EQ(two.bytes, 2 * 4000);
    EXPECT_GT(two.seconds, 0);
    std::vector<Exchange> record = group->take_record();
    ASSERT_EQ(record.size(), 5u);
    const Exchange wait = record.back();
    EXPECT_EQ(wait.operation, "wait");
    EXPECT_EQ(wait.bytes, 0);
    EXPECT_EQ(wait.cause, Cause::kErrors);
    EXPECT_FALSE(wait.beside);
    EXPECT_NEAR(two.exposed_seconds, std::chrono::duration<double>(wait.end - wait.start).count(),
                1e-9);
    record.pop_back();
    for (const Exchange& one : record) EXPECT_TRUE(one.beside);

    const Traffic alone = make(1);  // beside nothing
    EXPECT_EQ(alone.operations, 2);
    EXPECT_NEAR(alone.exposed_seconds, alone.seconds, 1e-9);
    record = group->take_record();
    ASSERT_EQ(record.size(), 2u);
    for (const Exchange& one : record) EXPECT_FALSE(one.beside);
    EXPECT_EQ(make(0).operations, 0);
  });
}

TEST(Overlap, TellsWhatAnExchangeThrewAndBeginsNoMore) {
  expect_workers(1, [](const WorkerEnvironment& environment) {
    const auto group = ProcessGroup::connect(environment, kWaits);
    Overlap overlap(group, Cause::kGradients);
    std::vector<std::int64_t> made;
    overlap.start(4, [&](std::int64_t k) {
      made.push_back(k);
      if (k == 1) throw std::runtime_error("the second");
    });
    for (std::int64_t k = 0; k < 4; ++k) overlap.ready(k);
    EXPECT_THROW(overlap.finish(), std::runtime_error);
    EXPECT_EQ(made, (std::vector<std::int64_t>{0, 1}));
    made.clear();
    overlap.start(3, [&](std::int64_t k) { made.push_back(k); });
    for (std::int64_t k = 0; k < 3; ++k) overlap.ready(k);
    overlap.finish();
    EXPECT_EQ(made.size(), 3u);
  });
}

// What is at work ends, since the other comes to it too; what is ready behind it does not begin.
TEST(Overlap, GivesUpAtTheEndOfAScope) {
  expect_workers(2, [](const WorkerEnvironment& environment) {
    const auto group = ProcessGroup::connect(environment, kWaits);
    Overlap overlap(group, Cause::kGradients);
    std::vector<float> values(3, 1.0F);
    const auto exchange = [&](std::int64_t k) {
      group->all_reduce({&values[static_cast<std::size_t>(k)], 1}, Cause::kGradients);
    };
    for (int round = 0; round < 20; ++round) {
      EXPECT_THROW(
          {
            const OverlapScope scope(overlap);
            overlap.start(3, exchange);
            throw std::runtime_error("before anything was ready");
          },
          std::runtime_error);
      {
        const OverlapScope scope(overlap);
        overlap.start(3, exchange);
        for (const std::int64_t k : {2, 1, 0}) overlap.ready(k);
        overlap.finish();
      }
      EXPECT_EQ(group->each(environment.rank), (std::vector<int>{0, 1}));
    }
    EXPECT_EQ(values, std::vector<float>(3, 0x1p20F));
  });
}

TEST(Overlap, NamesAWorkerThatIsGone) {
  const auto body = [](const WorkerEnvironment& environment) {
    const auto group = ProcessGroup::connect(environment, kWaits);
    if (environment.rank == 1) ::raise(SIGKILL);
    Overlap overlap(group, Cause::kGradients);
    std::vector<float> values(2, 1.0F);
    overlap.start(2,
                  [&](std::int64_t /*number*/) { group->all_reduce(values, Cause::kGradients); });
    overlap.ready(0);
    overlap.ready(1);
    try {
      overlap.finish();
      ADD_FAILURE() << "nothing was thrown";
    } catch (const WorkerLost& lost) {
      const std::string message = lost.what();
      EXPECT_NE(message.find("worker 1 is gone or silent: the reduce-scatter of gradients"),
                std::string::npos)
          << message;
    }
  };
  EXPECT_EQ(run_workers(2, body), (std::vector<int>{0, -SIGKILL}));
}

}  // namespace
}  // namespace taut::dist
