// What holds for runs of every task.
#include "taut/train/run.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>

#include "support/error_matchers.h"
#include "taut/core/file.h"
#include "taut/core/snapshot.h"
#include "taut/graph/network_json.h"
#include "train/checkpoint.h"
#include "train/run_cases.h"

namespace taut::train {
namespace {

using test::error_of;
using test::IsError;
using testing::lasting;
using testing::RunCase;
using Json = nlohmann::json;
namespace fs = std::filesystem;

class Runs : public ::testing::TestWithParam<RunCase> {
 protected:
  [[nodiscard]] RunOptions options(const std::string& name,
                                   const std::vector<std::string>& settings = {},
                                   int threads = 1) const {
    return folder_.options(GetParam(), name, settings, threads);
  }
  [[nodiscard]] const std::vector<std::string>& everything() const { return GetParam().everything; }
  [[nodiscard]] Json kept(const Json& summary) const { return lasting(GetParam(), summary); }
  /// The measure that decides.
  [[nodiscard]] static double score(const Json& summary, const RunOptions& run) {
    const std::string name =
        run.config->make_task(std::make_shared<ThreadPool>(1))->measures().front();
    return summary["valid"][name];
  }

  testing::RunFolder folder_;
};

INSTANTIATE_TEST_SUITE_P(Tasks, Runs, ::testing::ValuesIn(testing::run_cases()),
                         [](const auto& which) { return which.param.name; });

std::vector<Json> metrics_of(const std::string& run) {
  std::vector<Json> lines;
  std::ifstream file(run + "/metrics.jsonl");
  for (std::string line; std::getline(file, line);) {
    lines.push_back(Json::parse(line));
    lines.back().erase("seconds");
    lines.back().erase("rebalance_seconds");
  }
  return lines;
}

std::vector<fs::path> checkpoint_files(const std::string& run, const std::string& prefix) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(run + "/checkpoint")) {
    if (entry.path().filename().string().starts_with(prefix)) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

TEST_P(Runs, LeaveASummaryMetricsANetworkAndTwoCheckpoints) {
  const RunOptions run = options("run");
  const Json summary = train_run(run);
  EXPECT_EQ(Json::parse(std::ifstream(run.run + "/summary.json")), summary);
  EXPECT_EQ(summary["task"], run.config->task());
  const std::vector<Json> lines = metrics_of(run.run);
  std::int64_t last_step = 0;
  for (const Json& line : lines) {
    EXPECT_GT(line["step"].get<std::int64_t>(), last_step);
    last_step = line["step"];
  }
  EXPECT_EQ(last_step, run.config->train.epochs * GetParam().steps_per_epoch);
  EXPECT_EQ(summary["steps"], last_step);
  EXPECT_EQ(checkpoint_files(run.run, "step-").size(), 2u);
  const std::string network = run.run + "/network.json";
  const graph::Network described = graph::parse_network_json(read_file(network), network);
  EXPECT_FALSE(described.layers.empty());
  EXPECT_EQ(described.winners.rates.size(), described.winner_sites().size());
}

TEST_P(Runs, GiveTheSameBitsForAnyNumberOfThreads) {
  const Json one = kept(train_run(options("one", everything())));
  for (const int threads : {2, 3}) {
    const RunOptions run = options("threads" + std::to_string(threads), everything(), threads);
    EXPECT_EQ(kept(train_run(run)), one) << threads;
  }
}

// Stopped after the first step of each start, and so at every step of the run.
TEST_P(Runs, GoOnToTheSameBitsHoweverOftenTheyAreStopped) {
  const RunOptions whole_run = options("whole", everything());
  const Json whole = kept(train_run(whole_run));
  RunOptions run = options("stopped", everything());
  const std::atomic<bool> stop = true;
  run.stop = &stop;
  run.resume = true;
  int stops = 0;
  Json summary;
  while (summary.is_null()) {
    try {
      summary = train_run(run);
    } catch (const Interrupted&) {
      run.threads = 1 + ++stops % 3;
    }
  }
  EXPECT_EQ(stops, run.config->train.epochs * GetParam().steps_per_epoch);
  EXPECT_EQ(kept(summary), whole);
  EXPECT_EQ(metrics_of(run.run), metrics_of(whole_run.run));
}

TEST_P(Runs, ThatAreFinishedGiveTheirSummaryAgainOnResume) {
  RunOptions run = options("run", everything());
  const Json summary = train_run(run);
  run.resume = true;
  EXPECT_EQ(kept(train_run(run)), kept(summary));
}

TEST_P(Runs, RefuseAFolderThatHoldsOneAndAnotherConfig) {
  RunOptions run = options("run", {"train.epochs=2"});
  train_run(run);
  EXPECT_THAT(error_of([&] { train_run(run); }),
              IsError(ErrorKind::kConfig, "the folder holds a run already"));
  run.resume = true;
  run.config = run.config->with(std::vector<std::string>{"train.epochs=3"});
  EXPECT_THAT(error_of([&] { train_run(run); }),
              IsError(ErrorKind::kConfig,
                      "the config differs from the run's: \"epochs = 3\" where "
                      "the run has \"epochs = 2\""));
  run.config = options("run", {"train.epochs=2", "model.winner_rate=0.4"}).config;
  EXPECT_THAT(error_of([&] { train_run(run); }),
              IsError(ErrorKind::kConfig, "\"winner_rate = 0.4\" where the run has"));
}

void flip_bit(const fs::path& path, std::uintmax_t position) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(position));
  const char byte = static_cast<char>(file.get());
  file.seekp(static_cast<std::streamoff>(position));
  file.put(static_cast<char>(byte ^ 4));
}

// A bit in any file, manifest or pieces, hurts one of the two checkpoints at most.
TEST_P(Runs, NameADamagedCheckpointAndKeepTheEarlierOne) {
  RunOptions run = options("run");
  train_run(run);
  const std::vector<fs::path> steps = checkpoint_files(run.run, "step-");
  ASSERT_EQ(steps.size(), 2u);
  run.resume = true;
  int newest_hurt = 0;
  for (const fs::path& path : checkpoint_files(run.run, "")) {
    const auto size = fs::file_size(path);
    for (const std::uintmax_t position :
         {std::uintmax_t{3}, std::uintmax_t{100}, size / 2, size - 40}) {
      flip_bit(path, position);
      int hurt = 0;
      for (std::size_t which = 0; which < 2; ++which) {
        const std::string aside = folder_.path() + "/aside.taut";
        if (which == 0) fs::rename(steps[1], aside);  // the earlier one alone
        std::string message;
        try {
          (void)open_run(run.run, 1);
        } catch (const Error& failed) {
          EXPECT_EQ(exit_code(failed.kind()), 2);
          message = failed.what();
        }
        if (which == 0) fs::rename(aside, steps[1]);
        if (message.empty()) continue;
        ++hurt;
        newest_hurt += which == 1 ? 1 : 0;
        EXPECT_NE(message.find(path.string()), std::string::npos) << position << ": " << message;
      }
      EXPECT_LE(hurt, 1) << path << " at " << position;
      flip_bit(path, position);
    }
  }
  EXPECT_GE(newest_hurt, 4);
  flip_bit(steps[1], 100);
  EXPECT_THAT(error_of([&] { train_run(run); }), IsError(ErrorKind::kFormat, steps[1].string()));
  fs::remove(steps[1]);
  EXPECT_GT(score(train_run(run), run), 0);  // goes on from the earlier one
}

TEST_P(Runs, LeaveNoFileThatNoCheckpointNeeds) {
  const RunOptions run = options("run");
  fs::create_directories(run.run + "/checkpoint");
  const std::string abandoned = run.run + "/checkpoint/step-1.taut.tmp.999999999";
  std::ofstream(abandoned) << "half";
  std::ofstream(run.run + "/config.toml.tmp.999999999") << "half";
  train_run(run);
  EXPECT_FALSE(fs::exists(abandoned));
  EXPECT_FALSE(fs::exists(run.run + "/config.toml.tmp.999999999"));
  std::uintmax_t bytes = 0;
  for (const fs::path& path : checkpoint_files(run.run, "")) bytes += fs::file_size(path);
  std::uintmax_t contents = 0;
  for (const fs::path& path : checkpoint_files(run.run, "step-")) {
    const SnapshotReader file(path.string(), kCheckpointKind);
    for (const std::string& name : file.names()) contents += file.section(name).size();
  }
  EXPECT_LT(bytes, 2 * contents + (16 << 10));  // and the manifests
}

TEST_P(Runs, RefuseCheckpointsOfVersionsBeforeByName) {
  RunOptions run = options("run");
  train_run(run);
  const fs::path newest = checkpoint_files(run.run, "step-").back();
  run.resume = true;
  for (const auto& [kind, version] : {std::pair{"ckpt", 2u}, std::pair{"ckpt", 3u},
                                      std::pair{"ckpt", 4u}, std::pair{"imgckpt", 1u}}) {
    SectionWriter file(newest.string(), kind, version);
    file.add("state", "{}");
    (void)file.commit();
    const Error refused = error_of([&] { train_run(run); });
    EXPECT_THAT(refused,
                IsError(ErrorKind::kFormat, "of format version " + std::to_string(version) +
                                                " where this build reads version 5"));
    EXPECT_THAT(refused, IsError(ErrorKind::kFormat, "\"" + std::string(kind) + "\""));
    EXPECT_THAT(refused, IsError(ErrorKind::kFormat, newest.string() + ", train again"));
    EXPECT_THAT(error_of([&] { (void)open_run(run.run, 1); }),
                IsError(ErrorKind::kFormat, "train again"));
  }
}

TEST_P(Runs, RefuseTheCheckpointOfAnotherTask) {
  const RunOptions run = options("run", {"train.epochs=1"});
  train_run(run);
  for (const RunCase& other : testing::run_cases()) {
    if (other.name == std::string(GetParam().name)) continue;
    const RunOptions second = folder_.options(other, "second", {"train.epochs=1"});
    train_run(second);
    fs::copy_file(second.run + "/config.toml", run.run + "/config.toml",
                  fs::copy_options::overwrite_existing);
    EXPECT_THAT(error_of([&] { (void)open_run(run.run, 1); }),
                IsError(ErrorKind::kFormat, "a checkpoint of task"));
  }
}

TEST_P(Runs, KeepNumbersThatAreNotFinite) {
  const RunOptions run = options("run", {"train.epochs=1"});
  train_run(run);
  const OpenedRun opened = open_run(run.run, 1);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  LoopState state;
  state.window_loss = nan;
  state.train_seconds = std::numeric_limits<double>::infinity();
  state.best_score = 0.1;
  state.valid = {.examples = 3, .measures = {{"first", nan}, {"second", -0.0}}};
  const CheckpointFolder folder(folder_.path() + "/other");
  make_directories(folder_.path() + "/other/checkpoint");
  folder.write(7, [&](SectionSink& file) { save_checkpoint(file, state, *opened.task); });
  const LoopState read = read_checkpoint(folder.newest().value(), *opened.task);
  EXPECT_TRUE(std::isnan(read.window_loss));
  EXPECT_TRUE(std::isinf(read.train_seconds));
  EXPECT_EQ(read.best_score, 0.1);
  ASSERT_EQ(read.valid.measures.size(), 2u);
  EXPECT_TRUE(std::isnan(read.valid.measures[0].second));
  EXPECT_TRUE(std::signbit(read.valid.measures[1].second));
}

TEST_P(Runs, StopEarlyAndKeepTheBest) {
  std::vector<std::string> settings = GetParam().gets_worse;
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.end(), settings.begin(), settings.end());
    return more;
  };
  const RunOptions run = options("early", with({"train.epochs=40", "train.early_stop=2"}));
  const Json summary = train_run(run);
  const int epochs = summary["epochs"];
  ASSERT_LT(epochs, 40);
  // The same epochs without stopping: what was kept is the state two epochs before the end.
  const auto score_after = [&](int count) {
    const std::string name = "epochs" + std::to_string(count);
    const RunOptions plain = options(name, with({"train.epochs=" + std::to_string(count)}));
    return score(train_run(plain), plain);
  };
  const double best = score_after(epochs - 2);
  EXPECT_GT(best, score_after(epochs)) << "the best epoch has to be another than the last";
  EXPECT_EQ(score(summary, run), best);
  EXPECT_EQ(open_run(run.run, 1).evaluate(run.config->data.valid).score(), best);
}

TEST_P(Runs, AreOpenedWithoutTheirTrainingFiles) {
  const RunOptions run = options("run", everything());
  const Json summary = train_run(run);
  for (const char* name : {"train.csv", "train-images-idx3", "train-labels-idx1"}) {
    fs::remove(folder_.path() + "/" + name);
  }
  fs::remove(run.run + "/profile.json");
  for (const int threads : {1, 2}) {
    const OpenedRun opened = open_run(run.run, threads);
    EXPECT_EQ(to_json(opened.evaluate({})), summary["test"]);
  }
}

TEST_P(Runs, ThatAreNotThereAreNamed) {
  EXPECT_THAT(error_of([&] { (void)open_run(folder_.path() + "/none", 1); }),
              IsError(ErrorKind::kNotFound, "none"));
}

TEST_P(Runs, SayWhichTaskACommandIsFor) {
  const RunOptions run = options("run", {"train.epochs=1"});
  train_run(run);
  const OpenedRun opened = open_run(run.run, 1);
  const bool images = opened.task->images(opened.checkpoint).has_value();
  EXPECT_NE(images, opened.task->recommender(opened.checkpoint).has_value());
  const Error refused = error_of([&] {
    if (images) {
      (void)recommender_of(opened, "dump");
    } else {
      (void)images_of(opened, "tune");
    }
  });
  EXPECT_THAT(refused, IsError(ErrorKind::kConfig, images ? "dump is for runs of recommenders"
                                                          : "tune is for runs of images"));
}

TEST_P(Runs, PlanTheNetworkOfAConfig) {
  const RunOptions run = options("run", everything());
  const graph::Network planned = run.config->network();
  train_run(run);
  const graph::Network trained = open_run(run.run, 1).task->network();
  ASSERT_EQ(planned.layers.size(), trained.layers.size());
  for (std::size_t i = 0; i < planned.layers.size(); ++i) {
    EXPECT_EQ(planned.layers[i].name, trained.layers[i].name);
    EXPECT_EQ(planned.layers[i].out, trained.layers[i].out);
  }
  EXPECT_EQ(planned.winners.rates, trained.winners.rates);
}

}  // namespace
}  // namespace taut::train
