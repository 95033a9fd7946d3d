// taut eval RUN|PACKAGE [--data FILE]
#include <filesystem>
#include <iostream>

#include "cli/command.h"
#include "cli/scoring.h"

namespace taut::cli {
namespace {

using Json = nlohmann::json;

void print(const Json& result) {
  if (result.contains("top1")) {
    std::cout << "top-1 " << result["top1"] << ", log loss " << result["log_loss"] << " ("
              << result["examples"] << " images)\n";
  } else {
    std::cout << "AUC " << result["auc"] << ", log loss " << result["log_loss"]
              << ", normalized entropy " << result["normalized_entropy"] << " ("
              << result["examples"] << " examples)\n";
  }
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
            const Json result = std::filesystem::is_directory(o->source)
                                    ? globals.evaluate_run(o->source, o->data, globals.threads)
                                    : open_scorer(o->source)->evaluate(
                                          {.files = o->data, .threads = globals.threads});
            if (!globals.json) print(result);
            return Outcome{result};
          }};
}

}  // namespace taut::cli
