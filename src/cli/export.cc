// taut export RUN FILE
#include <iostream>

#include "cli/command.h"
#include "taut/core/units.h"
#include "taut/train/export.h"

namespace taut::cli {
namespace {

using Json = nlohmann::json;

void print(const std::string& file, const Json& result) {
  std::cout << file << ": " << format_bytes(Bytes{result["bytes"].get<std::int64_t>()}) << "\n";
  if (result.contains("operators")) {
    std::cout << "  ONNX, operator set " << result["operator_set"] << ":";
    for (const auto& [name, count] : result["operators"].items()) {
      std::cout << " " << name << " " << count;
    }
    std::cout << "\n";
    return;
  }
  for (const auto& [part, bytes] : result["parts"].items()) {
    std::cout << "  " << part << ": " << format_bytes(Bytes{bytes.get<std::int64_t>()}) << "\n";
  }
}

}  // namespace

Command add_export(CLI::App& root, const Globals& globals) {
  struct Options {
    std::string run;
    std::string file;
  };
  CLI::App* app = root.add_subcommand("export", "Write a trained run as one frozen file");
  auto o = std::make_shared<Options>();
  app->add_option("RUN", o->run, "Folder of the run")->required();
  app->add_option(
         "FILE", o->file,
         "File to write: .onnx for ONNX (a recommender's without its tables), else a package")
      ->required();
  return {app,
          [o, &globals] {
            const Json result = train::export_run(o->run, o->file, globals.threads);
            if (!globals.json) print(o->file, result);
            return Outcome{result};
          },
          /*takes_settings=*/false};
}

}  // namespace taut::cli
