#pragma once
// Small runs of every task, for the tests that hold for all of them.

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "support/temporary_directory.h"
#include "taut/core/hash.h"
#include "taut/core/log.h"
#include "taut/core/random.h"
#include "taut/train/run.h"
#include "train/corner_images.h"

namespace taut::train::testing {

/// A task with a config that learns in a second.
struct RunCase {
  const char* name;
  const char* text;              ///< the config
  std::int64_t steps_per_epoch;  ///< with that config
  /// Schedules and options that have a state of their own.
  std::vector<std::string> everything;
  /// Quality on valid falls after some epochs, and nothing depends on how many epochs there are.
  std::vector<std::string> gets_worse;
  /// Fields of summaries that may differ with threads, kills and time, beside those of all tasks.
  std::vector<std::string> volatile_fields;
};

inline const std::vector<RunCase>& run_cases() {
  static const std::vector<RunCase> cases = {
      {.name = "Clicks",
       .text = R"(
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
)",
       .steps_per_epoch = 30,
       .everything = {"model.winner_rate=0.3", "model.winner_ramp=1.5"},
       .gets_worse = {"embedding.method=full", "train.learning_rate=0.03"},
       .volatile_fields = {"rebalance_seconds"}},
      {.name = "Images",
       .text = R"(
task = "image"
[data]
train = "train-images-idx3[:250]"
valid = "train-images-idx3[250:]"
test = "test-images-idx3"
crop_padding = 1
[model]
kind = "cifar-c"
width = 0.2
[train]
epochs = 3
batch_size = 32
optimizer = "adam"
learning_rate = 0.003
piece = 16
log_every = 5
checkpoint_every = 4
)",
       .steps_per_epoch = 7,
       .everything = {"model.winner_rate=0.4", "model.winner_from=0.5", "model.winner_ramp=1",
                      "prune.share=0.6", "prune.ramp=1", "quantize.mode=\"train\"",
                      "quantize.from=2", "quantize.images=64", "train.ema=0.5"},
       .gets_worse = {"train.learning_rate=0.01", "train.schedule=constant", "prune.share=0.99",
                      "prune.from=3"},
       .volatile_fields = {}}};
  return cases;
}

/// Rows with two id columns and a dense one, whose label depends on both ids.
inline void write_rows(const std::string& path, std::uint64_t rows, std::uint64_t seed) {
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

/// A folder with the data of all tasks.
class RunFolder {
 public:
  RunFolder() {
    set_log_level(LogLevel::kSilent);
    write_rows(path() + "/train.csv", 6000, 1);
    write_rows(path() + "/valid.csv", 1000, 2);
    write_rows(path() + "/test.csv", 1000, 3);
    write_corners(path() + "/train", 300, 1, 10);
    write_corners(path() + "/test", 100, 2, 10);
  }

  [[nodiscard]] std::string path() const { return folder_.path(); }

  [[nodiscard]] RunOptions options(const RunCase& which, const std::string& name,
                                   const std::vector<std::string>& settings = {},
                                   int threads = 1) const {
    return {.config = parse_config(which.text, path(), "test.toml", settings),
            .run = path() + "/" + name,
            .resume = false,
            .threads = threads,
            .profile_path = {},
            .stop = nullptr};
  }

 private:
  test::TemporaryDirectory folder_;
};

/// What must not depend on threads, kills or time.
inline nlohmann::json lasting(const RunCase& which, nlohmann::json summary) {
  for (const char* field : {"run", "threads", "train_seconds", "examples_per_second"}) {
    summary.erase(field);
  }
  for (const std::string& field : which.volatile_fields) summary.erase(field);
  return summary;
}

}  // namespace taut::train::testing
