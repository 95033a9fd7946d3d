#include "taut/train/image_run.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "support/error_matchers.h"
#include "support/temporary_directory.h"
#include "taut/core/log.h"
#include "taut/train/run.h"
#include "train/corner_images.h"

namespace taut::train {
namespace {

using test::error_of;
using test::IsError;
using Json = nlohmann::json;

constexpr std::int64_t kSide = 10;

class ImageRuns : public ::testing::Test {
 protected:
  void SetUp() override {
    set_log_level(LogLevel::kSilent);
    testing::write_corners(folder_.path() + "/train", 300, 1, kSide);
    testing::write_corners(folder_.path() + "/test", 100, 2, kSide);
  }

  [[nodiscard]] ImageRunOptions options(const std::string& name,
                                        std::vector<std::string> settings = {}, int threads = 1) {
    constexpr const char* kText = R"(
task = "image"
[data]
train = "train-images-idx3[:250]"
valid = "train-images-idx3[250:]"
test = "test-images-idx3"
crop_padding = 1
[model]
kind = "lenet-c"
width = 0.2
[train]
epochs = 3
batch_size = 32
optimizer = "adam"
learning_rate = 0.003
piece = 16
log_every = 5
checkpoint_every = 4
)";
    settings.insert(settings.begin(), "model.kind=\"cifar-c\"");
    return {.config = parse_image_config(kText, folder_.path(), "test.toml", settings),
            .run = folder_.path() + "/" + name,
            .resume = false,
            .threads = threads,
            .stop = nullptr};
  }

  // What must not depend on threads, kills and clocks.
  static Json lasting(const Json& summary) {
    Json kept;
    for (const char* field : {"top1", "log_loss", "valid", "test", "sites", "layers",
                              "multiply_adds", "pruned_share", "winner_rates", "steps"}) {
      kept[field] = summary.at(field);
    }
    return kept;
  }

  test::TemporaryDirectory folder_;
};

const std::vector<std::string> kEverything = {
    "model.winner_rate=0.4", "model.winner_from=0.5", "model.winner_ramp=1",
    "prune.share=0.6",       "prune.ramp=1",          "quantize.mode=\"train\"",
    "quantize.from=2",       "quantize.images=64",    "train.ema=0.5"};

TEST_F(ImageRuns, LearnAndReportWhatIsComputed) {
  const Json s = train_image_run(options("a", {"model.winner_rate=0.5", "train.epochs=6"}));
  EXPECT_GT(s["top1"].get<double>(), 0.9);
  EXPECT_EQ(s["test"]["examples"], 100);
  EXPECT_EQ(s["valid"]["examples"], 50);
  EXPECT_LT(s["multiply_adds"]["needed"].get<double>(), s["multiply_adds"]["dense"].get<double>());
  for (const Json& site : s["sites"]) EXPECT_LE(site["density"].get<double>(), 0.51);
}

TEST_F(ImageRuns, SameBitsForAnyNumberOfThreads) {
  const Json one = lasting(train_image_run(options("one", kEverything, 1)));
  EXPECT_EQ(one, lasting(train_image_run(options("two", kEverything, 2))));
  EXPECT_EQ(one, lasting(train_image_run(options("three", kEverything, 3))));
  EXPECT_NEAR(one["pruned_share"].get<double>(), 0.6, 0.01);
}

TEST_F(ImageRuns, GoOnToTheSameBitsHoweverOftenTheyAreStopped) {
  const Json whole = lasting(train_image_run(options("whole", kEverything)));
  std::atomic<bool> stop = true;
  ImageRunOptions stopped = options("stopped", kEverything);
  stopped.resume = true;
  stopped.stop = &stop;
  int stops = 0;
  for (; stops < 100; ++stops) {
    try {
      EXPECT_EQ(whole, lasting(train_image_run(stopped)));
      break;
    } catch (const Interrupted&) {
    }
  }
  EXPECT_EQ(stops, 21);  // at each of 3 epochs of 7 steps
}

TEST_F(ImageRuns, FineTuneFromARunThatTeaches) {
  const Json dense = train_image_run(options("dense", {"train.epochs=6"}));
  const std::string run = folder_.path() + "/dense";
  const Json tuned = train_image_run(
      options("tuned", {"model.winner_rate=0.3", "train.epochs=2", "model.initial=\"" + run + "\"",
                        "teacher.run=\"" + run + "\""}));
  EXPECT_GT(tuned["top1"].get<double>(), dense["top1"].get<double>() - 0.1);
  const OpenedImageRun opened = open_image_run(folder_.path() + "/tuned", 1);
  EXPECT_EQ(opened.network->winner_rates(), std::vector<double>{0.3});
}

TEST_F(ImageRuns, OpenedRunsPredictWhatTheSummarySays) {
  const Json summary = train_image_run(options("a", kEverything));
  const OpenedImageRun run = open_image_run(folder_.path() + "/a", 2);
  const data::ImageSet images = read_run_images(run, run.config.data.test, 1);
  EXPECT_EQ(to_json(evaluate(*run.network, images, run.normalization, 3)), summary["test"]);
}

TEST_F(ImageRuns, EarlyStopKeepsTheBest) {
  const Json s = train_image_run(options("a", {"train.early_stop=2", "train.learning_rate=1.0"}));
  EXPECT_GE(s["epochs"].get<int>(), 2);
}

TEST_F(ImageRuns, AFolderWithARunOrAnotherConfigIsRefused) {
  train_image_run(options("a"));
  EXPECT_THAT(error_of([&] { train_image_run(options("a")); }),
              IsError(ErrorKind::kConfig, "holds a run already"));
  ImageRunOptions other = options("a", {"model.winner_rate=0.5"});
  other.resume = true;
  EXPECT_THAT(error_of([&] { train_image_run(other); }),
              IsError(ErrorKind::kConfig, "winner_rate"));
}

TEST_F(ImageRuns, ImagesOfAnotherSizeAreNamed) {
  testing::write_corners(folder_.path() + "/large", 20, 3, 16);
  EXPECT_THAT(
      error_of([&] {
        train_image_run(options("a", {"data.test=\"" + folder_.path() + "/large-images-idx3\""}));
      }),
      IsError(ErrorKind::kData, "1x16x16"));
}

TEST_F(ImageRuns, MissingRunsAreNamed) {
  EXPECT_THAT(error_of([&] { static_cast<void>(open_image_run(folder_.path() + "/none", 1)); }),
              IsError(ErrorKind::kNotFound, "none"));
  EXPECT_THAT(error_of([&] { train_image_run(options("a", {"teacher.run=\"nowhere\""})); }),
              IsError(ErrorKind::kNotFound, "nowhere"));
}

}  // namespace
}  // namespace taut::train
