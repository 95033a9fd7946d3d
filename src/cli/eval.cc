// taut eval RUN|PACKAGE [--data FILE]
#include <filesystem>
#include <iostream>

#include "cli/command.h"
#include "cli/quality.h"
#include "cli/scoring.h"

namespace taut::cli {

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
            const nlohmann::json result =
                std::filesystem::is_directory(o->source)
                    ? globals.evaluate_run(o->source, o->data, globals)
                    : open_scorer(o->source)->evaluate(
                          {.files = o->data, .threads = globals.threads, .sets = globals.sets});
            if (!globals.json) std::cout << quality_text(result) << "\n";
            return Outcome{result};
          }};
}

}  // namespace taut::cli
