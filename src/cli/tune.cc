// taut tune RUN --accuracy-drop 0.5%
#include "taut/train/tune.h"

#include <algorithm>
#include <iostream>
#include <memory>

#include "cli/command.h"
#include "cli/planning.h"
#include "cli/settings.h"
#include "taut/core/file.h"
#include "taut/core/text.h"

namespace taut::cli {
namespace {

using Json = nlohmann::json;

std::string per_cent(const Json& share) {
  return fixed_text(100 * share.get<double>(), 2);
}

void print(const Json& found) {
  std::vector<std::vector<std::string>> rows = {{"layer", "M read", "before", "rate"}};
  std::vector<double> shown;
  for (const Json& site : found["sites"]) {
    for (const Json& one : site["sensitivity"]) shown.push_back(one["rate"]);
  }
  std::sort(shown.begin(), shown.end(), std::greater<>());
  shown.erase(std::unique(shown.begin(), shown.end()), shown.end());
  for (const double rate : shown) rows[0].push_back(concat("at ", rate));
  for (const Json& site : found["sites"]) {
    std::vector<std::string> row = {site["layer"].get<std::string>(),
                                    concat(site["multiply_adds"].get<double>() / 1e6),
                                    concat(site["rate_before"]), concat(site["rate"])};
    for (const double rate : shown) {
      std::string cell;
      for (const Json& one : site["sensitivity"]) {
        if (one["rate"] == rate) cell = per_cent(one["top1"]);
      }
      row.push_back(cell);
    }
    rows.push_back(row);
  }
  const Json& work = found["multiply_adds"];
  const auto millions = [](const Json& value) { return value.get<double>() / 1e6; };
  std::cout << "top-1 in per cent on " << found["images"] << " images with one layer alone at a "
            << "rate, unit " << found["unit"].get<std::string>() << ":\n"
            << aligned_table(rows) << "M multiply-adds an image: " << millions(work["dense"])
            << " dense, " << millions(work["before"]) << " before, " << millions(work["after"])
            << " predicted (" << millions(work["measured"])
            << " measured): " << found["predicted_speedup"].get<double>() << " times fewer\n"
            << "top-1: " << per_cent(found["accuracy"]["before"]) << " before, "
            << per_cent(found["accuracy"]["after"]) << " after, not fine-tuned yet ("
            << found["evaluations"] << " choices measured)\n"
            << "next: taut train " << found["config"].get<std::string>() << " --out RUN\n";
}

}  // namespace

Command add_tune(CLI::App& root, const Globals& globals) {
  struct Options {
    train::TuneOptions tune;
    std::string drop = "0.5%";
    std::string units;
    std::string out;
  };
  CLI::App* app = root.add_subcommand("tune", "Find winner rates by layer for a trained network");
  auto o = std::make_shared<Options>();
  app->add_option("RUN", o->tune.run, "Folder of a run of images")->required();
  app->add_option("--accuracy-drop", o->drop, "Top-1 that may be lost: 0.5% or 0.005")
      ->capture_default_str();
  app->add_option("--units", o->units, "Units to try, as position,element; the run's if left out");
  app->add_option("--data", o->tune.data, "Images to measure on; the config's valid if left out");
  app->add_option("--images", o->tune.images, "How many of them, evenly spaced")
      ->capture_default_str();
  app->add_flag("--recalibrate", o->tune.recalibrate,
                "Measure batch normalization anew for each choice of rates");
  app->add_option("--epochs", o->tune.epochs, "Of fine-tuning, in the config that is written")
      ->capture_default_str();
  app->add_option("--out", o->out, "Config to write; RUN/tuned.toml if left out");
  return {app,
          [o, &globals] {
            o->tune.accuracy_drop = train::parse_accuracy_drop(o->drop);
            for (const std::string& unit : comma_list(o->units)) {
              o->tune.units.push_back(sparsity::parse_unit(unit));
            }
            o->tune.threads = globals.threads;
            train::Tuned tuned = train::tune_run(o->tune);
            const std::string out = o->out.empty() ? o->tune.run + "/tuned.toml" : o->out;
            write_file(out, tuned.config.to_toml());
            tuned.summary["config"] = out;
            if (!globals.json) print(tuned.summary);
            return Outcome{tuned.summary};
          },
          /*takes_settings=*/false};
}

}  // namespace taut::cli
