// Recommenders that several processes train: tables dealt to them, the dense half data parallel.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "support/error_matchers.h"
#include "support/workers.h"
#include "taut/core/text.h"
#include "train/worker_runs.h"

namespace taut::train {
namespace {

using dist::WorkerEnvironment;
using Json = nlohmann::json;
using test::error_of;
using test::expect_workers;
using test::IsError;
using testing::kPatient;

// Four shards of tables, and a line a step.
const std::vector<std::string> kEveryStep = {"embedding.budget=260KiB", "train.log_every=1"};

std::vector<std::string> with(std::vector<std::string> more) {
  more.insert(more.begin(), kEveryStep.begin(), kEveryStep.end());
  return more;
}

class RecommenderWorkers : public testing::WorkerRuns {
 protected:
  void train(int workers, const std::string& run, const std::vector<std::string>& settings,
             bool resume = false) const {
    WorkerRuns::train(clicks(), workers, run, settings, resume);
  }

  void expect_near(const std::string& run, const std::string& wanted_run, double tolerance) const {
    const std::vector<Json> wanted = metrics(wanted_run);
    const std::vector<Json> got = metrics(run);
    ASSERT_EQ(got.size(), wanted.size());
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      EXPECT_NEAR(got[i]["loss"].get<double>(), wanted[i]["loss"].get<double>(), tolerance)
          << run << " step " << i + 1;
    }
    const Json summary = read_json(run + "/summary.json");
    const Json alone = read_json(wanted_run + "/summary.json");
    for (const char* measure : {"auc", "log_loss"}) {
      EXPECT_NEAR(summary[measure].get<double>(), alone[measure].get<double>(), tolerance) << run;
    }
    if (summary["method"] != "full") {  // which takes blocks as it grows, each worker its own
      EXPECT_EQ(summary["memory_bytes"], alone["memory_bytes"]);
      EXPECT_EQ(got.back()["memory_bytes"], wanted.back()["memory_bytes"]);
    }
    EXPECT_NEAR(summary["progressive"]["auc"].get<double>(),
                alone["progressive"]["auc"].get<double>(), tolerance);
  }
};

// Whatever is said of pieces, which is nothing: what one process trains, on any number of workers.
TEST_F(RecommenderWorkers, TrainTheBitsOfOneProcess) {
  const std::vector<const char*> lasting = {"auc", "log_loss", "progressive", "resident_rows"};
  for (const char* method : {"elastic", "row", "cafe", "full", "hash"}) {
    const std::vector<std::string> settings =
        with({concat("embedding.method=", method), "train.epochs=1"});
    const std::string one = concat("one-", method);
    train(1, one, settings);
    const int workers = one == "one-elastic" ? 4 : one == "one-row" ? 3 : 2;
    const std::string some = concat("some-", method);
    train(workers, some, settings);
    const auto bits = [&](const std::string& run) {
      std::vector<Json> lines = metrics(run);
      for (Json& line : lines) {  // the method full takes blocks as it grows, each worker its own
        if (!run.ends_with("full")) continue;
        line.erase("memory_bytes");
        line.erase("memory_parts");
      }
      const Json summary = read_json(run + "/summary.json");
      for (const char* field : lasting) lines.push_back(summary[field]);
      return lines;
    };
    EXPECT_EQ(bits(some), bits(one)) << workers << " workers, " << method;
  }
}

// Batches of 40 examples are two pieces, those of 20 are one: the others only have their rows.
TEST_F(RecommenderWorkers, MayBeMoreThanABatchHasPieces) {
  for (const int batch : {40, 20}) {
    const std::vector<std::string> settings =
        with({concat("train.batch_size=", batch), "train.epochs=1", "train.log_every=30",
              concat("data.train=", path("valid.csv"))});
    const std::string one = concat("one-", batch);
    const std::string three = concat("three-", batch);
    train(1, one, settings);
    train(3, three, settings);
    EXPECT_EQ(metrics(three), metrics(one)) << batch;
    EXPECT_EQ(read_json(three + "/summary.json")["auc"], read_json(one + "/summary.json")["auc"]);
  }
}

// Sums of gradients are those of one process to 3 roundings of 2^-24 of their terms' magnitude a
// step. Adam divides by the gradient's own magnitude and Adagrad by the row's, so a step is off by
// as much relative to rates of 0.01 and 0.4; curvature makes what is off grow by less than a factor
// of 100 in 60 steps: 60 * 3 * 2^-24 * 100 = 1e-3. Runs are of 30 or 60 steps.
TEST_F(RecommenderWorkers, TrainWhatOneProcessTrainsToRounding) {
  for (const char* method : {"elastic", "full", "hash", "row"}) {
    const std::vector<std::string> settings =
        with({concat("embedding.method=", method), "embedding.value_type=fp32", "train.epochs=1",
              "train.piece=0"});
    const std::string one = concat("one-", method);
    train(1, one, settings);
    const int workers = one == "one-elastic" ? 3 : 2;
    const std::string run = concat("some-", method);
    train(workers, run, settings);
    expect_near(run, one, 1e-3);
    const Json told = read_json(run + "/summary.json")["workers"];
    EXPECT_EQ(told["count"], workers);
    EXPECT_GT(told["sent_bytes"]["tables"].get<std::int64_t>(), 0);
    EXPECT_GT(told["sent_bytes"]["gradients"].get<std::int64_t>(), 0);
    EXPECT_GT(told["ranks"][1]["seconds_by_cause"]["tables"].get<double>(), 0);
  }
}

// In pieces that are asked for, with what is random, chosen or cut anew at each step: of the two
// examples in the last batch of an epoch one worker has both.
TEST_F(RecommenderWorkers, TrainTheBitsOfOneProcessInPieces) {
  const std::vector<std::string> settings =
      with({"train.batch_size=1999", "train.piece=500", "train.epochs=2", "model.winner_rate=0.5"});
  train(1, "one", settings);
  const Json alone = read_json("one/summary.json");
  for (const int workers : {2, 3, 4}) {
    const std::string run = concat("by", workers);
    train(workers, run, settings);
    EXPECT_EQ(metrics(run), metrics("one")) << workers;
    const Json summary = read_json(run + "/summary.json");
    for (const char* field : {"auc", "log_loss", "progressive", "memory_bytes", "resident_rows"}) {
      EXPECT_EQ(summary[field], alone[field]) << workers << " " << field;
    }
  }
}

TEST_F(RecommenderWorkers, GoOnInPiecesToTheSameBitsWithAnotherNumber) {
  const std::vector<std::string> settings = with({"train.piece=40", "train.epochs=1"});
  train(1, "one", settings);
  interrupt(clicks(), 3, "parts", settings);
  train(2, "parts", settings, /*resume=*/true);
  EXPECT_EQ(metrics("parts"), metrics("one"));
  EXPECT_EQ(read_json("parts/summary.json")["auc"], read_json("one/summary.json")["auc"]);
}

// Four workers where the last batch of an epoch has two examples, winners, and rows of 8 bits that
// are rounded at random: a value may come to lie one step beside, which a loss of some hundred
// examples hardly shows.
TEST_F(RecommenderWorkers, MayHaveNothingToDo) {
  const std::vector<std::string> settings =
      with({"train.batch_size=1999", "train.epochs=3", "model.winner_rate=0.5", "train.piece=0"});
  train(1, "one", settings);
  train(4, "four", settings);
  expect_near("four", "one", 5e-3);
}

TEST_F(RecommenderWorkers, LeaveARunThatOneProcessOpens) {
  train(2, "run", with({"train.epochs=1"}));
  const Json summary = read_json("run/summary.json");
  expect_workers(1, [&](const WorkerEnvironment& /*environment*/) {
    const OpenedRun opened = open_run(path("run"), 1);
    const Evaluation again = opened.task->evaluate({path("test.csv")});
    EXPECT_NEAR(again.measures[0].second, summary["auc"].get<double>(), 1e-6);
    EXPECT_NEAR(again.measures[1].second, summary["log_loss"].get<double>(), 1e-6);
  });
}

TEST_F(RecommenderWorkers, GoOnFromTheCheckpointsOfAnotherNumber) {
  const std::vector<std::string> settings =
      with({"embedding.value_type=fp32", "train.epochs=1", "train.piece=0"});
  train(1, "one", settings);
  interrupt(clicks(), 3, "parts", settings);
  train(2, "parts", settings, /*resume=*/true);
  expect_near("parts", "one", 1e-3);
}

TEST_F(RecommenderWorkers, ThatLoseOneLeaveARunThatGoesOnToTheSameEnd) {
  train(2, "whole", kEveryStep);
  lose_one(clicks(), "killed", kEveryStep);
  train(2, "killed", kEveryStep, /*resume=*/true);
  EXPECT_EQ(metrics("killed"), metrics("whole"));
  EXPECT_EQ(read_json("killed/summary.json")["auc"], read_json("whole/summary.json")["auc"]);
}

TEST_F(RecommenderWorkers, TraceAStep) {
  expect_workers(2, [&](const WorkerEnvironment& environment) {
    RunOptions options = folder_.options(clicks(), "traced", with({"train.epochs=1"}));
    options.workers = dist::ProcessGroup::connect(environment, kPatient);
    options.trace_step = 3;
    static_cast<void>(train_run(options));
  });
  const Json events = read_json("traced/trace.json")["traceEvents"];
  const Json sent = read_json("traced/summary.json")["workers"]["sent_bytes"];
  const std::int64_t steps = read_json("traced/summary.json")["steps"];
  std::map<std::string, std::int64_t> bytes;
  for (const int rank : {0, 1}) {
    double end = 0;  // of what came before, whichever track
    int spans = 0;
    for (const Json& event : events) {
      if (event["pid"] != rank || event["ph"] != "X") continue;
      ++spans;
      EXPECT_NEAR(event["ts"].get<double>(), end, 1e-3 + 1e-9 * end);
      end = event["ts"].get<double>() + event["dur"].get<double>();
      EXPECT_GE(event["dur"].get<double>(), 0);
      if (event.contains("cat")) bytes[event["cat"]] += event["args"]["bytes"].get<std::int64_t>();
    }
    // Of lookups three exchanges, of updates one, two for the loss and the gradients at least.
    EXPECT_GE(spans, 2 * 6 + 1);
  }
  // As many gradients in each step.
  EXPECT_EQ(bytes["gradients"] * steps, sent["gradients"].get<std::int64_t>());
  EXPECT_GT(bytes["tables"], 0);
}

TEST_F(RecommenderWorkers, AreRefusedWhatTheyCannotTrain) {
  expect_workers(2, [&](const WorkerEnvironment& environment) {
    const auto group = dist::ProcessGroup::connect(environment, kPatient);
    const auto refused = [&](const std::vector<std::string>& settings,
                             const PlanChoice& plan = {}) {
      RunOptions options = folder_.options(clicks(), "refused", settings);
      options.workers = group;
      options.plan = plan;
      return error_of([&] { train_run(options); });
    };
    EXPECT_THAT(refused({}, {.plan = "owt"}), IsError(ErrorKind::kUnsupported, "plan \"owt\""));
    RunOptions alone = folder_.options(clicks(), concat("alone", environment.rank));
    alone.trace_step = 1;
    EXPECT_THAT(error_of([&] { train_run(alone); }),
                IsError(ErrorKind::kConfig, "this process is alone, --trace-step"));
    EXPECT_THAT(refused({"train.piece=200"}),
                IsError(ErrorKind::kConfig, "gives work to 1 of 2 workers"));
    EXPECT_THAT(refused({"embedding.method=qr"}),
                IsError(ErrorKind::kUnsupported, "method qr cannot be divided"));
  });
}

}  // namespace
}  // namespace taut::train
