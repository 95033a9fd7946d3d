// taut eval RUN|PACKAGE [--data FILE]
#include <cmath>
#include <filesystem>
#include <iostream>

#include "cli/command.h"
#include "cli/quality.h"
#include "cli/scoring.h"
#include "taut/core/error.h"
#include "taut/data/input_spec.h"
#include "taut/train/metrics.h"
#include "taut/train/run.h"

namespace taut::cli {
namespace {

using Json = nlohmann::json;

Json eval_run(const std::string& run, const std::vector<std::string>& files, int threads) {
  const train::OpenedRun opened = train::open_run(run, threads);
  Json result = train::to_json(opened.evaluate(files));
  result.update(opened.task->memory());
  result["source"] = opened.checkpoint;
  return result;
}

Json eval_package(const std::string& path, const std::vector<std::string>& files, int threads) {
  const infer::Package package(path);
  const Json metadata = Json::parse(package.metadata());
  data::ReaderOptions options = data::parse_input_spec(metadata.at("input"), path);
  options.files = files.empty() ? metadata.at("test").get<std::vector<std::string>>() : files;
  if (options.files.empty()) {
    throw Error(ErrorKind::kConfig, "the package names no test files", path,
                "name one with --data");
  }
  std::vector<float> logits;
  std::vector<float> labels;
  score_stream(package, options, threads,
               [&](const data::Batch& batch, std::span<const float> scores) {
                 for (const float p : scores) logits.push_back(std::log(p / (1 - p)));
                 labels.insert(labels.end(), batch.labels.begin(), batch.labels.end());
               });
  Json result = train::to_json(train::evaluation_of(train::measure_quality(logits, labels)));
  result["full_bytes"] = metadata.at("full_bytes");
  result["source"] = path;
  return result;
}

}  // namespace

Command add_eval(CLI::App& root, const Globals& globals) {
  struct Options {
    std::string source;
    std::vector<std::string> data;
  };
  CLI::App* app = root.add_subcommand("eval", "Quality of a run or package on a data set");
  auto o = std::make_shared<Options>();
  app->add_option("SOURCE", o->source, "Folder of a run, or a package")->required();
  app->add_option("--data", o->data, "Files to use; the config's test files when left out");
  return {app, [o, &globals] {
            const auto evaluate =
                std::filesystem::is_directory(o->source) ? eval_run : eval_package;
            const Json result = evaluate(o->source, o->data, globals.threads);
            if (!globals.json) std::cout << quality_text(result) << "\n";
            return Outcome{result};
          }};
}

}  // namespace taut::cli
