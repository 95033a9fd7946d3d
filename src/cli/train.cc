// taut train CONFIG --out RUN
#include <iostream>

#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/settings.h"
#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/core/units.h"
#include "taut/train/image_run.h"
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

Json train_recommender(const std::string& config, const std::string& out, const std::string& budget,
                       bool resume, const Globals& globals) {
  const train::RunOptions run{.config = train::load_config(config, run_settings(globals, budget)),
                              .run = out,
                              .resume = resume,
                              .threads = globals.threads,
                              .profile_path = {},
                              .stop = stop_on_signals()};
  const Json summary = train::train_run(run);
  if (!globals.json) print_summary(summary);
  return summary;
}

void print_image_summary(const Json& s) {
  for (const char* part : {"valid", "test"}) {
    if (!s.contains(part)) continue;
    std::cout << part << ": top-1 " << s[part]["top1"] << ", log loss " << s[part]["log_loss"]
              << " (" << s[part]["examples"] << " images)\n";
  }
  const double dense = s["multiply_adds"]["dense"];
  const double needed = s["multiply_adds"]["needed"];
  std::cout << "network: " << s["model"].get<std::string>() << ", " << s["parameters"]
            << " parameters, " << dense / 1e6 << " M multiply-adds an image, of which "
            << 100 * needed / dense << " % are not by zero\n"
            << "speed: " << s["examples_per_second"] << " images/s, " << s["examples"]
            << " images in " << s["train_seconds"] << " s\n"
            << "run: " << s["run"].get<std::string>() << "\n";
}

Json train_images(const std::string& config, const std::string& out, const std::string& budget,
                  bool resume, const Globals& globals) {
  if (!budget.empty()) {
    throw Error(ErrorKind::kConfig, "--memory-budget is for tables, and this config has none",
                config, "leave it out");
  }
  const train::ImageRunOptions run{
      .config = train::load_image_config(config, run_settings(globals, {})),
      .run = out,
      .resume = resume,
      .threads = globals.threads,
      .stop = stop_on_signals()};
  const Json summary = train::train_image_run(run);
  if (!globals.json) print_image_summary(summary);
  return summary;
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
  return {app, [o, &globals] {
            const auto train = train::config_task(o->config) == train::kImageTask
                                   ? train_images
                                   : train_recommender;
            return Outcome{train(o->config, o->out, o->budget, o->resume, globals)};
          }};
}

}  // namespace taut::cli
