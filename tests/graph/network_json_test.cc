// A network's description as JSON: round trips, damage, and what is wrong with one layer of each
// op.
#include "taut/graph/network_json.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>

#include "support/error_matchers.h"
#include "taut/core/error.h"
#include "taut/core/random.h"
#include "taut/core/text.h"
#include "taut/graph/network_builder.h"
#include "taut/graph/recommender.h"
#include "taut/graph/zoo.h"

namespace taut::graph {
namespace {

using nlohmann::json;
using test::error_of;
using test::IsError;

TEST(NetworkJson, EveryNetworkOfTheZooComesBackTheSame) {
  for (const std::string& name : network_names()) {
    const Network network = make_network(name);
    const std::string text = network_json(network);
    const Network back = parse_network_json(text, name);
    EXPECT_EQ(network_json(back), text) << name;
    ASSERT_EQ(back.layers.size(), network.layers.size());
    for (std::size_t i = 0; i < network.layers.size(); ++i) {
      EXPECT_EQ(back.layers[i].name, network.layers[i].name);
      EXPECT_EQ(back.layers[i].op, network.layers[i].op);
      EXPECT_EQ(back.layers[i].inputs, network.layers[i].inputs);
      EXPECT_EQ(back.layers[i].window, network.layers[i].window);
      EXPECT_EQ(back.layers[i].out, network.layers[i].out);
      EXPECT_EQ(back.layers[i].winner_site, network.layers[i].winner_site);
    }
  }
}

TEST(NetworkJson, WindowsKeepWhatTheyHaveBehindTheImage) {
  NetworkBuilder builder("made", {.channels = 1, .height = 8, .width = 7});
  const int conv =
      builder.conv("conv", kNetworkInput, 2, {.kernel = 4, .stride = 2, .padding = 1, .after = 2});
  const int pool =
      builder.max_pool("pool", conv, {.kernel = 2, .stride = 2, .padding = 0, .after = 1});
  builder.max_pool("flat", pool, {.kernel = 2, .stride = 2, .across = 1});
  const Network network = builder.finish();
  EXPECT_EQ(network.layers[0].out, (Shape{2, 5, 4}));
  EXPECT_EQ(network.layers[1].out, (Shape{2, 3, 2}));
  EXPECT_EQ(network.layers[2].out, (Shape{2, 1, 1}));
  const Network back = parse_network_json(network_json(network), "made");
  EXPECT_EQ(back.layers[0].window, network.layers[0].window);
  EXPECT_EQ(back.layers[1].window, network.layers[1].window);
  EXPECT_EQ(back.layers[2].window, network.layers[2].window);
  for (const std::int64_t after : {std::int64_t{-1}, std::int64_t{3}, std::int64_t{1} << 62}) {
    json forged = json::parse(network_json(network));
    forged["layers"][0]["after"] = after;
    EXPECT_THAT(error_of([&] { (void)parse_network_json(forged.dump(), "made"); }),
                IsError(ErrorKind::kFormat, "a window that does not fit"));
  }
}

TEST(NetworkJson, FunctionsAndArithmeticAreKept) {
  Network network;
  network.name = "made";
  network.input = {.channels = 2};
  const auto layer = [](const char* name, Op op, std::vector<int> inputs) {
    Layer made;
    made.name = name;
    made.op = op;
    made.inputs = std::move(inputs);
    made.in = made.out = {.channels = 2};
    return made;
  };
  network.layers = {layer("clip", Op::kPointwise, {kNetworkInput}),
                    layer("below", Op::kPointwise, {0}), layer("hard", Op::kPointwise, {1}),
                    layer("table", Op::kConstant, {}), layer("less", Op::kArithmetic, {2, 3})};
  constexpr float kNone = std::numeric_limits<float>::infinity();
  network.layers[0].pointwise = {Function::kClip, -1.5f, 0.1f};
  network.layers[1].pointwise = {Function::kClip, -kNone, kNone};
  network.layers[2].pointwise = {Function::kHardSigmoid, 1.0f / 6, 0.5f};
  network.layers[4].arithmetic = Arithmetic::kSubtract;
  ASSERT_EQ(wrong_layer(network), std::nullopt);
  const std::string text = network_json(network);
  const Network back = parse_network_json(text, "made");
  EXPECT_EQ(network_json(back), text);
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    EXPECT_EQ(back.layers[i].pointwise, network.layers[i].pointwise) << i;
    EXPECT_EQ(back.layers[i].arithmetic, network.layers[i].arithmetic) << i;
  }
  const auto forged = [&](std::size_t number, const char* key, const json& value) {
    json changed = json::parse(text);
    changed["layers"][number][key] = value;
    return error_of([&] { (void)parse_network_json(changed.dump(), "made"); });
  };
  EXPECT_THAT(forged(2, "function", "sine"),
              IsError(ErrorKind::kFormat, "unknown \"sine\" in hard"));
  EXPECT_THAT(forged(4, "arithmetic", "power"), IsError(ErrorKind::kFormat, "unknown \"power\""));
  EXPECT_THAT(forged(2, "alpha", nullptr), IsError(ErrorKind::kFormat, "must be number"));
  json unbounded = json::parse(text);
  unbounded["layers"][2].erase("beta");
  EXPECT_THAT(error_of([&] { (void)parse_network_json(unbounded.dump(), "made"); }),
              IsError(ErrorKind::kFormat, "a function or arithmetic"));
}

TEST(NetworkJson, AttentionAndRowsAreKept) {
  Network network;
  network.name = "made";
  network.input = {.channels = 12, .height = 6};
  Layer rows;
  rows.name = "rows";
  rows.op = Op::kRows;
  rows.inputs = {kNetworkInput};
  rows.in = network.input;
  rows.out = {.channels = 12, .height = 4};
  rows.first = 2;
  Layer attention = rows;
  attention.name = "attention";
  attention.op = Op::kAttention;
  attention.inputs = {0};
  attention.in = rows.out;
  attention.out = {.channels = 4, .height = 4};
  attention.first = 0;
  attention.heads = 2;
  attention.scale = 0.3f;
  attention.masks = 2;
  attention.mask_replaces = attention.nan_is_zero = true;
  network.layers = {rows, attention};
  ASSERT_EQ(wrong_layer(network), std::nullopt);
  EXPECT_EQ(mask_count(network, attention), 2 * 4 * 4);
  const std::string text = network_json(network);
  const Network back = parse_network_json(text, "made");
  EXPECT_EQ(network_json(back), text);
  EXPECT_EQ(back.layers[0].first, 2);
  EXPECT_EQ(back.layers[1].scale, 0.3f);
  EXPECT_EQ(back.layers[1].masks, 2);
  EXPECT_TRUE(back.layers[1].mask_replaces && back.layers[1].nan_is_zero);
  json forged = json::parse(text);
  forged["layers"][0]["masks"] = 1;
  EXPECT_THAT(error_of([&] { (void)parse_network_json(forged.dump(), "made"); }),
              IsError(ErrorKind::kFormat, "a scale or mask"));
}

Network measured() {
  RecommenderShape shape;
  shape.dense = 3;
  shape.dim = 4;
  shape.tables = {{.name = "a", .rows = 7, .bytes = 55}, {.name = "b \"quoted\"", .rows = 9}};
  shape.bottom = {8};
  shape.top = {6};
  Network network = recommender_network(shape);
  network.winners.unit = sparsity::Unit::kNeuron;
  network.winners.block = 4;
  network.winners.rates = {0.5, 0.25, 1};
  network.densities = {0.5, 0.125, 0.0625};
  network.values.resize(network.layers.size());
  network.values[0].input_scale = 0.25F;
  network.values[0].input_unsigned = true;
  return network;
}

TEST(NetworkJson, TablesWinnersDensitiesAndScalesAreKept) {
  const Network back = parse_network_json(network_json(measured()), "m");
  ASSERT_EQ(back.tables.size(), 2u);
  EXPECT_EQ(back.tables[0].bytes, 55);
  EXPECT_EQ(back.tables[1].name, "b \"quoted\"");
  EXPECT_EQ(back.winners.unit, sparsity::Unit::kNeuron);
  EXPECT_EQ(back.winners.block, 4);
  EXPECT_EQ(back.winners.rates, (std::vector<double>{0.5, 0.25, 1}));
  EXPECT_EQ(back.densities, (std::vector<double>{0.5, 0.125, 0.0625}));
  ASSERT_EQ(back.values.size(), back.layers.size());
  EXPECT_EQ(back.values[0].input_scale, 0.25F);
  EXPECT_TRUE(back.values[0].input_unsigned);
  EXPECT_TRUE(back.values[0].weight.empty());
}

Error parsed_with(const std::function<void(json&)>& change) {
  json text = json::parse(network_json(measured()));
  change(text);
  return error_of([&] { (void)parse_network_json(text.dump(), "run/network.json"); });
}

TEST(NetworkJson, WhatIsMissingOrOutOfRangeIsNamedWithItsSource) {
  const auto format = [](const char* said) { return IsError(ErrorKind::kFormat, said); };
  EXPECT_THAT(parsed_with([](json& n) { n.erase("layers"); }), format("layers"));
  EXPECT_THAT(parsed_with([](json& n) { n.erase("layers"); }), format("run/network.json"));
  EXPECT_THAT(parsed_with([](json& n) { n["layers"] = json::array(); }), format("without layers"));
  EXPECT_THAT(parsed_with([](json& n) { n["layers"][0]["op"] = "softmax"; }), format("softmax"));
  EXPECT_THAT(parsed_with([](json& n) { n["layers"][0]["bias"] = 7; }), format("boolean"));
  EXPECT_THAT(parsed_with([](json& n) { n["winners"]["unit"] = "star"; }), format("star"));
  EXPECT_THAT(parsed_with([](json& n) { n["densities"] = {0.5}; }),
              format("1 densities for 3 sites"));
  EXPECT_THAT(parsed_with([](json& n) { n["densities"][1] = 1.5; }),
              format("a density of 1.5 in layer "));
  EXPECT_THAT(parsed_with([](json& n) { n["winners"]["rates"][1] = 0; }),
              format("a winner rate of 0 in layer "));
  EXPECT_THAT(parsed_with([](json& n) { n["winners"]["rates"] = {0.5, 0.5}; }),
              format("2 winner rates"));
  EXPECT_THAT(parsed_with([](json& n) { n["layers"][1].erase("input_scale"); }),
              format("some layers alone"));
  EXPECT_THAT(error_of([] { (void)parse_network_json("", "x"); }), format("not the description"));
  EXPECT_THAT(error_of([] { (void)parse_network_json("[]", "x"); }), format("not the description"));
}

TEST(NetworkJson, DamagedTextIsAnErrorOrASoundNetwork) {
  const std::string good = network_json(measured());
  const CounterRandom dice(20240229);
  std::uint64_t thrown = 0;
  const auto pick = [&](std::size_t below) {
    return static_cast<std::size_t>(dice.below(thrown++, below));
  };
  int refused = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string text = good;
    for (std::size_t edit = 0; edit <= pick(3); ++edit) {
      const std::size_t at = pick(text.size());
      switch (pick(4)) {
        case 0:
          text[at] = static_cast<char>(pick(256));
          break;
        case 1:
          text.erase(at, 1 + pick(20));
          break;
        case 2:
          text.insert(at, text.substr(pick(text.size()), 1 + pick(20)));
          break;
        default:
          text[at] = static_cast<char>('0' + pick(10));
      }
    }
    try {
      const Network network = parse_network_json(text, "fuzz");
      EXPECT_EQ(wrong_layer(network), std::nullopt) << "round " << round;
    } catch (const Error& failed) {
      EXPECT_EQ(failed.kind(), ErrorKind::kFormat) << "round " << round << ": " << failed.what();
      ++refused;
    }
  }
  EXPECT_GT(refused, 1000);
}

TEST(NetworkJson, DamagedValuesAreAnErrorOrASoundNetwork) {
  const json good = json::parse(network_json(measured()));
  const json flat = good.flatten();
  std::vector<std::string> keys;
  for (const auto& [key, value] : flat.items()) keys.push_back(key);
  const std::array<json, 9> odd = {json(),       json(-1),   json(0), json(1e300),
                                   json("x"),    json(true), json(3), json(int64_t{1} << 62),
                                   json::array()};
  for (const std::string& key : keys) {
    for (const json& value : odd) {
      json changed = good;
      changed[json::json_pointer(key)] = value;
      try {
        EXPECT_EQ(wrong_layer(parse_network_json(changed.dump(), "odd")), std::nullopt) << key;
      } catch (const Error& failed) {
        EXPECT_EQ(failed.kind(), ErrorKind::kFormat) << key << " = " << value;
      }
    }
  }
}

/// A network with a layer of each op; `all` is where to change one.
Network one_of_each() {
  NetworkBuilder net("each", {6, 4, 4});
  const int conv = net.conv("conv", kNetworkInput, 6, {3, 1, 1}, 2);
  const int norm = net.batch_norm("batch_norm", conv);
  const int relu = net.activation("relu", norm);
  const int pool = net.max_pool("max_pool", relu, {2, 2});
  const int each = net.linear("linear", pool, 6);
  const int sum = net.add("add", std::array<int, 2>{pool, each});
  const int both = net.concat("concat", std::array<int, 2>{sum, pool});
  const int attention = net.attention("attention", both, 2);
  const int relu6 = net.activation("relu6", attention, Op::kRelu6);
  const int mean = net.global_mean("global_mean", relu6);
  const int table = net.table({.name = "t", .rows = 5, .dim = 4});
  const int rows = net.embedding("embedding", {&table, 1}, 3);
  net.first_values("first_values", rows);
  const int dots = net.interaction("interaction", std::array<int, 2>{mean, rows}, 2);
  net.flatten("flatten", dots);
  Network network = net.finish();
  const auto add = [&](Op op, std::vector<int> inputs, const Shape& out) {
    Layer layer;
    layer.name = to_string(op);
    layer.op = op;
    layer.in = inputs.empty() ? out : network.shape_of(inputs[0]);
    layer.out = out;
    layer.inputs = std::move(inputs);
    network.layers.push_back(std::move(layer));
    return static_cast<int>(network.layers.size()) - 1;
  };
  const int function = add(Op::kPointwise, {relu}, {6, 4, 4});
  network.layers.back().pointwise = {Function::kSilu, 1};
  const int constant = add(Op::kConstant, {}, {1, 4, 1});
  add(Op::kArithmetic, {constant, function}, {6, 4, 4});
  add(Op::kUpsample, {relu}, {6, 12, 12});
  network.layers.back().factor = 3;
  add(Op::kDepthToSpace, {relu6}, {1, 4, 4});
  network.layers.back().factor = 2;
  add(Op::kLayerNorm, {relu}, {6, 4, 4});
  network.layers.back().epsilon = 1e-6f;
  add(Op::kMeanPool, {relu}, {6, 4, 4});
  network.layers.back().window = {3, 1, 1};
  return network;
}

Layer& named(Network& network, const std::string& name) {
  for (Layer& layer : network.layers) {
    if (layer.name == name) return layer;
  }
  throw std::out_of_range(name);
}

TEST(WrongLayer, FindsNothingInASoundNetworkOfEveryOp) {
  EXPECT_EQ(wrong_layer(one_of_each()), std::nullopt);
}

struct Damage {
  const char* layer;
  const char* what;
  std::function<void(Layer&)> change;
  const char* said;
};

class DamagedLayer : public testing::TestWithParam<Damage> {};

TEST_P(DamagedLayer, IsNamed) {
  Network network = one_of_each();
  GetParam().change(named(network, GetParam().layer));
  const auto wrong = wrong_layer(network);
  ASSERT_TRUE(wrong.has_value());
  EXPECT_NE(wrong->find(GetParam().said), std::string::npos) << *wrong;
  EXPECT_NE(wrong->find(concat("\"", GetParam().layer, "\"")), std::string::npos) << *wrong;
}

INSTANTIATE_TEST_SUITE_P(
    Ops, DamagedLayer,
    testing::Values(
        Damage{"conv", "Groups", [](Layer& l) { l.groups = 4; }, "groups that do not divide"},
        Damage{"conv", "Window", [](Layer& l) { l.window.kernel = 9; },
               "a window that does not fit"},
        Damage{"conv", "Padding", [](Layer& l) { l.window.padding = 3; }, "a window"},
        Damage{"batch_norm", "Output", [](Layer& l) { ++l.out.channels; }, "wrong size"},
        Damage{"max_pool", "Site", [](Layer& l) { l.winner_site = 2; }, "a site out of order"},
        Damage{"relu", "Site", [](Layer& l) { l.winner_site = 1; }, "a site out of order"},
        Damage{"relu", "Input", [](Layer& l) { l.inputs = {9}; }, "not before it"},
        Damage{"max_pool", "Stride", [](Layer& l) { l.window.stride = 0; }, "a window"},
        Damage{"linear", "Groups", [](Layer& l) { l.groups = 0; }, "its op does not have"},
        Damage{"relu6", "Window", [](Layer& l) { l.window.kernel = 0; }, "its op does not have"},
        Damage{"add", "Heads", [](Layer& l) { l.heads = 0; }, "its op does not have"},
        Damage{"flatten", "Copied", [](Layer& l) { l.copied = -1; }, "its op does not have"},
        Damage{"linear", "Inputs", [](Layer& l) { l.inputs.push_back(0); }, "number of inputs"},
        Damage{"add", "Alone", [](Layer& l) { l.inputs.pop_back(); }, "number of inputs"},
        Damage{"add", "Unlike", [](Layer& l) { l.inputs[1] = 0; }, "sizes that differ"},
        Damage{"concat", "Output", [](Layer& l) { --l.out.channels; }, "wrong size"},
        Damage{"attention", "Heads", [](Layer& l) { l.heads = 3; }, "heads that do not divide"},
        Damage{"attention", "NoHeads", [](Layer& l) { l.heads = 0; }, "heads"},
        Damage{"relu6", "Tables", [](Layer& l) { l.tables = {0}; }, "number of tables"},
        Damage{"global_mean", "Output", [](Layer& l) { l.out.height = 2; }, "wrong size"},
        Damage{"embedding", "NoTables", [](Layer& l) { l.tables.clear(); }, "number of tables"},
        Damage{"embedding", "Table", [](Layer& l) { l.tables = {1}; }, "not there"},
        Damage{"embedding", "Reads", [](Layer& l) { l.inputs = {0}; }, "number of inputs"},
        Damage{"embedding", "Dim", [](Layer& l) { l.out.channels = 3; }, "another dimension"},
        Damage{"embedding", "Uneven", [](Layer& l) { l.tables = {0, 0}; }, "do not share evenly"},
        Damage{"first_values", "Output", [](Layer& l) { l.out.channels = 4; }, "wrong size"},
        Damage{"interaction", "Copied", [](Layer& l) { l.copied = 5; }, "wrong size"},
        Damage{"interaction", "Unlike", [](Layer& l) { l.inputs[1] = 0; }, "sizes that differ"},
        Damage{"pointwise", "Number", [](Layer& l) { l.pointwise.alpha = INFINITY; }, "a function"},
        Damage{"pointwise", "Arithmetic", [](Layer& l) { l.arithmetic = Arithmetic::kDivide; },
               "its op does not have"},
        Damage{"relu", "Function", [](Layer& l) { l.pointwise.beta = 1; }, "its op does not have"},
        Damage{"arithmetic", "Inputs", [](Layer& l) { l.inputs.pop_back(); }, "number of inputs"},
        Damage{"arithmetic", "Unlike", [](Layer& l) { l.inputs[1] = 3; }, "wrong size"},
        Damage{"arithmetic", "Output", [](Layer& l) { l.out.channels = 1; }, "wrong size"},
        Damage{"constant", "Reads", [](Layer& l) { l.inputs = {0}; }, "number of inputs"},
        Damage{"constant", "Output", [](Layer& l) { l.out.width = 0; }, "wrong size"},
        Damage{"upsample", "Factor", [](Layer& l) { l.factor = 0; }, "wrong size"},
        Damage{"upsample", "Huge", [](Layer& l) { l.factor = std::int64_t{1} << 62; },
               "wrong size"},
        Damage{"depth_to_space", "Factor", [](Layer& l) { l.factor = 4; }, "wrong size"},
        Damage{"relu", "Factor", [](Layer& l) { l.factor = 2; }, "its op does not have"},
        Damage{"layer_norm", "Epsilon", [](Layer& l) { l.epsilon = 0; }, "an epsilon"},
        Damage{"relu", "Epsilon", [](Layer& l) { l.epsilon = 1; }, "its op does not have"},
        Damage{"max_pool", "Across", [](Layer& l) { l.window.across = -1; }, "a window"},
        Damage{"mean_pool", "Window", [](Layer& l) { l.window.padding = 3; }, "a window"},
        Damage{"flatten", "Output", [](Layer& l) { l.out.channels = 1; }, "wrong size"}),
    [](const auto& tested) { return std::string(tested.param.layer) + tested.param.what; });

TEST(WrongLayer, NamesThatAreMissingOrTwiceAreFound) {
  Network network = one_of_each();
  network.layers[2].name = "conv";
  EXPECT_NE(wrong_layer(network)->find("no name of its own"), std::string::npos);
  network.layers[2].name.clear();
  EXPECT_NE(wrong_layer(network)->find("layer 2"), std::string::npos);
}

TEST(Ops, SpellingsReadBack) {
  for (const Layer& layer : one_of_each().layers) {
    EXPECT_EQ(layer.name, to_string(layer.op));
    EXPECT_EQ(parse_op(to_string(layer.op)), layer.op);
  }
  EXPECT_EQ(parse_op("softmax"), std::nullopt);
}

TEST(Sites, AreFoundThroughPoolsMeansAndFlattening) {
  Network network = make_network("vgg-small");
  EXPECT_EQ(site_read_by(network, named(network, "fc")), 4);
  EXPECT_EQ(site_read_by(network, named(network, "conv3")), 1);
  EXPECT_EQ(site_read_by(network, named(network, "conv1")), -1);
  network.winners.rates = {0.5, 0.4, 0.3, 0.2, 0.1};
  EXPECT_EQ(winners_at(network, named(network, "pool1")).rate, 0.4);
  EXPECT_EQ(winners_at(network, named(network, "pool1")).unit, sparsity::Unit::kPosition);
}

}  // namespace
}  // namespace taut::graph
