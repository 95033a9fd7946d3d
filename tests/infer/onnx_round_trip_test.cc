// Networks that are written as ONNX are read back as they were, and score the same.
#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <nlohmann/json.hpp>

#include "infer/onnx_cases.h"
#include "infer/small_network.h"
#include "infer/small_packages.h"
#include "support/error_matchers.h"
#include "support/temporary_directory.h"
#include "taut/core/file.h"
#include "taut/core/text.h"
#include "taut/graph/cost_graph.h"
#include "taut/graph/graph_json.h"
#include "taut/graph/onnx_network.h"
#include "taut/graph/zoo.h"
#include "taut/infer/onnx_writer.h"

namespace taut::infer {
namespace {

using graph::Layer;
using graph::LayerValues;
using graph::Network;
using graph::OnnxNetwork;
using graph::Op;
using graph::Shape;
using sparsity::Score;
using sparsity::Unit;
using test_support::engine_scores;
using test_support::expect_same_values;
using test_support::SmallNetwork;
using test_support::some_numbers;

Model image_model_of(const Network& network) {
  Model model;
  model.network = network;
  model.task = kImageTask;
  const auto channels = static_cast<std::size_t>(network.input.channels);
  model.input = image_input_json({.mean = std::vector<float>(channels, 0.25f),
                                  .deviation = std::vector<float>(channels, 2.0f),
                                  .class_names = {}});
  return model;
}

void expect_same(const Network& got, const Network& wanted) {
  EXPECT_EQ(got.name, wanted.name);
  EXPECT_EQ(got.input, wanted.input);
  EXPECT_EQ(got.densities, wanted.densities);
  EXPECT_EQ(got.winners.unit, wanted.winners.unit);
  EXPECT_EQ(got.winners.score, wanted.winners.score);
  EXPECT_EQ(got.winners.block, wanted.winners.block);
  EXPECT_EQ(got.winners.rates, wanted.winners.rates);
  ASSERT_EQ(got.layers.size(), wanted.layers.size());
  for (std::size_t i = 0; i < got.layers.size(); ++i) {
    const Layer& a = got.layers[i];
    const Layer& b = wanted.layers[i];
    SCOPED_TRACE(b.name);
    EXPECT_EQ(a.name, b.name);
    EXPECT_EQ(a.op, b.op);
    EXPECT_EQ(a.inputs, b.inputs);
    EXPECT_EQ(a.window, b.window);
    EXPECT_EQ(a.groups, b.groups);
    EXPECT_EQ(a.bias, b.bias);
    EXPECT_EQ(a.in, b.in);
    EXPECT_EQ(a.out, b.out);
    EXPECT_EQ(a.winner_site, b.winner_site);
    expect_same_values(got.values[i], wanted.values[i]);
  }
}

// Writes, reads back, compares networks and the bits of scores.
void expect_round_trip(const Network& network) {
  const test::TemporaryDirectory folder;
  const std::string path = folder.file("model.onnx");
  write_onnx(path, image_model_of(network));
  const OnnxNetwork read = graph::read_onnx_network(path);
  expect_same(read.network, network);
  const std::vector<float> images = some_numbers(3 * network.input.size(), 17);
  EXPECT_EQ(engine_scores(read.network, images), engine_scores(network, images));
}

// A network of the zoo with values of its own.
class ValuedNetwork {
 public:
  ValuedNetwork(const std::string& name, const graph::ZooOptions& options)
      : network(graph::make_network(name, options)) {
    std::uint64_t seed = 1;
    const auto store = [&](std::int64_t count, float scale, float shift) {
      floats_.push_back(some_numbers(count, seed++));
      for (float& value : floats_.back()) value = std::abs(value) * scale + shift;
      return std::span<const float>(floats_.back());
    };
    for (const Layer& layer : network.layers) {
      LayerValues& values = network.values.emplace_back();
      const std::vector<std::int64_t> shape = graph::weight_shape(layer);
      if (!shape.empty()) {
        std::int64_t count = 1;
        for (const std::int64_t size : shape) count *= size;
        floats_.push_back(some_numbers(count, seed++));
        const std::int64_t fan = count / layer.out.channels;
        for (float& value : floats_.back()) value /= std::sqrt(static_cast<float>(fan));
        values.weight = floats_.back();
        if (layer.bias) values.bias = store(layer.out.channels, 0.1f, -0.1f);
      }
      if (layer.op == Op::kBatchNorm) {
        values.weight = store(layer.out.channels, 0.1f, 0.9f);
        values.bias = store(layer.out.channels, 0.1f, -0.1f);
        values.mean = store(layer.out.channels, 0.1f, -0.1f);
        values.variance = store(layer.out.channels, 0.5f, 0.5f);
      }
    }
  }
  Network network;

 private:
  std::deque<std::vector<float>> floats_;
};

TEST(OnnxRoundTrip, NetworksOfTheZooScoreTheSameBits) {
  for (const std::string& name : graph::image_network_names()) {
    SCOPED_TRACE(name);
    const Network usual = graph::make_network(name);
    const bool large = usual.input.height > 64;
    graph::ZooOptions options{
        .input = {.channels = 3, .height = 32, .width = 32}, .classes = 10, .width = 0.125};
    if (large && name.starts_with("alexnet")) options.input.height = options.input.width = 96;
    if (name == "sfc" || name == "mlp") options.width = 0.0625;
    expect_round_trip(ValuedNetwork(name, options).network);
  }
}

TEST(OnnxRoundTrip, WinnersOfEveryUnit) {
  for (const Unit unit : {Unit::kPosition, Unit::kElement, Unit::kChannel, Unit::kBlock}) {
    for (const Score score : {Score::kMeanMagnitude, Score::kMaxMagnitude, Score::kMeanSquare}) {
      SCOPED_TRACE(testing::Message() << to_string(unit) << " " << to_string(score));
      SmallNetwork small({.channels = 2, .height = 5, .width = 4});
      small.use_whole_numbers();
      small.network.winners = {.unit = unit, .score = score, .block = 4, .rates = {}};
      small.conv(12, {3, 1, 1});
      small.same(Op::kRelu);
      small.choose_winners(0.3);
      small.conv(8, {3, 1, 1});
      small.same(Op::kRelu);
      small.choose_winners(1.0);
      small.conv(8, {3, 1, 1});
      small.same(Op::kRelu);
      small.pool({2, 2, 0});
      small.choose_winners(0.5);
      small.keep_maps({1, 0, 1, 1, 1, 1, 0, 1});
      small.flatten();
      small.linear(8);
      small.same(Op::kRelu);
      small.choose_winners(0.7);
      small.linear(3);
      expect_round_trip(small.network);
    }
  }
}

TEST(OnnxRoundTrip, WinnersAreFoundWithoutTheirDescription) {
  const test::TemporaryDirectory folder;
  const std::string path = folder.file("model.onnx");
  for (const Unit unit : {Unit::kPosition, Unit::kElement, Unit::kChannel, Unit::kBlock}) {
    SmallNetwork small({.channels = 2, .height = 5, .width = 4});
    small.use_whole_numbers();
    small.network.winners = {.unit = unit, .score = Score::kMaxMagnitude, .block = 4, .rates = {}};
    small.conv(12, {3, 1, 1});
    small.choose_winners(0.3);
    small.conv(8, {3, 1, 1});
    small.choose_winners(1.0);
    small.flatten();
    small.linear(8);
    small.same(Op::kRelu);
    small.choose_winners(0.7);
    small.linear(3);
    write_onnx(path, image_model_of(small.network));
    std::string bytes = read_file(path);
    const std::size_t at = bytes.find("taut.winners");
    ASSERT_NE(at, std::string::npos);
    bytes[at] = 'x';
    const OnnxNetwork read = graph::parse_onnx_network(bytes, path);
    EXPECT_EQ(read.network.winners.unit, unit);
    EXPECT_EQ(read.network.sites(), 2u);
    const std::vector<float> images = small.random_input(4);
    EXPECT_EQ(engine_scores(read.network, images), engine_scores(small.network, images));
  }
}

TEST(OnnxRoundTrip, ADescriptionThatTheModelDoesNotFollowIsNotBelieved) {
  const test::TemporaryDirectory folder;
  const std::string path = folder.file("model.onnx");
  SmallNetwork small({.channels = 2, .height = 5, .width = 4});
  small.conv(10, {3, 1, 1});
  small.same(Op::kRelu);
  small.choose_winners(0.25);
  write_onnx(path, image_model_of(small.network));
  for (const char* rate : {"0.75", "0.10", "1.00", "-1.0", "nan]"}) {
    std::string bytes = read_file(path);
    const std::size_t at = bytes.find("[0.25]");
    ASSERT_NE(at, std::string::npos);
    bytes.replace(at + 1, 4, rate);
    const OnnxNetwork read = graph::parse_onnx_network(bytes, path);
    const std::vector<float> images = small.random_input(2);
    EXPECT_EQ(engine_scores(read.network, images), engine_scores(small.network, images)) << rate;
  }
}

TEST(OnnxRoundTrip, EightBits) {
  for (const bool is_unsigned : {false, true}) {
    SmallNetwork small({.channels = 3, .height = 6, .width = 5});
    small.conv(4, {3, 1, 1});
    small.quantize(0.013f, is_unsigned);
    small.same(Op::kRelu);
    small.conv(4, {3, 1, 1}, 4, /*bias=*/false);
    small.quantize(0.5f, true);
    small.flatten();
    small.linear(6);
    small.quantize(0.25f, is_unsigned);
    small.network.layers[1].winner_site = 0;
    expect_round_trip(small.network);
  }
}

TEST(OnnxRoundTrip, SumsOfSeveralAndLayersThatAreReadAgain) {
  SmallNetwork small({.channels = 4, .height = 5, .width = 3});
  const int a = small.conv(6, {3, 1, 1});
  const int b = small.same(Op::kRelu, {a});
  const int c = small.conv(6, {1, 1, 0}, 1, true, b);
  const int three = small.same(Op::kAdd, {a, a, c});
  const int sum = small.same(Op::kAdd, {three, b});
  const int joined = small.to(Op::kConcat, {.channels = 22, .height = 5, .width = 3},
                              {sum, SmallNetwork::kNetworkInputLayer, b, a});
  small.conv(3, {3, 2, 1}, 1, true, joined);
  small.network.layers[static_cast<std::size_t>(b)].winner_site = 0;
  expect_round_trip(small.network);
}

TEST(OnnxRoundTrip, WindowsWithMoreBehindTheImage) {
  SmallNetwork small({.channels = 3, .height = 8, .width = 9});
  small.conv(4, {.kernel = 3, .stride = 2, .padding = 0, .after = 1});
  small.same(Op::kRelu);
  small.conv(4, {.kernel = 3, .stride = 1, .padding = 1, .after = 1}, 4);
  small.pool({.kernel = 2, .stride = 2, .padding = 0, .after = 1});
  small.network.layers[1].winner_site = 0;
  expect_round_trip(small.network);
}

TEST(OnnxRoundTrip, WinnersOnMapsOfOnePosition) {
  for (const Unit unit : {Unit::kPosition, Unit::kElement, Unit::kChannel}) {
    SmallNetwork small({.channels = 2, .height = 3, .width = 3});
    small.network.winners.unit = unit;
    small.conv(6, {3, 1, 1});
    small.same(Op::kRelu);
    small.choose_winners(0.5);
    small.conv(8, {3, 1, 0});
    small.same(Op::kRelu);
    small.choose_winners(0.25);
    expect_round_trip(small.network);
  }
}

TEST(OnnxRoundTrip, LinearLayersOnPositionsAreNotWritten) {
  SmallNetwork small({.channels = 4, .height = 5, .width = 3});
  small.linear(2);
  const test::TemporaryDirectory folder;
  EXPECT_THAT(
      test::error_of([&] { write_onnx(folder.file("m.onnx"), image_model_of(small.network)); }),
      test::IsError(ErrorKind::kUnsupported, "on each position"));
}

TEST(OnnxRoundTrip, TheCostGraphIsTheOneThatTheFileGives) {
  for (const char* name :
       {"lenet-c", "vgg-small", "vgg-a", "resnet-20", "mobilenet-v1", "mobilenet-v2"}) {
    SCOPED_TRACE(name);
    const graph::ZooOptions options{
        .input = {.channels = 3, .height = 32, .width = 32}, .classes = 10, .width = 0.125};
    const ValuedNetwork made(name, options);
    const test::TemporaryDirectory folder;
    const std::string path = folder.file("model.onnx");
    write_onnx(path, image_model_of(made.network));
    const graph::Graph direct = graph::read_onnx(path);
    const graph::Graph wanted = cost_graph(graph::read_onnx_network(path).network);
    ASSERT_EQ(direct.size(), wanted.size());
    for (int v = 0; v < wanted.size(); ++v) {
      const graph::Node& a = direct.node(v);
      const graph::Node& b = wanted.node(v);
      SCOPED_TRACE(b.name);
      EXPECT_EQ(a.weights, b.weights);
      EXPECT_EQ(a.in_words, b.in_words);
      EXPECT_EQ(a.out_words, b.out_words);
      EXPECT_EQ(a.raw_words, b.raw_words);
      EXPECT_EQ(a.macs, b.macs);
      EXPECT_EQ(a.input_macs, b.input_macs);
      EXPECT_EQ(a.in_channels, b.in_channels);
      EXPECT_EQ(a.out_channels, b.out_channels);
      EXPECT_EQ(a.kernel, b.kernel);
      EXPECT_EQ(a.grouped, b.grouped);
      EXPECT_EQ(a.channel_levels, b.channel_levels);
      EXPECT_EQ(a.kind, b.kind);
    }
    ASSERT_EQ(direct.edges().size(), wanted.edges().size());
    for (std::size_t e = 0; e < wanted.edges().size(); ++e) {
      EXPECT_EQ(direct.edges()[e].from, wanted.edges()[e].from);
      EXPECT_EQ(direct.edges()[e].to, wanted.edges()[e].to);
      EXPECT_EQ(direct.edges()[e].words, wanted.edges()[e].words);
      EXPECT_EQ(direct.edges()[e].raw_words, wanted.edges()[e].raw_words);
    }
    EXPECT_EQ(graph::summarize_onnx(path).parameters, graph::parameter_count(made.network));
  }
}

// Names, words, winners and what was measured of them.
TEST(OnnxRoundTrip, AnExportIsPlannedAsItsNetworkIs) {
  for (const char* name : {"lenet-c", "resnet-20", "mobilenet-v2"}) {
    for (const bool measured : {false, true}) {
      SCOPED_TRACE(concat(name, measured ? ", measured" : ", with rates alone"));
      ValuedNetwork made(
          name,
          {.input = {.channels = 3, .height = 32, .width = 32}, .classes = 10, .width = 0.125});
      made.network.winners.rates.assign(made.network.sites(), 0.25);
      for (std::size_t s = 0; measured && s < made.network.sites(); ++s) {
        made.network.densities.push_back(1.0 / static_cast<double>(s + 3));
      }
      const test::TemporaryDirectory folder;
      write_onnx(folder.file("m.onnx"), image_model_of(made.network));
      const graph::OnnxSummary summary = graph::summarize_onnx(folder.file("m.onnx"));
      EXPECT_EQ(graph::graph_json(summary.graph), graph::graph_json(cost_graph(made.network)));
      ASSERT_TRUE(summary.network.has_value());
      EXPECT_TRUE(summary.network->values.empty());
      EXPECT_EQ(summary.network->densities, made.network.densities);
      EXPECT_NE(graph::graph_json(graph::read_onnx(folder.file("m.onnx"))),
                graph::graph_json(summary.graph))
          << "the file's nodes alone tell nothing of winners";
    }
  }
}

TEST(OnnxRoundTrip, DensitiesThatNoNetworkHasAreLeftOut) {
  SmallNetwork small({.channels = 2, .height = 5, .width = 4});
  small.conv(4, {.kernel = 3, .padding = 1});
  small.same(Op::kRelu);
  small.choose_winners(0.5);
  const test::TemporaryDirectory folder;
  for (const std::vector<double>& densities :
       {std::vector<double>{1.5}, std::vector<double>{-0.5}, std::vector<double>{0.5, 0.5}}) {
    small.network.densities = {0.5};
    write_onnx(folder.file("m.onnx"), image_model_of(small.network));
    std::string bytes = read_file(folder.file("m.onnx"));
    onnx::ModelProto model;
    ASSERT_TRUE(model.ParseFromString(bytes));
    for (onnx::StringStringEntryProto& entry : *model.mutable_metadata_props()) {
      if (entry.key() != "taut.winners") continue;
      nlohmann::json winners = nlohmann::json::parse(entry.value());
      ASSERT_EQ(winners["densities"], nlohmann::json({0.5}));
      winners["densities"] = densities;
      entry.set_value(winners.dump());
    }
    bytes = model.SerializeAsString();
    const OnnxNetwork read = graph::parse_onnx_network(bytes, "m.onnx");
    EXPECT_TRUE(read.network.densities.empty());
    EXPECT_EQ(read.network.winners.rates, std::vector<double>{0.5});
  }
}

}  // namespace
}  // namespace taut::infer
