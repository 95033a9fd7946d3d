// The training loop alone, with a task of the test's own: what any task gets from it.
#include "train/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "support/error_matchers.h"
#include "support/temporary_directory.h"
#include "taut/core/file.h"
#include "taut/core/snapshot.h"
#include "taut/core/text.h"
#include "taut/graph/network_builder.h"
#include "taut/train/export.h"
#include "train/checkpoint.h"
#include "train/preflight.h"
#include "train/state.h"

namespace taut::train {
namespace {

using Json = nlohmann::json;
using taut::test::error_of;
using taut::test::IsError;
using testing::ElementsAre;
namespace fs = std::filesystem;

constexpr std::int64_t kBatches = 5;   // an epoch
constexpr std::int64_t kExamples = 4;  // a batch

// What a toy has been asked for.
struct Calls {
  std::vector<std::string> said;
  std::int64_t steps = 0;
  std::atomic<bool> stop = false;
  std::int64_t stop_at = -1;  // raises stop in this step
};

// Learns nothing: its weight is a sum over what it saw. Quality on valid is what `scores` says, by
// epoch.
struct ToyConfig final : Config {
  std::vector<double> scores = {1};
  Calls* calls = nullptr;

  [[nodiscard]] std::string_view task() const noexcept override { return "toy"; }
  [[nodiscard]] std::string to_toml() const override { return "task = \"toy\"\n"; }
  [[nodiscard]] std::shared_ptr<const Config> with(
      std::span<const std::string> /*settings*/) const override {
    return std::make_shared<ToyConfig>(*this);
  }
  [[nodiscard]] std::unique_ptr<Task> make_task(std::shared_ptr<ThreadPool> pool) const override;
  [[nodiscard]] graph::Network network() const override {
    graph::NetworkBuilder builder("toy", {.channels = 3});
    builder.linear("only", graph::kNetworkInput, 2);
    return builder.finish();
  }
};

class Toy final : public Task {
 public:
  explicit Toy(const ToyConfig& config) : config_(config) {}

  [[nodiscard]] const Config& config() const noexcept override { return config_; }
  void save(SectionSink& file) const override { file.add("weight", std::to_string(weight_)); }
  void load(const SectionSource& file) override {
    weight_ = std::stoll(std::string(file.text("weight")));
  }
  void visit_state(StateFields& fields) override { fields("odd", odd_); }
  [[nodiscard]] std::vector<std::string> measures() const override { return {"score", "other"}; }
  [[nodiscard]] Evaluation evaluate(const std::vector<std::string>& files) override {
    say("evaluate " + files.front());
    const double score = files.front() == "valid" ? config_.scores[static_cast<std::size_t>(epoch_)]
                                                  : static_cast<double>(weight_);
    return {.examples = 7, .measures = {{"score", score}, {"other", std::nan("")}}};
  }
  [[nodiscard]] graph::Network network() const override {
    graph::Network network = config_.network();
    network.name = measured_ ? "measured" : "plain";
    return network;
  }
  void check_files(std::string_view key, const std::vector<std::string>& files) override {
    say("check " + std::string(key) + " " + files.front());
  }
  void prepare(bool fresh, const std::string& cache) override {
    say((fresh ? "fresh " : "going on ") + fs::path(cache).filename().string());
  }
  [[nodiscard]] std::int64_t epoch_examples() const override { return kBatches * kExamples; }
  void open_epoch(std::int64_t epoch, std::int64_t skip) override {
    say("epoch " + std::to_string(epoch) + " from " + std::to_string(skip));
    epoch_ = epoch;
    batch_ = skip;
  }
  StepResult step(const LoopState& at) override {
    if (batch_ == kBatches) return {};
    EXPECT_EQ(at.batches, batch_);
    EXPECT_EQ(at.steps, epoch_ * kBatches + batch_);
    ++batch_;
    weight_ = 3 * weight_ + batch_;
    odd_ = std::nan("");
    ++config_.calls->steps;
    if (at.steps == config_.calls->stop_at) config_.calls->stop = true;
    return {.examples = kExamples, .loss = static_cast<double>(at.steps)};
  }
  std::string end_window(const LoopState& at, nlohmann::ordered_json& line) override {
    line["batches"] = at.batches;
    return ", a note";
  }
  void end_epoch(std::int64_t epoch, bool last) override {
    say("end " + std::to_string(epoch) + (last ? " last" : ""));
  }
  Json facts() override {
    measured_ = true;
    return {{"weight", weight_}, {"odd", std::isnan(odd_)}};
  }
  [[nodiscard]] FrozenRun freeze(const std::string& checkpoint,
                                 const std::string& summary) const override {
    const Json facts = {{"source", checkpoint}, {"ended", fs::exists(summary)}};
    std::vector<nn::NamedTensor> parameters;
    const auto all = static_cast<float>(weight_);
    parameters.push_back({.name = "only.bias", .shape = {2}, .values = {all, all}});
    parameters.push_back({.name = "only.weight", .shape = {2, 3}, .values = {1, 2, 3, 4, 5, all}});
    parameters.push_back({.name = "other.weight", .shape = {1}, .values = {7}});
    return {FrozenModel("toy", config_.network(), std::move(parameters), "{}", facts.dump())};
  }

 private:
  void say(const std::string& what) { config_.calls->said.push_back(what); }

  ToyConfig config_;
  std::int64_t weight_ = 0;
  std::int64_t epoch_ = 0;
  std::int64_t batch_ = 0;
  double odd_ = 0;
  bool measured_ = false;
};

std::unique_ptr<Task> ToyConfig::make_task(std::shared_ptr<ThreadPool> /*pool*/) const {
  return std::make_unique<Toy>(*this);
}

class Trainers : public testing::Test {
 protected:
  RunOptions options(const std::string& run) {
    RunOptions o{.config = std::make_shared<ToyConfig>(config_),
                 .run = folder_.file(run),
                 .resume = true,
                 .threads = 1,
                 .profile_path = {},
                 .stop = &calls_.stop};
    make_directories(o.run);
    return o;
  }
  Json train(const std::string& run) {
    const RunOptions o = options(run);
    return Trainer(o).run();
  }
  // Trains with a stop in every step, going on each time.
  Json train_in_pieces(const std::string& run) {
    for (std::int64_t step = 0;; ++step) {
      calls_.stop_at = step;
      calls_.stop = false;
      try {
        return train(run);
      } catch (const Interrupted& stopped) {
        EXPECT_NE(std::string(stopped.what()).find("stopped at step"), std::string::npos);
      }
      if (step > 100) ADD_FAILURE() << "never ends";
    }
  }
  std::vector<Json> lines(const std::string& run) {
    std::vector<Json> lines;
    for (const std::string& line : split(read_file(folder_.file(run) + "/metrics.jsonl"), '\n')) {
      if (!line.empty()) lines.push_back(Json::parse(line));
    }
    return lines;
  }
  std::vector<std::string> checkpoints(const std::string& run) {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_.file(run) + "/checkpoint")) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with("step-") || name == "best.taut") names.push_back(name);
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  test::TemporaryDirectory folder_;
  Calls calls_;
  ToyConfig config_ = [this] {
    ToyConfig config;
    config.calls = &calls_;
    config.scores = {1, 3, 2, 2, 2, 2};
    config.data.valid = {"valid"};
    config.data.test = {"test"};
    config.train.epochs = 3;
    config.train.batch_size = kExamples;
    config.train.log_every = 2;
    config.train.checkpoint_every = {.steps = 0, .seconds = 0};
    return config;
  }();
};

TEST_F(Trainers, AskATaskForEpochsStepsAndQualityInThisOrder) {
  const Json summary = train("run");
  EXPECT_THAT(calls_.said,
              ElementsAre("check data.valid valid", "check data.test test", "fresh profile.json",
                          "epoch 0 from 0", "end 0", "evaluate valid", "epoch 1 from 0", "end 1",
                          "evaluate valid", "epoch 2 from 0", "end 2 last", "evaluate valid",
                          "evaluate test"));
  EXPECT_EQ(calls_.steps, 3 * kBatches);
  EXPECT_EQ(summary["task"], "toy");
  EXPECT_EQ(summary["steps"], 3 * kBatches);
  EXPECT_EQ(summary["examples"], 3 * kBatches * kExamples);
  EXPECT_EQ(summary["epochs"], 3);
  EXPECT_EQ(summary["valid"]["score"], 2.0);
  EXPECT_TRUE(summary["valid"]["other"].is_null());
  EXPECT_EQ(summary["score"], summary["test"]["score"]);
  EXPECT_EQ(summary["test"]["score"], summary["weight"].get<double>());
  EXPECT_EQ(Json::parse(read_file(folder_.file("run/summary.json"))), summary);
}

TEST_F(Trainers, WithoutFilesToMeasureOnThereAreNoMeasures) {
  config_.data.valid.clear();
  config_.data.test.clear();
  const Json summary = train("run");
  EXPECT_TRUE(summary["score"].is_null());
  EXPECT_FALSE(summary.contains("valid"));
  EXPECT_FALSE(summary.contains("test"));
}

TEST_F(Trainers, WriteALineForEveryWindowAndTheRest) {
  train("run");
  std::vector<std::int64_t> steps;
  for (const Json& line : lines("run")) steps.push_back(line["step"]);
  EXPECT_THAT(steps, ElementsAre(2, 4, 6, 8, 10, 12, 14, 15));
  const Json third = lines("run")[2];
  EXPECT_EQ(third["loss"], (4.0 + 5.0) / (2 * kExamples));
  EXPECT_EQ(third["examples"], 6 * kExamples);
  EXPECT_EQ(third["batches"], 1);
  EXPECT_EQ(lines("run").back()["loss"], 14.0 / kExamples) << "the last window has one step";
}

TEST_F(Trainers, StoppedInEveryStepGoOnToTheSameEnd) {
  const Json whole = train("whole");
  Json pieces = train_in_pieces("pieces");
  for (const char* field : {"run", "train_seconds", "examples_per_second"}) {
    pieces[field] = whole[field];
  }
  EXPECT_EQ(pieces, whole);
  EXPECT_TRUE(pieces["odd"].get<bool>()) << "a state that is not a number survives";
  const auto without_seconds = [](std::vector<Json> all) {
    for (Json& line : all) line.erase("seconds");
    return all;
  };
  EXPECT_EQ(without_seconds(lines("pieces")), without_seconds(lines("whole")));
  EXPECT_EQ(calls_.steps, 2 * 3 * kBatches) << "no step was made twice";
}

TEST_F(Trainers, KeepTheLastTwoCheckpoints) {
  config_.train.checkpoint_every.steps = 4;
  train("run");
  EXPECT_THAT(checkpoints("run"), ElementsAre("step-000000000012.taut", "step-000000000015.taut"));
}

TEST_F(Trainers, StopEarlyAndSumUpTheBestEpoch) {
  config_.train.epochs = 6;
  config_.train.early_stop = 2;
  const Json summary = train("run");
  EXPECT_EQ(summary["epochs"], 4) << "the second was the best, two more were not better";
  EXPECT_EQ(summary["valid"]["score"], 3.0);
  std::int64_t after_two = 0;
  for (int epoch = 0; epoch < 2; ++epoch) {
    for (std::int64_t b = 1; b <= kBatches; ++b) after_two = 3 * after_two + b;
  }
  EXPECT_EQ(summary["weight"], after_two) << "facts are those of the best checkpoint";
  EXPECT_EQ(summary["test"]["score"], static_cast<double>(after_two));
  EXPECT_EQ(checkpoints("run").front(), "best.taut");
}

TEST_F(Trainers, AScoreThatIsNotANumberIsNeverTheBest) {
  config_.scores = {std::nan(""), 1, std::numeric_limits<double>::quiet_NaN()};
  config_.train.early_stop = 3;
  const Json summary = train("run");
  EXPECT_EQ(summary["valid"]["score"], 1.0);
}

TEST_F(Trainers, GoOnOnlyWithTheDataThatTheyBeganWith) {
  const std::string data = folder_.file("data.csv");
  config_.data.train = {data};
  write_file(data, "as it was");
  calls_.stop_at = 3;
  EXPECT_THROW(train("run"), Interrupted);
  calls_.stop_at = -1;
  calls_.stop = false;
  write_file(data, "something else");
  EXPECT_THAT(error_of([&] { train("run"); }),
              IsError(ErrorKind::kData, data + " has other content"));
  fs::remove(data);
  EXPECT_THAT(error_of([&] { train("run"); }),
              IsError(ErrorKind::kData, data + " is no longer there"));
  write_file(data, "as it was");
  EXPECT_EQ(train("run")["steps"], 3 * kBatches);
  fs::remove(data);
  EXPECT_EQ(train("run")["steps"], 3 * kBatches) << "a finished run asks for nothing";
}

TEST_F(Trainers, AreRefusedWhereACheckpointHasNoRoom) {
  const auto save = [](std::size_t bytes) {
    return [=](SectionSink& file) {
      file.begin("weights");
      file.append(nullptr, bytes);
    };
  };
  EXPECT_NO_THROW(check_room(folder_.path(), save(1)));
  EXPECT_THAT(error_of([&] { check_room(folder_.path(), save(std::size_t{1} << 60)); }),
              IsError(ErrorKind::kIo, "the disk has room for"));
}

TEST(Evaluations, AreScoredByTheLogLossWhereTheFirstMeasureIsNotDefined) {
  const double nan = std::nan("");
  const Evaluation both{.examples = 3, .measures = {{"auc", 0.75}, {"log_loss", 0.5}}};
  EXPECT_EQ(both.score(), 0.75);
  EXPECT_FALSE(both.one_class());
  EXPECT_FALSE(to_json(both).contains("note"));
  const Evaluation one{.examples = 3, .measures = {{"auc", nan}, {"log_loss", 0.5}}, .unscored = 2};
  EXPECT_EQ(one.score(), -0.5);
  EXPECT_TRUE(one.one_class());
  EXPECT_TRUE(to_json(one)["auc"].is_null());
  EXPECT_EQ(to_json(one)["note"], infer::kOneClass);
  EXPECT_EQ(to_json(one)["unscored_rows"], 2);
  const Evaluation none{.examples = 0, .measures = {{"auc", nan}, {"log_loss", nan}}};
  EXPECT_TRUE(std::isnan(none.score()));
  EXPECT_FALSE(none.one_class());
}

TEST_F(Trainers, WriteTheNetworkBeforeTheFirstStepAndAfterItWasMeasured) {
  calls_.stop_at = 0;
  const RunOptions o = options("run");
  EXPECT_THROW(Trainer(o).run(), Interrupted);
  EXPECT_EQ(Json::parse(read_file(o.run + "/network.json"))["name"], "plain");
  calls_.stop_at = -1;
  calls_.stop = false;
  train("run");
  EXPECT_EQ(Json::parse(read_file(o.run + "/network.json"))["name"], "measured");
}

TEST_F(Trainers, RemoveWhatProcessesThatAreGoneLeft) {
  const RunOptions o = options("run");
  const std::string left = o.run + "/metrics.jsonl.tmp.999999999";
  write_file(left, "half a file");
  train("run");
  EXPECT_FALSE(fs::exists(left));
}

TEST_F(Trainers, RefuseTheCheckpointOfAnotherTask) {
  train("run");
  const fs::path newest = folder_.file("run/checkpoint/step-000000000015.taut");
  ASSERT_TRUE(fs::exists(newest));
  std::vector<std::pair<std::string, std::string>> sections;
  {
    const SnapshotReader file(newest.string(), kCheckpointKind);
    for (const std::string& name : file.names()) {
      sections.emplace_back(name, std::string(file.text(name)));
    }
  }
  bool changed = false;
  for (auto& [name, text] : sections) {
    const auto at = text.find("\"toy\"");
    if (at == std::string::npos) continue;
    text.replace(at, 5, "\"ctr\"");
    changed = true;
  }
  ASSERT_TRUE(changed) << "a checkpoint names its task";
  static_cast<void>(
      write_snapshot(newest.string(), kCheckpointKind, std::nullopt, [&](SectionSink& file) {
        for (const auto& [name, text] : sections) file.add(name, text);
      }));
  const Error refused = error_of([&] { train("run"); });
  EXPECT_THAT(refused, IsError(ErrorKind::kFormat, newest.string().c_str()));
}

TEST_F(Trainers, ATaskOfAnyKindIsFrozenByItself) {
  train("run");
  const Json summary = Json::parse(read_file(folder_.file("run") + "/summary.json"));
  const auto task = config_.make_task(nullptr);
  const std::string newest = folder_.file("run") + "/checkpoint/" + checkpoints("run").back();
  static_cast<void>(read_checkpoint(newest, *task));
  FrozenRun frozen = task->freeze(newest, folder_.file("run") + "/summary.json");
  frozen.frozen.set_densities({0.5});
  const FrozenModel moved = std::move(frozen.frozen);
  const infer::Model& model = moved.model();
  EXPECT_EQ(frozen.tables, nullptr);
  EXPECT_EQ(model.task, "toy");
  EXPECT_EQ(Json::parse(model.facts), (Json{{"source", newest}, {"ended", true}}));
  EXPECT_THAT(model.network.densities, ElementsAre(0.5));
  ASSERT_EQ(model.network.values.size(), 1u);
  const graph::LayerValues& values = model.network.values[0];
  const auto weight = summary["weight"].get<float>();
  EXPECT_THAT(values.bias, ElementsAre(weight, weight));
  EXPECT_THAT(values.weight, ElementsAre(1, 2, 3, 4, 5, weight));
  EXPECT_TRUE(values.mean.empty());
}

}  // namespace
}  // namespace taut::train
