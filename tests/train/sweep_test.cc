#include "taut/train/sweep.h"
#include "support/temporary_directory.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "taut/core/error.h"
#include "taut/core/log.h"

namespace taut::train {
namespace {

namespace fs = std::filesystem;

class Sweeps : public testing::Test {
 protected:
  void SetUp() override {
    set_log_level(LogLevel::kSilent);
    std::ofstream file(folder_ + "/train.csv");
    file << "y,a\n";
    for (int i = 0; i < 600; ++i) file << i * i % 7 % 2 << ",u" << i % 40 << "\n";
  }

  [[nodiscard]] SweepOptions options() const {
    const std::string text =
        "[data]\ntrain = \"train.csv\"\nvalid = \"train.csv\"\nlabel = \"y\"\ncategorical = "
        "[\"a\"]\n"
        "[model]\ntop = [4]\n[train]\nbatch_size = 100\n";
    return {.config = parse_config(text, folder_, "test.toml", {}),
            .folder = folder_ + "/sweep",
            .methods = {"full", "hash"},
            .budgets = {"8KiB", "16KiB"},
            .seeds = {1, 2},
            .threads = 1,
            .stop = nullptr};
  }

  test::TemporaryDirectory temporary_;
  std::string folder_ = temporary_.path();
};

TEST_F(Sweeps, RunEveryCellOnceAndTheFullTableOnceASeed) {
  const nlohmann::json sweep = run_sweep(options());
  EXPECT_EQ(sweep["runs"].size(), 6u);
  ASSERT_EQ(sweep["rows"].size(), 3u);
  EXPECT_EQ(sweep["rows"][0]["method"], "full");
  EXPECT_EQ(sweep["rows"][2]["budget"], "16KiB");
  EXPECT_EQ(sweep["rows"][2]["seeds"], 2);
  const double mean =
      (sweep["runs"][4]["auc"].get<double>() + sweep["runs"][5]["auc"].get<double>()) / 2;
  EXPECT_DOUBLE_EQ(sweep["rows"][2]["auc"].get<double>(), mean);
  std::ifstream csv(folder_ + "/sweep/results.csv");
  std::string line;
  int lines = 0;
  while (std::getline(csv, line)) ++lines;
  EXPECT_EQ(lines, 7);
  const std::string table = format_sweep_table(sweep);
  EXPECT_EQ(std::count(table.begin(), table.end(), '\n'), 4);
  std::ifstream page(folder_ + "/sweep/sweep.html");
  const std::string html((std::istreambuf_iterator<char>(page)), {});
  // A point for each row with a quality; methods in the order of the table.
  EXPECT_NE(html.find("AUC against bytes of the tables"), std::string::npos);
  std::size_t points = 0;
  for (std::size_t at = 0; (at = html.find("<circle", at)) != std::string::npos; ++at) ++points;
  EXPECT_EQ(points, sweep["rows"].size());
  EXPECT_NE(html.find("<title>hash, budget "), std::string::npos);
}

TEST_F(Sweeps, KeepWhatIsDone) {
  const nlohmann::json first = run_sweep(options());
  const std::string summary = folder_ + "/sweep/hash_16KiB_seed2/summary.json";
  const auto written = fs::last_write_time(summary);
  SweepOptions more = options();
  more.seeds = {1, 2, 3};
  const nlohmann::json second = run_sweep(more);
  EXPECT_EQ(second["runs"].size(), 9u);
  EXPECT_EQ(fs::last_write_time(summary), written);
}

TEST_F(Sweeps, NameUnknownMethodsAndBudgetsBeforeTheyStart) {
  SweepOptions bad = options();
  bad.methods = {"elastik"};
  try {
    run_sweep(bad);
    FAIL();
  } catch (const Error& failed) {
    EXPECT_STREQ(failed.what(), "unknown method \"elastik\", --methods, did you mean elastic?");
  }
  bad = options();
  bad.budgets = {"1/0"};
  EXPECT_THROW(run_sweep(bad), Error);
  EXPECT_FALSE(fs::exists(folder_ + "/sweep"));
}

TEST(MeanSpreads, AreTheSampleStandardDeviation) {
  EXPECT_DOUBLE_EQ(mean_spread({1, 2, 3}).mean, 2);
  EXPECT_DOUBLE_EQ(mean_spread({1, 2, 3}).spread, 1);
  EXPECT_DOUBLE_EQ(mean_spread({5}).spread, 0);
}

}  // namespace
}  // namespace taut::train
