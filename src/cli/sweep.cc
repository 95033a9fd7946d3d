// taut sweep CONFIG --methods full,hash,elastic --budgets 1/4,1/10 --seeds 3
#include <iostream>

#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/settings.h"
#include "cli/toml_kind.h"
#include "taut/core/error.h"
#include "taut/train/sweep.h"

namespace taut::cli {

Command add_sweep(CLI::App& root, const Globals& globals) {
  struct Options {
    std::string config;
    std::string out;
    std::string methods = "full,hash,elastic";
    std::string budgets = "1/4,1/10,1/100";
    int seeds = 3;
  };
  CLI::App* app = root.add_subcommand("sweep", "Train over methods, budgets and seeds and compare");
  auto o = std::make_shared<Options>();
  app->add_option("CONFIG", o->config, "TOML config")->required();
  app->add_option("--out", o->out, "Folder for all runs, results.csv and sweep.html")->required();
  app->add_option("--methods", o->methods, "Methods, separated by commas")->capture_default_str();
  app->add_option("--budgets", o->budgets, "Budgets, separated by commas")->capture_default_str();
  app->add_option("--seeds", o->seeds, "Number of seeds, from --seed on")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  return {app, [o, &globals] {
            expect_toml(o->config, TomlKind::kConfig);
            const train::ConfigFile file = train::read_config_file(o->config);
            if (!train::task_of_config(file).has_tables) {
              throw Error(ErrorKind::kUnsupported,
                          "a sweep is over methods and budgets of tables, and this config has none",
                          o->config);
            }
            train::SweepOptions sweep{.config = train::load_config(file, run_settings(globals, {})),
                                      .folder = o->out,
                                      .methods = comma_list(o->methods),
                                      .budgets = comma_list(o->budgets),
                                      .seeds = {},
                                      .threads = globals.threads,
                                      .stop = stop_on_signals()};
            for (int i = 0; i < o->seeds; ++i) {
              sweep.seeds.push_back(sweep.config->train.seed + static_cast<std::uint64_t>(i));
            }
            const nlohmann::json result = train::run_sweep(sweep);
            if (!globals.json) {
              std::cout << train::format_sweep_table(result) << "page: " << o->out
                        << "/sweep.html\n";
            }
            return Outcome{result};
          }};
}

}  // namespace taut::cli
