// The names that plans, clusters and traces are written with: files and scripts hold them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "taut/core/error.h"
#include "taut/parallel/planner.h"
#include "taut/parallel/simulator.h"

namespace taut::parallel {
namespace {

using testing::ElementsAre;

template <typename Enum>
void expect_each_once() {
  std::set<Enum> values;
  std::set<std::string_view> names;
  for (const Spelling<Enum>& one : kSpellings<Enum>) {
    EXPECT_EQ(to_string(one.value), one.name);
    EXPECT_TRUE(values.insert(one.value).second) << one.name;
    EXPECT_TRUE(names.insert(one.name).second) << one.name;
  }
}

template <typename Call>
std::string message_of(Call&& call) {
  try {
    static_cast<void>(call());
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    return error.what();
  }
  return "no error";
}

TEST(ParallelSpellings, AreThoseOfFilesAndOptions) {
  EXPECT_THAT(spelling_names<Method>(), ElementsAre("hypar", "greedy", "exact", "dp", "mp", "owt"));
  EXPECT_THAT(spelling_names<Objective>(), ElementsAre("words", "seconds", "overlap"));
  EXPECT_THAT(spelling_names<CostTable>(), ElementsAre("fig", "printed", "volume"));
  EXPECT_THAT(spelling_names<Topology>(), ElementsAre("tree", "ring", "torus"));
  EXPECT_THAT(spelling_names<Split>(), ElementsAre("I", "II", "III", "C", "R"));
  EXPECT_THAT(spelling_names<Collective>(),
              ElementsAre("reduce-scatter", "change", "all-gather", "all-reduce"));
  EXPECT_THAT(spelling_names<LinkUse>(), ElementsAre("port", "levels"));
  EXPECT_THAT(spelling_names<SimulatedSpan::Kind>(),
              ElementsAre("forward", "backward", "dram", "feature", "error", "gradient"));
}

TEST(ParallelSpellings, GiveEachValueOneName) {
  expect_each_once<Method>();
  expect_each_once<Objective>();
  expect_each_once<CostTable>();
  expect_each_once<Topology>();
  expect_each_once<Split>();
  expect_each_once<Collective>();
  expect_each_once<SimulatedSpan::Kind>();
}

TEST(ParallelSpellings, ReadBackAndSuggestTheNearest) {
  EXPECT_EQ(parse_method("owt"), Method::kTrick);
  EXPECT_EQ(parse_cost_table("printed"), CostTable::kPrinted);
  EXPECT_EQ(parse_objective("overlap"), Objective::kOverlap);
  EXPECT_EQ(message_of([] { return parse_method("exakt"); }),
            "unknown method exakt, did you mean exact?");
  EXPECT_EQ(message_of([] { return parse_cost_table("volumes"); }),
            "unknown cost table volumes, did you mean volume?");
  EXPECT_EQ(message_of([] { return parse_objective("kilometres"); }),
            "unknown objective kilometres, known: words, seconds, overlap");
}

}  // namespace
}  // namespace taut::parallel
