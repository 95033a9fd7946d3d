// taut eval RUN|PACKAGE|MODEL.onnx [--data FILE]
#include <filesystem>
#include <iostream>

#include "cli/command.h"
#include "cli/network_source.h"
#include "cli/quality.h"
#include "cli/scoring.h"

namespace taut::cli {

Command add_eval(CLI::App& root, const Globals& globals) {
  struct Options {
    std::string source;
    std::vector<std::string> data;
    infer::OnnxInput input;
    std::vector<std::string> dimensions;
  };
  CLI::App* app =
      root.add_subcommand("eval", "Quality of a run, package or ONNX file on a data set");
  auto o = std::make_shared<Options>();
  app->add_option("SOURCE", o->source,
                  "Folder of a run, a package, or the .onnx file of an image classifier")
      ->required();
  app->add_option("--data", o->data, "Files to use; the config's test files when left out");
  add_onnx_input_options(*app, o->input, o->dimensions);
  return {app, [o, &globals] {
            o->input.sizes = dimension_sizes(o->dimensions);
            const bool is_run = std::filesystem::is_directory(o->source);
            if (is_run) refuse_onnx_input(o->source, o->input);
            const nlohmann::json result =
                is_run
                    ? globals.evaluate_run(o->source, o->data, globals)
                    : open_scorer(o->source, o->input)
                          ->evaluate(
                              {.files = o->data, .threads = globals.threads, .sets = globals.sets});
            if (!globals.json) std::cout << quality_text(result) << "\n";
            return Outcome{result};
          }};
}

}  // namespace taut::cli
