#pragma once
// Runs by several processes, and what they leave.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "support/workers.h"
#include "taut/dist/process_group.h"
#include "train/run_cases.h"

namespace taut::train::testing {

inline const dist::GroupOptions kPatient{.timeout = std::chrono::seconds(60)};

// Bodies run in processes of their own; what they leave in the folder is read here.
class WorkerRuns : public ::testing::Test {
 protected:
  using Json = nlohmann::json;

  [[nodiscard]] static const RunCase& images() { return run_cases()[1]; }
  [[nodiscard]] static const RunCase& clicks() { return run_cases()[0]; }

  [[nodiscard]] std::string path(const std::string& run) const {
    return folder_.path() + "/" + run;
  }

  /// Trains a case by so many workers; alone: no group at all.
  void train(const RunCase& which, int workers, const std::string& run,
             const std::vector<std::string>& settings, bool resume = false,
             const PlanChoice& plan = {}) const {
    test::expect_workers(workers, [&](const dist::WorkerEnvironment& environment) {
      RunOptions options = folder_.options(which, run, settings);
      options.resume = resume;
      options.plan = plan;
      if (workers > 1) options.workers = dist::ProcessGroup::connect(environment, kPatient);
      const Json summary = train_run(options);
      EXPECT_EQ(summary, read_json(run + "/summary.json"));
    });
  }

  /// Trains a case by several workers of which one asks to stop: all do so at the same step.
  void interrupt(const RunCase& which, int workers, const std::string& run,
                 const std::vector<std::string>& settings) const {
    test::expect_workers(workers, [&](const dist::WorkerEnvironment& environment) {
      RunOptions options = folder_.options(which, run, settings);
      options.workers = dist::ProcessGroup::connect(environment, kPatient);
      std::atomic<bool> stop = environment.rank == 2;
      options.stop = &stop;
      EXPECT_THROW(train_run(options), Interrupted);
    });
  }

  /// Trains a case by two workers, of which the second is killed once a checkpoint is there.
  void lose_one(const RunCase& which, const std::string& run,
                const std::vector<std::string>& settings) const {
    const auto body = [&](const dist::WorkerEnvironment& environment) {
      RunOptions options = folder_.options(which, run, settings);
      options.workers = dist::ProcessGroup::connect(environment, kPatient);
      if (environment.rank == 1) {
        std::thread([folder = path(run) + "/checkpoint"] {
          const auto files = [&] {
            std::error_code none;
            return std::distance(std::filesystem::directory_iterator(folder, none),
                                 std::filesystem::directory_iterator{});
          };
          while (files() < 4) std::this_thread::yield();
          ::raise(SIGKILL);
        }).detach();
      }
      EXPECT_THROW(train_run(options), dist::WorkerLost);
    };
    EXPECT_EQ(test::run_workers(2, body), (std::vector<int>{0, -SIGKILL}));
  }

  [[nodiscard]] Json read_json(const std::string& file) const {
    return Json::parse(std::ifstream(path(file)));
  }

  /// Without those of its fields that may differ from run to run.
  [[nodiscard]] std::vector<Json> metrics(const std::string& run) const {
    std::vector<Json> lines;
    std::ifstream file(path(run) + "/metrics.jsonl");
    for (std::string line; std::getline(file, line);) {
      lines.push_back(Json::parse(line));
      lines.back().erase("seconds");
      lines.back().erase("rebalance_seconds");
    }
    return lines;
  }

  RunFolder folder_;
};

}  // namespace taut::train::testing
