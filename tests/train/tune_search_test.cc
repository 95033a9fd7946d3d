#include "train/tune_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "taut/core/random.h"

namespace taut::train {
namespace {

constexpr double kResolution = 1e-3;

// Accuracy that falls with each level, faster where other sites are low too, on a grid as measured
// accuracies are; costs that fall by site.
SearchProblem random_problem(int sites, int levels, std::uint64_t seed) {
  const CounterRandom random(seed);
  std::vector<double> weight;
  std::vector<double> price;
  for (int s = 0; s < sites; ++s) {
    weight.push_back(0.002 + 0.03 * random.uniform(static_cast<std::uint64_t>(2 * s)));
    price.push_back(1 + 9 * random.uniform(static_cast<std::uint64_t>(2 * s + 1)));
  }
  SearchProblem problem;
  problem.levels.assign(static_cast<std::size_t>(sites), levels);
  problem.start.assign(static_cast<std::size_t>(sites), 0);
  problem.drop = 0.05;
  problem.resolution = kResolution;
  problem.tries = 64;
  problem.accuracy = [=](const Levels& at) {
    double lost = 0;
    double together = 1;
    std::uint64_t key = 0;
    for (std::size_t s = 0; s < at.size(); ++s) {
      lost += weight[s] * at[s] * at[s] / 4.0;
      together *= 1 + 0.1 * at[s];
      key = key * 16 + static_cast<std::uint64_t>(at[s]);
    }
    const double noise = 0.004 * (random.with(1).uniform(key) - 0.5) * (key == 0 ? 0 : 1);
    return std::round((0.9 - lost * together + noise) / kResolution) * kResolution;
  };
  problem.cost = [=](const Levels& at) {
    double sum = 1;
    for (std::size_t s = 0; s < at.size(); ++s) sum += price[s] / (1 + at[s]);
    return sum;
  };
  return problem;
}

double cheapest(const SearchProblem& problem) {
  const double floor = problem.accuracy(problem.start) - problem.drop - 1e-12;
  double least = problem.cost(problem.start);
  Levels at(problem.levels.size(), 0);
  while (true) {
    if (problem.accuracy(at) >= floor) least = std::min(least, problem.cost(at));
    std::size_t s = 0;
    while (s < at.size() && ++at[s] == problem.levels[s]) at[s++] = 0;
    if (s == at.size()) return least;
  }
}

TEST(TuneSearch, FindsTheCheapestOfAllChoicesForTwoSites) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const SearchProblem problem = random_problem(2, 7, seed);
    const SearchResult found = search_rates(problem);
    EXPECT_DOUBLE_EQ(problem.cost(found.levels), cheapest(problem)) << "seed " << seed;
    EXPECT_GE(found.after, found.before - problem.drop - 1e-9);
    EXPECT_LE(found.measured, 49);
  }
}

TEST(TuneSearch, ComesNearTheCheapestChoiceForFourSitesWithFewMeasurements) {
  double sum = 0;
  double most = 0;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const SearchProblem problem = random_problem(4, 6, seed);
    const SearchResult found = search_rates(problem);
    const double gap = problem.cost(found.levels) / cheapest(problem) - 1;
    EXPECT_GE(found.after, found.before - problem.drop - 1e-9);
    EXPECT_LE(found.measured, 21 + 20 + 4 + 64);  // of 1296
    sum += gap;
    most = std::max(most, gap);
  }
  RecordProperty("mean_gap", std::to_string(sum / 40));
  RecordProperty("largest_gap", std::to_string(most));
  EXPECT_LE(sum / 40, 0.02);
  EXPECT_LE(most, 0.10);
}

TEST(TuneSearch, TakesAWayUpAtOneSiteWhereAnotherCanThenFall) {
  // Greedily the first site falls, after which the second, which is worth more, may not.
  SearchProblem problem;
  problem.levels = {2, 2};
  problem.start = {0, 0};
  problem.drop = 0.1;
  problem.resolution = kResolution;
  problem.tries = 64;
  problem.accuracy = [](const Levels& at) { return 0.9 - 0.02 * at[0] - 0.09 * at[1]; };
  problem.cost = [](const Levels& at) { return 10.0 - 3 * at[0] - 4 * at[1]; };
  EXPECT_EQ(search_rates(problem).levels, (Levels{0, 1}));
}

TEST(TuneSearch, StaysAtTheStartWhereNothingMayBeLost) {
  SearchProblem problem = random_problem(3, 4, 1);
  problem.drop = 0;
  problem.accuracy = [](const Levels& at) { return 0.9 - 0.01 * (at[0] + at[1] + at[2]); };
  const SearchResult found = search_rates(problem);
  EXPECT_EQ(found.levels, problem.start);
  EXPECT_EQ(found.before, found.after);
}

TEST(TuneSearch, LeavesASiteAloneWhoseLowerRatesSaveNothing) {
  SearchProblem problem = random_problem(2, 4, 2);
  problem.drop = 1;
  problem.cost = [](const Levels& at) { return 10.0 - at[0]; };
  EXPECT_EQ(search_rates(problem).levels, (Levels{3, 0}));
}

}  // namespace
}  // namespace taut::train
