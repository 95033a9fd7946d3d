// The command `taut`, and `taut-torch` behind it. Commands that need LibTorch live in the second
// program, which the first one becomes when it is asked for one of them: so the others start at
// once.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <limits>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>

#include "cli/command.h"
#include "cli/network_source.h"
#include "cli/process.h"
#include "cli/version.h"
#include "core/json_text.h"
#include "taut/core/error.h"
#include "taut/core/memory.h"
#include "taut/core/text.h"
#if defined(TAUT_CLI_TORCH)
#include "taut/dist/process_group.h"
#include "taut/train/config.h"
#endif

namespace taut::cli {
namespace {

constexpr int kMostThreads = 1024;  // of a pool

struct TorchCommand {
  const char* name;
  const char* summary;
};

constexpr std::array<TorchCommand, 6> kTorchCommands = {{
    {"train", "Train a recommender or an image network from a config"},
    {"export", "Write a trained run as one frozen file"},
    {"dump", "Write the rows of a run's or package's tables"},
    {"sweep", "Train over methods, budgets and seeds and compare"},
    {"tune", "Find winner rates by layer for a trained network"},
    {"calibrate", "Measure the links and the speed of workers for taut plan --cluster"},
}};

// The first argument that is not an option.
const char* command_word(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (argv[i][0] != '-') return argv[i];
  }
  return "";
}

#if !defined(TAUT_CLI_TORCH)
bool is_torch_command(std::string_view name) {
  return std::any_of(kTorchCommands.begin(), kTorchCommands.end(),
                     [&](const TorchCommand& command) { return name == command.name; });
}

// Becomes taut-torch with the same arguments; returns only by throwing.
[[noreturn]] void become_torch_program(int argc, char** argv) {
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe");
  const std::string program = (self.parent_path() / "taut-torch").string();
  ::execv(program.c_str(), argv);
  throw Error(ErrorKind::kUnsupported,
              concat("this use of \"", command_word(argc, argv), "\" needs LibTorch"), program,
              "build with TAUT_TORCH=ON");
}
#endif

void add_globals(CLI::App& command, Globals& globals) {
  command.add_flag("--json", globals.json, "Print the result as one JSON object on stdout");
  command.add_option("--threads", globals.threads, "Threads to use; 0 means all processors")
      ->check(CLI::Range(0, kMostThreads))
      ->capture_default_str();
  command.add_option("--seed", globals.seed, "Seed of everything random")
      ->capture_default_str()
      ->each([&globals](const std::string&) { globals.seed_given = true; });
  command
      .add_option("--set", globals.sets, "Lay section.key=value over the config; may be repeated")
      ->allow_extra_args(false);
}

// What is wrong with a text that Number cannot hold; "" for others, also for what is no number.
template <typename Number>
std::string beyond(const std::string& text) {
  Number number{};
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  const bool below = std::is_unsigned_v<Number> && text.starts_with('-');
  if (error != std::errc::result_out_of_range && !below) return {};
  using Limits = std::numeric_limits<Number>;
  return concat("must be a whole number from ", Limits::min(), " to ", Limits::max(), ", got ",
                text);
}

// The library would take the nearest number that it can hold, or count on from the other end.
void refuse_beyond(CLI::App& command) {
  for (CLI::Option* option : command.get_options()) {
    const std::string type = option->get_type_name();
    if (type.starts_with("INT")) option->check(beyond<std::int64_t>);
    if (type.starts_with("UINT")) option->check(beyond<std::uint64_t>);
  }
}

std::vector<Command> add_commands(CLI::App& root, const Globals& globals) {
  std::vector<Command> commands;
#if defined(TAUT_CLI_TORCH)
  for (const auto add : {add_train, add_export, add_dump, add_sweep, add_tune, add_calibrate}) {
    commands.push_back(add(root, globals));
  }
#endif
  std::vector<Command (*)(CLI::App&, const Globals&)> light = {add_info, add_bench, add_plan,
                                                               add_simulate, add_figures};
#if defined(TAUT_CLI_DATA)
  light.insert(light.begin() + 1, {add_init, add_synth, add_predict, add_eval});
#endif
  for (const auto add : light) commands.push_back(add(root, globals));
  return commands;
}

[[noreturn]] void throw_unknown_command(const std::string& name,
                                        const std::vector<Command>& commands) {
  std::vector<std::string> known;
  for (const TorchCommand& command : kTorchCommands) known.emplace_back(command.name);
  for (const Command& command : commands) known.push_back(command.app->get_name());
  throw Error(ErrorKind::kConfig, concat("unknown command \"", name, "\""), {},
              suggest(name, known));
}

std::vector<std::string> commands_of(const CLI::App& root) {
  std::vector<std::string> names;
  for (const CLI::App* command : root.get_subcommands({})) names.push_back(command->get_name());
  return names;
}

// CLI11's complaint about an unknown option, with the nearest known one.
[[noreturn]] void throw_bad_option(const CLI::ParseError& failed, const CLI::App& root) {
  std::vector<std::string> known;
  const std::vector<CLI::App*> chosen = root.get_subcommands();
  if (chosen.empty()) {
    throw Error(ErrorKind::kConfig, failed.what(), "taut",
                concat("say what to do: taut ", join(commands_of(root), "|"),
                       "; taut --help tells what each does"));
  }
  for (const CLI::Option* option : chosen.front()->get_options()) {
    known.push_back(option->get_name());
  }
  std::string mend = concat("see taut ", chosen.front()->get_name(), " --help");
  for (const std::string& extra : chosen.front()->remaining()) {
    const std::string near = nearest_name(extra, known);
    if (extra.starts_with('-') && !near.empty()) mend = concat("did you mean ", near, "?");
  }
  throw Error(ErrorKind::kConfig, failed.what(), "taut " + chosen.front()->get_name(), mend);
}

int run(int argc, char** argv) {
  const std::string word = command_word(argc, argv);
  Globals globals;
#if defined(TAUT_CLI_TORCH)
  set_config_reader(train::network_of_config);
  globals.evaluate_run = evaluate_run;
#else
  if (is_torch_command(word)) become_torch_program(argc, argv);
  set_config_reader([=](const std::string&, std::span<const std::string>) -> graph::Network {
    become_torch_program(argc, argv);
  });
  globals.evaluate_run = [=](const std::string&, const std::vector<std::string>&,
                             const Globals&) -> nlohmann::json {
    become_torch_program(argc, argv);
  };
#endif
  CLI::App root("Trains and serves deep models inside a budget of memory, compute and bandwidth.",
                "taut");
  root.set_version_flag("--version", std::string("taut ") + kVersion);
  root.require_subcommand(1);
  const std::vector<Command> commands = add_commands(root, globals);
  for (const Command& command : commands) {
    add_globals(*command.app, globals);
    refuse_beyond(*command.app);
  }
#if !defined(TAUT_CLI_TORCH)
  for (const TorchCommand& command : kTorchCommands)
    root.add_subcommand(command.name, command.summary);
#endif
  try {
    root.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    return root.exit(help);
  } catch (const CLI::CallForAllHelp& help) {
    return root.exit(help);
  } catch (const CLI::CallForVersion& version) {
    return root.exit(version);
  } catch (const CLI::ParseError& failed) {
    const bool known = std::any_of(commands.begin(), commands.end(), [&](const Command& command) {
      return command.app->get_name() == word;
    });
    if (!word.empty() && !known) throw_unknown_command(word, commands);
    throw_bad_option(failed, root);
  }
  for (const Command& command : commands) {
    if (!command.app->parsed()) continue;
    if (!command.takes_settings && !globals.sets.empty()) {
      throw Error(ErrorKind::kConfig,
                  concat("taut ", command.app->get_name(), " takes no settings, got \"",
                         globals.sets.front(), "\""),
                  "--set", "leave it out");
    }
    const Outcome outcome = command.action();
    if (globals.json && !outcome.quiet) std::cout << json_text(outcome.result, 2) << std::endl;
    return outcome.exit_code;
  }
  return 0;
}

// One line of an error, whatever its text holds.
int fail(std::string_view message, int code) {
  std::fprintf(stderr, "error: %s\n", one_line(message).c_str());
  return code;
}

int out_of_memory() {
  return fail(concat("out of memory, there are ", format_bytes(memory_there()),
                     " for this process, make the model, the batch or the files smaller"),
              1);
}

// What LibTorch and others throw: the first line, without the stack that follows it.
int foreign_failure(std::string_view message) {
  const std::string_view line = message.substr(0, message.find('\n'));
  constexpr std::string_view kAsked = "you tried to allocate ";
  const std::size_t at = line.find(kAsked);
  if (at == std::string_view::npos) return fail(concat("internal: ", line), 1);
  const std::string_view number = line.substr(at + kAsked.size());
  std::int64_t asked = 0;
  std::from_chars(number.data(), number.data() + number.size(), asked);
  return fail(concat("out of memory: ", format_bytes(Bytes{asked}),
                     " more were asked for, there are ", format_bytes(memory_there()),
                     " for this process, make the model or the batch smaller"),
              2);
}

int guarded(int argc, char** argv) {
  try {
    return run(argc, argv);
#if defined(TAUT_CLI_TORCH)
  } catch (const dist::WorkerLost& lost) {  // nothing that is mended here
    return fail(lost.what(), 1);
#endif
  } catch (const Error& failed) {
    // Results that cannot be written are not the user's to mend in what was asked.
    return fail(failed.what(), std::ferror(stdout) != 0 ? 1 : exit_code(failed.kind()));
  } catch (const std::bad_alloc&) {
    return out_of_memory();
  } catch (const std::filesystem::filesystem_error& failed) {
    return fail(concat("cannot use the path: ", failed.code().message(), ", ",
                       failed.path1().string(), ", check it"),
                2);
  } catch (const std::system_error& failed) {  // threads that cannot be started and the like
    return fail(concat("the system refuses: ", failed.what()), 1);
  } catch (const std::exception& failed) {
    return foreign_failure(failed.what());
  }
}

}  // namespace
}  // namespace taut::cli

int main(int argc, char** argv) {
  taut::cli::prepare_process();
  const int code = taut::cli::guarded(argc, argv);
  const std::optional<std::string> failed = taut::cli::flush_output();
  if (!failed || code != 0) return code;
  return taut::cli::fail("cannot write the result: " + *failed + ", standard output", 1);
}
