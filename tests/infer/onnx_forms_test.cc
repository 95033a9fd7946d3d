// Forms of ONNX models through the engine: joins, reshapes, layouts, weights as exporters write
// them.
#include <gtest/gtest.h>

#include <functional>

#include "graph/onnx_builder.h"
#include "infer/onnx_cases.h"

namespace taut::infer {
namespace {

using graph::OnnxBuilder;
using test_support::expect_near;
using test_support::image_of;
using test_support::plain_convolution;
using test_support::ScoredModel;
using test_support::some_numbers;

TEST(OnnxForms, ActivationsSumsAndJoins) {
  OnnxBuilder made;
  made.input("x", {1, 1, 2, 2});
  made.scalar("unused", 0);
  made.values("least", {}, {0});
  made.values("most", {}, {6});
  made.values("none", {}, {3.4e38f});
  made.node("Relu", {"x"}, "relu");
  made.node("Clip", {"x", "least", "most"}, "relu6");
  made.node("Clip", {"x", "least", "none"}, "relu_too");
  made.node("Identity", {"x"}, "same");
  made.node("Dropout", {"same"}, "kept");
  made.node("Sum", {"x", "relu", "kept"}, "sum");
  made.node("Add", {"relu6", "relu_too"}, "two");
  made.node("Concat", {"sum", "two", "x"}, "y", {{"axis", {-3}}});
  made.output("y");
  const ScoredModel run(made, {-1, 2, 7, 0});
  EXPECT_EQ(run.scores, (std::vector<float>{-2, 6, 21, 0, 0, 4, 13, 0, -1, 2, 7, 0}));
}

TEST(OnnxForms, ReshapesThatMoveNothing) {
  for (const int form : {0, 1, 2, 3}) {
    OnnxBuilder made;
    made.input("x", {0, 2, 2, 1});
    made.integers("flat", {0, -1});
    made.integers("minus", {-1, 4});
    made.values("w", {4, 1}, {1, 10, 100, 1000});
    if (form == 0) made.node("Flatten", {"x"}, "features");
    if (form == 1) made.node("Reshape", {"x", "flat"}, "features");
    if (form == 2) made.node("Reshape", {"x", "minus"}, "features");
    if (form == 3) {  // as exporters wrote it once: shapes that flow
      made.scalar("zero", 0);
      made.integers("axes", {0});
      made.integers("rest", {-1});
      made.node("Shape", {"x"}, "shape");
      made.node("Gather", {"shape", "zero"}, "batch");
      made.node("Unsqueeze", {"batch", "axes"}, "first");
      made.node("Concat", {"first", "rest"}, "sizes", {{"axis", {0}}});
      made.node("Reshape", {"x", "sizes"}, "features");
    }
    made.node("MatMul", {"features", "w"}, "y");
    made.output("y");
    EXPECT_EQ(ScoredModel(made, {1, 2, 3, 4}).scores, (std::vector<float>{4321})) << form;
  }
}

TEST(OnnxForms, ImagesThatLieChannelLast) {
  OnnxBuilder made;
  made.input("x", {1, 2, 3, 2});
  const std::vector<float> weights = some_numbers(4, 1);
  made.values("scale", {}, {0.5f});
  made.values("w", {2, 2, 1, 1}, weights);
  made.node("Mul", {"x", "scale"}, "half");
  made.node("Transpose", {"half"}, "planes", {{"perm", {0, 3, 1, 2}}});
  made.node("Conv", {"planes", "w"}, "y");
  made.output("y");
  const std::vector<float> x = some_numbers(12, 2);  // in planes; the engine turns it
  const ScoredModel run(made, x);
  EXPECT_EQ(run.read.input.channel_axis, 3u);
  EXPECT_EQ(run.read.network.input, (graph::Shape{2, 2, 3}));
  std::vector<float> halves = weights;
  for (float& weight : halves) weight /= 2;
  expect_near(run.scores,
              plain_convolution(image_of(x, 2, 2, 3), {.kernel = {1, 1}}, 2, halves, {}).values);
}

TEST(OnnxForms, TokensPassThroughProductsAndMeans) {
  OnnxBuilder made;
  made.input("x", {1, 3, 2});  // tokens of two channels
  made.values("w", {2, 2}, {1, 2, 3, 4});
  made.values("b", {2}, {1, -1});
  made.node("MatMul", {"x", "w"}, "product");
  made.node("Add", {"product", "b"}, "biased");
  made.node("ReduceMean", {"biased"}, "y", {{"axes", {1}}, {"keepdims", {0}}});
  onnx::AttributeProto& axes = *made.graph().mutable_node(2)->mutable_attribute(0);
  axes.clear_i();
  axes.set_type(onnx::AttributeProto::INTS);
  axes.add_ints(1);
  made.output("y");
  // The engine reads [channels, tokens] as planes: 1 2 3 are the first channel.
  const ScoredModel run(made, {1, 2, 3, 10, 20, 30});
  EXPECT_EQ(run.read.network.input, (graph::Shape{2, 3, 1}));
  expect_near(run.scores, {2 + 60 + 1, 4 + 80 - 1});
}

TEST(OnnxForms, WeightsInEveryFormThatExportersWrite) {
  const std::vector<double> wanted = {1 * 1 + 10 * 2, 1 * 3 + 10 * 4};
  const auto run = [&](const std::function<void(OnnxBuilder&)>& weights) {
    OnnxBuilder made;
    made.input("x", {1, 2});
    weights(made);
    made.node("Gemm", {"x", "w"}, "y", {{"transB", {1}}});
    made.output("y");
    expect_near(ScoredModel(made, {1, 10}).scores, wanted);
  };
  run([](OnnxBuilder& made) { made.values("w", {2, 2}, {1, 2, 3, 4}); });
  run([](OnnxBuilder& made) {  // listed
    made.reals("w", {1, 2, 3, 4});
    onnx::TensorProto& tensor = *made.graph().mutable_initializer(0);
    tensor.clear_dims();
    tensor.add_dims(2);
    tensor.add_dims(2);
  });
  run([](OnnxBuilder& made) {  // turned
    made.values("v", {2, 2}, {1, 3, 2, 4});
    made.node("Transpose", {"v"}, "w", {{"perm", {1, 0}}});
  });
  run([](OnnxBuilder& made) {  // another shape, through names
    made.values("v", {4}, {1, 2, 3, 4});
    made.integers("shape", {2, 2});
    made.node("Reshape", {"v", "shape"}, "u");
    made.node("Identity", {"u"}, "w");
  });
  run([](OnnxBuilder& made) {  // doubles
    made.weights("w", {2, 2});
    onnx::TensorProto& tensor = *made.graph().mutable_initializer(0);
    tensor.set_data_type(onnx::TensorProto::DOUBLE);
    for (const double value : {1, 2, 3, 4}) tensor.add_double_data(value);
  });
  run([](OnnxBuilder& made) {  // halves
    made.weights("w", {2, 2});
    onnx::TensorProto& tensor = *made.graph().mutable_initializer(0);
    tensor.set_data_type(onnx::TensorProto::FLOAT16);
    for (const int bits : {0x3c00, 0x4000, 0x4200, 0x4400}) tensor.add_int32_data(bits);
  });
  run([](OnnxBuilder& made) {  // a node
    onnx::NodeProto& node = made.node("Constant", {}, "w");
    onnx::AttributeProto& value = *node.add_attribute();
    value.set_name("value");
    value.set_type(onnx::AttributeProto::TENSOR);
    value.mutable_t()->set_data_type(onnx::TensorProto::FLOAT);
    for (const int size : {2, 2}) value.mutable_t()->add_dims(size);
    for (const float number : {1, 2, 3, 4}) value.mutable_t()->add_float_data(number);
  });
  run([](OnnxBuilder& made) {  // codes: of weights alone
    made.weights("codes", {2, 2});
    onnx::TensorProto& tensor = *made.graph().mutable_initializer(0);
    tensor.set_data_type(onnx::TensorProto::INT8);
    tensor.set_raw_data(std::string("\x02\x04\x0c\x10", 4));
    made.values("scales", {2}, {0.5f, 0.25f});
    made.node("DequantizeLinear", {"codes", "scales"}, "w", {{"axis", {0}}});
  });
}

TEST(OnnxForms, ALastSoftmaxIsLeftOut) {
  for (const auto& [op, ending] : {std::pair{"Softmax", graph::OnnxEnding::kSoftmax},
                                   std::pair{"LogSoftmax", graph::OnnxEnding::kLogSoftmax}}) {
    OnnxBuilder made;
    made.input("x", {1, 2});
    made.values("w", {2, 2}, {1, 2, 3, 4});
    made.node("MatMul", {"x", "w"}, "logits");
    made.node(op, {"logits"}, "y");
    made.output("y");
    const ScoredModel run(made, {1, 10});
    EXPECT_EQ(run.scores, (std::vector<float>{31, 42}));
    EXPECT_EQ(run.read.ending, ending);
  }
}

TEST(OnnxForms, WeightsThatAreFilled) {
  OnnxBuilder made;
  made.input("x", {1, 2});
  made.integers("sizes", {3, 2});
  onnx::AttributeProto& value = *made.node("ConstantOfShape", {"sizes"}, "w").add_attribute();
  value.set_name("value");
  value.set_type(onnx::AttributeProto::TENSOR);
  value.mutable_t()->set_data_type(onnx::TensorProto::FLOAT);
  value.mutable_t()->add_dims(1);
  value.mutable_t()->add_float_data(0.5f);
  made.node("Gemm", {"x", "w"}, "y", {{"transB", {1}}});
  made.output("y");
  EXPECT_EQ(ScoredModel(made, {1, 10}).scores, (std::vector<float>{5.5, 5.5, 5.5}));
}

}  // namespace
}  // namespace taut::infer
