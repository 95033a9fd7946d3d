#include "taut/train/run.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <thread>

#include "taut/core/error.h"
#include "taut/core/file.h"
#include "taut/core/log.h"
#include "taut/core/random.h"
#include "taut/core/snapshot.h"
#include "taut/infer/engine.h"
#include "taut/infer/package.h"
#include "taut/train/export.h"

namespace taut::train {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

// Rows with two id columns and a dense one, whose label depends on both ids.
void write_rows(const std::string& path, std::uint64_t rows, std::uint64_t seed) {
  std::ofstream file(path);
  file << "y,x,a,b\n";
  const CounterRandom random(seed);
  for (std::uint64_t i = 0; i < rows; ++i) {
    const std::uint64_t a = random.below(4 * i, 60);
    const std::uint64_t b = random.below(4 * i + 1, 200);
    const double logit = (mix64(a) % 2 == mix64(b) % 2 ? 2.0 : -2.0);
    const int label = random.uniform(4 * i + 2) < 1 / (1 + std::exp(-logit)) ? 1 : 0;
    file << label << "," << random.normal(4 * i + 3) << ",u" << a << "," << b << "\n";
  }
}

class Runs : public testing::Test {
 protected:
  void SetUp() override {
    set_log_level(LogLevel::kSilent);
    folder_ = testing::TempDir() + "taut_runs_" +
              testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    write_rows(folder_ + "/train.csv", 6000, 1);
    write_rows(folder_ + "/valid.csv", 1000, 2);
    write_rows(folder_ + "/test.csv", 1000, 3);
  }
  void TearDown() override { fs::remove_all(folder_); }

  [[nodiscard]] RunOptions options(const std::string& name,
                                   std::vector<std::string> settings = {}) {
    const std::string text = R"(
[data]
train = "train.csv"
valid = "valid.csv"
test = "test.csv"
label = "y"
dense = ["x"]
categorical = ["a", "b"]
shuffle = 2000
[model]
top = [16]
bottom = [8]
[embedding]
method = "elastic"
budget = "24KiB"
[train]
epochs = 2
batch_size = 200
log_every = 7
checkpoint_every = 5
learning_rate = 0.01
)";
    return {.config = parse_config(text, folder_, "test.toml", settings),
            .run = folder_ + "/" + name,
            .resume = false,
            .threads = 1,
            .profile_path = {},
            .stop = nullptr};
  }

  std::string folder_;
};

// What must not depend on threads, kills or time.
Json lasting(Json summary) {
  for (const char* field :
       {"run", "threads", "train_seconds", "examples_per_second", "rebalance_seconds"}) {
    summary.erase(field);
  }
  return summary;
}

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& failed) {
    EXPECT_EQ(exit_code(failed.kind()), 2) << failed.what();
    return failed.what();
  }
  return "no error";
}

TEST_F(Runs, LearnAndLeaveASummaryMetricsAndCheckpoints) {
  const RunOptions run = options("run");
  const Json summary = train_run(run);
  EXPECT_GT(summary["auc"].get<double>(), 0.75);  // the best possible is about 0.88
  EXPECT_EQ(summary["examples"], 12000);
  EXPECT_EQ(summary["test"]["examples"], 1000);
  EXPECT_LE(summary["peak_memory_bytes"], 24 << 10);
  EXPECT_EQ(Json::parse(std::ifstream(run.run + "/summary.json")), summary);
  std::ifstream metrics(run.run + "/metrics.jsonl");
  std::string line;
  std::int64_t last_step = 0;
  while (std::getline(metrics, line)) {
    const Json json = Json::parse(line);
    EXPECT_GT(json["step"].get<std::int64_t>(), last_step);
    EXPECT_LE(json["memory_bytes"].get<std::int64_t>(), 24 << 10);
    last_step = json["step"];
  }
  EXPECT_EQ(last_step, 60);
  std::int64_t checkpoints = 0;
  for (const auto& entry : fs::directory_iterator(run.run + "/checkpoint")) {
    EXPECT_EQ(entry.path().extension(), ".taut");
    checkpoints += entry.path().filename().string().starts_with("step-") ? 1 : 0;
  }
  EXPECT_EQ(checkpoints, 2);
}

TEST_F(Runs, ScoreThreeQuartersOfTheFirstEpochBeforeLearningThem) {
  const RunOptions run = options("run", {"train.log_every=1"});
  const Json progressive = train_run(run)["progressive"];
  EXPECT_EQ(progressive["examples"], 4400);  // 6000 less 8 batches of 200
  EXPECT_GT(progressive["auc"].get<double>(), 0.5);
  std::ifstream metrics(run.run + "/metrics.jsonl");
  std::string line;
  double loss = 0;
  for (int step = 1; step <= 30 && std::getline(metrics, line); ++step) {
    if (step > 8) loss += Json::parse(line)["loss"].get<double>() / 22;
  }
  EXPECT_NEAR(progressive["log_loss"].get<double>(), loss, 1e-6);
}

TEST_F(Runs, GiveTheSameBitsForAnyNumberOfThreads) {
  RunOptions run = options("one");
  const Json one = train_run(run);
  for (const int threads : {2, 3}) {
    run.threads = threads;
    run.run = folder_ + "/threads" + std::to_string(threads);
    EXPECT_EQ(lasting(train_run(run)), lasting(one)) << threads;
  }
}

TEST_F(Runs, WithWinnersGoOnToTheSameBitsOnAnotherNumberOfThreads) {
  // Stopped while the rate falls.
  const std::vector<std::string> settings = {"model.winner_rate=0.3", "model.winner_ramp=1.5"};
  const Json whole = train_run(options("whole", settings));
  EXPECT_GT(whole["auc"].get<double>(), 0.75);
  RunOptions run = options("stopped", settings);
  std::atomic<bool> stop{true};
  run.stop = &stop;
  EXPECT_THROW(train_run(run), Interrupted);
  run.stop = nullptr;
  run.resume = true;
  run.threads = 3;
  EXPECT_EQ(lasting(train_run(run)), lasting(whole));
  run.config.model.winner_rate = 0.4;
  EXPECT_NE(message_of([&] {
              train_run(run);
            }).find("\"winner_rate = 0.4\" where the run has \"winner_rate = 0.3\""),
            std::string::npos);
}

TEST_F(Runs, ThatWereStoppedGoOnToTheSameBits) {
  const Json whole = train_run(options("whole"));
  RunOptions run = options("stopped");
  // Stops as soon as the first step after each start is done.
  std::atomic<bool> stop{true};
  run.stop = &stop;
  int stops = 0;
  Json summary;
  while (summary.is_null()) {
    try {
      summary = train_run(run);
    } catch (const Interrupted&) {
      run.resume = true;
      if (++stops == 8) stop = false;
    }
  }
  EXPECT_EQ(stops, 8);
  EXPECT_EQ(lasting(summary), lasting(whole));
  // Metrics too, but for the times in them.
  std::ifstream a(folder_ + "/whole/metrics.jsonl");
  std::ifstream b(folder_ + "/stopped/metrics.jsonl");
  std::string line_a;
  std::string line_b;
  while (std::getline(a, line_a)) {
    ASSERT_TRUE(std::getline(b, line_b));
    Json json_a = Json::parse(line_a);
    Json json_b = Json::parse(line_b);
    for (Json* json : {&json_a, &json_b}) {
      json->erase("seconds");
      json->erase("rebalance_seconds");
    }
    EXPECT_EQ(json_a, json_b);
  }
  EXPECT_FALSE(std::getline(b, line_b));
}

TEST_F(Runs, ThatAreFinishedGiveTheirSummaryAgainOnResume) {
  RunOptions run = options("run");
  const Json summary = train_run(run);
  run.resume = true;
  EXPECT_EQ(lasting(train_run(run)), lasting(summary));
}

TEST_F(Runs, RefuseAFolderThatHoldsOne) {
  RunOptions run = options("run");
  train_run(run);
  EXPECT_NE(message_of([&] { train_run(run); }).find("the folder holds a run already"),
            std::string::npos);
  run.resume = true;
  run.config.train.epochs = 3;
  EXPECT_NE(
      message_of([&] {
        train_run(run);
      }).find("the config differs from the run's: \"epochs = 3\" where the run has \"epochs = 2\""),
      std::string::npos);
}

void flip_bit(const fs::path& path, std::uintmax_t position) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(position));
  const char byte = static_cast<char>(file.get());
  file.seekp(static_cast<std::streamoff>(position));
  file.put(static_cast<char>(byte ^ 4));
}

std::vector<fs::path> checkpoint_files(const std::string& run, const std::string& prefix) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(run + "/checkpoint")) {
    if (entry.path().filename().string().starts_with(prefix)) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// A bit in any file, manifest or pieces, hurts one of the two checkpoints at most.
TEST_F(Runs, NameADamagedCheckpointAndKeepTheEarlierOne) {
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
        const std::string aside = folder_ + "/aside.taut";
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
  EXPECT_NE(message_of([&] { train_run(run); }).find(steps[1].string()), std::string::npos);
  fs::remove(steps[1]);
  EXPECT_FALSE(train_run(run)["auc"].is_null());  // goes on from the earlier one
}

TEST_F(Runs, LeaveNoFileThatNoCheckpointNeeds) {
  RunOptions run = options("run");
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
    const SnapshotReader file(path.string(),
                              {.kind = kCheckpointKind, .version = kCheckpointVersion});
    for (const std::string& name : file.names()) contents += file.section(name).size();
  }
  EXPECT_LT(bytes, 2 * contents);
}

TEST_F(Runs, RefuseACheckpointOfAnotherVersionNamingBoth) {
  RunOptions run = options("run");
  train_run(run);
  const fs::path newest = checkpoint_files(run.run, "step-").back();
  SectionWriter file(newest.string(), kCheckpointKind, 2);
  file.add("state", "{}");
  (void)file.commit();
  run.resume = true;
  const std::string message = message_of([&] { train_run(run); });
  EXPECT_NE(message.find("format version 2 where this build reads version 3"), std::string::npos)
      << message;
  EXPECT_NE(message.find(newest.string()), std::string::npos) << message;
}

TEST_F(Runs, StopEarlyAndKeepTheBest) {
  // A rate that is far too high after the first epoch on few rows: later epochs overfit.
  const RunOptions run = options("early", {"train.epochs=40", "train.early_stop=2",
                                           "embedding.method=full", "train.learning_rate=0.03"});
  const Json summary = train_run(run);
  EXPECT_LT(summary["epochs"].get<int>(), 40);
  const OpenedRun opened = open_run(run.run, 1);
  const Quality valid =
      opened.model->evaluate(reader_options(opened.config, run.config.data.valid, opened.profile));
  EXPECT_EQ(summary["valid"]["auc"].get<double>(), valid.auc);
}

TEST_F(Runs, TrainWithoutCategoricalOrWithoutDenseColumns) {
  EXPECT_FALSE(train_run(options("dense", {"data.categorical=[]"}))["auc"].is_null());
  EXPECT_FALSE(
      train_run(options("ids", {"data.dense=[]", "model.kind=wide_deep"}))["auc"].is_null());
}

// A kind of model, a method, and the share of neurons that win.
struct Exported {
  std::string kind;
  std::string method;
  std::string winner_rate = "1";
};

TEST_F(Runs, ExportedPackagesScoreLikeTheRun) {
  for (const auto& [kind, method, rate] :
       {Exported{"dlrm", "full"}, Exported{"dlrm", "hash"}, Exported{"dlrm", "elastic"},
        Exported{"wide_deep", "full"}, Exported{"wide_deep", "elastic"},
        Exported{"dlrm", "elastic", "0.3"}, Exported{"wide_deep", "full", "0.3"}}) {
    SCOPED_TRACE(kind + " " + method + " " + rate);
    const RunOptions run =
        options(kind + method + rate,
                {"model.kind=" + kind, "embedding.method=" + method, "model.winner_rate=" + rate});
    train_run(run);
    const OpenedRun opened = open_run(run.run, 2);
    const std::string path = run.run + "/model.taut";
    export_run(run.run, path, 2);
    const infer::Package package(path);
    const infer::Engine engine(package.model().network, package.tables());
    EXPECT_EQ(package.model().network.winners.rates.empty(), rate == "1");
    for (const double written : package.model().network.winners.rates) {
      EXPECT_EQ(written, std::stod(rate));
    }
    data::BatchReader reader(reader_options(opened.config, run.config.data.test, opened.profile));
    data::Batch batch;
    std::vector<float> logits;
    ThreadPool pool(2);
    while (reader.next(batch)) {
      opened.model->predict(batch, logits);
      std::vector<embedding::JaggedIds> ids;
      for (const data::IdColumn& column : batch.categorical) {
        ids.push_back({.ids = column.ids, .offsets = column.offsets, .weights = {}});
      }
      std::vector<float> scores(logits.size());
      engine.predict({.batch = batch.size, .values = batch.dense, .ids = ids}, scores, pool);
      infer::to_probabilities(1, scores);
      for (std::size_t i = 0; i < scores.size(); ++i) {
        ASSERT_NEAR(scores[i], 1 / (1 + std::exp(-logits[i])), 1e-5);
      }
    }
  }
}

TEST_F(Runs, ProfileIsRememberedUntilTheFileChanges) {
  const RunOptions run = options("run");
  const std::string path = folder_ + "/profile.json";
  const data::DataProfile first = load_profile(run.config, path);
  EXPECT_EQ(first.rows, 6000);
  EXPECT_EQ(first.distinct_ids, (std::vector<std::int64_t>{60, 200}));
  const auto written = fs::last_write_time(path);
  EXPECT_EQ(load_profile(run.config, path).distinct_ids, first.distinct_ids);
  EXPECT_EQ(fs::last_write_time(path), written);
  write_rows(folder_ + "/train.csv", 500, 5);
  EXPECT_EQ(load_profile(run.config, path).rows, 500);
}

TEST_F(Runs, NameWhatIsWrongWithTheDataAndLeaveNoCheckpoint) {
  std::ofstream(folder_ + "/bad.csv") << "y,x,a,b\n1,0.5,u1,2\n3,0.5,u1,2\n";
  const RunOptions run = options("bad", {"data.train=" + folder_ + "/bad.csv"});
  const std::string message = message_of([&] { train_run(run); });
  EXPECT_NE(message.find("bad.csv"), std::string::npos) << message;
  EXPECT_NE(message.find("row 2"), std::string::npos) << message;
  EXPECT_FALSE(fs::exists(run.run + "/checkpoint"));
}

TEST_F(Runs, CountBadRowsThatAreSkipped) {
  std::ofstream(folder_ + "/bad.csv") << "y,x,a,b\n1,0.5,u1,2\n3,0.5,u1,2\n0,0.1,u2,2\n";
  const Json summary = train_run(options(
      "bad", {"data.train=" + folder_ + "/bad.csv", "data.on_bad_row=skip", "train.epochs=1"}));
  EXPECT_EQ(summary["bad_rows"], 1);
  EXPECT_EQ(summary["examples"], 2);
}

TEST_F(Runs, SayWhatTheLeastBudgetIs) {
  const RunOptions run = options("tiny", {"embedding.budget=64B"});
  const std::string message = message_of([&] { train_run(run); });
  EXPECT_NE(message.find("64"), std::string::npos) << message;
}

}  // namespace
}  // namespace taut::train
