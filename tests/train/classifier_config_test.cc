#include "taut/train/classifier.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "support/error_matchers.h"
#include "train/classifier_schedule.h"

namespace taut::train {
namespace {

using test::error_of;
using test::IsError;

constexpr const char* kText = R"(
task = "image"
[data]
train = "train-images[:100]"
test = ["a", "b"]
flip = true
[model]
kind = "lenet"
winner_rate = 0.3
unit = "element"
winner_from = 1
winner_ramp = 2
[prune]
share = 0.8
kind = "n_of_m"
[quantize]
mode = "train"
[train]
schedule = "cosine"
warmup = 1
ema = 0.99
)";

ImageConfig parsed(const std::string& text, std::vector<std::string> settings = {}) {
  return parse_image_config(text, "/base", "test.toml", settings);
}

TEST(ImageConfig, ReadsKeysAndKeepsDefaults) {
  const ImageConfig c = parsed(kText);
  EXPECT_EQ(c.data.train, std::vector<std::string>{"/base/train-images[:100]"});
  EXPECT_EQ(c.data.test.size(), 2u);
  EXPECT_TRUE(c.flip);
  EXPECT_EQ(c.model.winners.rates, std::vector<double>{0.3});
  EXPECT_EQ(c.model.winners.unit, sparsity::Unit::kElement);
  EXPECT_EQ(c.prune.kind, sparsity::Prune::kNOfM);
  EXPECT_EQ(c.quantize.mode, QuantizeMode::kTrain);
  EXPECT_EQ(c.schedule, Schedule::kCosine);
  EXPECT_EQ(c.train.batch_size, 128);
}

TEST(ImageConfig, RatesMayBeOneOrAList) {
  EXPECT_EQ(parsed(kText, {"model.winner_rate=[0.3, 0.2]"}).model.winners.rates,
            (std::vector<double>{0.3, 0.2}));
  EXPECT_TRUE(parsed(kText, {"model.winner_rate=[]"}).model.winners.rates.empty());
}

TEST(ImageConfig, WhatIsWrittenReadsBack) {
  for (const std::string setting : {"model.winner_rate=[0.3, 0.2]", "model.winner_rate=0.25",
                                    "model.winner_rate=[]", "prune.maps=0.5"}) {
    const std::string text = parsed(kText, {setting}).to_toml();
    EXPECT_EQ(parsed(text).to_toml(), text) << setting;
  }
}

TEST(ImageConfig, BadValuesNameKeyAndValue) {
  for (const auto& [setting, part] : std::vector<std::pair<std::string, std::string>>{
           {"model.winner_rate=0", "model.winner_rate must be in (0, 1], got 0"},
           {"model.winner_rate=[0.5, 1.1]", "model.winner_rate must be in (0, 1], got 1.1"},
           {"model.winner_rate=\"much\"", "model.winner_rate"},
           {"model.unit=\"neurone\"", "neuron"},
           {"model.winner_ramp=1000", "model.winner_from + model.winner_ramp must be at most"},
           {"prune.share=1.0", "prune.share must be in [0, 1), got 1"},
           {"prune.kind=\"outputs\"", "prune.maps"},
           {"train.schedule=\"cosin\"", "cosine"},
           {"train.bf16=1", "true or false"},
           {"train.learning_rate=0", "train.learning_rate"},
           {"model.winner=1", "unknown key"}}) {
    EXPECT_THAT(error_of([&] { parsed(kText, {setting}); }), IsError(ErrorKind::kConfig, part))
        << setting;
  }
}

TEST(ImageConfig, WinnersBeginBeforeTheEnd) {
  const std::vector<std::string> late = {"model.winner_ramp=0", "model.winner_from=10"};
  EXPECT_THAT(error_of([&] { parsed(kText, late); }),
              IsError(ErrorKind::kConfig, "model.winner_from must be below train.epochs (10)"));
  std::vector<std::string> dense = late;
  dense.emplace_back("model.winner_rate=1");
  EXPECT_EQ(parsed(kText, dense).winners.from, 10);
}

TEST(ImageConfig, KeysOfRecommendersAreUnknown) {
  EXPECT_THAT(error_of([] { parsed("[embedding]\nbudget = \"1/10\"\n"); }),
              IsError(ErrorKind::kConfig, "embedding.budget"));
}

TEST(ImageSchedule, OneCycleRisesThenFallsToZero) {
  ImageConfig loop;
  loop.schedule = Schedule::kOneCycle;
  loop.train.learning_rate = 0.5;
  double highest = 0;
  for (std::int64_t step = 0; step < 100; ++step) {
    highest = std::max(highest, learning_rate_at(loop, step, 100, 10));
  }
  EXPECT_DOUBLE_EQ(highest, 0.5);
  EXPECT_DOUBLE_EQ(learning_rate_at(loop, 0, 100, 10), 0.5 / 25);
  EXPECT_LT(learning_rate_at(loop, 99, 100, 10), 0.001);
}

TEST(ImageSchedule, CosineWarmsUpAndEndsAtZero) {
  ImageConfig loop;
  loop.schedule = Schedule::kCosine;
  loop.train.learning_rate = 1;
  loop.warmup = 1;
  EXPECT_LT(learning_rate_at(loop, 0, 100, 10), 0.1);
  EXPECT_DOUBLE_EQ(learning_rate_at(loop, 10, 100, 10), 1);
  EXPECT_NEAR(learning_rate_at(loop, 55, 100, 10), 0.5, 1e-12);
  loop.schedule = Schedule::kConstant;
  EXPECT_DOUBLE_EQ(learning_rate_at(loop, 99, 100, 10), 1);
}

TEST(ImageSchedule, RatesFallFromDenseToTheConfigs) {
  ImageConfig c = parsed(kText, {"model.winner_rate=[0.4, 0.2]"});
  EXPECT_TRUE(winner_rates_at(c, 0.99).empty());
  EXPECT_EQ(winner_rates_at(c, 1.0), (std::vector<double>{1, 1}));
  EXPECT_EQ(winner_rates_at(c, 3.0), (std::vector<double>{0.4, 0.2}));
  c.winners.shape = Ramp::kLinear;
  EXPECT_NEAR(winner_rates_at(c, 2.0)[0], 0.7, 1e-12);
  c.winners.shape = Ramp::kStep;
  EXPECT_NEAR(winner_rates_at(c, 1.0)[1], 0.8, 1e-12);
  EXPECT_NEAR(winner_rates_at(c, 2.5)[1], 0.2, 1e-12);
}

TEST(ImageSchedule, PruningFollowsTheCubicRamp) {
  const PruneConfig prune{
      .share = 0.8, .kind = sparsity::Prune::kGlobal, .maps = {}, .from = 2, .ramp = 4};
  EXPECT_EQ(pruned_share_at(prune, 1.9), 0);
  EXPECT_NEAR(pruned_share_at(prune, 4), 0.8 * (1 - 0.125), 1e-12);
  EXPECT_EQ(pruned_share_at(prune, 6), 0.8);
  EXPECT_EQ(pruned_share_at(prune, 60), 0.8);
}

}  // namespace
}  // namespace taut::train
