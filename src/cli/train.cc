// taut train CONFIG --out RUN
#include <iostream>

#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/quality.h"
#include "cli/settings.h"
#include "taut/core/error.h"
#include "taut/core/units.h"
#include "taut/train/run.h"

namespace taut::cli {
namespace {

using Json = nlohmann::json;

void print_summary(const Json& s) {
  for (const char* part : {"valid", "test"}) {
    if (s.contains(part)) std::cout << part << ": " << quality_text(s[part]) << "\n";
  }
  if (s.contains("memory_bytes")) {
    std::cout << "tables: " << s["method"].get<std::string>() << ", "
              << format_bytes(Bytes{s["memory_bytes"].get<std::int64_t>()}) << " of "
              << format_bytes(Bytes{s["full_bytes"].get<std::int64_t>()}) << " for the full ones\n";
  }
  if (s.contains("multiply_adds")) {
    const double dense = s["multiply_adds"]["dense"];
    const double needed = s["multiply_adds"]["needed"];
    std::cout << "network: " << s["model"].get<std::string>() << ", " << s["parameters"]
              << " parameters, " << dense / 1e6 << " M multiply-adds an example, of which "
              << 100 * needed / dense << " % are not by zero\n";
  }
  std::cout << "speed: " << s["examples_per_second"] << " examples/s, " << s["examples"]
            << " examples in " << s["train_seconds"] << " s\n"
            << "run: " << s["run"].get<std::string>() << "\n";
}

}  // namespace

Command add_train(CLI::App& root, const Globals& globals) {
  struct Options {
    std::string config;
    std::string out;
    std::string budget;
    bool resume = false;
  };
  CLI::App* app =
      root.add_subcommand("train", "Train a recommender or an image network from a config");
  auto o = std::make_shared<Options>();
  app->add_option("CONFIG", o->config, "TOML config (taut init writes one)")->required();
  app->add_option("--out", o->out, "Folder of the run")->required();
  app->add_option("--memory-budget", o->budget,
                  "embedding.budget: bytes (16MiB) or a ratio (1/10)");
  app->add_flag("--resume", o->resume, "Go on from the run's last checkpoint");
  return {
      app, [o, &globals] {
        const train::ConfigFile file = train::read_config_file(o->config);
        if (!o->budget.empty() && !train::task_of_config(file).has_tables) {
          throw Error(ErrorKind::kConfig, "--memory-budget is for tables, and this config has none",
                      o->config, "leave it out");
        }
        const Json summary =
            train::train_run({.config = train::load_config(file, run_settings(globals, o->budget)),
                              .run = o->out,
                              .resume = o->resume,
                              .threads = globals.threads,
                              .profile_path = {},
                              .stop = stop_on_signals()});
        if (!globals.json) print_summary(summary);
        return Outcome{summary};
      }};
}

}  // namespace taut::cli
