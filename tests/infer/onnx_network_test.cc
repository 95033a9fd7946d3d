// Operators of ONNX models through the engine, beside their definitions.
#include "taut/graph/onnx_network.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "graph/onnx_builder.h"
#include "infer/onnx_cases.h"

namespace taut::infer {
namespace {

using graph::OnnxBuilder;
using graph::OnnxNetwork;
using graph::Op;
using graph::parse_onnx_network;
using test_support::engine_scores;
using test_support::expect_near;
using test_support::image_of;
using test_support::plain_convolution;
using test_support::PlainImage;
using test_support::PlainWindow;
using test_support::ScoredModel;
using test_support::some_numbers;
using test_support::windows_along;

struct ConvolutionCase {
  const char* name;
  PlainWindow window;
  bool stays = true;  // square and even: the weights are used as they lie
  const char* auto_pad = "";
};

const std::vector<ConvolutionCase>& convolution_cases() {
  static const std::vector<ConvolutionCase> kCases = {
      {"plain", {}},
      {"padded", {.pads = {1, 1, 1, 1}}},
      {"strided", {.strides = {2, 2}, .pads = {1, 1, 1, 1}}},
      {"strides that differ", {.strides = {2, 1}, .pads = {1, 1, 1, 1}}},
      {"strides that differ the other way", {.strides = {1, 3}, .pads = {1, 1, 1, 1}}},
      {"halves heights by groups", {.strides = {2, 1}, .pads = {1, 1, 1, 1}, .groups = 4}},
      {"point across", {.kernel = {1, 1}, .strides = {1, 2}}},
      {"point", {.kernel = {1, 1}, .strides = {2, 2}}},
      {"groups", {.pads = {1, 1, 1, 1}, .groups = 2}},
      {"depthwise", {.pads = {1, 1, 1, 1}, .groups = 4}},
      {"row", {.kernel = {1, 5}, .pads = {0, 2, 0, 2}}, false},
      {"column", {.kernel = {5, 1}, .pads = {2, 0, 2, 0}}, false},
      {"flat and wide", {.kernel = {2, 4}, .pads = {1, 0, 0, 3}}, false},
      {"uneven", {.strides = {2, 2}, .pads = {0, 0, 1, 1}}},
      {"uneven the other way", {.strides = {2, 2}, .pads = {1, 1, 0, 0}}, false},
      {"dilated", {.dilations = {2, 2}, .pads = {2, 2, 2, 2}}, false},
      {"dilated by rows", {.dilations = {3, 1}, .pads = {3, 1, 3, 1}}, false},
      {"dilated groups", {.dilations = {2, 2}, .pads = {1, 2, 3, 2}, .groups = 4}, false},
      {"cropped", {.pads = {-1, -1, 0, 0}}, false},
      {"the whole image", {.kernel = {7, 8}, .strides = {3, 1}}, false},
      {"same upper", {.strides = {2, 2}, .pads = {1, 0, 1, 1}}, false, "SAME_UPPER"},
      {"same lower", {.strides = {2, 2}, .pads = {1, 1, 1, 0}}, true, "SAME_LOWER"},
      {"valid", {}, true, "VALID"}};
  return kCases;
}

TEST(OnnxOperators, ConvolutionsOfAnyWindow) {
  constexpr std::int64_t kHeight = 7;
  constexpr std::int64_t kWidth = 8;
  for (const ConvolutionCase& one : convolution_cases()) {
    for (const bool has_bias : {true, false}) {
      SCOPED_TRACE(testing::Message() << one.name << (has_bias ? ", bias" : ""));
      const PlainWindow& w = one.window;
      const std::int64_t inputs = 4 / w.groups;
      const std::vector<float> weights = some_numbers(4 * inputs * w.kernel[0] * w.kernel[1], 3);
      const std::vector<float> bias = has_bias ? some_numbers(4, 5) : std::vector<float>();
      OnnxBuilder made;
      made.input("x", {1, 4, kHeight, kWidth});
      made.values("w", {4, inputs, w.kernel[0], w.kernel[1]}, weights);
      std::vector<std::string> operands = {"x", "w"};
      if (has_bias) {
        made.values("b", {4}, bias);
        operands.emplace_back("b");
      }
      OnnxBuilder::Integers attributes = {
          {"strides", w.strides}, {"dilations", w.dilations}, {"group", {w.groups}}};
      const bool automatic = !std::string(one.auto_pad).empty();
      if (!automatic) attributes.emplace_back("pads", w.pads);
      onnx::NodeProto& node = made.node("Conv", operands, "y", attributes);
      if (automatic) OnnxBuilder::text(node, "auto_pad", one.auto_pad);
      made.output("y");
      const std::vector<float> x = some_numbers(4 * kHeight * kWidth, 7);
      const ScoredModel run(made, x);
      expect_near(run.scores,
                  plain_convolution(image_of(x, 4, kHeight, kWidth), w, 4, weights, bias).values);
      ASSERT_EQ(run.read.network.layers.size(), 1u);
      EXPECT_EQ(run.read.network.layers[0].window.kernel == w.kernel[0] &&
                    run.read.network.layers[0].window.kernel == w.kernel[1],
                one.stays);
      EXPECT_EQ(run.read.network.layers[0].bias, has_bias);
    }
  }
}

TEST(OnnxOperators, WeightsThatLieAlignedAreNotCopied) {
  OnnxBuilder made;
  made.input("x", {1, 2});
  made.values("w", {3, 2}, {1, 2, 3, 4, 5, 6});
  made.node("Gemm", {"x", "w"}, "y", {{"transB", {1}}});
  made.output("y");
  // Bytes of a name move the weights until they lie aligned: once in four.
  int views = 0;
  for (const char* name : {"m", "mm", "mmm", "mmmm"}) {
    made.graph().mutable_node(0)->set_name(name);
    const std::string bytes = made.bytes();
    const OnnxNetwork read = parse_onnx_network(bytes, "made.onnx");
    const auto* at = reinterpret_cast<const char*>(read.network.values[0].weight.data());
    views += at >= bytes.data() && at < bytes.data() + bytes.size() ? 1 : 0;
    EXPECT_EQ(engine_scores(read.network, {1, 10}), (std::vector<float>{21, 43, 65}));
  }
  EXPECT_EQ(views, 1);
}

TEST(OnnxOperators, GemmWithEveryAttribute) {
  const std::vector<float> x = some_numbers(5, 1);
  const std::vector<float> w = some_numbers(15, 2);
  const std::vector<float> c = some_numbers(3, 3);
  for (const bool turned : {false, true}) {
    for (const float alpha : {1.0f, 0.5f}) {
      for (const std::vector<std::int64_t>& shape :
           std::vector<std::vector<std::int64_t>>{{3}, {1, 3}, {1}, {}}) {
        OnnxBuilder made;
        made.input("x", {1, 5});
        made.values("w", turned ? std::vector<std::int64_t>{3, 5} : std::vector<std::int64_t>{5, 3},
                    w);
        const bool each = !shape.empty() && shape.back() == 3;
        made.values("c", shape, each ? c : std::vector<float>{c[0]});
        onnx::NodeProto& node = made.node("Gemm", {"x", "w", "c"}, "y");
        if (turned) {
          onnx::AttributeProto& trans = *node.add_attribute();
          trans.set_name("transB");
          trans.set_type(onnx::AttributeProto::INT);
          trans.set_i(1);
        }
        OnnxBuilder::real(node, "alpha", alpha);
        OnnxBuilder::real(node, "beta", 2);
        made.output("y");
        std::vector<double> wanted;
        for (std::size_t o = 0; o < 3; ++o) {
          double sum = 0;
          for (std::size_t i = 0; i < 5; ++i) sum += x[i] * w[turned ? o * 5 + i : i * 3 + o];
          wanted.push_back(alpha * sum + 2.0 * c[each ? o : 0]);
        }
        expect_near(ScoredModel(made, x).scores, wanted);
      }
    }
  }
}

TEST(OnnxOperators, MatMulTakesTheAddBehindItAsItsBias) {
  for (const bool first : {false, true}) {
    OnnxBuilder made;
    made.input("x", {0, 2});
    made.values("w", {2, 3}, {1, 2, 3, 4, 5, 6});
    made.values("b", {3}, {100, 200, 300});
    made.node("MatMul", {"x", "w"}, "product");
    made.node(
        "Add",
        first ? std::vector<std::string>{"b", "product"} : std::vector<std::string>{"product", "b"},
        "y");
    made.output("y");
    const ScoredModel run(made, {1, 10});
    EXPECT_EQ(run.scores, (std::vector<float>{141, 252, 363}));
    ASSERT_EQ(run.read.network.layers.size(), 1u);
    EXPECT_TRUE(run.read.network.layers[0].bias);
  }
}

TEST(OnnxOperators, ConstantsForEachChannelBecomeANormalization) {
  struct Case {
    const char* op;
    bool first;  // the constant is the first operand
    std::vector<std::int64_t> shape;
    std::function<double(double, double)> wanted;
  };
  const std::vector<float> x = some_numbers(2 * 3 * 4, 4);
  const std::vector<float> c = {0.75f, -2.5f};
  for (const Case& one :
       std::vector<Case>{{"Add", false, {2, 1, 1}, [](double v, double k) { return v + k; }},
                         {"Add", true, {1, 2, 1, 1}, [](double v, double k) { return v + k; }},
                         {"Sub", false, {2, 1, 1}, [](double v, double k) { return v - k; }},
                         {"Sub", true, {2, 1, 1}, [](double v, double k) { return k - v; }},
                         {"Mul", false, {}, [](double v, double k) { return v * k; }},
                         {"Mul", true, {1, 2, 1, 1}, [](double v, double k) { return v * k; }},
                         {"Div", false, {2, 1, 1}, [](double v, double k) { return v / k; }}}) {
    OnnxBuilder made;
    made.input("x", {1, 2, 3, 4});
    const bool each = !one.shape.empty();
    made.values("c", one.shape, each ? c : std::vector<float>{c[0]});
    made.node(one.op,
              one.first ? std::vector<std::string>{"c", "x"} : std::vector<std::string>{"x", "c"},
              "y");
    made.output("y");
    std::vector<double> wanted;
    for (std::size_t i = 0; i < x.size(); ++i) {
      wanted.push_back(one.wanted(x[i], c[each ? i / 12 : 0]));
    }
    const ScoredModel run(made, x);
    expect_near(run.scores, wanted);
    EXPECT_EQ(run.read.network.layers[0].op, Op::kBatchNorm) << one.op;
  }
}

TEST(OnnxOperators, NormalizationsOfAnyEpsilon) {
  for (const float epsilon : {1e-5f, 1e-3f, 1e-6f}) {
    OnnxBuilder made;
    made.input("x", {1, 2, 2, 1});
    const std::vector<float> scale = {2, -1};
    const std::vector<float> shift = {0.5f, 3};
    const std::vector<float> mean = {1, -4};
    const std::vector<float> variance = {0.25f, 1e-5f};
    made.values("scale", {2}, scale);
    made.values("shift", {2}, shift);
    made.values("mean", {2}, mean);
    made.values("variance", {2}, variance);
    onnx::NodeProto& node =
        made.node("BatchNormalization", {"x", "scale", "shift", "mean", "variance"}, "y");
    OnnxBuilder::real(node, "epsilon", epsilon);
    made.output("y");
    const std::vector<float> x = {1, 2, 3, -4};
    std::vector<double> wanted;
    for (std::size_t i = 0; i < 4; ++i) {
      const std::size_t c = i / 2;
      wanted.push_back((x[i] - mean[c]) / std::sqrt(double{variance[c]} + epsilon) * scale[c] +
                       shift[c]);
    }
    expect_near(ScoredModel(made, x).scores, wanted);
  }
}

struct PoolCase {
  PlainWindow window;
  std::int64_t ceil_mode = 0;
};

TEST(OnnxOperators, MaxPoolsWhoseWindowsTheNetworkHas) {
  constexpr std::int64_t kHeight = 7;
  constexpr std::int64_t kWidth = 9;
  for (const PoolCase& one : std::vector<PoolCase>{
           {{.kernel = {2, 2}, .strides = {2, 2}}},
           {{.kernel = {3, 3}, .strides = {2, 2}, .pads = {1, 1, 1, 1}}},
           {{.kernel = {3, 3}, .strides = {2, 2}}, 1},  // fits evenly: the same as without
           {{.kernel = {2, 2}, .strides = {2, 2}, .pads = {1, 1, 0, 0}}},
           {{.kernel = {3, 3}, .strides = {2, 2}, .pads = {0, 0, 1, 1}}},
           {{.kernel = {2, 2}, .strides = {2, 2}, .pads = {0, 0, 1, 1}}, 0},
           {{.kernel = {2, 2}, .strides = {2, 1}}},
           {{.kernel = {3, 3}, .strides = {1, 2}, .pads = {1, 1, 1, 1}}},
           {{.kernel = {3, 3}, .pads = {0, 0, 1, 1}}}}) {
    const PlainWindow& w = one.window;
    OnnxBuilder made;
    made.input("x", {1, 2, kHeight, kWidth});
    made.node("MaxPool", {"x"}, "y",
              {{"kernel_shape", w.kernel},
               {"strides", w.strides},
               {"pads", w.pads},
               {"ceil_mode", {one.ceil_mode}}});
    made.output("y");
    const std::vector<float> x = some_numbers(2 * kHeight * kWidth, 9);
    const PlainImage in = image_of(x, 2, kHeight, kWidth);
    std::vector<double> wanted;
    for (std::int64_t c = 0; c < 2; ++c) {
      for (std::int64_t oy = 0; oy < windows_along(w, 0, kHeight); ++oy) {
        for (std::int64_t ox = 0; ox < windows_along(w, 1, kWidth); ++ox) {
          double most = -INFINITY;
          for (std::int64_t k = 0; k < w.kernel[0] * w.kernel[1]; ++k) {
            const std::int64_t iy = oy * w.strides[0] - w.pads[0] + k / w.kernel[1];
            const std::int64_t ix = ox * w.strides[1] - w.pads[1] + k % w.kernel[1];
            if (iy < 0 || iy >= kHeight || ix < 0 || ix >= kWidth) continue;
            most = std::max(most, in.at(c, iy, ix));
          }
          wanted.push_back(most);
        }
      }
    }
    expect_near(ScoredModel(made, x).scores, wanted);
  }
}

TEST(OnnxOperators, PoolsThatReachBehindTheImageByCeilMode) {
  OnnxBuilder made;
  made.input("x", {1, 1, 4, 5});
  made.node("MaxPool", {"x"}, "y",
            {{"kernel_shape", {2, 2}}, {"strides", {3, 3}}, {"ceil_mode", {1}}});
  made.output("y");
  std::vector<float> x(20);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = -static_cast<float>(i);
  EXPECT_EQ(ScoredModel(made, x).scores, (std::vector<float>{0, -3, -15, -18}));
}

TEST(OnnxOperators, AveragePoolsAreDepthwiseConvolutions) {
  for (const PlainWindow& w : std::vector<PlainWindow>{
           {.kernel = {2, 2}, .strides = {2, 2}, .groups = 3},
           {.kernel = {3, 2}, .strides = {1, 1}, .pads = {1, 0, 1, 1}, .groups = 3}}) {
    OnnxBuilder made;
    made.input("x", {1, 3, 6, 4});
    made.node("AveragePool", {"x"}, "y",
              {{"kernel_shape", w.kernel},
               {"strides", w.strides},
               {"pads", w.pads},
               {"count_include_pad", {1}}});
    made.output("y");
    const std::vector<float> x = some_numbers(3 * 6 * 4, 6);
    const auto taps = static_cast<std::size_t>(w.kernel[0] * w.kernel[1]);
    const std::vector<float> equal(3 * taps, 1.0f / static_cast<float>(taps));
    expect_near(ScoredModel(made, x).scores,
                plain_convolution(image_of(x, 3, 6, 4), w, 3, equal, {}).values);
  }
}

TEST(OnnxOperators, MeansOverWholeMapsByAnyName) {
  const std::vector<float> x = some_numbers(2 * 3 * 4, 6);
  std::vector<double> wanted(2, 0);
  for (std::size_t i = 0; i < x.size(); ++i) wanted[i / 12] += x[i] / 12.0;
  for (const int form : {0, 1, 2, 3}) {
    OnnxBuilder made(form == 3 ? 18 : 13);
    made.input("x", {1, 2, 3, 4});
    if (form == 0) made.node("GlobalAveragePool", {"x"}, "mean");
    if (form == 1) made.node("AveragePool", {"x"}, "mean", {{"kernel_shape", {3, 4}}});
    if (form == 2) made.node("ReduceMean", {"x"}, "mean", {{"axes", {-1, 2}}, {"keepdims", {0}}});
    made.integers("axes", {2, 3});
    if (form == 3) made.node("ReduceMean", {"x", "axes"}, "mean");
    made.node("Flatten", {"mean"}, "y");
    made.output("y");
    const ScoredModel run(made, x);
    expect_near(run.scores, wanted);
    ASSERT_EQ(run.read.network.layers.size(), 1u) << form;
    EXPECT_EQ(run.read.network.layers[0].op, Op::kGlobalMean) << form;
  }
}

TEST(OnnxOperators, APadBelongsToTheConvolutionBehindIt) {
  const PlainWindow w{.strides = {2, 2}, .pads = {0, 1, 1, 2}};
  const std::vector<float> weights = some_numbers(2 * 9, 1);
  OnnxBuilder made;
  made.input("x", {1, 1, 6, 5});
  made.integers("pads", {0, 0, 0, 1, 0, 0, 1, 1});
  made.values("w", {2, 1, 3, 3}, weights);
  made.node("Pad", {"x", "pads"}, "padded");
  made.node("Conv", {"padded", "w"}, "y", {{"strides", {2, 2}}, {"pads", {0, 0, 0, 1}}});
  made.output("y");
  const std::vector<float> x = some_numbers(30, 2);
  expect_near(ScoredModel(made, x).scores,
              plain_convolution(image_of(x, 1, 6, 5), w, 2, weights, {}).values);
}

}  // namespace
}  // namespace taut::infer
