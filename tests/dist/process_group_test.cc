// Collectives between real processes, against what they are by definition.
#include "taut/dist/process_group.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <cstring>

#include "support/error_matchers.h"
#include "support/workers.h"
#include "taut/core/random.h"
#include "taut/core/text.h"

namespace taut::dist {
namespace {

using std::chrono::milliseconds;
using test::error_of;
using test::expect_workers;
using test::IsError;
using test::run_workers;
using ::testing::AllOf;
using ::testing::HasSubstr;

const GroupOptions kPatient{.timeout = milliseconds(60'000)};

// What a worker brings: values whose sums depend on the order of adding.
std::vector<float> values_of(int rank, std::size_t count) {
  const CounterRandom random(static_cast<std::uint64_t>(rank) + 1);
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    values[i] = static_cast<float>(random.uniform(i) - 0.5) * (i % 3 == 0 ? 1e4F : 1.0F);
  }
  return values;
}

// The message of the WorkerLost that a call throws.
template <typename Call>
std::string loss_of(Call&& call) {
  try {
    call();
  } catch (const WorkerLost& lost) {
    return lost.what();
  }
  ADD_FAILURE() << "no WorkerLost was thrown";
  return {};
}

// Added in the order of ranks.
std::vector<float> sums(int workers, std::size_t count) {
  std::vector<float> total = values_of(0, count);
  for (int rank = 1; rank < workers; ++rank) {
    const std::vector<float> theirs = values_of(rank, count);
    for (std::size_t i = 0; i < count; ++i) total[i] += theirs[i];
  }
  return total;
}

void check_sums(const WorkerEnvironment& environment) {
  const auto group = ProcessGroup::connect(environment, kPatient);
  const int workers = group->size();
  std::int64_t words = 0;
  for (const std::size_t count : {std::size_t{0}, std::size_t{1}, std::size_t{2}, std::size_t{3},
                                  std::size_t{5}, std::size_t{1000}, std::size_t{70'001}}) {
    std::vector<float> values = values_of(group->rank(), count);
    group->all_reduce(values, Cause::kGradients);
    EXPECT_EQ(values, sums(workers, count)) << count;

    const Range part = group->part(static_cast<std::int64_t>(count));
    std::vector<float> own(static_cast<std::size_t>(part.size));
    group->reduce_scatter(values_of(group->rank(), count), own, Cause::kFeatures);
    const std::vector<float> wanted = sums(workers, count);
    EXPECT_EQ(own, std::vector<float>(wanted.begin() + part.begin, wanted.begin() + part.end()));
    std::vector<float> all(count);
    group->all_gather(own, all, Cause::kErrors);
    EXPECT_EQ(all, wanted);
    words += static_cast<std::int64_t>(count);
  }
  // Over all workers: each word goes to all but the one that keeps it, and back.
  const auto sent = [&](Cause cause) {
    std::int64_t sum = 0;
    for (const std::int64_t bytes : group->each(group->traffic()[cause].bytes)) sum += bytes;
    return sum;
  };
  EXPECT_EQ(sent(Cause::kGradients), 2 * 4 * (workers - 1) * words);
  EXPECT_EQ(sent(Cause::kFeatures), 4 * (workers - 1) * words);
  EXPECT_EQ(sent(Cause::kErrors), 4 * (workers - 1) * words);
}

void check_exchanges(const WorkerEnvironment& environment) {
  const auto group = ProcessGroup::connect(environment, kPatient);
  const int rank = group->rank();
  const int workers = group->size();
  EXPECT_EQ(group->broadcast(concat("from ", rank)), "from 0");
  EXPECT_EQ(group->broadcast(""), "");
  // Worker a sends a + 2 b bytes to worker b, each of value 16 a + b.
  std::vector<std::byte> send;
  std::vector<std::byte> wanted;
  std::vector<std::int64_t> to;
  std::vector<std::int64_t> from;
  for (int other = 0; other < workers; ++other) {
    to.push_back(rank + 2 * other);
    from.push_back(other + 2 * rank);
    send.insert(send.end(), static_cast<std::size_t>(to.back()),
                static_cast<std::byte>(16 * rank + other));
    wanted.insert(wanted.end(), static_cast<std::size_t>(from.back()),
                  static_cast<std::byte>(16 * other + rank));
  }
  std::vector<std::byte> received(wanted.size());
  group->all_to_all(send, to, received, from, Cause::kTables);
  EXPECT_EQ(received, wanted);
  const std::vector<std::byte> mine(static_cast<std::size_t>(rank) * 3,
                                    static_cast<std::byte>(rank));
  const auto gathered = group->gather(mine, Cause::kControl);
  ASSERT_EQ(gathered.size(), static_cast<std::size_t>(workers));
  for (int other = 0; other < workers; ++other) {
    EXPECT_EQ(
        gathered[static_cast<std::size_t>(other)],
        std::vector<std::byte>(static_cast<std::size_t>(other) * 3, static_cast<std::byte>(other)));
  }
  group->barrier();
}

TEST(ProcessGroup, SumsInTheOrderOfRanksAndCountsWhatIsSent) {
  for (const int workers : {1, 2, 4}) expect_workers(workers, check_sums);
}

TEST(ProcessGroup, ExchangesBytesOfAnySizes) {
  for (const int workers : {2, 3}) expect_workers(workers, check_exchanges);
}

TEST(ProcessGroup, HasSubgroupsWhoseTrafficCountsAbove) {
  expect_workers(4, [](const WorkerEnvironment& environment) {
    const auto group = ProcessGroup::connect(environment, kPatient);
    const int rank = group->rank();
    // The first pair twice.
    const std::vector<std::vector<int>> members = {
        {rank & ~1, rank | 1}, {rank & 1, rank | 2}, {rank & ~1, rank | 1}};
    for (const std::vector<int>& ranks : members) {
      const auto pair = group->subgroup(ranks);
      EXPECT_EQ(pair->rank(), rank == ranks[0] ? 0 : 1);
      std::vector<float> values(3, static_cast<float>(rank));
      pair->all_reduce(values, Cause::kGradients);
      EXPECT_EQ(values, std::vector<float>(3, static_cast<float>(ranks[0] + ranks[1])));
      EXPECT_EQ(pair->traffic()[Cause::kGradients].bytes, 3 * 4);
    }
    EXPECT_EQ(group->traffic()[Cause::kGradients].bytes, 3 * 3 * 4);
    EXPECT_THAT(error_of([&] { static_cast<void>(group->subgroup(std::vector<int>{9})); }),
                IsError(ErrorKind::kInvalidArgument, "ranks"));
  });
}

TEST(ProcessGroup, RemembersOperationsWhereAskedTo) {
  expect_workers(2, [](const WorkerEnvironment& environment) {
    const auto group = ProcessGroup::connect(environment, kPatient);
    const auto pair = group->subgroup(std::vector<int>{0, 1});
    std::vector<float> values(5, 1.0F);
    group->all_reduce(values, Cause::kFeatures);
    EXPECT_TRUE(group->take_record().empty());
    group->record();
    pair->all_reduce(values, Cause::kGradients);
    group->barrier();
    const std::vector<Exchange> record = group->take_record();
    group->barrier();
    EXPECT_TRUE(group->take_record().empty());
    ASSERT_EQ(record.size(), 3u);
    EXPECT_EQ(record[0].operation, "reduce-scatter");
    EXPECT_EQ(record[0].cause, Cause::kGradients);
    EXPECT_EQ(record[1].operation, "all-gather");
    EXPECT_EQ(record[0].bytes + record[1].bytes, 5 * 4);
    EXPECT_EQ(record[2].cause, Cause::kControl);
    EXPECT_LE(record[0].start, record[0].end);
    EXPECT_LE(record[0].end, record[1].start);
    EXPECT_LE(record[1].end, record[2].start);
    EXPECT_TRUE(pair->take_record().empty());
  });
}

TEST(ProcessGroup, RefusesSizesThatDoNotFit) {
  expect_workers(1, [](const WorkerEnvironment& environment) {
    const auto group = ProcessGroup::connect(environment, kPatient);
    std::vector<float> three(3);
    std::vector<float> two(2);
    EXPECT_THAT(error_of([&] { group->reduce_scatter(three, two, Cause::kErrors); }),
                IsError(ErrorKind::kInvalidArgument, "own"));
    EXPECT_THAT(error_of([&] { group->all_gather(three, two, Cause::kErrors); }),
                IsError(ErrorKind::kInvalidArgument, "own"));
  });
}

TEST(ProcessGroup, NamesAWorkerThatWasKilled) {
  const std::vector<int> codes = run_workers(3, [](const WorkerEnvironment& environment) {
    const auto group = ProcessGroup::connect(environment, kPatient);
    group->barrier();
    if (group->rank() == 1) ::raise(SIGKILL);
    std::vector<float> values(10);
    EXPECT_THAT(loss_of([&] { group->all_reduce(values, Cause::kGradients); }),
                AllOf(HasSubstr("worker 1 is gone or silent: the reduce-scatter of "
                                "gradients"),
                      HasSubstr(concat("worker ", group->rank(), " of 3"))));
  });
  EXPECT_EQ(codes, (std::vector<int>{0, -SIGKILL, 0}));
}

TEST(ProcessGroup, DoesNotEndWithAClosedSocketUnlessTheProcessChoseSo) {
  using Handler = void (*)(int);
  const std::vector<int> codes = run_workers(2, [](const WorkerEnvironment& environment) {
    const Handler chosen = environment.rank == 0 ? SIG_DFL : +[](int) {};
    std::signal(SIGPIPE, chosen);
    const auto group = ProcessGroup::connect(environment, kPatient);
    EXPECT_EQ(std::signal(SIGPIPE, SIG_DFL), environment.rank == 0 ? SIG_IGN : chosen);
  });
  EXPECT_EQ(codes, (std::vector<int>{0, 0}));
}

TEST(ProcessGroup, NamesAWorkerThatHangs) {
  const std::vector<int> codes = run_workers(3, [](const WorkerEnvironment& environment) {
    const auto group = ProcessGroup::connect(environment, {.timeout = milliseconds(500)});
    if (group->rank() == 2) {
      ::usleep(2'500'000);
      ::_exit(5);
    }
    EXPECT_THAT(loss_of([&] { group->barrier(); }), HasSubstr("worker 2 is gone or silent"));
  });
  EXPECT_EQ(codes, (std::vector<int>{0, 0, 5}));
}

TEST(ProcessGroup, NamesWorkersThatDoNotCome) {
  const std::vector<int> codes = run_workers(3, [](const WorkerEnvironment& environment) {
    if (environment.rank > 0) return;
    EXPECT_THAT(
        loss_of([&] {
          static_cast<void>(ProcessGroup::connect(environment, {.timeout = milliseconds(200)}));
        }),
        HasSubstr("workers 1, 2 did not come within 0.2 s"));
  });
  EXPECT_EQ(codes, (std::vector<int>{0, 0, 0}));
}

TEST(ProcessGroup, LetsOneWorkerReportAFailure) {
  const std::vector<int> codes = run_workers(3, [](const WorkerEnvironment& environment) {
    const auto group = ProcessGroup::connect(environment, kPatient);
    const bool first = group->reports_failure();
    int reporting = 0;
    for (const int one : group->each(first ? 1 : 0)) reporting += one;
    EXPECT_EQ(reporting, 1);
  });
  EXPECT_EQ(codes, (std::vector<int>{0, 0, 0}));
}

}  // namespace
}  // namespace taut::dist
