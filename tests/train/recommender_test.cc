// Runs of recommenders.
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "support/error_matchers.h"
#include "taut/core/file.h"
#include "taut/core/text.h"
#include "taut/data/reader.h"
#include "taut/graph/network_json.h"
#include "taut/infer/engine.h"
#include "taut/infer/package.h"
#include "taut/train/export.h"
#include "taut/train/model.h"
#include "taut/train/run.h"
#include "train/crew.h"
#include "train/run_cases.h"

namespace taut::train {
namespace {

using test::error_of;
using test::IsError;
using Json = nlohmann::json;
namespace fs = std::filesystem;

class ClickRuns : public ::testing::Test {
 protected:
  [[nodiscard]] RunOptions options(const std::string& name,
                                   const std::vector<std::string>& settings = {}) const {
    return data_.options(testing::run_cases().front(), name, settings);
  }

  testing::RunFolder data_;
  const std::string folder_ = data_.path();
};

TEST_F(ClickRuns, LearnWithinTheirBudget) {
  const RunOptions run = options("run");
  const Json summary = train_run(run);
  EXPECT_GT(summary["auc"].get<double>(), 0.75);  // the best possible is about 0.88
  EXPECT_EQ(summary["examples"], 12000);
  EXPECT_EQ(summary["test"]["examples"], 1000);
  EXPECT_LE(summary["peak_memory_bytes"], 24 << 10);
  std::ifstream metrics(run.run + "/metrics.jsonl");
  for (std::string line; std::getline(metrics, line);) {
    EXPECT_LE(Json::parse(line)["memory_bytes"].get<std::int64_t>(), 24 << 10);
  }
}

TEST_F(ClickRuns, LearnWithWinnersTheRateOfWhichFalls) {
  const Json summary =
      train_run(options("run", {"model.winner_rate=0.3", "model.winner_ramp=1.5"}));
  EXPECT_GT(summary["auc"].get<double>(), 0.75);
}

// What a plan of the run sees: the tables with their share of the memory that there is.
TEST_F(ClickRuns, KeepTheirNetworkWithTheBytesOfItsTables) {
  const RunOptions run = options("run", {"model.winner_rate=0.3"});
  const Json summary = train_run(run);
  const std::string path = run.run + "/network.json";
  const graph::Network network = graph::parse_network_json(read_file(path), path);
  ASSERT_EQ(network.tables.size(), 2u);
  EXPECT_EQ(network.tables[0].name, "a");
  EXPECT_EQ(network.tables[0].rows, 60);
  EXPECT_EQ(network.tables[1].rows, 200);
  EXPECT_EQ(network.tables[0].bytes + network.tables[1].bytes, summary["memory_bytes"]);
  EXPECT_NEAR(
      static_cast<double>(network.tables[1].bytes) / static_cast<double>(network.tables[0].bytes),
      200.0 / 60, 0.01);
  EXPECT_EQ(network.winners.rates, std::vector<double>(network.winner_sites().size(), 0.3));
  const graph::Network planned = run.config->network();
  EXPECT_EQ(planned.tables[0].bytes + planned.tables[1].bytes, 24 << 10);
  const auto full = run.config->with(std::vector<std::string>{"embedding.method=full"})->network();
  EXPECT_EQ(full.tables[0].bytes + full.tables[1].bytes, 260 * (4 * 16 + 4));
}

TEST_F(ClickRuns, ScoreThreeQuartersOfTheFirstEpochBeforeLearningThem) {
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

TEST_F(ClickRuns, TrainWithoutCategoricalOrWithoutDenseColumns) {
  EXPECT_FALSE(train_run(options("dense", {"data.categorical=[]"}))["auc"].is_null());
  EXPECT_FALSE(
      train_run(options("ids", {"data.dense=[]", "model.kind=wide_deep"}))["auc"].is_null());
}

// A valid set of one class has no AUC: NaN goes into checkpoints and null into the summary.
TEST_F(ClickRuns, GoOnAfterAQualityThatIsNotDefined) {
  std::ofstream(folder_ + "/valid.csv") << "y,x,a,b\n1,0.5,u1,2\n1,0.5,u1,2\n";
  RunOptions run = options("run");
  const Json summary = train_run(run);
  EXPECT_TRUE(summary["valid"]["auc"].is_null());
  run.resume = true;
  EXPECT_EQ(train_run(run)["valid"], summary["valid"]);
}

// A kind of model, a method, and the share of neurons that win.
struct Exported {
  std::string kind;
  std::string method;
  std::string winner_rate = "1";
};

TEST_F(ClickRuns, ExportedPackagesScoreLikeTheRun) {
  for (const auto& [kind, method, rate] :
       {Exported{"dlrm", "full"}, Exported{"dlrm", "hash"}, Exported{"dlrm", "elastic"},
        Exported{"wide_deep", "full"}, Exported{"wide_deep", "elastic"},
        Exported{"dlrm", "elastic", "0.3"}, Exported{"wide_deep", "full", "0.3"}}) {
    SCOPED_TRACE(kind + " " + method + " " + rate);
    const RunOptions run =
        options(kind + method + rate,
                {"model.kind=" + kind, "embedding.method=" + method, "model.winner_rate=" + rate});
    train_run(run);
    const OpenedRun whole = open_run(run.run, 2);
    const RecommenderRun opened = recommender_of(whole, "export");
    const std::string path = run.run + "/model.taut";
    export_run(run.run, path, 2);
    const infer::Package package(path);
    const infer::Engine engine(package.model().network, package.tables());
    EXPECT_EQ(package.model().network.winners.rates.empty(), rate == "1");
    for (const double written : package.model().network.winners.rates) {
      EXPECT_EQ(written, std::stod(rate));
    }
    data::BatchReader reader(reader_options(opened.config, run.config->data.test, opened.profile));
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

TEST(Pieces, FewerThanWorkersAreRefusedOrWarnedOf) {
  const std::string told =
      "train.batch_size 100 in pieces of train.piece 50 gives work to 2 of 3 workers";
  EXPECT_THAT(error_of([] { require_pieces(100, 50, 3); }), IsError(ErrorKind::kConfig, told));
  require_pieces(101, 50, 3);
  set_log_level(LogLevel::kWarning);
  ::testing::internal::CaptureStderr();
  warn_of_few_pieces(101, 50, 3);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  ::testing::internal::CaptureStderr();
  warn_of_few_pieces(100, 50, 3);
  const std::string warning = ::testing::internal::GetCapturedStderr();
  set_log_level(LogLevel::kSilent);
  EXPECT_NE(warning.find(told + ": lower train.piece, or start fewer workers"), std::string::npos)
      << warning;
}

RecommenderConfig config_of(const std::string& text, const std::string& folder) {
  return parse_recommender_config(text, folder, "test.toml", {});
}

TEST_F(ClickRuns, ProfileIsRememberedUntilTheFileChanges) {
  const RecommenderConfig config = config_of(testing::run_cases().front().text, folder_);
  const std::string path = folder_ + "/profile.json";
  const data::DataProfile first = load_profile(config, path);
  EXPECT_EQ(first.rows, 6000);
  EXPECT_EQ(first.distinct_ids, (std::vector<std::int64_t>{60, 200}));
  const auto written = fs::last_write_time(path);
  EXPECT_EQ(load_profile(config, path).distinct_ids, first.distinct_ids);
  EXPECT_EQ(fs::last_write_time(path), written);
  testing::write_rows(folder_ + "/train.csv", 500, 5);
  EXPECT_EQ(load_profile(config, path).rows, 500);
}

TEST_F(ClickRuns, NameWhatIsWrongWithTheDataAndLeaveNoCheckpoint) {
  std::ofstream(folder_ + "/bad.csv") << "y,x,a,b\n1,0.5,u1,2\n3,0.5,u1,2\n";
  const RunOptions run = options("bad", {"data.train=" + folder_ + "/bad.csv"});
  const std::string message = error_of([&] { train_run(run); }).what();
  EXPECT_NE(message.find("bad.csv"), std::string::npos) << message;
  EXPECT_NE(message.find("row 2"), std::string::npos) << message;
  EXPECT_FALSE(fs::exists(run.run + "/checkpoint"));
}

TEST_F(ClickRuns, CountBadRowsThatAreSkipped) {
  std::ofstream(folder_ + "/bad.csv") << "y,x,a,b\n1,0.5,u1,2\n3,0.5,u1,2\n0,0.1,u2,2\n";
  const Json summary = train_run(options(
      "bad", {"data.train=" + folder_ + "/bad.csv", "data.on_bad_row=skip", "train.epochs=1"}));
  EXPECT_EQ(summary["bad_rows"], 1);
  EXPECT_EQ(summary["examples"], 2);
}

// What was begun in other pieces, or in none as once was usual, is not mixed with the rule of now.
TEST_F(ClickRuns, GoOnInTheirOwnPiecesOrNotAtAll) {
  for (const char* piece : {"0", "50"}) {
    const std::string name = concat("run-", piece);
    const std::string own = concat("train.piece=", piece);
    const Json whole = train_run(options("whole-" + name, {own}));
    std::atomic<bool> stop = true;
    RunOptions begun = options(name, {own});
    begun.stop = &stop;
    EXPECT_THROW(train_run(begun), Interrupted);
    RunOptions other = options(name);
    other.resume = true;
    EXPECT_THAT(error_of([&] { train_run(other); }),
                IsError(ErrorKind::kConfig,
                        concat("\"piece = 32\" where the run has \"piece = ", piece, "\"")));
    RunOptions same = options(name, {own});
    same.resume = true;
    const Json summary = train_run(same);
    EXPECT_EQ(testing::lasting(testing::run_cases().front(), summary),
              testing::lasting(testing::run_cases().front(), whole))
        << piece;
  }
}

// A config that was written before the key was there is read, and opened with the rule of now.
TEST_F(ClickRuns, OpenRunsThatSayNothingOfPieces) {
  const RunOptions run = options("run", {"train.epochs=1"});
  const Json summary = train_run(run);
  const std::string path = run.run + "/config.toml";
  std::string text = read_file(path);
  const std::string line = "piece = 32\n";
  ASSERT_NE(text.find(line), std::string::npos) << text;
  write_file(path, text.erase(text.find(line), line.size()));
  const Evaluation again = open_run(run.run, 1).task->evaluate({folder_ + "/test.csv"});
  EXPECT_EQ(again.measures[0].second, summary["auc"].get<double>());
}

TEST_F(ClickRuns, SayWhatTheLeastBudgetIs) {
  const RunOptions run = options("tiny", {"embedding.budget=64B"});
  const std::string message = error_of([&] { train_run(run); }).what();
  EXPECT_NE(message.find("64"), std::string::npos) << message;
}

}  // namespace
}  // namespace taut::train
