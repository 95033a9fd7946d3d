// What plan, simulate and info take for MODEL.
#include "cli/network_source.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "cli/planning.h"
#include "cli/toml_kind.h"
#include "infer/small_network.h"
#include "support/error_matchers.h"
#include "support/temporary_directory.h"
#include "taut/core/file.h"
#include "taut/embedding/options.h"
#include "taut/graph/cost_graph.h"
#include "taut/graph/graph_json.h"
#include "taut/graph/network_json.h"
#include "taut/graph/recommender.h"
#include "taut/graph/zoo.h"
#include "taut/infer/onnx_writer.h"

namespace taut::cli {
namespace {

using test::error_of;
using test::IsError;

graph::Network measured() {
  graph::RecommenderShape shape;
  shape.dense = 3;
  shape.dim = 8;
  shape.tables = {{.name = "user", .rows = 1000, .bytes = 4000},
                  {.name = "item", .rows = 500, .bytes = 3000}};
  shape.bottom = {32};
  shape.top = {32};
  graph::Network network = graph::recommender_network(shape);
  network.densities = {0.5, 0.25, 0.125};
  return network;
}

class Sources : public testing::Test {
 protected:
  std::string folder_with_network(const std::string& name) {
    const std::string run = directory_.file(name);
    std::filesystem::create_directories(run);
    write_file(run + "/network.json", graph::network_json(measured()));
    return run;
  }

  std::string package(const std::string& kind, const std::string& section) {
    const std::string path = directory_.file(kind + ".taut");
    SectionWriter writer(path, kind, 3);
    writer.add(section, std::string_view(graph::network_json(measured())));
    writer.commit();
    return path;
  }

  Planning planning(const std::string& model, const std::string& table_budget = {}) {
    PlanningOptions options;
    options.model = model;
    options.table_budget = table_budget;
    return read_planning(options, Globals{});
  }

  test::TemporaryDirectory directory_;
};

TEST_F(Sources, AreToldApartByNameExtensionAndContent) {
  const std::string config = directory_.file("ctr.toml");
  write_file(config, "# a config\n  [data]\ntrain = \"x.csv\"\n");
  const std::string model = directory_.file("model.toml");
  write_file(model, "[input]\nfeatures = 4\n[[layer]]\nop = \"fc\"\nout = 2\n");
  const std::string empty = directory_.file("empty");
  std::filesystem::create_directories(empty);
  EXPECT_EQ(source_of("vgg-a"), Source::kName);
  EXPECT_EQ(source_of(config), Source::kConfig);
  EXPECT_EQ(source_of(model), Source::kToml);
  EXPECT_EQ(source_of("missing.onnx"), Source::kOnnx);
  EXPECT_EQ(source_of(folder_with_network("run")), Source::kRun);
  EXPECT_EQ(source_of(package("package", "network")), Source::kFile);
  EXPECT_EQ(source_of(empty), Source::kUnknown);
  EXPECT_EQ(source_of("nothing"), Source::kUnknown);
}

TEST_F(Sources, ConfigsAreToldByWhatTheyHoldHoweverItIsSpelled) {
  const auto source = [&](const std::string& name, const std::string& text) {
    write_file(directory_.file(name), text);
    return source_of(directory_.file(name));
  };
  for (const char* text : {"[data]\ntrain = \"x\"\n", "[ data ]\n", "data.train = \"x\"\n",
                           "data = {train = \"x\"}\n", "\"data\" = {}\n", "[data.more]\nx = 1\n"}) {
    EXPECT_EQ(source("c.toml", text), Source::kConfig) << text;
    EXPECT_EQ(source("c.conf", text), Source::kConfig) << text;
    EXPECT_EQ(source("config", text), Source::kConfig) << text;
  }
  for (const char* text : {"# [data]\n[[layer]]\nop = \"relu\"\n", "layer = [{op = \"relu\"}]\n",
                           "[[layer]]\nname = \"\"\"\n[data]\"\"\"\n"}) {
    EXPECT_EQ(source("m.toml", text), Source::kToml) << text;
    EXPECT_EQ(source("m.conf", text), Source::kToml) << text;
  }
  EXPECT_EQ(source("broken.toml", "[data\n"), Source::kToml) << "its reader says what is wrong";
  EXPECT_EQ(source("broken.conf", "[data\n"), Source::kFile);
  EXPECT_EQ(source("other.toml", "x = 1\n"), Source::kToml);
  EXPECT_EQ(source("rows.csv", "data,label\n1,2\n"), Source::kFile);
}

TEST_F(Sources, TomlOfAnotherKindIsNamed) {
  const auto file = [&](const std::string& text) {
    write_file(directory_.file("some.toml"), text);
    return directory_.file("some.toml");
  };
  const std::string cluster = "accelerators = 4\n[[level]]\nbytes_per_second = 1e9\n";
  EXPECT_THAT(error_of([&] { (void)source_network(file(cluster), {}); }),
              IsError(ErrorKind::kConfig, "this is a cluster"));
  EXPECT_THAT(error_of([&] { expect_toml(file(cluster), TomlKind::kConfig); }),
              IsError(ErrorKind::kConfig, "give it as --cluster"));
  EXPECT_THAT(error_of([&] { expect_toml(file("[[layer]]\n"), TomlKind::kConfig); }),
              IsError(ErrorKind::kConfig, "this is a model"));
  EXPECT_THAT(error_of([&] { expect_toml(file("data = {}"), TomlKind::kCluster); }),
              IsError(ErrorKind::kConfig, "some.toml"));
  expect_toml(file("data = {}"), TomlKind::kConfig);
  expect_toml(file("x = 1"), TomlKind::kConfig);  // its reader knows better
  expect_toml(directory_.file("missing.toml"), TomlKind::kConfig);
  EXPECT_EQ(toml_kind(directory_.file("")), std::nullopt);
  EXPECT_EQ(toml_kind(file(std::string(1 << 16, '['))), std::nullopt);
  EXPECT_EQ(toml_kind(file("data = \"\xff\"")), std::nullopt);
}

TEST_F(Sources, OnnxFilesAreNetworks) {
  infer::test_support::SmallNetwork small({.channels = 2, .height = 5, .width = 4});
  small.conv(4, {.kernel = 3, .padding = 1});
  small.same(graph::Op::kRelu);
  small.choose_winners(0.5);
  small.flatten();
  small.linear(3);
  small.network.densities = {0.25};
  infer::Model model;
  model.network = small.network;
  model.task = infer::kImageTask;
  model.input = infer::image_input_json({.mean = {0, 0}, .deviation = {1, 1}, .class_names = {}});
  const std::string path = directory_.file("small.onnx");
  infer::write_onnx(path, model);
  graph::Network described = small.network;
  described.values.clear();
  EXPECT_EQ(graph::network_json(source_network(path, {})), graph::network_json(described));
  EXPECT_EQ(graph::graph_json(source_graph(path, {}, {})),
            graph::graph_json(graph::cost_graph(described)));
}

TEST_F(Sources, RunsAndPackagesGiveTheirMeasuredNetwork) {
  for (const std::string& source : {folder_with_network("run"), package("package", "network")}) {
    EXPECT_EQ(graph::network_json(source_network(source, {})), graph::network_json(measured()));
    const graph::Graph graph = source_graph(source, {}, {});
    EXPECT_EQ(graph.tables()[0].bytes, 4000);
    EXPECT_EQ(graph.edges()[0].density, 0.5);
    const Planning planned = planning(source);
    EXPECT_EQ(planned.tables.total_bytes, 7000) << "what the tables really hold";
  }
}

TEST_F(Sources, MeasuredWinnersMoveFewerBytesThanADenseNetwork) {
  graph::Network dense = measured();
  dense.densities.clear();
  const parallel::CostOptions options{.batch = 256, .levels = 4};
  const graph::Graph with = graph::cost_graph(measured());
  const graph::Graph without = graph::cost_graph(dense);
  const parallel::CostModel measured_model(with, options);
  const parallel::CostModel dense_model(without, options);
  EXPECT_EQ(measured_model.edge_words(0).errors, 0.5 * dense_model.edge_words(0).errors);
  EXPECT_EQ(measured_model.edge_words(0).features,
            (0.5 + 1.0 / 32) * dense_model.edge_words(0).features);
  EXPECT_EQ(measured_model.edge_words(0).feature_sums, dense_model.edge_words(0).feature_sums);
}

TEST_F(Sources, ConfigsGoToWhoReadsThemWithTheSettings) {
  const std::string config = directory_.file("ctr.toml");
  write_file(config, "[data]\n");
  std::vector<std::string> seen;
  set_config_reader([&](const std::string& path, std::span<const std::string> settings) {
    seen = {path};
    seen.insert(seen.end(), settings.begin(), settings.end());
    return measured();
  });
  const std::vector<std::string> settings = {"model.top=[4]"};
  EXPECT_EQ(source_network(config, settings).name, "dlrm");
  EXPECT_EQ(seen, (std::vector<std::string>{config, "model.top=[4]"}));
  set_config_reader({});
}

TEST_F(Sources, WhatHoldsNoNetworkIsNamed) {
  const std::string run = directory_.file("old");
  std::filesystem::create_directories(run);
  write_file(run + "/config.toml", "[data]\n");
  EXPECT_THAT(error_of([&] { (void)source_network(run, {}); }),
              IsError(ErrorKind::kNotFound, "network.json"));
  EXPECT_THAT(error_of([&] { (void)source_network(package("ckpt", "network"), {}); }),
              IsError(ErrorKind::kUnsupported, "kind ckpt"));
  EXPECT_THAT(error_of([&] { (void)source_network(package("package", "weights"), {}); }),
              IsError(ErrorKind::kUnsupported, "no network"));
  const std::string text = directory_.file("notes.txt");
  write_file(text, "hello");
  EXPECT_THAT(error_of([&] { (void)source_network(text, {}); }),
              IsError(ErrorKind::kFormat, "notes.txt"));
  EXPECT_THAT(error_of([&] { (void)source_network("x.onnx", {}); }),
              IsError(ErrorKind::kNotFound, "x.onnx"));
  EXPECT_THAT(error_of([&] { (void)source_network("vgg-aa", {}); }),
              IsError(ErrorKind::kNotFound, "vgg-a"));
  const std::string damaged = folder_with_network("damaged");
  write_file(damaged + "/network.json", "{}");
  EXPECT_THAT(error_of([&] { (void)source_network(damaged, {}); }),
              IsError(ErrorKind::kFormat, "damaged/network.json"));
}

TEST_F(Sources, TableBudgetsMeanTheBytesOfTheMemoryBudgetOfTraining) {
  embedding::Options options;
  options.dim = 8;
  options.tables = {{.name = "user", .distinct_ids = 1000}, {.name = "item", .distinct_ids = 500}};
  const Bytes full = embedding::full_bytes(options);
  const std::string run = folder_with_network("run");
  for (const char* text : {"1/10", "0.37", "1/1", "20%"}) {
    const Bytes training = resolve_budget(parse_budget(text), full);
    const Planning planned = planning(run, text);
    EXPECT_EQ(table_budget(planned.graph, text), training) << text;
    EXPECT_NEAR(planned.tables.total_bytes, static_cast<double>(training.count), 1e-6) << text;
  }
  EXPECT_EQ(table_budget(planning(run).graph, "1TiB"), full) << "never above the full tables";
  EXPECT_EQ(table_budget(planning(run).graph, ""), Bytes{});
}

TEST(NetworkInfo, ListsLayersParametersWorkAndTables) {
  const nlohmann::json info = network_info(measured());
  EXPECT_EQ(info["name"], "dlrm");
  EXPECT_EQ(info["parameters"], (3 * 32 + 32) + (32 * 8 + 8) + (11 * 32 + 32) + (32 + 1));
  EXPECT_EQ(info["multiply_adds"], 3 * 32 + 32 * 8 + 11 * 32 + 32);
  EXPECT_EQ(info["table_bytes"], 7000);
  graph::Network whole = measured();
  for (graph::Table& table : whole.tables) table.bytes = 0;
  const Bytes full{embedding::full_bytes(1000, 8).count + embedding::full_bytes(500, 8).count};
  EXPECT_EQ(network_info(whole)["table_bytes"], full.count) << "as training counts full tables";
  EXPECT_TRUE(info["measured"]);
  EXPECT_EQ(info["layers"][0]["name"], "bottom.0");
  EXPECT_EQ(info["layers"][1]["density"], 0.5);
  const std::string text = network_text(measured());
  EXPECT_NE(text.find("bottom.1_relu"), std::string::npos);
  EXPECT_NE(text.find("2 tables of 7.00 kB"), std::string::npos) << text;
}

}  // namespace
}  // namespace taut::cli
