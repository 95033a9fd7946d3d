#pragma once
// What a command of the shell face is. Each lives in a file of its own: add_X() declares its
// options and returns what to run when it was chosen.

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace taut::cli {

struct Globals;

/// Quality of a run on files; settings as DataSettings takes them. In the program that can open
/// one.
nlohmann::json evaluate_run(const std::string& run, const std::vector<std::string>& files,
                            const Globals& globals);

/// Options that every command takes.
struct Globals {
  bool json = false;              ///< --json: the result as one JSON object on stdout
  int threads = 0;                ///< --threads: 0 means all processors
  std::uint64_t seed = 1;         ///< --seed
  bool seed_given = false;        ///< whether --seed was on the command line
  std::vector<std::string> sets;  ///< --set section.key=value
  /// Quality of a run on files. In taut, which cannot open one, it becomes taut-torch instead.
  std::function<nlohmann::json(const std::string& run, const std::vector<std::string>& files,
                               const Globals& globals)>
      evaluate_run;
};

/// result: printed by main as one object with --json; without it the action prints its own text.
struct Outcome {
  nlohmann::json result;
  int exit_code = 0;
  bool quiet = false;  ///< another process prints the result, or what went wrong
};

using Action = std::function<Outcome()>;

struct Command {
  CLI::App* app;
  Action action;
  /// Whether --set means something to the command; else it is refused.
  bool takes_settings = true;
};

// Commands that need no LibTorch.
Command add_bench(CLI::App& root, const Globals& globals);
Command add_info(CLI::App& root, const Globals& globals);
Command add_init(CLI::App& root, const Globals& globals);
Command add_synth(CLI::App& root, const Globals& globals);
Command add_predict(CLI::App& root, const Globals& globals);
Command add_eval(CLI::App& root, const Globals& globals);
Command add_plan(CLI::App& root, const Globals& globals);
Command add_simulate(CLI::App& root, const Globals& globals);
Command add_figures(CLI::App& root, const Globals& globals);

// Commands that need LibTorch; they live in the program taut-torch, beside taut.
Command add_train(CLI::App& root, const Globals& globals);
Command add_export(CLI::App& root, const Globals& globals);
Command add_dump(CLI::App& root, const Globals& globals);
Command add_sweep(CLI::App& root, const Globals& globals);
Command add_calibrate(CLI::App& root, const Globals& globals);
Command add_tune(CLI::App& root, const Globals& globals);

}  // namespace taut::cli
