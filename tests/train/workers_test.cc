// Runs that several processes train together: what one process trains, in its own folder.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <fstream>
#include <map>

#include "parallel/plan_file.h"
#include "support/error_matchers.h"
#include "support/workers.h"
#include "taut/core/text.h"
#include "taut/graph/cost_graph.h"
#include "taut/graph/network_json.h"
#include "taut/parallel/step_time.h"
#include "train/worker_runs.h"

namespace taut::train {
namespace {

using dist::WorkerEnvironment;
using Json = nlohmann::json;
using test::error_of;
using test::expect_workers;
using test::IsError;
using test::run_workers;
using testing::kPatient;

class Workers : public testing::WorkerRuns {
 protected:
  /// Trains the images' case.
  void train(int workers, const std::string& run, const std::vector<std::string>& settings,
             bool resume = false, const PlanChoice& plan = {}) const {
    WorkerRuns::train(images(), workers, run, settings, resume, plan);
  }
};

// A loss a line; normalization and winners included.
const std::vector<std::string> kEveryStep = {"train.log_every=1", "train.epochs=5",
                                             "train.piece=8"};

TEST_F(Workers, WithOneSliceEachTrainTheSameBitsAsOneProcess) {
  std::vector<std::string> settings = images().everything;
  settings.insert(settings.end(), kEveryStep.begin(), kEveryStep.end());
  train(1, "one", settings);
  train(4, "four", settings);
  const std::vector<Json> lines = metrics("one");
  EXPECT_EQ(lines.size(), 35u);
  EXPECT_EQ(metrics("four"), lines);
  EXPECT_EQ(read_json("four/summary.json")["valid"]["top1"],
            read_json("one/summary.json")["valid"]["top1"]);
}

// Its running means and variances come from slices of all workers.
TEST_F(Workers, ShareBatchNormalization) {
  const std::vector<std::string> settings = {"model.kind=resnet-20", "model.width=0.25",
                                             "train.epochs=1", "train.log_every=1",
                                             "train.piece=8"};
  train(1, "one", settings);
  train(4, "four", settings);
  EXPECT_EQ(metrics("four"), metrics("one"));
  const Json valid = read_json("one/summary.json")["valid"];
  const Json by_four = read_json("four/summary.json")["valid"];
  EXPECT_EQ(by_four["top1"], valid["top1"]);
  // Terms of 50 images, added worker by worker.
  EXPECT_NEAR(by_four["log_loss"].get<double>(), valid["log_loss"].get<double>(), 50 * 0x1p-50);
}

// Sums of gradients of four slices in another order differ by at most 3 roundings of 2^-24 of the
// terms' magnitude, in each of 35 steps; Adam divides by the gradient's own magnitude, so a step is
// off by as much, relative to the learning rate of 0.003 or less, and curvature makes what is off
// grow by less than a factor of 100 in so few steps: 35 * 3 * 2^-24 * 100 = 6e-4 of the loss.
TEST_F(Workers, WithSomeSlicesEachTrainWhatOneProcessTrainsToRounding) {
  train(1, "one", kEveryStep);
  for (const int workers : {2, 3}) {
    const std::string run = concat("by", workers);
    train(workers, run, kEveryStep);
    const std::vector<Json> wanted = metrics("one");
    const std::vector<Json> got = metrics(run);
    ASSERT_EQ(got.size(), wanted.size());
    EXPECT_EQ(got[0], wanted[0]);  // before the first step there is no difference at all
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      const double loss = wanted[i]["loss"];
      EXPECT_NEAR(got[i]["loss"].get<double>(), loss, 6e-4 * loss) << "step " << i + 1;
    }
  }
}

TEST_F(Workers, CountWhatTheySent) {
  train(3, "run", {"train.epochs=1", "train.piece=8"});
  const Json summary = read_json("run/summary.json");
  const Json& workers = summary["workers"];
  EXPECT_EQ(workers["count"], 3);
  EXPECT_EQ(workers["ranks"].size(), 3u);
  // An all-reduce sends each value to all but one worker, and back.
  const std::int64_t parameters = summary["parameters"];
  const std::int64_t steps = summary["steps"];
  EXPECT_EQ(workers["sent_bytes"]["gradients"], 2 * (3 - 1) * 4 * parameters * steps);
  EXPECT_EQ(workers["sent_bytes"]["tables"], 0);
}

// Layers of 900 and 300 neurons: two buckets of gradients.
TEST_F(Workers, TraceWhatTheySendWhileTheyCompute) {
  expect_workers(2, [&](const WorkerEnvironment& environment) {
    RunOptions options = folder_.options(
        images(), "traced",
        {"model.kind=mlp", "model.width=3", "train.epochs=1", "data.crop_padding=0"});
    options.workers = dist::ProcessGroup::connect(environment, kPatient);
    options.trace_step = 2;
    static_cast<void>(train_run(options));
  });
  const Json events = read_json("traced/trace.json")["traceEvents"];
  const Json summary = read_json("traced/summary.json");
  std::int64_t bytes = 0;
  for (const int rank : {0, 1}) {
    std::map<std::string, int> spans;
    double wait_ends = -1;
    bool computes_behind = false;
    for (const Json& event : events) {
      if (event["pid"] != rank || event["ph"] != "X") continue;
      ++spans[event["name"]];
      if (event.contains("args")) bytes += event["args"]["bytes"].get<std::int64_t>();
      const double start = event["ts"];
      if (event["name"] == "wait of gradients") {
        EXPECT_EQ(event["tid"], 3);
        wait_ends = start + event["dur"].get<double>();
      } else if (event["name"] == "between exchanges" && std::abs(start - wait_ends) < 1e-3) {
        computes_behind = true;
      }
    }
    EXPECT_EQ(spans["reduce-scatter of gradients"], 2);
    EXPECT_EQ(spans["all-gather of gradients"], spans["reduce-scatter of gradients"]);
    EXPECT_EQ(spans["wait of gradients"], 1);
    EXPECT_TRUE(computes_behind);
    EXPECT_GT(summary["workers"]["ranks"][static_cast<std::size_t>(rank)]["exposed_seconds"], 0.0);
  }
  const std::int64_t parameters = summary["parameters"];
  EXPECT_GE(bytes, 2 * 4 * parameters);
}

const char* const kTwoWorkers = R"(
[accelerator]
macs_per_second = 1e9
[[level]]
bytes_per_second = 1e9
latency_seconds = 1e-5
)";

// The tolerance of above: other sums are in another order.
TEST_F(Workers, TrainUnderPlansWhatOneProcessTrainsToRounding) {
  train(1, "one", kEveryStep);
  const std::vector<Json> wanted = metrics("one");
  const std::string cluster = path("cluster.toml");
  std::ofstream(cluster) << kTwoWorkers;
  const std::vector<PlanChoice> plans = {
      {.plan = "owt"}, {.plan = "auto", .cluster = cluster}, {.plan = path("run0/plan.json")}};
  for (std::size_t p = 0; p < plans.size(); ++p) {
    const std::string run = concat("run", p);
    train(2, run, kEveryStep, /*resume=*/false, plans[p]);
    const std::vector<Json> got = metrics(run);
    ASSERT_EQ(got.size(), wanted.size());
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      const double loss = wanted[i]["loss"];
      EXPECT_NEAR(got[i]["loss"].get<double>(), loss, 6e-4 * loss)
          << plans[p].plan << " step " << i + 1;
    }
    const Json summary = read_json(run + "/summary.json");
    EXPECT_NEAR(summary["valid"]["log_loss"].get<double>(),
                read_json("one/summary.json")["valid"]["log_loss"].get<double>(), 1e-3);
    const Json& workers = summary["workers"];
    EXPECT_EQ(workers["plan"], plans[p].plan);
    EXPECT_EQ(workers.contains("predicted_seconds_per_step"), !plans[p].cluster.empty());
    const Json& sent = workers["sent_bytes"];
    const std::int64_t bytes = sent["features"].get<std::int64_t>() +
                               sent["errors"].get<std::int64_t>() +
                               sent["gradients"].get<std::int64_t>();
    EXPECT_EQ(static_cast<double>(bytes),
              4 * workers["words_per_step"].get<double>() * summary["steps"].get<double>());
  }
  EXPECT_EQ(read_json("run2/plan.json")["layers"], read_json("run0/plan.json")["layers"]);
  EXPECT_EQ(metrics("run2"), metrics("run0"));
}

// Small rates, under which few values come to lie on the other side of a ReLU in 7 steps; where one
// does, losses part by more than rounding (tests/nn/planned_network_test.cc compares without that).
TEST_F(Workers, TrainResidualNetworksUnderAPlan) {
  const std::vector<std::string> settings = {
      "model.kind=resnet-20", "model.width=0.5", "train.epochs=1",          "train.log_every=1",
      "train.optimizer=sgd",  "train.piece=8",   "train.learning_rate=1e-3"};
  train(1, "one", settings);
  const std::string cluster = path("cluster.toml");
  std::ofstream(cluster) << kTwoWorkers;
  const std::vector<Json> wanted = metrics("one");
  train(2, "auto", settings, /*resume=*/false, {.plan = "auto", .cluster = cluster});
  const std::vector<Json> got = metrics("auto");
  ASSERT_EQ(got.size(), wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    EXPECT_NEAR(got[i]["loss"].get<double>(), wanted[i]["loss"].get<double>(), 1e-2);
  }
  const Json summary = read_json("auto/summary.json");
  // With the running statistics that all workers' pieces gave.
  EXPECT_NEAR(summary["valid"]["log_loss"].get<double>(),
              read_json("one/summary.json")["valid"]["log_loss"].get<double>(), 1e-2);
  graph::Network network =
      graph::parse_network_json(read_json("auto/network.json").dump(), "network.json");
  network.densities.clear();  // measured at the end
  const graph::Graph nodes = graph::cost_graph(network);
  const parallel::CostModel model(nodes, {.batch = 32, .levels = 1, .raw_sums = true});
  EXPECT_EQ(summary["workers"]["predicted_seconds_per_step"],
            parallel::step_time(model, parallel::parse_cluster_toml(kTwoWorkers, "cluster"),
                                parallel::read_plan(path("auto/plan.json"), nodes, 1))
                .serial_seconds);
  const Json& sent = summary["workers"]["sent_bytes"];
  const std::int64_t bytes = sent["features"].get<std::int64_t>() +
                             sent["errors"].get<std::int64_t>() +
                             sent["gradients"].get<std::int64_t>();
  EXPECT_EQ(static_cast<double>(bytes), 4 * summary["workers"]["words_per_step"].get<double>() *
                                            summary["steps"].get<double>());
}

TEST_F(Workers, GoOnUnderAnotherPlan) {
  const std::vector<std::string> settings = {"train.piece=8", "train.optimizer=sgd",
                                             "train.learning_rate=0.02"};
  train(1, "whole", settings);
  const std::vector<int> codes = run_workers(2, [&](const WorkerEnvironment& environment) {
    RunOptions options = folder_.options(images(), "parts", settings);
    options.workers = dist::ProcessGroup::connect(environment, kPatient);
    options.plan.plan = "owt";
    std::atomic<bool> stop = environment.rank == 1;  // after the first step
    options.stop = &stop;
    EXPECT_THROW(train_run(options), Interrupted);
  });
  EXPECT_EQ(codes, std::vector<int>(2, 0));
  train(1, "parts", settings, /*resume=*/true);
  const std::vector<Json> wanted = metrics("whole");
  const std::vector<Json> got = metrics("parts");
  ASSERT_EQ(got.size(), wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    EXPECT_NEAR(got[i]["loss"].get<double>(), wanted[i]["loss"].get<double>(), 1e-3);
  }
}

TEST_F(Workers, RefusePlansThatCannotBeRun) {
  const std::string wrong = path("wrong.json");
  std::ofstream(wrong) << R"({"layers": [{"name": "conv9", "splits": ["I"]}]})";
  expect_workers(2, [&](const WorkerEnvironment& environment) {
    const auto group = dist::ProcessGroup::connect(environment, kPatient);
    const auto refused = [&](const PlanChoice& plan, const std::vector<std::string>& settings) {
      RunOptions options = folder_.options(images(), "refused", settings);
      options.workers = group;
      options.plan = plan;
      return error_of([&] { train_run(options); });
    };
    EXPECT_THAT(refused({.plan = "auto"}, {}), IsError(ErrorKind::kConfig, "taut calibrate"));
    EXPECT_THAT(refused({.plan = "mp"}, {}), IsError(ErrorKind::kConfig, "no plan \"mp\": "));
    EXPECT_THAT(refused({.plan = wrong}, {}), IsError(ErrorKind::kData, "no layer conv1"));
    EXPECT_THAT(refused({.plan = "none.json"}, {}), IsError(ErrorKind::kNotFound, "none.json"));
    EXPECT_THAT(refused({.plan = "owt"}, {"model.winner_rate=0.5"}),
                IsError(ErrorKind::kUnsupported, "model.winner_rate"));
    EXPECT_THAT(refused({.plan = "owt"}, {"train.ema=0.5"}),
                IsError(ErrorKind::kUnsupported, "train.ema"));
    EXPECT_THAT(refused({.plan = "owt"}, {"model.kind=mobilenet-v1", "model.width=0.25"}),
                IsError(ErrorKind::kUnsupported, "is grouped"));
    EXPECT_THAT(
        refused({.plan = "owt"}, {"model.kind=resnet-20", "model.width=0.25", "train.piece=32"}),
        IsError(ErrorKind::kConfig, "make it a multiple of 64, or change train.piece"));
  });
}

TEST_F(Workers, GoOnFromTheCheckpointsOfAnotherNumber) {
  train(1, "whole", {"train.piece=8"});
  interrupt(images(), 4, "parts", {"train.piece=8"});
  train(2, "parts", {"train.piece=8"}, /*resume=*/true);
  const std::vector<Json> wanted = metrics("whole");
  const std::vector<Json> got = metrics("parts");
  ASSERT_EQ(got.size(), wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    EXPECT_EQ(got[i]["step"], wanted[i]["step"]);
    EXPECT_NEAR(got[i]["loss"].get<double>(), wanted[i]["loss"].get<double>(), 1e-3);
  }
}

TEST_F(Workers, ThatLoseOneLeaveARunThatGoesOnToTheSameEnd) {
  const std::vector<std::string> settings = {"train.piece=16", "train.checkpoint_every=2"};
  train(2, "whole", settings);
  lose_one(images(), "killed", settings);
  train(2, "killed", settings, /*resume=*/true);
  EXPECT_EQ(metrics("killed"), metrics("whole"));
}

TEST_F(Workers, AreRefusedWhatTheyCannotTrain) {
  expect_workers(2, [&](const WorkerEnvironment& environment) {
    RunOptions options = folder_.options(images(), "pieces", {"train.piece=32"});
    options.workers = dist::ProcessGroup::connect(environment, kPatient);
    EXPECT_THAT(error_of([&] { train_run(options); }),
                IsError(ErrorKind::kConfig, "gives work to 1 of 2 workers"));
  });
}

}  // namespace
}  // namespace taut::train
