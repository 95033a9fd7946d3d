#include "taut/train/tune.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "support/error_matchers.h"
#include "support/temporary_directory.h"
#include "taut/core/file.h"
#include "taut/core/log.h"
#include "taut/train/run.h"
#include "train/corner_images.h"

namespace taut::train {
namespace {

using sparsity::Unit;
using test::error_of;
using test::IsError;
using Json = nlohmann::json;

constexpr std::int64_t kValid = 200;
constexpr double kDrop = 0.05;

// A trained network of two sites, and one with maps, on images of four corners.
class Tuning : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    set_log_level(LogLevel::kSilent);
    folder_ = new test::TemporaryDirectory;
    testing::write_corners(folder_->path() + "/all", 600, 1, 12);
    train("mlp", {"model.kind=\"mlp\"", "model.width=0.2"});
    train("lenet", {"model.kind=\"lenet\"", "model.width=0.7"});
  }
  static void TearDownTestSuite() { delete folder_; }

  static std::string path(const std::string& name) { return folder_->path() + "/" + name; }

  static void train(const std::string& name, std::vector<std::string> settings) {
    constexpr const char* kText = R"(
task = "image"
[data]
train = "all-images-idx3[:400]"
valid = "all-images-idx3[400:]"
[train]
epochs = 2
batch_size = 32
optimizer = "adam"
learning_rate = 0.002
)";
    const RunOptions options{.config = parse_config(kText, folder_->path(), "test.toml", settings),
                             .run = path(name),
                             .resume = false,
                             .threads = 1,
                             .profile_path = {},
                             .stop = nullptr};
    static_cast<void>(train_run(options));
  }

  static TuneOptions options(const std::string& name) {
    TuneOptions options;
    options.run = path(name);
    options.accuracy_drop = kDrop;
    options.threads = 1;
    return options;
  }

  static test::TemporaryDirectory* folder_;
};
test::TemporaryDirectory* Tuning::folder_ = nullptr;

TEST_F(Tuning, FindsTheBestOfAllRatesOfANetworkOfTwoSites) {
  const Json found = tune_run(options("mlp")).summary;
  const Json& sites = found["sites"];
  ASSERT_EQ(sites.size(), 2u);
  EXPECT_EQ(found["unit"], "neuron");
  EXPECT_EQ(found["images"], kValid);

  const OpenedRun opened = open_run(path("mlp"), 1);
  const ImageRun run = images_of(opened, "test");
  const auto pool = std::make_shared<ThreadPool>(1);
  const data::ImageSet images = read_run_images(run, run.config.data.valid, nullptr);
  const auto top1 = [&](const Json& a, const Json& b) {
    run.network->set_winner_policy({.unit = Unit::kNeuron, .rates = {a["rate"], b["rate"]}});
    return evaluate(*run.network, images, run.format.normalization, pool).top1;
  };
  const double before = found["accuracy"]["before"];
  EXPECT_EQ(before, open_run(path("mlp"), 1).evaluate(run.config.data.valid).score());
  double saved = 0;
  double best_saved = 0;
  double lowest = 1;
  const auto cost_of = [](const Json& level) { return level["multiply_adds"].get<double>(); };
  for (const Json& a : sites[0]["sensitivity"]) {
    for (const Json& b : sites[1]["sensitivity"]) {
      const double here = cost_of(sites[0]["sensitivity"][0]) - cost_of(a) +
                          cost_of(sites[1]["sensitivity"][0]) - cost_of(b);
      const double accuracy = top1(a, b);
      lowest = std::min(lowest, accuracy);
      if (accuracy >= before - kDrop - 1e-12) best_saved = std::max(best_saved, here);
      if (a["rate"] == sites[0]["rate"] && b["rate"] == sites[1]["rate"]) saved = here;
    }
  }
  EXPECT_LT(lowest, before - kDrop) << "the grid has to hold choices that lose too much";
  EXPECT_GT(saved, 0);
  EXPECT_NEAR(saved, best_saved, 1e-9);
  EXPECT_LE(found["accuracy"]["drop"].get<double>(), kDrop + 1e-12);
}

TEST_F(Tuning, PredictsTheMultiplyAddsThatAreMeasured) {
  const Json found = tune_run(options("lenet")).summary;
  const Json& work = found["multiply_adds"];
  EXPECT_LT(work["after"].get<double>(), work["before"].get<double>());
  EXPECT_LE(work["before"].get<double>(), work["dense"].get<double>());
  EXPECT_NEAR(work["after"].get<double>() / work["measured"].get<double>(), 1, 0.15);
  EXPECT_EQ(found["sites"].size(), 4u);
}

TEST_F(Tuning, GivesTheSameForAnyNumberOfThreads) {
  TuneOptions two = options("lenet");
  two.threads = 2;
  EXPECT_EQ(tune_run(options("lenet")).summary, tune_run(two).summary);
}

TEST_F(Tuning, TriesUnitsAndTakesTheCheapest) {
  TuneOptions both = options("lenet");
  both.units = {Unit::kPosition, Unit::kElement};
  const Json found = tune_run(both).summary;
  ASSERT_EQ(found["candidates"].size(), 2u);
  for (const Json& candidate : found["candidates"]) {
    EXPECT_GE(candidate["multiply_adds"].get<double>(),
              found["multiply_adds"]["after"].get<double>());
  }
}

TEST_F(Tuning, WritesAConfigThatFineTunesFromTheRunWithItAsTeacher) {
  const Tuned tuned = tune_run(options("lenet"));
  std::vector<double> rates;
  for (const Json& site : tuned.summary["sites"]) rates.push_back(site["rate"]);
  const ImageConfig config = parse_image_config(tuned.config.to_toml(), "/", "tuned.toml", {});
  EXPECT_EQ(config.model.winners.rates, rates);
  EXPECT_EQ(config.initial, path("lenet"));
  EXPECT_EQ(config.teacher.run, path("lenet"));
  const Json summary = train_run({.config = std::make_shared<ImageConfig>(config),
                                  .run = path("tuned"),
                                  .resume = false,
                                  .threads = 1,
                                  .profile_path = {},
                                  .stop = nullptr});
  EXPECT_EQ(summary["winner_rates"], Json(rates));
  EXPECT_GE(summary["top1"].get<double>(),
            tuned.summary["accuracy"]["before"].get<double>() - kDrop);
  // And from there again, now from rates below 1.
  const Json again = tune_run(options("tuned")).summary;
  for (std::size_t s = 0; s < rates.size(); ++s) {
    EXPECT_EQ(again["sites"][s]["rate_before"], rates[s]);
  }
  EXPECT_LE(again["multiply_adds"]["after"].get<double>(),
            again["multiply_adds"]["before"].get<double>());
}

TEST_F(Tuning, MeasuresNormalizationsAnewAndPutsThemBack) {
  train("vgg", {"model.kind=\"vgg-small\"", "model.width=0.25"});
  TuneOptions anew = options("vgg");
  anew.recalibrate = true;
  const Json found = tune_run(anew).summary;
  EXPECT_EQ(found["recalibrated"], true);
  const Json plain = tune_run(options("vgg")).summary;
  EXPECT_EQ(found["accuracy"]["before"], plain["accuracy"]["before"]);
  EXPECT_NE(found["sites"], plain["sites"]);
}

TEST_F(Tuning, NamesOptionsThatAreWrong) {
  const auto wrong = [](auto change) {
    TuneOptions changed = options("mlp");
    change(changed);
    return error_of([&] { static_cast<void>(tune_run(changed)); });
  };
  EXPECT_THAT(wrong([](TuneOptions& o) { o.accuracy_drop = 1; }),
              IsError(ErrorKind::kConfig, "--accuracy-drop must be in [0, 1), got 1"));
  EXPECT_THAT(wrong([](TuneOptions& o) { o.images = 0; }),
              IsError(ErrorKind::kConfig, "--images must be at least 1, got 0"));
  EXPECT_THAT(wrong([](TuneOptions& o) { o.rates = {1.5}; }),
              IsError(ErrorKind::kConfig, "--rates must be in (0, 1], got 1.5"));
  EXPECT_THAT(wrong([](TuneOptions& o) { o.units = {Unit::kPosition}; }),
              IsError(ErrorKind::kConfig, "model.unit is position"));
  EXPECT_THAT(wrong([](TuneOptions& o) { o.run = path("nowhere"); }),
              IsError(ErrorKind::kNotFound, "nowhere"));
  EXPECT_THAT(wrong([](TuneOptions& o) { o.data = {path("nothing")}; }),
              IsError(ErrorKind::kNotFound, "nothing"));
}

TEST(AccuracyDrop, IsAShareOrPerCent) {
  EXPECT_DOUBLE_EQ(parse_accuracy_drop("0.5%"), 0.005);
  EXPECT_DOUBLE_EQ(parse_accuracy_drop("0.005"), 0.005);
  EXPECT_DOUBLE_EQ(parse_accuracy_drop("0"), 0.0);
  for (const char* text : {"", "%", "half", "0.5 %", "-0.1", "1", "100%", "nan", "0.5%%"}) {
    EXPECT_THAT(error_of([&] { static_cast<void>(parse_accuracy_drop(text)); }),
                IsError(ErrorKind::kConfig, "--accuracy-drop must be a share"))
        << text;
  }
}

}  // namespace
}  // namespace taut::train
