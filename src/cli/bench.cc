// taut bench MODEL [--winner-rate R] [--batch N]
#include <algorithm>
#include <cmath>
#include <cstring>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cli/command.h"
#include "cli/network_source.h"
#include "cli/planning.h"
#include "taut/core/error.h"
#include "taut/core/file.h"
#include "taut/core/random.h"
#include "taut/core/spelling.h"
#include "taut/core/text.h"
#include "taut/core/thread_pool.h"
#include "taut/graph/onnx_network.h"
#include "taut/infer/engine.h"
#include "taut/infer/package.h"
#include "taut/infer/random_values.h"

namespace taut::cli {
namespace {

using nlohmann::json;

struct BenchOptions {
  std::string model;
  double winner_rate = 0;  // 0: as the model has it
  std::string unit = "position";
  std::int64_t batch = 1;
  int repetitions = 20;
  std::string weights = "fp32";
  std::string input = {};  // files of fp32 values
  std::string output = {};
  std::vector<std::string> dimensions;
};

// A network with values, and what they are views of.
struct BenchModel {
  graph::Network network;
  std::shared_ptr<const void> held = {};
  const embedding::FrozenEmbedding* tables = nullptr;
  bool random = false;  // values are made up
};

BenchModel open_model(const BenchOptions& options, const Globals& globals) {
  const Source source = source_of(options.model);
  const graph::DimensionSizes sizes = dimension_sizes(options.dimensions);
  if (source == Source::kOnnx) {
    graph::OnnxNetwork read = graph::read_onnx_network(options.model, sizes);
    return {.network = std::move(read.network), .held = std::move(read.held)};
  }
  refuse_dimensions(sizes, options.model);
  if (source == Source::kFile && identify_sections(options.model).kind == infer::kPackageKind) {
    const auto package = std::make_shared<const infer::Package>(options.model);
    return {.network = package->model().network, .held = package, .tables = package->tables()};
  }
  BenchModel model{.network = source_network(options.model, globals.sets), .random = true};
  if (!model.network.tables.empty()) {
    throw Error(ErrorKind::kUnsupported, "a network with tables is measured with their rows",
                options.model, "give the package that taut export writes");
  }
  model.held = infer::fill_random_values(model.network, globals.seed);
  return model;
}

void set_rate(const BenchOptions& options, graph::Network& network) {
  if (options.winner_rate == 0) return;
  if (network.sites() == 0) network.number_sites();
  network.winners.unit = sparsity::parse_unit(options.unit);
  network.winners.rates.assign(network.sites(), options.winner_rate);
}

// Normal values, and ids of rows that are there.
struct BenchInputs {
  BenchInputs(const graph::Network& network, std::int64_t batch, std::uint64_t seed)
      : values(static_cast<std::size_t>(batch * network.input.size())) {
    const CounterRandom random(seed);
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<float>(random.normal(i));
    }
    for (std::size_t t = 0; t < network.tables.size(); ++t) {
      const auto rows =
          static_cast<std::uint64_t>(std::max<std::int64_t>(1, network.tables[t].rows));
      std::vector<std::uint64_t>& column = columns.emplace_back();
      const CounterRandom of(seed + 1 + t);
      for (std::int64_t b = 0; b < batch; ++b) {
        column.push_back(of.below(static_cast<std::uint64_t>(b), rows));
      }
    }
    for (const auto& column : columns) ids.push_back({.ids = column, .offsets = {}, .weights = {}});
  }

  std::vector<float> values;
  std::vector<std::vector<std::uint64_t>> columns;
  std::vector<embedding::JaggedIds> ids;
};

const char* kernel_of(const infer::LayerTimes& layer) {
  if (!layer.has_lists) return "dense";
  if (layer.listed == 0) return "all";
  return layer.listed == 1 ? "lists" : "both";
}

json shape_json(const graph::Shape& shape) {
  return {shape.channels, shape.height, shape.width};
}

constexpr double kMicro = 1e6;

json layer_json(const infer::LayerTimes& layer) {
  return {{"layers", layer.layers},
          {"op", to_string(layer.op)},
          {"in", shape_json(layer.in)},
          {"out", shape_json(layer.out)},
          {"density", layer.density},
          {"kernel", kernel_of(layer)},
          {"microseconds", kMicro * layer.seconds},
          {"dense_microseconds", kMicro * layer.all_seconds},
          {"sparse_microseconds", kMicro * layer.lists_seconds},
          {"selection_microseconds", kMicro * layer.selection_seconds},
          {"bytes", layer.bytes}};
}

json result_json(const BenchOptions& options, const BenchModel& model, int threads,
                 const infer::NetworkTimes& times) {
  const auto quantile = [&](double q) {
    const auto last = static_cast<double>(times.seconds.size() - 1);
    return kMicro * times.seconds[static_cast<std::size_t>(std::lround(q * last))];
  };
  json layers = json::array();
  double selection = 0;
  double dense = 0;
  double all = 0;
  double bytes = 0;
  for (const infer::LayerTimes& layer : times.layers) {
    layers.push_back(layer_json(layer));
    selection += layer.selection_seconds;
    all += layer.seconds + layer.selection_seconds;
    dense += layer.all_seconds + layer.selection_seconds;
    bytes += layer.bytes;
  }
  json result = {{"model", options.model},
                 {"random_weights", model.random},
                 {"threads", threads},
                 {"batch", options.batch},
                 {"repetitions", options.repetitions},
                 {"weights", options.weights},
                 {"instruction_set", infer::kernel_target()},
                 {"latency_microseconds",
                  {{"least", quantile(0)},
                   {"p10", quantile(0.1)},
                   {"p50", quantile(0.5)},
                   {"p90", quantile(0.9)},
                   {"most", quantile(1)}}},
                 {"layers_microseconds", kMicro * all},
                 {"dense_microseconds", kMicro * dense},
                 {"selection_share", all > 0 ? selection / all : 0},
                 {"bytes", bytes},
                 {"weight_bytes", times.weight_bytes},
                 {"layers", std::move(layers)}};
  if (options.winner_rate > 0) result["winner_rate"] = options.winner_rate;
  return result;
}

std::string digits(double value, double unit, const char* after = "") {
  return concat(static_cast<double>(std::llround(value * unit)) / unit, after);
}

std::string shape_text(const graph::Shape& shape) {
  return shape.is_map() ? concat(shape.channels, "x", shape.height, "x", shape.width)
                        : concat(shape.channels);
}

void print(const infer::NetworkTimes& times, const json& result) {
  std::vector<std::vector<std::string>> rows = {{"layers", "in", "out", "density", "kernel", "us",
                                                 "dense us", "sparse us", "selection us", "bytes"}};
  for (const infer::LayerTimes& layer : times.layers) {
    const auto micro = [](double seconds) { return digits(kMicro * seconds, 10); };
    rows.push_back({join(layer.layers, " + "), shape_text(layer.in), shape_text(layer.out),
                    layer.has_lists ? digits(layer.density, 1000) : "", kernel_of(layer),
                    micro(layer.seconds), layer.has_lists ? micro(layer.all_seconds) : "",
                    layer.has_lists ? micro(layer.lists_seconds) : "",
                    micro(layer.selection_seconds), bytes_text(layer.bytes)});
  }
  const json& latency = result["latency_microseconds"];
  const auto at = [&](const char* name) {
    return seconds_text(latency[name].get<double>() / kMicro);
  };
  std::cout << aligned_table(rows) << "\n"
            << at("p50") << " a batch (p10 " << at("p10") << ", p90 " << at("p90") << "), "
            << digits(100 * result["selection_share"].get<double>(), 10) << " % choosing winners, "
            << bytes_text(result["bytes"]) << " moved, "
            << result["instruction_set"].get<std::string>() << ", " << result["threads"]
            << " threads" << (result["random_weights"].get<bool>() ? ", random weights" : "")
            << std::endl;
}

// Values of a batch from a file of fp32, little-endian, as they are.
void read_values(const std::string& path, std::vector<float>& values) {
  const std::string bytes = read_file(path);
  const std::size_t wanted = values.size() * sizeof(float);
  if (bytes.size() != wanted) {
    throw Error(ErrorKind::kData, concat("a batch takes ", wanted, " bytes, got ", bytes.size()),
                path, "write [batch, height, width, channels] as fp32");
  }
  std::memcpy(values.data(), bytes.data(), wanted);
}

void write_output(const std::string& path, const infer::Engine& engine, const infer::Inputs& inputs,
                  ThreadPool& pool) {
  std::vector<float> logits(static_cast<std::size_t>(inputs.batch * engine.outputs()));
  engine.predict(inputs, logits, pool);
  write_file(path, {reinterpret_cast<const char*>(logits.data()), logits.size() * sizeof(float)});
}

Outcome run(const BenchOptions& options, const Globals& globals) {
  BenchModel model = open_model(options, globals);
  set_rate(options, model.network);
  const auto weights = parse_spelling<infer::WeightType>(options.weights, ErrorKind::kConfig,
                                                         "type of weights", "--weights");
  const infer::Engine engine(model.network, model.tables, {.weights = weights});
  ThreadPool pool(globals.threads);
  BenchInputs made(model.network, options.batch, globals.seed);
  if (!options.input.empty()) read_values(options.input, made.values);
  const infer::Inputs inputs{.batch = options.batch, .values = made.values, .ids = made.ids};
  if (!options.output.empty()) write_output(options.output, engine, inputs, pool);
  const infer::NetworkTimes times = engine.measure(inputs, options.repetitions, pool);
  const json result = result_json(options, model, pool.threads(), times);
  if (!globals.json) print(times, result);
  return {result, 0};
}

}  // namespace

Command add_bench(CLI::App& root, const Globals& globals) {
  CLI::App* app = root.add_subcommand(
      "bench", "Time a network layer by layer, from all channels and from those that are not zero");
  auto options = std::make_shared<BenchOptions>();
  app->add_option("MODEL", options->model,
                  "A package, an .onnx file; or a name of the zoo, model, config or run, which get "
                  "random weights")
      ->required();
  app->add_option(
         "--winner-rate", options->winner_rate,
         "Share that wins behind every activation, in (0, 1]; left out: as the model has it")
      ->check(CLI::Range(1e-6, 1.0));
  app->add_option("--unit", options->unit, "What wins: position, element, channel, block")
      ->capture_default_str();
  app->add_option("--batch", options->batch, "Examples of a batch")
      ->check(CLI::Range(1, 1 << 16))
      ->capture_default_str();
  app->add_option("--repetitions", options->repetitions, "Passes that are timed")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  app->add_option(
         "--weights", options->weights,
         "How linear layers keep fp32 weights: " + join(spelling_names<infer::WeightType>(), ", ") +
             ", which halves their memory and changes answers")
      ->capture_default_str();
  app->add_option("--input", options->input,
                  "File of the batch's values: fp32, little-endian, [batch, height, width, "
                  "channels]; random ones when left out");
  app->add_option("--output", options->output,
                  "File to write the network's output to, the same way");
  add_dimension_option(*app, options->dimensions);
  return {app, [options, &globals] { return run(*options, globals); }};
}

}  // namespace taut::cli
