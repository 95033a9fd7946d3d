// What an ONNX model is to a planner: its network's cost graph, without the values of weights.
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "graph/onnx_builder.h"
#include "support/temporary_directory.h"
#include "taut/core/file.h"
#include "taut/graph/graph_json.h"
#include "taut/graph/onnx_network.h"

namespace taut::graph {
namespace {

TEST(OnnxSummary, CountsWeightsBiasesAndScales) {
  const test::TemporaryDirectory folder;
  const std::string path = folder.file("m.onnx");
  write_file(path, onnx_lenet_c().bytes());  // without values
  const OnnxSummary lenet = summarize_onnx(path);
  EXPECT_EQ(lenet.parameters, lenet.graph.weights() + 20 + 50 + 500);
  write_file(path, onnx_residual().bytes());
  const OnnxSummary residual = summarize_onnx(path);
  EXPECT_EQ(residual.parameters, residual.graph.weights() + 16 + 16);
  write_file(path, onnx_expressed().bytes());
  EXPECT_EQ(summarize_onnx(path).parameters, 48 + 36 + 8 + 4 + 24 + 3)
      << "codes count, their scales do not";
}

// A product whose weights are made of a large constant, which planning does not look at.
OnnxBuilder made_weights(const std::string& how) {
  constexpr std::int64_t kSide = 300;
  OnnxBuilder made;
  made.input("x", {1, kSide});
  if (how == "DequantizeLinear") {
    made.weights("w", {kSide, kSide});
    onnx::TensorProto& codes = *made.graph().mutable_initializer()->rbegin();
    codes.set_data_type(onnx::TensorProto::INT8);
    codes.set_raw_data(std::string(kSide * kSide, 1));
    made.values("scale", {}, {0.5f});
    made.node(how, {"w", "scale"}, "v");
  } else if (how == "ConstantOfShape") {
    made.integers("w", {kSide, kSide});
    made.node(how, {"w"}, "v");
  } else {
    made.weights("w", {kSide, kSide});  // without values
    made.node(how, {"w"}, "v");
  }
  made.node("MatMul", {"x", "v"}, "y");
  made.output("y");
  return made;
}

TEST(OnnxSummary, NeedsNoValues) {
  const test::TemporaryDirectory folder;
  const std::string path = folder.file("m.onnx");
  for (const char* how : {"Identity", "Transpose", "DequantizeLinear", "ConstantOfShape"}) {
    SCOPED_TRACE(how);
    write_file(path, made_weights(how).bytes());
    const OnnxSummary summary = summarize_onnx(path);
    ASSERT_TRUE(summary.network.has_value());
    EXPECT_EQ(summary.network->layers.back().out, (Shape{300}));
    EXPECT_EQ(graph_json(summary.graph), graph_json(read_onnx(path)));
  }
  for (const OnnxBuilder& made : {onnx_lenet_c(), onnx_residual()}) {
    write_file(path, made.bytes());
    const OnnxSummary summary = summarize_onnx(path);
    ASSERT_TRUE(summary.network.has_value());
    EXPECT_TRUE(summary.network->values.empty());
    std::string direct = graph_json(read_onnx(path));
    // A network's global mean is a pool by any name.
    constexpr std::string_view kMean = "globalaveragepool";
    if (const auto at = direct.find(kMean); at != std::string::npos) {
      direct.replace(at, kMean.size(), "pool");
    }
    EXPECT_EQ(graph_json(summary.graph), direct);
  }
}

TEST(OnnxSummary, CountsTheFilesOwnWindowsWhereTheNetworkHasLargerOnes) {
  OnnxBuilder strip;
  strip.input("x", {1, 4, 9, 9});
  strip.values("w", {4, 4, 1, 7}, std::vector<float>(112));
  strip.node("Conv", {"x", "w"}, "y", {{"pads", {0, 3, 0, 3}}});
  strip.output("y");
  OnnxBuilder mean;
  mean.input("x", {1, 4, 9, 9});
  mean.values("w", {4, 4, 3, 3}, std::vector<float>(144));
  mean.node("Conv", {"x", "w"}, "c", {{"pads", {1, 1, 1, 1}}});
  mean.node("AveragePool", {"c"}, "y", {{"kernel_shape", {3, 3}}, {"strides", {3, 3}}});
  mean.output("y");
  OnnxBuilder larger;
  larger.input("x", {1, 4, 9, 9});
  larger.values("w", {4, 6, 2, 2}, std::vector<float>(96));
  larger.node("ConvTranspose", {"x", "w"}, "y", {{"strides", {2, 2}}});
  larger.output("y");
  const test::TemporaryDirectory folder;
  const std::string path = folder.file("m.onnx");
  for (const OnnxBuilder& made : {strip, mean, larger}) {
    write_file(path, made.bytes());
    EXPECT_TRUE(read_onnx_network(path).widened);
    const OnnxSummary summary = summarize_onnx(path);
    EXPECT_TRUE(summary.network.has_value());
    EXPECT_EQ(graph_json(summary.graph), graph_json(read_onnx(path)));
  }
  write_file(path, with_values(onnx_residual()).bytes());
  EXPECT_FALSE(read_onnx_network(path).widened);
}

TEST(OnnxSummary, PlansTheNodesOfWhatIsNoNetwork) {
  OnnxBuilder made;
  made.input("x", {1, 4});
  made.values("w", {4, 4}, std::vector<float>(16));
  made.node("Softplus", {"x"}, "a");
  made.node("MatMul", {"a", "w"}, "y");
  made.output("y");
  const test::TemporaryDirectory folder;
  write_file(folder.file("m.onnx"), made.bytes());
  const OnnxSummary summary = summarize_onnx(folder.file("m.onnx"));
  EXPECT_FALSE(summary.network.has_value());
  EXPECT_EQ(summary.graph.weights(), 16);
}

TEST(OnnxSummary, StatesGridsAndExponentsAreNoParameters) {
  OnnxBuilder made(20);
  made.input("x", {5, 2, 4});
  made.weights("w", {1, 12, 4});
  made.weights("r", {1, 12, 3});
  made.weights("b", {1, 24});
  made.weights("state", {1, 2, 3});
  made.weights("power", {1});
  made.node("LSTM", {"x", "w", "r", "b", "", "state"}, "t", {{"hidden_size", {3}}});
  made.node("Pow", {"t", "power"}, "y");
  made.output("y");
  const test::TemporaryDirectory folder;
  write_file(folder.file("m.onnx"), made.bytes());
  EXPECT_EQ(summarize_onnx(folder.file("m.onnx")).parameters, 12 * 4 + 12 * 3 + 24);
}

}  // namespace
}  // namespace taut::graph
