// taut export RUN PACKAGE
#include <iostream>

#include "cli/command.h"
#include "taut/core/units.h"
#include "taut/infer/package.h"
#include "taut/train/run.h"

namespace taut::cli {
namespace {

using Json = nlohmann::json;

// Bytes of each part of a package: what stands before the first slash of a section's name.
Json part_bytes(const SectionReader& file) {
  Json parts = Json::object();
  for (const std::string& name : file.names()) {
    const std::string part = name.substr(0, name.find('/'));
    parts[part] = parts.value(part, std::int64_t{0}) + file.section_bytes(name).count;
  }
  return parts;
}

}  // namespace

Command add_export(CLI::App& root, const Globals& globals) {
  struct Options {
    std::string run;
    std::string package;
  };
  CLI::App* app = root.add_subcommand("export", "Write a trained run as one frozen package");
  auto o = std::make_shared<Options>();
  app->add_option("RUN", o->run, "Folder of the run")->required();
  app->add_option("PACKAGE", o->package, "File to write")->required();
  return {app, [o, &globals] {
            const train::OpenedRun run = train::open_run(o->run, globals.threads);
            const Bytes size =
                run.model->export_package(o->package, train::package_metadata(run).dump());
            const infer::Package package(o->package);
            const Json result = {{"package", o->package},
                                 {"bytes", size.count},
                                 {"parts", part_bytes(package.file())},
                                 {"source", run.checkpoint}};
            if (!globals.json) {
              std::cout << o->package << ": " << format_bytes(size) << "\n";
              for (const auto& [part, bytes] : result["parts"].items()) {
                std::cout << "  " << part << ": " << format_bytes(Bytes{bytes.get<std::int64_t>()})
                          << "\n";
              }
            }
            return Outcome{result};
          }};
}

}  // namespace taut::cli
