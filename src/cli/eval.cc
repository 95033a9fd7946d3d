// taut eval RUN|PACKAGE [--data FILE]
#include <filesystem>
#include <iostream>

#include "cli/command.h"
#include "cli/scoring.h"
#include "taut/core/error.h"
#include "taut/train/image_run.h"
#include "taut/train/run.h"

namespace taut::cli {
namespace {

using Json = nlohmann::json;

void require_files(const std::vector<std::string>& files, const std::string& run) {
  if (!files.empty()) return;
  throw Error(ErrorKind::kConfig, "the run's config names neither test nor valid files", run,
              "name one with --data");
}

Json eval_run(const std::string& run, const std::vector<std::string>& files, int threads) {
  train::OpenedRun opened = train::open_run(run, threads);
  std::vector<std::string> chosen = files;
  if (chosen.empty()) chosen = opened.config.data.test;
  if (chosen.empty()) chosen = opened.config.data.valid;
  require_files(chosen, run);
  Json result = train::to_json(
      opened.model->evaluate(train::reader_options(opened.config, chosen, opened.profile)));
  result["memory_bytes"] = opened.model->memory_bytes();
  result["full_bytes"] = opened.model->full_bytes();
  result["source"] = opened.checkpoint;
  return result;
}

Json eval_image_run(const std::string& run, const std::vector<std::string>& files, int threads) {
  const train::OpenedImageRun opened = train::open_image_run(run, threads);
  std::vector<std::string> chosen = files;
  if (chosen.empty()) chosen = opened.config.data.test;
  if (chosen.empty()) chosen = opened.config.data.valid;
  require_files(chosen, run);
  Json result = train::to_json(train::evaluate(*opened.network,
                                               train::read_run_images(opened, chosen, threads),
                                               opened.normalization, threads));
  result["source"] = opened.checkpoint;
  return result;
}

Json evaluated(const std::string& source, const std::vector<std::string>& files, int threads) {
  if (!std::filesystem::is_directory(source)) {
    return open_scorer(source)->evaluate({.files = files, .threads = threads});
  }
  const std::string config = source + "/config.toml";
  const bool images =
      std::filesystem::exists(config) && train::config_task(config) == train::kImageTask;
  return images ? eval_image_run(source, files, threads) : eval_run(source, files, threads);
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
            const Json result = evaluated(o->source, o->data, globals.threads);
            if (!globals.json && result.contains("top1")) {
              std::cout << "top-1 " << result["top1"] << ", log loss " << result["log_loss"] << " ("
                        << result["examples"] << " images)\n";
            } else if (!globals.json) {
              std::cout << "AUC " << result["auc"] << ", log loss " << result["log_loss"]
                        << ", normalized entropy " << result["normalized_entropy"] << " ("
                        << result["examples"] << " examples)\n";
            }
            return Outcome{result};
          }};
}

}  // namespace taut::cli
