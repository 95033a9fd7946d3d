// taut init FILE [--out CONFIG] [--label NAME] [--skip A,B] [--format F]
#include "taut/data/init.h"

#include <array>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cli/command.h"
#include "cli/settings.h"
#include "taut/core/error.h"
#include "taut/core/file.h"
#include "taut/core/log.h"
#include "taut/core/text.h"

namespace taut::cli {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

Json guess_json(const data::SchemaGuess& guess, const std::string& config) {
  Json columns = Json::array();
  for (const data::ColumnGuess& column : guess.columns) {
    columns.push_back({{"name", column.name},
                       {"type", column.type},
                       {"role", spelling_of(column.role)},
                       {"reason", column.reason}});
  }
  return {{"file", guess.path}, {"format", guess.format},     {"sampled_rows", guess.sampled_rows},
          {"rows", guess.rows}, {"warnings", guess.warnings}, {"columns", columns},
          {"config", config}};
}

// --set data.KEY of what the options say: format, label and how text is read.
void take_setting(const std::string& setting, data::GuessHints& hints) {
  std::string encoding;
  const std::vector<std::string> names = {"data.format",         "data.label",     "data.separator",
                                          "data.list_separator", "data.thousands", "data.encoding"};
  const std::array<std::string*, 6> values = {&hints.format,         &hints.label,
                                              &hints.text.separator, &hints.text.list_separator,
                                              &hints.text.thousands, &encoding};
  KnownSetting given = known_setting(setting, names);
  *values[given.key] = std::move(given.value);
  if (!encoding.empty()) {
    hints.text.encoding = parse_spelling<data::Encoding>(encoding, ErrorKind::kConfig, "encoding",
                                                         "--set data.encoding");
  }
}

}  // namespace

Command add_init(CLI::App& root, const Globals& globals) {
  struct Options {
    std::string file;
    std::string out;
    std::string encoding = "auto";
    data::GuessHints hints;
  };
  CLI::App* app =
      root.add_subcommand("init", "Look at a data file and write a config that trains on it");
  auto o = std::make_shared<Options>();
  app->add_option("FILE", o->file,
                  "Parquet, CSV or TSV; if it is train.*, valid.* and test.* beside it are used")
      ->required();
  app->add_option("--out", o->out,
                  "The config to write, with paths relative to it; stdout when left out");
  app->add_option("--label", o->hints.label, "The label column; guessed when left out");
  app->add_option("--skip", o->hints.skip, "Columns to leave out (A,B,...)")->delimiter(',');
  app->add_option(
      "--separator", o->hints.text.separator,
      "Between fields of text: one character, or tab; told from the file when left out");
  app->add_option("--list-separator", o->hints.text.list_separator,
                  "What cuts texts into lists of ids; told from the file when left out");
  app->add_option("--thousands", o->hints.text.thousands,
                  "What stands between the thousands of numbers; told from the file when left out");
  app->add_option("--na", o->hints.text.na_values, "Texts that mean a missing value (A,B,...)")
      ->delimiter(',');
  app->add_option("--encoding", o->encoding,
                  "utf-8, utf-16, latin-1 or windows-1252; told from the file when left out");
  app->add_option("--format", o->hints.format,
                  "parquet, csv, tsv or criteo; by the file's ending when left out");
  return {app, [o, &globals] {
            o->hints.text.encoding = parse_spelling<data::Encoding>(o->encoding, ErrorKind::kConfig,
                                                                    "encoding", "--encoding");
            for (const std::string& setting : globals.sets) take_setting(setting, o->hints);
            const data::SchemaGuess guess = data::guess_schema(o->file, o->hints);
            for (const std::string& warning : guess.warnings) log_warning(warning);
            const fs::path out(o->out);
            const std::string base =
                o->out.empty() ? "" : (out.has_parent_path() ? out.parent_path().string() : ".");
            const std::string config = data::starter_config(guess, base);
            if (!o->out.empty()) {
              if (fs::exists(out)) {
                throw Error(ErrorKind::kConfig, "the config is there already", o->out,
                            "remove it or choose another name");
              }
              write_file(o->out, config);
            } else if (!globals.json) {
              std::cout << config << std::flush;
            }
            return Outcome{guess_json(guess, config)};
          }};
}

}  // namespace taut::cli
