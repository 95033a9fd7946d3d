// taut dump RUN|PACKAGE FILE [--data FILES]
#include <iostream>

#include "cli/command.h"
#include "taut/core/units.h"
#include "taut/train/dump.h"

namespace taut::cli {

Command add_dump(CLI::App& root, const Globals& globals) {
  struct Options {
    std::string source;
    std::string path;
    std::vector<std::string> data;
  };
  CLI::App* app = root.add_subcommand("dump", "Write the rows of a run's or package's tables");
  auto o = std::make_shared<Options>();
  app->add_option("SOURCE", o->source, "Folder of a run, or a package")->required();
  app->add_option("FILE", o->path, "File to write: .parquet or .csv")->required();
  app->add_option("--data", o->data,
                  "Files whose ids to look for; a run's training files when left out");
  return {app,
          [o, &globals] {
            const train::DumpedRows dumped =
                train::dump_rows(o->source, o->path, o->data, globals.threads);
            if (!globals.json) {
              std::cout << o->path << ": " << dumped.rows << " rows of " << dumped.ids << " ids, "
                        << format_bytes(Bytes{dumped.bytes}) << "\n";
            }
            return Outcome{{{"file", o->path},
                            {"rows", dumped.rows},
                            {"ids", dumped.ids},
                            {"bytes", dumped.bytes},
                            {"source", dumped.source}}};
          },
          /*takes_settings=*/false};
}

}  // namespace taut::cli
