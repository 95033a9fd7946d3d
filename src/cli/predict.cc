// taut predict PACKAGE|MODEL.onnx DATA [--out scores.csv|scores.parquet]
#include "cli/command.h"
#include "cli/network_source.h"
#include "cli/scoring.h"
#include "taut/core/error.h"

namespace taut::cli {

using Json = nlohmann::json;

Command add_predict(CLI::App& root, const Globals& globals) {
  struct Options {
    std::string package;
    ScoringOptions scoring;
    std::string out;
    bool all = false;
    bool inputs = false;
    infer::OnnxInput input;
    std::vector<std::string> dimensions;
  };
  CLI::App* app =
      root.add_subcommand("predict", "Score data with a package or an ONNX file, without LibTorch");
  auto o = std::make_shared<Options>();
  app->add_option("PACKAGE", o->package,
                  "What taut export wrote, or the .onnx file of an image classifier")
      ->required();
  app->add_option("DATA", o->scoring.files,
                  "Files with the model's columns, a label is not needed; or images")
      ->required();
  app->add_option("--out", o->out, "CSV or Parquet file of scores; CSV on stdout when left out");
  app->add_flag("--all", o->all, "The probability of every class, not of the likeliest alone");
  app->add_flag("--inputs", o->inputs,
                "Not scores but what a recommender's network reads: scaled dense columns and the "
                "tables' pooled rows, for its .onnx file")
      ->excludes("--all");
  app->add_option("--batch", o->scoring.batch, "Examples scored at a time")
      ->check(CLI::Range(1, 1 << 24))
      ->capture_default_str();
  add_onnx_input_options(*app, o->input, o->dimensions);
  return {app, [o, &globals] {
            o->input.sizes = dimension_sizes(o->dimensions);
            o->scoring.threads = globals.threads;
            o->scoring.sets = globals.sets;
            const auto scorer = open_scorer(o->package, o->input);
            const bool silent = globals.json && o->out.empty();
            if (o->inputs && silent) {
              throw Error(ErrorKind::kConfig, "--inputs with --json needs a file", o->package,
                          "give --out FILE");
            }
            Json result = o->inputs
                              ? scorer->write_inputs(o->scoring, o->out)
                              : scorer->predict(o->scoring, o->all, silent ? nullptr : &o->out);
            if (!o->out.empty()) result["out"] = o->out;
            return Outcome{result};
          }};
}

}  // namespace taut::cli
