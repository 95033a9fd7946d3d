// Norms that are written out, tokens that are joined and taken, softmax inside networks, powers.
#include <gtest/gtest.h>

#include <cmath>

#include "graph/onnx_builder.h"
#include "infer/onnx_cases.h"

namespace taut::infer {
namespace {

using graph::OnnxBuilder;
using graph::Op;
using test_support::expect_near;
using test_support::ScoredModel;

TEST(OnnxTokens, ANormThatIsWrittenOutIsOneLayer) {
  for (const bool twice : {false, true}) {
    for (const bool power : {false, true}) {
      OnnxBuilder made(13);
      made.input("x", {1, 2, 3});
      made.values("two", {}, {2});
      made.values("epsilon", {}, {0.01f});
      made.values("scale", {3}, {1, 2, 3});
      made.values("shift", {3}, {0.5f, 0, -1});
      onnx::NodeProto& mean = made.node("ReduceMean", {"x"}, "mean");
      made.node("Sub", {"x", "mean"}, "centred");
      if (twice) made.node("Sub", {"x", "mean"}, "centred again");
      const std::string again = twice ? "centred again" : "centred";
      if (power) made.node("Pow", {again, "two"}, "square");
      if (!power) made.node("Mul", {again, again}, "square");
      onnx::NodeProto& variance = made.node("ReduceMean", {"square"}, "variance");
      for (onnx::NodeProto* node : {&mean, &variance}) {
        onnx::AttributeProto& axes = *node->add_attribute();
        axes.set_name("axes");
        axes.set_type(onnx::AttributeProto::INTS);
        axes.add_ints(-1);
      }
      made.node("Add", {"variance", "epsilon"}, "more");
      made.node("Sqrt", {"more"}, "deviation");
      made.node("Div", {"centred", "deviation"}, "normal");
      made.node("Mul", {"normal", "scale"}, "scaled");
      made.node("Add", {"scaled", "shift"}, "y");
      made.output("y");
      const std::vector<float> x = {1, 5, 2, -1, 6, 0};  // [channel][token]
      const ScoredModel run(made, x);
      ASSERT_EQ(run.read.network.layers.size(), 1u);
      EXPECT_EQ(run.read.network.layers[0].op, Op::kLayerNorm);
      std::vector<double> wanted(6);
      const std::vector<double> scale = {1, 2, 3};
      const std::vector<double> shift = {0.5, 0, -1};
      for (std::size_t t = 0; t < 2; ++t) {
        const double middle = (x[t] + x[2 + t] + x[4 + t]) / 3.0;
        double squares = 0;
        for (std::size_t c = 0; c < 3; ++c) squares += std::pow(x[c * 2 + t] - middle, 2) / 3;
        for (std::size_t c = 0; c < 3; ++c) {
          wanted[c * 2 + t] =
              (x[c * 2 + t] - middle) / std::sqrt(squares + 0.01) * scale[c] + shift[c];
        }
      }
      expect_near(run.scores, wanted);
    }
  }
}

TEST(OnnxTokens, TokensAreJoinedWithConstantsAndTaken) {
  OnnxBuilder made(17);
  made.input("x", {1, 2, 3, 2});
  made.values("token", {1, 1, 2}, {10, 20});
  made.values("places", {1, 7, 2}, std::vector<float>(14, 0.5f));
  made.integers("flat", {1, 2, 6});
  made.integers("more", {1, 1, 2});
  made.integers("from", {-7});
  made.integers("to", {3});
  made.integers("axis", {1});
  made.scalar("last", -1);
  made.node("Relu", {"x"}, "map");
  made.node("Reshape", {"map", "flat"}, "column");
  made.node("Transpose", {"column"}, "tokens", {{"perm", {0, 2, 1}}});
  made.node("Expand", {"token", "more"}, "class");
  made.node("Concat", {"class", "tokens"}, "joined", {{"axis", {1}}});
  made.node("Add", {"joined", "places"}, "placed");
  made.node("Slice", {"placed", "from", "to", "axis"}, "some");
  made.node("Gather", {"some", "last"}, "y", {{"axis", {1}}});
  made.output("y");
  // The second token of the image: the third of all.
  const ScoredModel run(made, {1, 2, 3, 4, 5, 6, -1, 8, 9, 10, 11, 12});
  EXPECT_EQ(run.scores, (std::vector<float>{2.5f, 8.5f}));
}

TEST(OnnxTokens, ASoftmaxInsideANetworkOrOfMapsIsALayer) {
  for (const bool inside : {false, true}) {
    OnnxBuilder made(17);
    made.input("x", {1, 2, 1, 3});
    made.node("Softmax", {"x"}, inside ? "soft" : "y", {{"axis", {1}}});
    if (inside) made.node("Relu", {"soft"}, "y");
    made.output("y");
    const std::vector<float> x = {1, 2, -3, 0, 4, 5};
    const ScoredModel run(made, x);
    EXPECT_EQ(run.read.ending, graph::OnnxEnding::kNone);
    std::vector<double> wanted(6);
    for (std::size_t p = 0; p < 3; ++p) {
      const double whole = std::exp(x[p]) + std::exp(x[3 + p]);
      wanted[p] = std::exp(x[p]) / whole;
      wanted[3 + p] = std::exp(x[3 + p]) / whole;
    }
    expect_near(run.scores, wanted);
  }
}

TEST(OnnxTokens, PowersAreProducts) {
  for (const float exponent : {2.0f, 3.0f}) {
    OnnxBuilder made(17);
    made.input("x", {1, 2});
    made.values("exponent", {}, {exponent});
    made.node("Pow", {"x", "exponent"}, "y");
    made.output("y");
    const std::vector<float> wanted = {std::pow(-3.0f, exponent), std::pow(0.5f, exponent)};
    EXPECT_EQ(ScoredModel(made, {-3, 0.5f}).scores, wanted);
  }
}

}  // namespace
}  // namespace taut::infer
