#include "cli/scoring.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "cli/network_source.h"
#include "cli/scorers.h"
#include "core/json_text.h"
#include "taut/core/error.h"
#include "taut/core/log.h"
#include "taut/core/progress.h"
#include "taut/core/text.h"
#include "taut/infer/package.h"
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

Scorer::Scorer(OpenedModel opened)
    : opened_(std::move(opened)), engine_(opened_.model->network, opened_.tables) {}

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

Json Scorer::write_inputs(const ScoringOptions& options, const std::string& out) const {
  const auto pool = std::make_shared<ThreadPool>(options.threads);
  const std::unique_ptr<ScoringPass> pass = open(options, pool);
  const std::vector<data::ScoreColumn> columns = input_columns();
  const auto writer = data::open_scores(out, columns);
  ProgressBar bar("inputs", pass->known_examples(), "examples");
  std::int64_t rows = 0;
  while (pass->next()) {
    const infer::Inputs inputs = pass->inputs();
    std::vector<data::ScoreValues> values = input_values(inputs);
    for (data::ScoreValues& column : values) {
      clear_unscored(std::get<std::vector<float>>(column), 1, pass->left_out());
    }
    writer->write(values, inputs.batch);
    bar.update(rows += inputs.batch);
  }
  writer->commit();
  data::warn_of_bad_rows(pass->bad_rows());
  return {{"rows", rows}, {"bad_rows", pass->bad_rows().count}};
}

std::vector<data::ScoreColumn> Scorer::input_columns() const {
  throw Error(ErrorKind::kUnsupported, "--inputs is for recommenders", path(),
              "an ONNX file of images reads normalized pixels");
}

std::vector<data::ScoreValues> Scorer::input_values(const infer::Inputs&) const {
  TAUT_ASSERT(false);
  return {};
}

Json Scorer::evaluate(ScoringOptions options) const {
  if (options.files.empty()) options.files = infer::test_files(model());
  if (options.files.empty()) {
    throw Error(ErrorKind::kConfig, "the model names no test files", path(),
                "name one with --data");
  }
  options.labelled = true;
  options.batch = kEvaluated;
  const auto pool = std::make_shared<ThreadPool>(options.threads);
  const std::unique_ptr<ScoringPass> pass = open(options, pool);
  score(engine_, *pass, *pool, [&](std::int64_t, std::span<float> logits) { pass->judge(logits); });
  data::warn_of_bad_rows(pass->bad_rows());
  Json result = pass->quality();
  const Json facts = parse_json(model().facts, path());
  if (facts.contains("full_bytes")) result["full_bytes"] = facts["full_bytes"];
  result["source"] = path();
  return result;
}

void add_onnx_input_options(CLI::App& app, infer::OnnxInput& input,
                            std::vector<std::string>& dimensions) {
  app.add_option(
         "--mean", input.mean,
         "Of an ONNX file's images, as values in 0..1: one number, or one a channel (a,b,c)")
      ->delimiter(',');
  app.add_option("--deviation", input.deviation,
                 "The same: what differences from the mean are "
                 "divided by")
      ->delimiter(',');
  app.add_option("--size", input.size,
                 "Side to which an ONNX file's images are scaled, the shorter one; 0: as they are")
      ->check(CLI::Range(0, 1 << 20));
  add_dimension_option(app, dimensions);
}

void refuse_onnx_input(const std::string& path, const infer::OnnxInput& input) {
  if (input.mean.empty() && input.deviation.empty() && input.size == 0 && input.sizes.empty()) {
    return;
  }
  throw Error(ErrorKind::kConfig, "--mean, --deviation, --size and --dim are for ONNX files", path,
              "leave them out");
}

namespace {

OpenedModel open_package(const std::string& path) {
  const auto package = std::make_shared<const infer::Package>(path);
  return {package, &package->model(), package->tables(), path};
}

OpenedModel open_onnx(const std::string& path, const infer::OnnxInput& input) {
  const auto read = std::make_shared<const infer::OnnxModel>(infer::read_onnx_model(path, input));
  if (!read->is_normalized) {
    log_warning(concat(path,
                       " does not say how its images are normalized: values in 0..1 are "
                       "taken as they are (--mean, --deviation)"));
  }
  return {read, &read->model, nullptr, path};
}

}  // namespace

std::unique_ptr<const Scorer> open_scorer(const std::string& path,
                                          const infer::OnnxInput& onnx_input) {
  const Source source = source_of(path);
  if (source == Source::kRun) {
    throw Error(ErrorKind::kConfig, "a run, where a package is wanted", path,
                concat("taut export ", path, " model.taut makes one"));
  }
  const bool is_onnx = source == Source::kOnnx;
  if (!is_onnx) refuse_onnx_input(path, onnx_input);
  OpenedModel opened = is_onnx ? open_onnx(path, onnx_input) : open_package(path);
  const std::string task = opened.model->task;
  for (const ScorerEntry& entry : scorers()) {
    if (entry.task == task) return entry.make(std::move(opened));
  }
  throw Error(ErrorKind::kUnsupported, concat("nothing scores models of the task ", task), path);
}

}  // namespace taut::cli
