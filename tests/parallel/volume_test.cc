// The closed form of the exact volumes against moved data.
#include <gtest/gtest.h>

#include "parallel/chunk_mover.h"
#include "parallel/expected.h"
#include "parallel/random_models.h"
#include "taut/core/error.h"
#include "taut/parallel/volume.h"

namespace taut::parallel {
namespace {

/// All layouts of `levels` levels over the given parts.
std::vector<std::vector<Held>> layouts(int levels, const std::vector<Held>& parts) {
  std::vector<std::vector<Held>> all = {{}};
  for (int level = 0; level < levels; ++level) {
    std::vector<std::vector<Held>> longer;
    for (const auto& layout : all) {
      for (const Held part : parts) {
        longer.push_back(layout);
        longer.back().push_back(part);
      }
    }
    all = std::move(longer);
  }
  return all;
}

TEST(Volume, EqualsMovedChunksForEveryPairOfLayouts) {
  int pairs = 0;
  for (int levels = 1; levels <= 3; ++levels) {
    for (const auto& made : layouts(levels, {Held::kBatch, Held::kChannel, Held::kPartial})) {
      for (const auto& wanted : layouts(levels, {Held::kBatch, Held::kChannel, Held::kWhole})) {
        ChunkMover mover(made, wanted);
        const std::vector<double>& moved = mover.run();
        ASSERT_TRUE(mover.correct());
        const std::vector<MoveUnits> units = move_units(made, wanted);
        for (int level = 0; level < levels; ++level) {
          const double words =
              units[level].reduce_scatter + units[level].change + units[level].all_gather;
          ASSERT_EQ(moved[level], words * mover.chunks()) << "level " << level;
        }
        ++pairs;
      }
    }
  }
  EXPECT_EQ(pairs, 9 + 81 + 729);
}

TEST(Volume, OneLevelPairsAreTheTableOfTheSpecification) {
  const double wanted[3][3] = {{0, 1, 2}, {2, 2, 4}, {1, 0, 2}};
  for (int from = 0; from < 3; ++from) {
    for (int to = 0; to < 3; ++to) {
      EdgeCounter counter(CostTable::kVolume);
      const EdgeUnits units = counter.step(static_cast<Split>(from), static_cast<Split>(to));
      EXPECT_EQ(units.feature_sums + units.features + units.error_sums + units.errors,
                wanted[from][to])
          << from << " to " << to;
    }
  }
}

TEST(Volume, WeightGradientsOfCopiedWeightsMoveTwiceTheirWordsPerCopy) {
  // A gradient is a partial sum at type-I levels and split by rows or columns elsewhere; adding it
  // up and handing it out again is a reduce-scatter and an all-gather of moved chunks.
  for (const auto& layout : layouts(3, {Held::kPartial, Held::kChannel})) {
    std::vector<Held> whole = layout;
    for (Held& held : whole) held = held == Held::kPartial ? Held::kWhole : held;
    ChunkMover mover(layout, whole);
    const std::vector<double> moved = mover.run();
    ASSERT_TRUE(mover.correct());
    double copies = 1;
    for (int level = 0; level < 3; ++level) {
      const bool copied = layout[level] == Held::kPartial;
      EXPECT_EQ(moved[level], copied ? 2 * copies * mover.chunks() : 0);
      if (copied) copies *= 2;
    }
  }
}

TEST(Volume, LayoutsOfDifferentDepthAreRefused) {
  EXPECT_THROW((void)move_units({Held::kBatch}, {Held::kBatch, Held::kBatch}), Error);
}

TEST(Redistributions, AddUpToTheTrafficOfThePlan) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    Dice dice(seed);
    const graph::Graph graph = random_series_parallel(dice, 6);
    CostOptions options;
    options.levels = 3;
    options.batch = 16;
    options.raw_sums = dice.once_in(2);
    options.density = dice.once_in(2) ? 1 : 0.3;
    const CostModel model(graph, options);
    Plan plan{3, {}};
    for (int v = 0; v < graph.size(); ++v) {
      const std::vector<LayerState> states = model.states(v);
      plan.states.push_back(states[dice.in(0, static_cast<std::int64_t>(states.size()) - 1)]);
    }
    std::vector<double> words(3, 0);
    for (const Redistribution& move : model.redistributions(plan)) {
      EXPECT_GT(move.words, 0);
      EXPECT_EQ(move.reader < 0, move.what == Redistribution::What::kGradient);
      words[move.level] += move.words;
    }
    const std::vector<double> traffic = model.traffic(plan).words;
    for (int level = 0; level < 3; ++level) {
      EXPECT_NEAR(words[level], traffic[level], 1e-9 * traffic[level]) << "seed " << seed;
    }
  }
}

TEST(Redistributions, HyparsTablesDoNotSayHowTensorsMove) {
  const graph::Graph graph = graph::load_model("lenet-c");
  CostOptions options;
  options.table = CostTable::kFig;
  const CostModel model(graph, options);
  const Plan dp{4, std::vector<LayerState>(graph.size(), LayerState(4, Split::kBatch))};
  EXPECT_THROW((void)model.redistributions(dp), Error);
}

}  // namespace
}  // namespace taut::parallel
