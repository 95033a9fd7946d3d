// taut train CONFIG --out RUN
#include <iostream>

#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/settings.h"
#include "taut/core/text.h"
#include "taut/core/units.h"
#include "taut/train/run.h"

namespace taut::cli {
namespace {

using Json = nlohmann::json;

void print_summary(const Json& s) {
  const auto quality = [&](const char* part) {
    if (!s.contains(part)) return;
    std::cout << part << ": AUC " << s[part]["auc"] << ", log loss " << s[part]["log_loss"]
              << ", normalized entropy " << s[part]["normalized_entropy"] << " ("
              << s[part]["examples"] << " examples)\n";
  };
  quality("valid");
  quality("test");
  std::cout << "tables: " << s["method"].get<std::string>() << ", "
            << format_bytes(Bytes{s["memory_bytes"].get<std::int64_t>()}) << " of "
            << format_bytes(Bytes{s["full_bytes"].get<std::int64_t>()}) << " for the full ones\n"
            << "speed: " << s["examples_per_second"] << " examples/s, " << s["examples"]
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
      root.add_subcommand("train", "Train a recommender from a config, within its budget");
  auto o = std::make_shared<Options>();
  app->add_option("CONFIG", o->config, "TOML config (taut init writes one)")->required();
  app->add_option("--out", o->out, "Folder of the run")->required();
  app->add_option("--memory-budget", o->budget,
                  "embedding.budget: bytes (16MiB) or a ratio (1/10)");
  app->add_flag("--resume", o->resume, "Go on from the run's last checkpoint");
  return {app, [o, &globals] {
            train::RunOptions run{
                .config = train::load_config(o->config, run_settings(globals, o->budget)),
                .run = o->out,
                .resume = o->resume,
                .threads = globals.threads,
                .profile_path = {},
                .stop = stop_on_signals()};
            const Json summary = train::train_run(run);
            if (!globals.json) print_summary(summary);
            return Outcome{summary};
          }};
}

}  // namespace taut::cli
