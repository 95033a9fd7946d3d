// taut eval RUN|PACKAGE [--data FILE]
#include <filesystem>
#include <iostream>

#include "cli/command.h"
#include "cli/quality.h"
#include "cli/scoring.h"
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
  return open_scorer(path)->evaluate({.files = files, .threads = threads});
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
