// taut train CONFIG --out RUN, by one process or by the workers that torchrun starts.
#include <iostream>

#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/quality.h"
#include "cli/settings.h"
#include "cli/toml_kind.h"
#include "cli/workers.h"
#include "taut/core/error.h"
#include "taut/core/text.h"
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
              << " parameters, " << fixed_text(dense / 1e6, 3)
              << " M multiply-adds an example, of which " << fixed_text(100 * needed / dense, 1)
              << " % are not by zero\n";
  }
  if (s.contains("workers")) {
    std::cout << "workers: " << s["workers"]["count"] << ", plan "
              << s["workers"]["plan"].get<std::string>() << "\n";
  }
  const Json& rate = s["examples_per_second"];  // null where no time went by
  std::cout << "speed: " << (rate.is_null() ? "?" : fixed_text(rate.get<double>(), 0))
            << " examples/s, " << s["examples"] << " examples in "
            << fixed_text(s["train_seconds"].get<double>(), 2) << " s\n"
            << "run: " << s["run"].get<std::string>() << "\n";
}

struct TrainOptions {
  std::string config;
  std::string out;
  std::string budget;
  std::string plan;
  std::string cluster;
  double worker_timeout_seconds = 600;
  std::int64_t trace_step = 0;
  bool resume = false;
};

// A plan is run by workers.
train::PlanChoice plan_of(const TrainOptions& options) {
  train::PlanChoice choice;
  if (!options.plan.empty()) choice.plan = options.plan;
  choice.cluster = options.cluster;
  if (!options.cluster.empty()) expect_toml(options.cluster, TomlKind::kCluster);
  const bool asked = !options.plan.empty() || !options.cluster.empty();
  if (!asked || dist::environment_of_torchrun()) return choice;
  throw Error(ErrorKind::kConfig, "a plan is for several workers, and this process is alone",
              "--plan", "start it by torchrun --no-python --nproc-per-node N taut train ...");
}

Outcome train_together(const TrainOptions& options, const Globals& globals) {
  expect_toml(options.config, TomlKind::kConfig);
  const train::ConfigFile file = train::read_config_file(options.config);
  if (!options.budget.empty() && !train::task_of_config(file).has_tables) {
    throw Error(ErrorKind::kConfig, "--memory-budget is for tables, and this config has none",
                options.config, "leave it out");
  }
  const auto config = train::load_config(file, run_settings(globals, options.budget));
  const train::PlanChoice plan = plan_of(options);
  const auto workers = meet_workers(options.worker_timeout_seconds);
  return run_together(workers.get(), [&] {
    const Json summary = train::train_run({.config = config,
                                           .run = options.out,
                                           .resume = options.resume,
                                           .threads = threads_of_worker(globals.threads),
                                           .profile_path = {},
                                           .stop = stop_on_signals(),
                                           .workers = workers,
                                           .plan = plan,
                                           .trace_step = options.trace_step});
    const bool leads = workers == nullptr || workers->rank() == 0;
    if (leads && !globals.json) print_summary(summary);
    return Outcome{.result = summary};
  });
}

}  // namespace

Command add_train(CLI::App& root, const Globals& globals) {
  CLI::App* app =
      root.add_subcommand("train", "Train a recommender or an image network from a config");
  auto o = std::make_shared<TrainOptions>();
  app->add_option("CONFIG", o->config, "TOML config (taut init writes one)")->required();
  app->add_option("--out", o->out, "Folder of the run")->required();
  app->add_option("--memory-budget", o->budget,
                  "embedding.budget: bytes (16MiB) or a ratio (1/10)");
  app->add_flag("--resume", o->resume, "Go on from the run's last checkpoint");
  app->add_option("--plan", o->plan,
                  "How workers share the network: dp (data parallel, the default), mp, owt, auto "
                  "(planned for --cluster) or a plan.json");
  app->add_option(
      "--cluster", o->cluster,
      "Cluster file (taut calibrate): --plan auto is planned for it, and the seconds of "
      "a step under any plan that splits layers are predicted for it");
  app->add_option("--trace-step", o->trace_step,
                  "Step, from 1, whose exchanges by all workers go to RUN/trace.json (Perfetto)")
      ->check(CLI::NonNegativeNumber);
  add_worker_timeout(*app, o->worker_timeout_seconds);
  return {app, [o, &globals] { return train_together(*o, globals); }};
}

}  // namespace taut::cli
