// Runs of networks for images.
#include "taut/train/classifier.h"

#include <gtest/gtest.h>

#include "support/error_matchers.h"
#include "taut/core/file.h"
#include "taut/graph/network_json.h"
#include "taut/train/run.h"
#include "train/run_cases.h"

namespace taut::train {
namespace {

using test::error_of;
using test::IsError;
using Json = nlohmann::json;

class ImageRuns : public ::testing::Test {
 protected:
  [[nodiscard]] RunOptions options(const std::string& name,
                                   const std::vector<std::string>& settings = {}) const {
    return folder_.options(testing::run_cases()[1], name, settings);
  }
  [[nodiscard]] std::string path(const std::string& name) const {
    return folder_.path() + "/" + name;
  }

  testing::RunFolder folder_;
};

TEST_F(ImageRuns, LearnAndReportWhatIsComputed) {
  const Json s = train_run(options("a", {"model.winner_rate=0.5", "train.epochs=6"}));
  EXPECT_GT(s["top1"].get<double>(), 0.9);
  EXPECT_EQ(s["test"]["examples"], 100);
  EXPECT_EQ(s["valid"]["examples"], 50);
  EXPECT_LT(s["multiply_adds"]["needed"].get<double>(), s["multiply_adds"]["dense"].get<double>());
  for (const Json& site : s["sites"]) EXPECT_LE(site["density"].get<double>(), 0.51);
}

TEST_F(ImageRuns, FineTuneFromARunThatTeaches) {
  const Json dense = train_run(options("dense", {"train.epochs=6"}));
  const std::string run = path("dense");
  const Json tuned =
      train_run(options("tuned", {"model.winner_rate=0.3", "train.epochs=2",
                                  "model.initial=\"" + run + "\"", "teacher.run=\"" + run + "\""}));
  EXPECT_GT(tuned["top1"].get<double>(), dense["top1"].get<double>() - 0.1);
  const OpenedRun opened = open_run(path("tuned"), 1);
  EXPECT_EQ(images_of(opened, "test").network->winner_rates(), std::vector<double>{0.3});
}

TEST_F(ImageRuns, OpenedRunsPredictWhatTheSummarySays) {
  const Json summary = train_run(options("a", testing::run_cases()[1].everything));
  const OpenedRun opened = open_run(path("a"), 2);
  const ImageRun run = images_of(opened, "test");
  const data::ImageSet images = read_run_images(run, run.config.data.test, nullptr);
  const ImageQuality quality =
      evaluate(*run.network, images, run.format.normalization, std::make_shared<ThreadPool>(3));
  EXPECT_EQ(quality.top1, summary["test"]["top1"]);
  EXPECT_EQ(quality.log_loss, summary["test"]["log_loss"]);
}

TEST_F(ImageRuns, ImagesOfAnotherSizeAreNamed) {
  testing::write_corners(folder_.path() + "/large", 20, 3, 16);
  EXPECT_THAT(error_of([&] {
                train_run(options("a", {"data.test=\"" + folder_.path() + "/large-images-idx3\""}));
              }),
              IsError(ErrorKind::kData, "1x16x16"));
}

// The first step makes parameters from which nothing finite follows.
TEST_F(ImageRuns, LeaveACheckpointThatOpensWhenTheLossIsNotFinite) {
  RunOptions run = options("run", {"train.epochs=1", "train.batch_size=250", "train.optimizer=sgd",
                                   "train.learning_rate=1e30", "train.schedule=constant"});
  const Json summary = train_run(run);
  EXPECT_TRUE(summary["valid"]["log_loss"].is_null());
  EXPECT_EQ(to_json(open_run(run.run, 1).evaluate({}))["top1"], summary["top1"]);
  run.resume = true;
  EXPECT_EQ(train_run(run)["valid"], summary["valid"]);
}

// What a plan of the run sees.
TEST_F(ImageRuns, KeepTheirNetworkWithMeasuredDensities) {
  const RunOptions run = options("run", {"model.winner_rate=0.4"});
  const Json summary = train_run(run);
  const std::string file = run.run + "/network.json";
  const graph::Network network = graph::parse_network_json(read_file(file), file);
  ASSERT_EQ(network.densities.size(), network.winner_sites().size());
  for (std::size_t site = 0; site < network.densities.size(); ++site) {
    EXPECT_EQ(network.densities[site], summary["sites"][site]["density"]);
    EXPECT_GT(network.densities[site], 0);
    EXPECT_LE(network.densities[site], 0.51);  // few channels: 0.4 of them, rounded up
  }
  EXPECT_EQ(network.winners.rates, std::vector<double>(network.densities.size(), 0.4));
  EXPECT_EQ(network.input, (graph::Shape{1, 10, 10}));
}

TEST_F(ImageRuns, MissingRunsAreNamed) {
  EXPECT_THAT(error_of([&] { train_run(options("a", {"teacher.run=\"nowhere\""})); }),
              IsError(ErrorKind::kNotFound, "nowhere"));
}

}  // namespace
}  // namespace taut::train
