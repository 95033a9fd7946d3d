// taut synth FILE [--rows N] [--ids N,N,...] [--split 0.8,0.1,0.1] ...
#include "taut/data/synth.h"

#include <iostream>
#include <memory>

#include "cli/command.h"
#include "taut/core/progress.h"
#include "taut/core/text.h"
#include "taut/core/units.h"

namespace taut::cli {
namespace {

using Json = nlohmann::json;

Json result_json(const data::SynthResult& result, const data::SynthOptions& options) {
  Json files = Json::array();
  for (const data::SynthFile& file : result.files) {
    files.push_back({{"file", file.path},
                     {"rows", file.rows},
                     {"positive_rows", file.positive_rows},
                     {"bytes", file.bytes},
                     {"bayes_auc", file.bayes_auc}});
  }
  return {{"rows", result.rows},
          {"bytes", result.bytes},
          {"positive_rate", result.positive_rate},
          {"bayes_auc", result.bayes_auc},
          {"test_bayes_auc", result.files.back().bayes_auc},
          {"ids", result.ids},
          {"seed", options.seed},
          {"files", files}};
}

void print_result(const data::SynthResult& result) {
  for (const data::SynthFile& file : result.files) {
    std::cout << file.path << ": " << file.rows << " rows, " << format_bytes({file.bytes})
              << ", best possible AUC " << file.bayes_auc << "\n";
  }
  std::cout << "all: " << result.rows << " rows, " << format_bytes({result.bytes})
            << ", positive rate " << result.positive_rate << ", best possible AUC "
            << result.bayes_auc << std::endl;
}

struct Options {
  data::SynthOptions synth;
  std::string split;
};

constexpr const char* kUsualSplit = "0.8,0.1,0.1";

std::vector<double> parse_shares(const std::string& text) {
  std::vector<double> shares;
  for (const std::string& part : split(text, ',')) shares.push_back(parse_ratio(part).value);
  return shares;
}

void add_options(CLI::App& app, Options& options) {
  data::SynthOptions& o = options.synth;
  app.add_option("FILE", o.path, "What to write: *.parquet or *.csv")->required();
  app.add_option("--rows", o.rows, "Rows of all files together")->capture_default_str();
  app.add_option("--columns", o.categorical, "Categorical columns")->capture_default_str();
  app.add_option("--dense", o.dense, "Dense columns")->capture_default_str();
  app.add_option("--ids", o.ids, "Ids of all categorical columns together, or of each (N,N,...)")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--exponent", o.exponent, "Exponent of the ids' Zipf law; 0: all as frequent")
      ->capture_default_str();
  app.add_option("--multi-columns", o.multi_columns,
                 "So many of the columns, the last, are lists of ids")
      ->capture_default_str();
  app.add_option("--multi-ids", o.multi_ids, "Most ids of such a list")->capture_default_str();
  app.add_option("--factors", o.factors, "Numbers in each id's hidden vector")
      ->capture_default_str();
  app.add_option("--drift", o.drift, "Quarter turns of the hidden vectors over all rows")
      ->capture_default_str();
  app.add_option("--auc", o.bayes_auc, "The best possible AUC to aim at")->capture_default_str();
  app.add_option("--positive-rate", o.positive_rate, "Share of rows with label 1")
      ->capture_default_str();
  app.add_option("--split", options.split,
                 "Write train.*, valid.* and test.* into FILE's folder instead of FILE, with these "
                 "shares of "
                 "the rows (0.8,0.1,0.1 when none are given)")
      ->expected(0, 1);
}

}  // namespace

Command add_synth(CLI::App& root, const Globals& globals) {
  CLI::App* app =
      root.add_subcommand("synth", "Write synthetic click data whose best possible AUC is known");
  auto o = std::make_shared<Options>();
  add_options(*app, *o);
  return {app,
          [app, o, &globals] {
            data::SynthOptions& options = o->synth;
            options.seed = globals.seed;
            options.threads = globals.threads;
            if (app->count("--split") > 0) {
              options.split = parse_shares(o->split.empty() ? kUsualSplit : o->split);
            }
            ProgressBar bar("synth", options.rows, "rows");
            const data::SynthResult result =
                data::write_synthetic(options, [&bar](std::int64_t rows) { bar.update(rows); });
            if (!globals.json) print_result(result);
            return Outcome{result_json(result, options)};
          },
          /*takes_settings=*/false};
}

}  // namespace taut::cli
