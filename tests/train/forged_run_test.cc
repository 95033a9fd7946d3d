// Checkpoints and profiles whose checksums are right and whose numbers are not: a typed error that
// names file and key.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include <vector>

#include "support/error_matchers.h"
#include "taut/core/snapshot.h"
#include "train/checkpoint.h"
#include "train/run_cases.h"
#include "train/run_folder.h"

namespace taut::train {
namespace {

using Json = nlohmann::json;
using test::error_of;
using test::IsError;
using testing::run_cases;
using testing::RunCase;

// A run of each task, its checkpoint taken apart.
class ForgedRun : public ::testing::TestWithParam<std::size_t> {
 protected:
  void SetUp() override {
    const RunCase& which = run_cases()[GetParam()];
    options_ = folder_.options(which, "run", {"train.epochs=1"});
    (void)train_run(options_);
    checkpoint_ = *CheckpointFolder(options_.run).newest();
    const SnapshotReader snapshot(checkpoint_, kCheckpointKind);
    for (const std::string& name : snapshot.names()) sections_[name] = snapshot.text(name);
  }

  // The error that opening the run ends with when a section holds this text.
  [[nodiscard]] Error error_with(const std::string& section, const std::string& text) const {
    std::map<std::string, std::string> forged = sections_;
    forged.at(section) = text;
    write_snapshot(checkpoint_, kCheckpointKind, std::nullopt, [&](SectionSink& file) {
      for (const auto& [name, bytes] : forged) file.add(name, bytes);
    });
    return error_of([&] { (void)open_run(options_.run, 1); });
  }

  void expect_named(const std::string& section, const std::string& key, const Json& value) const {
    Json json = Json::parse(sections_.at(section));
    ASSERT_TRUE(json.contains(key)) << key;
    json[key] = value;
    const Error error = error_with(section, json.dump());
    EXPECT_THAT(error, IsError(ErrorKind::kFormat, checkpoint_)) << key << " " << value;
    EXPECT_THAT(error, IsError(ErrorKind::kFormat, key)) << value;
    json.erase(key);
    EXPECT_THAT(error_with(section, json.dump()), IsError(ErrorKind::kFormat, key));
  }

  testing::RunFolder folder_;
  RunOptions options_;
  std::string checkpoint_;
  std::map<std::string, std::string> sections_;
};

TEST_P(ForgedRun, StatesThatCannotBeAreNamedByKey) {
  constexpr std::int64_t kLeast = std::numeric_limits<std::int64_t>::min();
  for (const char* key : {"epoch", "batches", "steps", "examples", "metrics_bytes", "best_epoch",
                          "valid_examples", "window_examples"}) {
    for (const Json& value :
         {Json(kLeast), Json(-2), Json(std::int64_t{1} << 60), Json(UINT64_MAX), Json(1e300),
          Json(0.5), Json("3"), Json(nullptr), Json(Json::array()), Json(true)}) {
      expect_named("state", key, value);
    }
  }
  expect_named("state", "train_seconds", "long");
  expect_named("state", "valid", Json::array({1, 2}));
  expect_named("state", "finished", 1);
}

TEST_P(ForgedRun, TextThatIsNoStateIsNamedBySection) {
  const std::string deep(100000, '[');
  for (const char* section : {"state", "format"}) {
    for (const std::string& text :
         {std::string(), std::string("junk"), std::string("[]"), std::string("{}"),
          std::string("\xff"), deep, deep + std::string(deep.size(), ']')}) {
      const Error error = error_with(section, text);
      EXPECT_THAT(error, IsError(ErrorKind::kFormat, checkpoint_)) << text.substr(0, 20);
      EXPECT_THAT(error, IsError(ErrorKind::kFormat, section)) << text.substr(0, 20);
    }
  }
}

TEST_P(ForgedRun, FormatsThatNoDataHasAreNamedByKey) {
  if (run_cases()[GetParam()].name == std::string("Images")) {
    for (const char* key : {"channels", "height", "width", "classes"}) {
      for (const std::int64_t value : {std::int64_t{0}, std::int64_t{-4}, std::int64_t{1} << 50}) {
        expect_named("format", key, value);
      }
    }
    expect_named("format", "mean", Json::array({0, 0}));
    expect_named("format", "deviation", Json::array({0}));
    return;
  }
  for (const std::int64_t value : {std::int64_t{-1}, std::int64_t{1} << 60}) {
    expect_named("format", "rows", value);
    expect_named("format", "positive_rows", value);
    expect_named("format", "distinct_ids", Json::array({value, 5}));
  }
  expect_named("format", "distinct_ids", Json::array({5}));
  Json nan = Json::parse(sections_.at("format"));
  nan["mean_0"] = std::bit_cast<std::uint64_t>(std::nan(""));
  EXPECT_THAT(error_with("format", nan.dump()), IsError(ErrorKind::kFormat, "mean"));
  nan = Json::parse(sections_.at("format"));
  nan["deviation_0"] = std::bit_cast<std::uint64_t>(0.0);
  EXPECT_THAT(error_with("format", nan.dump()), IsError(ErrorKind::kFormat, "deviation"));
}

TEST_P(ForgedRun, AFolderInWhichARunTrainsIsHeldUntilItEnds) {
  RunOptions again = options_;
  again.resume = true;
  {
    const FolderLock other = hold_run_folder(options_.run);
    EXPECT_THAT(error_of([&] { (void)train_run(again); }),
                IsError(ErrorKind::kIo, "another process"));
  }
  EXPECT_NO_THROW((void)train_run(again));
}

INSTANTIATE_TEST_SUITE_P(Tasks, ForgedRun, ::testing::Range(std::size_t{0}, run_cases().size()),
                         [](const auto& task) { return run_cases()[task.param].name; });

}  // namespace
}  // namespace taut::train
