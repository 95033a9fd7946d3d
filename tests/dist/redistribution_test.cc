// Layouts over real processes: every worker ends with what it wants, and what is sent is what the
// closed form of the exact model says.
#include "taut/dist/redistribution.h"

#include <gtest/gtest.h>

#include <array>

#include "support/error_matchers.h"
#include "support/workers.h"
#include "taut/core/hash.h"
#include "taut/core/random.h"
#include "taut/parallel/volume.h"

namespace taut::dist {
namespace {

using parallel::Held;
using test::error_of;
using test::expect_workers;
using test::IsError;

const GroupOptions kPatient{.timeout = std::chrono::seconds(60)};
const std::vector<Held> kMade = {Held::kBatch, Held::kChannel, Held::kPartial};
const std::vector<Held> kWanted = {Held::kBatch, Held::kChannel, Held::kWhole};

using Pair = std::pair<Layout, Layout>;

Layout layout_of(int number, int levels, const std::vector<Held>& parts) {
  Layout layout;
  for (int level = 0; level < levels; ++level, number /= 3) {
    layout.push_back(parts[static_cast<std::size_t>(number % 3)]);
  }
  return layout;
}

std::vector<Pair> all_pairs(int levels) {
  std::vector<Pair> pairs;
  const int layouts = levels == 1 ? 3 : 9;
  for (int made = 0; made < layouts; ++made) {
    for (int wanted = 0; wanted < layouts; ++wanted) {
      pairs.emplace_back(layout_of(made, levels, kMade), layout_of(wanted, levels, kWanted));
    }
  }
  return pairs;
}

std::vector<Pair> some_pairs(int levels, std::uint64_t count) {
  const CounterRandom random(5);
  std::vector<Pair> pairs;
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto draw = [&](std::uint64_t k) {
      return static_cast<int>(random.below(2 * i + k, 27));
    };
    pairs.emplace_back(layout_of(draw(0), levels, kMade), layout_of(draw(1), levels, kWanted));
  }
  return pairs;
}

// The levels of partial sums number the shares of a value; whole numbers, so that sums are exact.
float part_of(std::size_t place, unsigned share) {
  return static_cast<float>(hash_combine(place, share) % 1000);
}

std::vector<float> shares(const TensorShape& shape, unsigned share) {
  std::vector<float> values(static_cast<std::size_t>(shape.values()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = part_of(i, share);
  return values;
}

unsigned share_number(const Layout& made, int worker) {
  unsigned number = 0;
  const std::size_t levels = made.size();
  for (std::size_t level = 0; level < levels; ++level) {
    if (made[level] != Held::kPartial) continue;
    number |= static_cast<unsigned>(worker) & (1u << (levels - 1 - level));
  }
  return number;
}

std::vector<float> total(const TensorShape& shape, const Layout& made) {
  std::vector<float> sum(static_cast<std::size_t>(shape.values()));
  for (int worker = 0; worker < 1 << made.size(); ++worker) {
    bool lowest = true;  // of those that have the same share
    for (int other = 0; other < worker; ++other) {
      lowest = lowest && share_number(made, other) != share_number(made, worker);
    }
    if (!lowest) continue;
    const std::vector<float> one = shares(shape, share_number(made, worker));
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += one[i];
  }
  return sum;
}

void check_pairs(const WorkerEnvironment& environment, const std::vector<Pair>& pairs,
                 const TensorShape& shape, bool counted) {
  WorkerArray array(ProcessGroup::connect(environment, kPatient));
  const int rank = environment.rank;
  std::vector<double> wanted_words(static_cast<std::size_t>(array.levels()));
  for (const auto& [made, wanted] : pairs) {
    const std::vector<float> held =
        take_held(shares(shape, share_number(made, rank)), shape, made, rank);
    EXPECT_EQ(array.move(held, shape, made, wanted, Cause::kFeatures),
              take_held(total(shape, made), shape, wanted, rank));
    const std::vector<parallel::MoveUnits> units = parallel::move_units(made, wanted);
    for (std::size_t level = 0; level < units.size(); ++level) {
      const parallel::MoveUnits& unit = units[level];
      wanted_words[level] += (unit.reduce_scatter + unit.change + unit.all_gather) *
                             static_cast<double>(shape.values());
    }
  }
  if (!counted) return;
  std::array<std::int64_t, 4> own{};
  std::copy(array.words_by_level().begin(), array.words_by_level().end(), own.begin());
  std::array<std::int64_t, 4> sum{};
  for (const auto& one : array.group()->each(own)) {
    for (std::size_t level = 0; level < sum.size(); ++level) sum[level] += one[level];
  }
  for (std::size_t level = 0; level < wanted_words.size(); ++level) {
    EXPECT_EQ(static_cast<double>(sum[level]), wanted_words[level]) << "level " << level;
  }
  EXPECT_EQ(array.group()->traffic()[Cause::kFeatures].bytes,
            4 * (own[0] + own[1] + own[2] + own[3]));
}

TEST(WorkerArray, MovesEveryPairOfLayoutsAsTheExactModelCounts) {
  for (const int levels : {1, 2}) {
    expect_workers(1 << levels, [&](const WorkerEnvironment& environment) {
      check_pairs(environment, all_pairs(levels), {.samples = 8, .channels = 16, .inner = 3}, true);
    });
  }
}

TEST(WorkerArray, MovesPairsOfThreeLevelsAsTheExactModelCounts) {
  expect_workers(8, [&](const WorkerEnvironment& environment) {
    check_pairs(environment, some_pairs(3, 40), {.samples = 16, .channels = 8}, true);
  });
}

TEST(WorkerArray, MovesTensorsThatItsWorkersDoNotDivide) {
  expect_workers(4, [&](const WorkerEnvironment& environment) {
    check_pairs(environment, all_pairs(2), {.samples = 7, .channels = 5, .inner = 2}, false);
    WorkerEnvironment again = environment;
    again.restart = 1;
    check_pairs(again, all_pairs(2), {.samples = 3, .channels = 1}, false);
  });
}

TEST(WorkerArray, IsOfAPowerOfTwoWorkersAndOneDepth) {
  expect_workers(3, [&](const WorkerEnvironment& environment) {
    const auto group = ProcessGroup::connect(environment, kPatient);
    EXPECT_THAT(error_of([&] { WorkerArray{group}; }), IsError(ErrorKind::kConfig, "got 3"));
  });
  expect_workers(2, [&](const WorkerEnvironment& environment) {
    WorkerArray array(ProcessGroup::connect(environment, kPatient));
    const std::vector<float> held(8);
    const auto refused = [&](const Layout& made, const Layout& wanted) {
      return error_of([&] {
        static_cast<void>(
            array.move(held, {.samples = 4, .channels = 4}, made, wanted, Cause::kErrors));
      });
    };
    EXPECT_THAT(refused({Held::kBatch, Held::kBatch}, {Held::kBatch}),
                IsError(ErrorKind::kInvalidArgument, "1 levels"));
    EXPECT_THAT(refused({Held::kWhole}, {Held::kBatch}),
                IsError(ErrorKind::kInvalidArgument, "made"));
    EXPECT_THAT(refused({Held::kBatch}, {Held::kPartial}),
                IsError(ErrorKind::kInvalidArgument, "wanted"));
    EXPECT_THAT(refused({Held::kPartial}, {Held::kBatch}),
                IsError(ErrorKind::kInvalidArgument, "held"));
  });
}

}  // namespace
}  // namespace taut::dist
