// taut predict PACKAGE DATA [--out scores.csv|scores.parquet]
#include <algorithm>
#include <iostream>
#include <numeric>

#include "cli/command.h"
#include "cli/scoring.h"
#include "taut/data/input_spec.h"
#include "taut/data/score_writer.h"

namespace taut::cli {
namespace {

using Json = nlohmann::json;

double quantile(const std::vector<double>& sorted, double q) {
  if (sorted.empty()) return 0;
  return sorted[static_cast<std::size_t>(q * static_cast<double>(sorted.size() - 1) + 0.5)];
}

Json latency_json(std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  return {{"p50_microseconds", 1e6 * quantile(seconds, 0.5)},
          {"p90_microseconds", 1e6 * quantile(seconds, 0.9)},
          {"p99_microseconds", 1e6 * quantile(seconds, 0.99)}};
}

}  // namespace

Command add_predict(CLI::App& root, const Globals& globals) {
  struct Options {
    std::string package;
    std::vector<std::string> data;
    std::string out;
    std::int64_t batch = 2048;
  };
  CLI::App* app = root.add_subcommand("predict", "Score data with a package, without LibTorch");
  auto o = std::make_shared<Options>();
  app->add_option("PACKAGE", o->package, "What taut export wrote")->required();
  app->add_option("DATA", o->data, "Files with the model's columns; a label is not needed")
      ->required();
  app->add_option("--out", o->out, "CSV or Parquet file of scores; CSV on stdout when left out");
  app->add_option("--batch", o->batch, "Examples scored at a time")
      ->check(CLI::Range(1, 1 << 24))
      ->capture_default_str();
  return {app, [o, &globals] {
            const infer::Package package(o->package);
            data::ReaderOptions options =
                data::parse_input_spec(Json::parse(package.metadata()).at("input"), o->package);
            options.schema.label.clear();
            options.files = o->data;
            options.batch_size = o->batch;
            const bool silent = globals.json && o->out.empty();
            const auto writer = silent ? nullptr : data::open_scores(o->out);
            std::int64_t rows = 0;
            const std::vector<double> seconds =
                score_stream(package, options, globals.threads,
                             [&](const data::Batch& batch, std::span<const float> probabilities) {
                               rows += batch.size;
                               if (writer != nullptr) writer->write(probabilities);
                             });
            if (writer != nullptr) writer->commit();
            const double total = std::accumulate(seconds.begin(), seconds.end(), 0.0);
            Json result = {
                {"rows", rows},
                {"batch", o->batch},
                {"seconds", total},
                {"examples_per_second", static_cast<double>(rows) / std::max(total, 1e-9)},
                {"latency", latency_json(seconds)}};
            if (!o->out.empty()) result["out"] = o->out;
            return Outcome{result};
          }};
}

}  // namespace taut::cli
