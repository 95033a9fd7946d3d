// Operators of ONNX models that make more positions of each, beside their definitions.
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
using test_support::some_numbers;

std::size_t place(std::int64_t c, std::int64_t height, std::int64_t y, std::int64_t width,
                  std::int64_t x) {
  return static_cast<std::size_t>((c * height + y) * width + x);
}

// [2, 3, 2] with each position factor x factor times.
std::vector<float> repeated(const std::vector<float>& x, std::int64_t factor) {
  std::vector<float> y;
  for (std::int64_t c = 0; c < 2; ++c) {
    for (std::int64_t row = 0; row < 3 * factor; ++row) {
      for (std::int64_t column = 0; column < 2 * factor; ++column) {
        y.push_back(x[place(c, 3, row / factor, 2, column / factor)]);
      }
    }
  }
  return y;
}

TEST(OnnxSizes, NearestResizesByWholeFactors) {
  struct Rules {
    const char* place;
    const char* rounding;
    std::int64_t factor;
  };
  const std::vector<float> x = some_numbers(12, 1);
  for (const Rules& one : std::vector<Rules>{{"asymmetric", "floor", 2},
                                             {"asymmetric", "floor", 5},
                                             {"asymmetric", "round_prefer_floor", 2},
                                             {"half_pixel", "round_prefer_floor", 2},
                                             {"half_pixel", "round_prefer_ceil", 3},
                                             {"pytorch_half_pixel", "round_prefer_floor", 4}}) {
    for (const bool by_sizes : {false, true}) {
      SCOPED_TRACE(testing::Message() << one.place << ", " << one.rounding << ", " << one.factor);
      OnnxBuilder made;
      made.input("x", {1, 2, 3, 2});
      const auto factor = static_cast<float>(one.factor);
      made.reals("scales", {1, 1, factor, factor});
      made.integers("sizes", {1, 2, 3 * one.factor, 2 * one.factor});
      onnx::NodeProto& node = made.node("Resize",
                                        by_sizes ? std::vector<std::string>{"x", "", "", "sizes"}
                                                 : std::vector<std::string>{"x", "", "scales"},
                                        "y");
      OnnxBuilder::text(node, "mode", "nearest");
      OnnxBuilder::text(node, "coordinate_transformation_mode", one.place);
      OnnxBuilder::text(node, "nearest_mode", one.rounding);
      made.output("y");
      const ScoredModel run(made, x);
      ASSERT_EQ(run.read.network.layers.size(), 1u);
      EXPECT_EQ(run.read.network.layers[0].op, Op::kUpsample);
      EXPECT_EQ(run.scores, repeated(x, one.factor));
    }
  }
}

TEST(OnnxSizes, UpsamplesOfOldModels) {
  OnnxBuilder made(9);
  made.input("x", {1, 2, 3, 2});
  made.reals("scales", {1, 1, 2, 2});
  made.node("Upsample", {"x", "scales"}, "y");
  made.output("y");
  const std::vector<float> x = some_numbers(12, 2);
  EXPECT_EQ(ScoredModel(made, x).scores, repeated(x, 2));
}

TEST(OnnxSizes, ResizesThatAreMoreThanRepeatingAreRefused) {
  struct Rules {
    const char* mode;
    const char* place;
    const char* rounding;
    std::int64_t width;
    const char* why;
  };
  for (const Rules& one : std::vector<Rules>{
           {"linear", "half_pixel", "floor", 4, "it interpolates"},
           {"nearest", "align_corners", "floor", 4, "by the rules align_corners, floor"},
           {"nearest", "asymmetric", "round_prefer_ceil", 4, "does not repeat each position"},
           {"nearest", "half_pixel", "floor", 4, "does not repeat each position"},
           {"nearest", "asymmetric", "floor", 6, "by one whole factor"}}) {
    OnnxBuilder made;
    made.input("x", {1, 2, 3, 2});
    made.integers("sizes", {1, 2, 6, one.width});
    onnx::NodeProto& node = made.node("Resize", {"x", "", "", "sizes"}, "y");
    OnnxBuilder::text(node, "mode", one.mode);
    OnnxBuilder::text(node, "coordinate_transformation_mode", one.place);
    OnnxBuilder::text(node, "nearest_mode", one.rounding);
    made.output("y");
    std::string said;
    try {
      (void)graph::parse_onnx_network(made.bytes(), "made.onnx");
    } catch (const graph::OnnxNotExpressed& refused) {
      said = refused.what();
    }
    EXPECT_NE(said.find(one.why), std::string::npos) << one.why << " is not in: " << said;
  }
}

TEST(OnnxSizes, TransposedConvolutionsWhoseWindowsDoNotOverlap) {
  for (const std::int64_t factor : {1, 2, 3}) {
    for (const bool has_bias : {false, true}) {
      const std::vector<float> x = some_numbers(2 * 3 * 2, 3);
      const std::vector<float> weights = some_numbers(2 * 5 * factor * factor, 4);
      const std::vector<float> bias = some_numbers(5, 5);
      OnnxBuilder made;
      made.input("x", {1, 2, 3, 2});
      made.values("w", {2, 5, factor, factor}, weights);
      made.values("b", {5}, bias);
      std::vector<std::string> operands = {"x", "w"};
      if (has_bias) operands.emplace_back("b");
      onnx::NodeProto& node = made.node("ConvTranspose", operands, "y");
      onnx::AttributeProto& strides = *node.add_attribute();
      strides.set_name("strides");
      strides.set_type(onnx::AttributeProto::INTS);
      for (int axis = 0; axis < 2; ++axis) strides.add_ints(factor);
      made.output("y");
      std::vector<double> wanted;
      for (std::int64_t o = 0; o < 5; ++o) {
        for (std::int64_t row = 0; row < 3 * factor; ++row) {
          for (std::int64_t column = 0; column < 2 * factor; ++column) {
            double sum = has_bias ? bias[static_cast<std::size_t>(o)] : 0.0;
            for (std::int64_t i = 0; i < 2; ++i) {
              const double w =
                  weights[place(i * 5 + o, factor, row % factor, factor, column % factor)];
              sum += w * x[place(i, 3, row / factor, 2, column / factor)];
            }
            wanted.push_back(sum);
          }
        }
      }
      expect_near(ScoredModel(made, x).scores, wanted);
    }
  }
}

TEST(OnnxSizes, TransposedConvolutionsThatOverlapAreRefused) {
  for (const bool padded : {false, true}) {
    OnnxBuilder made;
    made.input("x", {1, 2, 3, 2});
    made.values("w", {2, 1, 2, 2}, std::vector<float>(8));
    made.node("ConvTranspose", {"x", "w"}, "y",
              padded ? OnnxBuilder::Integers{{"strides", {2, 2}}, {"pads", {1, 0, 0, 0}}}
                     : OnnxBuilder::Integers{});
    made.output("y");
    EXPECT_THROW((void)graph::parse_onnx_network(made.bytes(), "made.onnx"),
                 graph::OnnxNotExpressed);
  }
}

TEST(OnnxSizes, DepthToSpaceMovesPartsOfChannels) {
  OnnxBuilder made;
  made.input("x", {1, 8, 1, 2});
  made.node("DepthToSpace", {"x"}, "y", {{"blocksize", {2}}});
  made.output("y");
  std::vector<float> x(16);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i);
  // Of channel c at position p there is 2 * c + p; channel c goes to channel c % 2, part c / 2.
  EXPECT_EQ(ScoredModel(made, x).scores,
            (std::vector<float>{0, 4, 1, 5, 8, 12, 9, 13, 2, 6, 3, 7, 10, 14, 11, 15}));
}

TEST(OnnxSizes, AnEndingUnderAnotherNameIsTheLast) {
  OnnxBuilder made;
  made.input("x", {1, 2});
  made.values("w", {2, 2}, {1, 2, 3, 4});
  made.node("MatMul", {"x", "w"}, "logits");
  made.node("Softmax", {"logits"}, "probabilities");
  made.node("Identity", {"probabilities"}, "same");
  made.node("Identity", {"same"}, "y");
  made.output("y");
  const ScoredModel run(made, {1, 10});
  EXPECT_EQ(run.read.ending, graph::OnnxEnding::kSoftmax);
  EXPECT_EQ(run.scores, (std::vector<float>{31, 42}));
}

}  // namespace
}  // namespace taut::infer
