// Operators of ONNX models that compute value by value, and averages of windows, beside their
// definitions.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "graph/onnx_builder.h"
#include "infer/onnx_cases.h"
#include "infer/plain_values.h"

namespace taut::infer {
namespace {

using graph::Function;
using graph::OnnxBuilder;
using graph::Op;
using graph::Pointwise;
using test_support::expect_near;
using test_support::plain_function;
using test_support::ScoredModel;
using test_support::some_numbers;

std::vector<Op> ops_of(const ScoredModel& run) {
  std::vector<Op> ops;
  for (const graph::Layer& layer : run.read.network.layers) ops.push_back(layer.op);
  return ops;
}

struct FunctionCase {
  const char* op;
  std::vector<std::pair<const char*, float>> attributes;
  Pointwise wanted;
  const char* approximate = "";
};

TEST(OnnxValues, FunctionsWithTheirAttributesAndDefaults) {
  const std::vector<FunctionCase> cases = {
      {"LeakyRelu", {}, {Function::kLeakyRelu, 0.01f}},
      {"LeakyRelu", {{"alpha", 0.2f}}, {Function::kLeakyRelu, 0.2f}},
      {"Sigmoid", {}, {Function::kSigmoid}},
      {"HardSigmoid", {}, {Function::kHardSigmoid, 0.2f, 0.5f}},
      {"HardSigmoid", {{"alpha", 0.3f}, {"beta", 0.1f}}, {Function::kHardSigmoid, 0.3f, 0.1f}},
      {"HardSwish", {}, {Function::kHardSwish, 1.0f / 6, 0.5f}},
      {"Tanh", {}, {Function::kTanh}},
      {"Erf", {}, {Function::kErf}},
      {"Gelu", {}, {Function::kGelu}},
      {"Gelu", {}, {Function::kGeluTanh}, "tanh"},
      {"Swish", {{"alpha", 0.7f}}, {Function::kSilu, 0.7f}}};
  const std::vector<float> x = some_numbers(2 * 3 * 5, 4);
  for (const FunctionCase& one : cases) {
    SCOPED_TRACE(one.op);
    OnnxBuilder made(24);
    made.input("x", {1, 2, 3, 5});
    onnx::NodeProto& node = made.node(one.op, {"x"}, "y");
    for (const auto& [name, value] : one.attributes) OnnxBuilder::real(node, name, value);
    if (*one.approximate != 0) OnnxBuilder::text(node, "approximate", one.approximate);
    made.output("y");
    const ScoredModel run(made, x);
    ASSERT_EQ(ops_of(run), std::vector{Op::kPointwise});
    EXPECT_EQ(run.read.network.layers[0].pointwise, one.wanted);
    std::vector<double> wanted;
    for (const float value : x) wanted.push_back(plain_function(one.wanted, value));
    expect_near(run.scores, wanted);
  }
}

TEST(OnnxValues, ClipsToAnyBounds) {
  for (const auto& [least, most] : std::vector<std::pair<float, float>>{
           {-1, 1}, {-0.5f, INFINITY}, {-INFINITY, 0.25f}, {0, 1}, {-3.4e38f, 2}}) {
    OnnxBuilder made;
    made.input("x", {1, 3});
    std::vector<std::string> inputs = {"x", "", ""};
    if (std::isfinite(least)) made.values(inputs[1] = "least", {}, {least});
    if (std::isfinite(most)) made.values(inputs[2] = "most", {}, {most});
    made.node("Clip", inputs, "y");
    made.output("y");
    const std::vector<float> wanted = {std::max(-5.0f, least),
                                       std::min(std::max(0.5f, least), most), std::min(7.0f, most)};
    EXPECT_EQ(ScoredModel(made, {-5, 0.5f, 7}).scores, wanted) << least << " .. " << most;
  }
}

TEST(OnnxValues, AValueTimesItsSigmoidIsOneFunction) {
  for (const char* op : {"Sigmoid", "HardSigmoid"}) {
    for (const bool read_twice : {false, true}) {
      OnnxBuilder made;
      made.input("x", {1, 4, 1, 2});
      made.node("Relu", {"x"}, "value");
      made.node(op, {"value"}, "gate");
      made.node("Mul",
                read_twice ? std::vector<std::string>{"gate", "value"}
                           : std::vector<std::string>{"value", "gate"},
                "gated");
      made.node("Add", {"gated", read_twice ? "gate" : "x"}, "y");
      made.output("y");
      const std::vector<float> x = some_numbers(8, 5);
      const ScoredModel run(made, x);
      EXPECT_EQ(ops_of(run).size(), read_twice ? 4u : 3u);
      const Pointwise gate{*op == 'S' ? Function::kSigmoid : Function::kHardSigmoid, 0.2f, 0.5f};
      std::vector<double> wanted;
      for (const float one : x) {
        const double value = std::max(one, 0.0f);
        const double open = plain_function(gate, value);
        wanted.push_back(value * open + (read_twice ? open : one));
      }
      expect_near(run.scores, wanted);
    }
  }
}

using Combined = std::function<double(std::int64_t c, std::int64_t y, std::int64_t x)>;

TEST(OnnxValues, ArithmeticOfTwoValuesAndOfConstantsThatDifferByPosition) {
  const std::vector<float> x = some_numbers(12, 6);
  const std::vector<float> table = some_numbers(12, 7);
  const auto at = [](const std::vector<float>& v, std::int64_t c, std::int64_t h, std::int64_t w) {
    return static_cast<double>(v[static_cast<std::size_t>((c * 3 + h) * 2 + w)]);
  };
  const auto mean = [&](std::int64_t c) {
    double sum = 0;
    for (std::int64_t p = 0; p < 6; ++p) sum += at(x, c, p / 2, p % 2);
    return sum / 6;
  };
  struct Case {
    const char* name;
    std::function<void(OnnxBuilder&)> add;  // reads x, gives y
    Combined wanted;
  };
  const std::vector<Case> cases = {
      {"a square", [](OnnxBuilder& made) { made.node("Mul", {"x", "x"}, "y"); },
       [&](auto c, auto h, auto w) { return at(x, c, h, w) * at(x, c, h, w); }},
      {"a gate",
       [](OnnxBuilder& made) {
         made.node("GlobalAveragePool", {"x"}, "mean");
         made.node("Mul", {"mean", "x"}, "y");
       },
       [&](auto c, auto h, auto w) { return mean(c) * at(x, c, h, w); }},
      {"a mean taken off",
       [](OnnxBuilder& made) {
         made.node("GlobalAveragePool", {"x"}, "mean");
         made.node("Sub", {"x", "mean"}, "y");
       },
       [&](auto c, auto h, auto w) { return at(x, c, h, w) - mean(c); }},
      {"a mean added",
       [](OnnxBuilder& made) {
         made.node("GlobalAveragePool", {"x"}, "mean");
         made.node("Add", {"mean", "x"}, "y");
       },
       [&](auto c, auto h, auto w) { return at(x, c, h, w) + mean(c); }},
      {"a constant for each place",
       [&](OnnxBuilder& made) {
         made.values("table", {1, 2, 3, 2}, table);
         made.node("Add", {"x", "table"}, "y");
       },
       [&](auto c, auto h, auto w) { return at(x, c, h, w) + at(table, c, h, w); }},
      {"a constant for each row",
       [&](OnnxBuilder& made) {
         made.values("table", {3, 1}, {table[0], table[1], table[2]});
         made.node("Mul", {"table", "x"}, "y");
       },
       [&](auto c, auto h, auto w) { return at(x, c, h, w) * at(table, 0, h / 2, h % 2); }},
      {"a constant for each column taken off",
       [&](OnnxBuilder& made) {
         made.values("table", {2}, {table[0], table[1]});
         made.node("Sub", {"table", "x"}, "y");
       },
       [&](auto c, auto h, auto w) { return at(table, 0, 0, w) - at(x, c, h, w); }},
      {"a constant divided",
       [&](OnnxBuilder& made) {
         made.values("one", {}, {2});
         made.node("Div", {"one", "x"}, "y");
       },
       [&](auto c, auto h, auto w) { return 2 / at(x, c, h, w); }},
      {"a value divided",
       [&](OnnxBuilder& made) {
         made.node("Sigmoid", {"x"}, "s");
         made.node("Div", {"x", "s"}, "y");
       },
       [&](auto c, auto h, auto w) { return at(x, c, h, w) * (1 + std::exp(-at(x, c, h, w))); }},
      {"a hard swish as it is written out",
       [&](OnnxBuilder& made) {
         made.values("three", {}, {3});
         made.values("least", {}, {0});
         made.values("six", {}, {6});
         made.node("Add", {"x", "three"}, "moved");
         made.node("Clip", {"moved", "least", "six"}, "cut");
         made.node("Mul", {"x", "cut"}, "product");
         made.node("Div", {"product", "six"}, "y");
       },
       [&](auto c, auto h, auto w) {
         return plain_function({Function::kHardSwish, 1.0f / 6, 0.5f}, at(x, c, h, w));
       }}};
  for (const Case& one : cases) {
    SCOPED_TRACE(one.name);
    OnnxBuilder made;
    made.input("x", {1, 2, 3, 2});
    one.add(made);
    made.output("y");
    std::vector<double> wanted;
    for (std::int64_t i = 0; i < 12; ++i) wanted.push_back(one.wanted(i / 6, i / 2 % 3, i % 2));
    expect_near(ScoredModel(made, x).scores, wanted);
  }
}

TEST(OnnxValues, ConstantsOfTokensStandWhereTheirTokensDo) {
  OnnxBuilder made;
  made.input("x", {1, 3, 2});  // tokens of two channels
  made.values("w", {2, 2}, {1, 0, 0, 1});
  made.values("places", {1, 3, 2}, {1, 2, 3, 4, 5, 6});
  made.node("MatMul", {"x", "w"}, "product");
  made.node("Add", {"product", "places"}, "y");
  made.output("y");
  // Planes, as the engine reads and writes them in these tests.
  EXPECT_EQ(ScoredModel(made, {10, 20, 30, 40, 50, 60}).scores,
            (std::vector<float>{11, 23, 35, 42, 54, 66}));
}

TEST(OnnxValues, NormsOfChannelsOfTokensAndOfTurnedImages) {
  const std::vector<float> x = some_numbers(2 * 3, 9);
  for (const bool image : {false, true}) {
    OnnxBuilder made(17);
    made.values("scale", {2}, {1.5f, -2});
    made.values("shift", {2}, {0.25f, 3});
    std::string from = "x";
    if (image) {
      made.input("x", {1, 2, 3, 1});
      made.node("Transpose", {"x"}, from = "turned", {{"perm", {0, 2, 3, 1}}});
    } else {
      made.input("x", {1, 3, 2});
    }
    OnnxBuilder::real(made.node("LayerNormalization",
                                image ? std::vector<std::string>{from, "scale"}
                                      : std::vector<std::string>{from, "scale", "shift"},
                                "y"),
                      "epsilon", 1e-2f);
    made.output("y");
    const ScoredModel run(made, x);
    std::vector<double> wanted(6);
    for (std::size_t p = 0; p < 3; ++p) {
      const double mean = (x[p] + x[3 + p]) / 2;
      const double factor = 1 / std::sqrt((x[p] - mean) * (x[p] - mean) + 1e-2);
      wanted[p] = (x[p] - mean) * factor * 1.5 + (image ? 0 : 0.25);
      wanted[3 + p] = (x[3 + p] - mean) * factor * -2 + (image ? 0 : 3);
    }
    EXPECT_EQ(ops_of(run), std::vector{Op::kLayerNorm});
    expect_near(run.scores, wanted);
  }
}

TEST(OnnxValues, AveragesOverWhatLiesOnTheImage) {
  struct Case {
    OnnxBuilder::Integers attributes;
    std::int64_t kernel;
    std::int64_t stride;
    std::int64_t pad;
    std::int64_t side;  // of the output
  };
  const std::vector<Case> cases = {
      {{{"pads", {1, 1, 1, 1}}}, 3, 1, 1, 5},
      {{{"pads", {1, 1, 1, 1}}, {"strides", {2, 2}}}, 3, 2, 1, 3},
      {{{"strides", {2, 2}}, {"ceil_mode", {1}}}, 2, 2, 0, 3},
      {{{"strides", {2, 2}}, {"ceil_mode", {1}}, {"pads", {1, 1, 1, 1}}}, 4, 2, 1, 3}};
  const std::vector<float> x = some_numbers(2 * 25, 8);
  for (const Case& one : cases) {
    OnnxBuilder made;
    made.input("x", {1, 2, 5, 5});
    OnnxBuilder::Integers attributes = one.attributes;
    attributes.emplace_back("kernel_shape", std::vector{one.kernel, one.kernel});
    made.node("AveragePool", {"x"}, "y", attributes);
    made.output("y");
    std::vector<double> wanted;
    for (std::int64_t i = 0; i < 2 * one.side * one.side; ++i) {
      const std::int64_t c = i / (one.side * one.side);
      double sum = 0;
      int taps = 0;
      for (std::int64_t tap = 0; tap < one.kernel * one.kernel; ++tap) {
        const std::int64_t h = i / one.side % one.side * one.stride - one.pad + tap / one.kernel;
        const std::int64_t w = i % one.side * one.stride - one.pad + tap % one.kernel;
        if (h < 0 || h >= 5 || w < 0 || w >= 5) continue;
        sum += x[static_cast<std::size_t>((c * 5 + h) * 5 + w)];
        ++taps;
      }
      wanted.push_back(sum / taps);
    }
    const ScoredModel run(made, x);
    EXPECT_EQ(ops_of(run), std::vector{Op::kMeanPool});
    expect_near(run.scores, wanted);
  }
}

TEST(OnnxValues, ALastSigmoidOfOneOutputIsAProbabilityOfSeveralALayer) {
  for (const std::int64_t outputs : {1, 2}) {
    OnnxBuilder made;
    made.input("x", {1, 1});
    made.values("w", {1, outputs}, std::vector<float>(static_cast<std::size_t>(outputs), 2));
    made.node("MatMul", {"x", "w"}, "logits");
    made.node("Sigmoid", {"logits"}, "y");
    made.output("y");
    const ScoredModel run(made, {1.5f});
    EXPECT_EQ(run.read.ending,
              outputs == 1 ? graph::OnnxEnding::kSigmoid : graph::OnnxEnding::kNone);
    const double wanted = outputs == 1 ? 3 : 1 / (1 + std::exp(-3.0));
    expect_near(run.scores, std::vector<double>(static_cast<std::size_t>(outputs), wanted));
  }
}

}  // namespace
}  // namespace taut::infer
