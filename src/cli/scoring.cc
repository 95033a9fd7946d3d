#include "cli/scoring.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "cli/scorers.h"
#include "taut/core/error.h"
#include "taut/core/progress.h"
#include "taut/core/text.h"
#include "taut/infer/quality.h"

namespace taut::cli {
namespace {

using Json = nlohmann::json;

constexpr std::int64_t kEvaluated = 512;  // examples a batch

// Computes the logits of every batch of a pass and hands them on. Returns the seconds that this
// took, for each batch.
template <typename Take>
std::vector<double> score(const infer::Engine& engine, ScoringPass& pass, ThreadPool& pool,
                          Take&& take) {
  using Clock = std::chrono::steady_clock;
  ProgressBar bar("scoring", pass.known_examples(), "examples");
  std::vector<float> logits;
  std::vector<double> seconds;
  std::int64_t done = 0;
  while (pass.next()) {
    const infer::Inputs inputs = pass.inputs();
    logits.resize(static_cast<std::size_t>(inputs.batch * engine.outputs()));
    const Clock::time_point start = Clock::now();
    engine.predict(inputs, logits, pool);
    seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
    take(inputs.batch, std::span<float>(logits));
    bar.update(done += inputs.batch);
  }
  return seconds;
}

double quantile(const std::vector<double>& sorted, double q) {
  if (sorted.empty()) return 0;
  return sorted[static_cast<std::size_t>(q * static_cast<double>(sorted.size() - 1) + 0.5)];
}

// Rows without a score: all their values become NaN.
void clear_unscored(std::span<float> values, std::int64_t outputs,
                    std::span<const std::uint8_t> left_out) {
  const auto width = static_cast<std::size_t>(outputs);
  for (std::size_t row = 0; row * width < values.size(); ++row) {
    const std::span<float> of = values.subspan(row * width, width);
    const bool out = !left_out.empty() && left_out[row] != 0;
    if (out || std::any_of(of.begin(), of.end(), [](float x) { return std::isnan(x); })) {
      std::fill(of.begin(), of.end(), std::numeric_limits<float>::quiet_NaN());
    }
  }
}

Json latency_json(std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  return {{"p50_microseconds", 1e6 * quantile(seconds, 0.5)},
          {"p90_microseconds", 1e6 * quantile(seconds, 0.9)},
          {"p99_microseconds", 1e6 * quantile(seconds, 0.99)}};
}

}  // namespace

Scorer::Scorer(std::unique_ptr<const infer::Package> package)
    : package_(std::move(package)), engine_(package_->model().network, package_->tables()) {}

Json Scorer::predict(const ScoringOptions& options, bool all, const std::string* out) const {
  const auto pool = std::make_shared<ThreadPool>(options.threads);
  const std::unique_ptr<ScoringPass> pass = open(options, pool);
  const auto writer = out == nullptr ? nullptr : data::open_scores(*out, columns(all));
  std::int64_t rows = 0;
  infer::UnscoredRows unscored;
  const std::vector<double> seconds =
      score(engine_, *pass, *pool, [&](std::int64_t batch, std::span<float> logits) {
        rows += batch;
        unscored.add(logits, outputs(), pass->left_out(),
                     [&](std::size_t i) { return pass->name(i); });
        if (writer == nullptr) return;
        infer::to_probabilities(outputs(), logits);
        clear_unscored(logits, outputs(), pass->left_out());
        writer->write(values(logits, all), batch);
      });
  if (writer != nullptr) writer->commit();
  const data::BadRows bad = pass->bad_rows();
  data::warn_of_bad_rows(bad);
  unscored.warn();
  const double total = std::accumulate(seconds.begin(), seconds.end(), 0.0);
  return {{"rows", rows},
          {"bad_rows", bad.count},
          {"unscored_rows", unscored.count()},
          {"batch", options.batch},
          {"seconds", total},
          {"examples_per_second", static_cast<double>(rows) / std::max(total, 1e-9)},
          {"latency", latency_json(seconds)}};
}

Json Scorer::evaluate(ScoringOptions options) const {
  if (options.files.empty()) options.files = infer::test_files(model());
  if (options.files.empty()) {
    throw Error(ErrorKind::kConfig, "the package names no test files", path(),
                "name one with --data");
  }
  options.labelled = true;
  options.batch = kEvaluated;
  const auto pool = std::make_shared<ThreadPool>(options.threads);
  const std::unique_ptr<ScoringPass> pass = open(options, pool);
  score(engine_, *pass, *pool, [&](std::int64_t, std::span<float> logits) { pass->judge(logits); });
  data::warn_of_bad_rows(pass->bad_rows());
  Json result = pass->quality();
  const Json facts = Json::parse(model().facts);
  if (facts.contains("full_bytes")) result["full_bytes"] = facts["full_bytes"];
  result["source"] = path();
  return result;
}

std::unique_ptr<const Scorer> open_scorer(const std::string& path) {
  auto package = std::make_unique<const infer::Package>(path);
  const std::string task = package->model().task;
  for (const ScorerEntry& entry : scorers()) {
    if (entry.task == task) return entry.make(std::move(package));
  }
  throw Error(ErrorKind::kUnsupported, concat("nothing scores packages of the task ", task), path);
}

}  // namespace taut::cli
