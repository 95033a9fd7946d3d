// Weights and multiply-adds of every operator that has some, on models made in the test.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "graph/onnx_builder.h"
#include "support/error_matchers.h"
#include "taut/graph/model_file.h"

namespace taut::graph {
namespace {

using test::error_of;
using test::IsError;

struct Count {
  std::string name;
  std::function<void(OnnxBuilder&)> make;  ///< the output is called "y"
  std::int64_t weights = 0;
  std::int64_t macs = 0;  ///< of one sample
  std::string op;         ///< of the layer "y"
};

std::ostream& operator<<(std::ostream& out, const Count& count) {
  return out << count.name;
}

class OnnxCounts : public testing::TestWithParam<Count> {};

TEST_P(OnnxCounts, AreThoseOfTheOperator) {
  OnnxBuilder made(17);
  GetParam().make(made);
  made.output("y");
  const Graph graph = parse_onnx(made.bytes(), "made.onnx");
  EXPECT_EQ(graph.weights(), GetParam().weights);
  EXPECT_EQ(graph.macs(), GetParam().macs);
  EXPECT_EQ(graph.node(graph.size() - 2).op, GetParam().op);
}

void recurrent(OnnxBuilder& made, const std::string& op, std::int64_t gates, bool states) {
  made.input("x", {10, 2, 16});
  made.weights("w", {1, gates * 8, 16});
  made.weights("r", {1, gates * 8, 8});
  std::vector<std::string> inputs = {"x", "w", "r"};
  if (states) {
    made.input("h", {1, 2, 8});
    inputs.insert(inputs.end(), {"", "", "h"});
  }
  made.node(op, inputs, "y", {{"hidden_size", {8}}});
}

const std::vector<Count> kCounts = {
    {"MatMulByWeights",
     [](OnnxBuilder& m) {
       m.input("x", {2, 5, 8});
       m.weights("w", {8, 3});
       m.node("MatMul", {"x", "w"}, "y");
     },
     24, 5 * 24, "fc"},
    {"WeightsOnTheLeftOfMatMul",
     [](OnnxBuilder& m) {
       m.input("x", {2, 8, 5});
       m.weights("w", {3, 8});
       m.node("MatMul", {"w", "x"}, "y");
     },
     24, 5 * 24, "fc"},
    {"WeightsOfEachHead",
     [](OnnxBuilder& m) {
       m.input("x", {2, 4, 5, 8});
       m.weights("w", {4, 8, 3});
       m.node("MatMul", {"x", "w"}, "y");
     },
     4 * 24, 4 * 5 * 24, "fc-grouped"},
    {"WeightsOfHeadsOnSharedValues",
     [](OnnxBuilder& m) {
       m.input("x", {2, 1, 5, 8});
       m.weights("w", {4, 8, 3});
       m.node("MatMul", {"x", "w"}, "y");
     },
     4 * 24, 4 * 5 * 24, "fc"},
    {"MatMulByAVector",
     [](OnnxBuilder& m) {
       m.input("x", {2, 5, 8});
       m.weights("w", {8});
       m.node("MatMul", {"x", "w"}, "y");
     },
     8, 5 * 8, "fc"},
    {"ProductOfActivations",
     [](OnnxBuilder& m) {
       m.input("x", {1, 4, 6, 8});
       m.node("Transpose", {"x"}, "t", {{"perm", {0, 1, 3, 2}}});
       m.node("MatMul", {"x", "t"}, "y");
     },
     0, 4 * 6 * 6 * 8, "matmul"},
    {"GemmTransposed",
     [](OnnxBuilder& m) {
       m.input("x", {8, 1});
       m.weights("w", {3, 8});
       m.node("Gemm", {"x", "w"}, "y", {{"transA", {1}}, {"transB", {1}}});
     },
     24, 24 / 8, "fc"},  // eight samples, by its first dimension
    {"GemmWithWeightsInFrontTransposed",
     [](OnnxBuilder& m) {
       m.input("x", {8, 5});
       m.node("Unsqueeze", {"x", "first"}, "u");
       m.integers("first", {0});
       m.node("Squeeze", {"u", "first"}, "s");
       m.weights("w", {8, 3});
       m.node("Gemm", {"w", "s"}, "y", {{"transA", {1}}});
     },
     24, 5 * 24 / 8, "fc"},
    {"Convolution",
     [](OnnxBuilder& m) {
       m.input("x", {2, 3, 16, 16});
       m.weights("w", {6, 3, 3, 3});
       m.node("Conv", {"x", "w"}, "y", {{"strides", {2, 2}}, {"pads", {1, 1, 1, 1}}});
     },
     162, 162 * 64, "conv"},
    {"ConvolutionOfASignalInGroups",
     [](OnnxBuilder& m) {
       m.input("x", {1, 4, 20});
       m.weights("w", {8, 2, 5});
       m.node("Conv", {"x", "w"}, "y", {{"group", {2}}, {"dilations", {2}}});
     },
     80, 80 * 12, "conv-grouped"},
    {"TransposedConvolution",
     [](OnnxBuilder& m) {
       m.input("x", {1, 4, 6, 6});
       m.weights("w", {4, 3, 2, 2});
       m.node("ConvTranspose", {"x", "w"}, "y", {{"strides", {2, 2}}});
     },
     48, 48 * 36, "conv"},
    {"ConvolutionWithAComputedKernel",
     [](OnnxBuilder& m) {
       m.input("x", {1, 3, 8, 8});
       m.input("k", {6, 3, 3, 3});
       m.node("Conv", {"x", "k"}, "y");
     },
     0, 162 * 36, "conv"},
    {"QuantizedConvolution",
     [](OnnxBuilder& m) {
       m.input("x", {1, 3, 8, 8}, onnx::TensorProto::UINT8);
       m.weights("w", {6, 3, 3, 3});
       m.weights("s", {});
       m.node("QLinearConv", {"x", "s", "s", "w", "s", "s", "s", "s"}, "y");
     },
     162, 162 * 36, "conv"},
    {"DynamicallyQuantizedProduct",
     [](OnnxBuilder& m) {
       m.input("x", {1, 8});
       m.weights("w", {8, 3});
       auto& quantized = m.node("DynamicQuantizeLinear", {"x"}, "q");
       quantized.add_output("scale");
       quantized.add_output("zero");
       m.node("MatMulInteger", {"q", "w", "zero"}, "y");
     },
     24, 24, "fc"},
    {"QuantizedProduct",
     [](OnnxBuilder& m) {
       m.input("x", {1, 8}, onnx::TensorProto::UINT8);
       m.weights("w", {8, 3});
       m.weights("s", {});
       m.node("QLinearMatMul", {"x", "s", "s", "w", "s", "s", "s", "s"}, "y");
     },
     24, 24, "fc"},
    {"EinsumByWeights",
     [](OnnxBuilder& m) {
       m.input("x", {2, 5, 8});
       m.weights("w", {8, 3});
       OnnxBuilder::text(m.node("Einsum", {"x", "w"}, "y"), "equation", "btk,kn->btn");
     },
     24, 5 * 24, "fc"},
    {"EinsumOfHeads",
     [](OnnxBuilder& m) {
       m.input("x", {2, 5, 4, 8});
       m.weights("w", {4, 8, 3});
       OnnxBuilder::text(m.node("Einsum", {"x", "w"}, "y"), "equation", "...hk, hkn -> ...hn");
     },
     96, 5 * 96, "fc-grouped"},
    {"EinsumOfActivations",
     [](OnnxBuilder& m) {
       m.input("q", {2, 5, 8});
       m.input("k", {2, 7, 8});
       OnnxBuilder::text(m.node("Einsum", {"q", "k"}, "y"), "equation", "btk,bsk->bts");
     },
     0, 5 * 7 * 8, "einsum"},
    {"Lstm", [](OnnxBuilder& m) { recurrent(m, "LSTM", 4, false); }, 4 * (128 + 64),
     10 * 4 * (128 + 64), "lstm"},
    {"GruWithItsState", [](OnnxBuilder& m) { recurrent(m, "GRU", 3, true); }, 3 * (128 + 64),
     10 * 3 * (128 + 64), "gru"},
    {"Rnn", [](OnnxBuilder& m) { recurrent(m, "RNN", 1, true); }, 128 + 64, 10 * (128 + 64), "rnn"},
    {"LstmWhoseLastStateAloneIsRead",
     [](OnnxBuilder& m) {
       m.input("x", {1, 10, 16});
       m.node("Transpose", {"x"}, "t", {{"perm", {1, 0, 2}}});
       m.weights("w", {2, 32, 16});
       m.weights("r", {2, 32, 8});
       auto& node = m.node("LSTM", {"t", "w", "r"}, "", {{"hidden_size", {8}}});
       OnnxBuilder::text(node, "direction", "bidirectional");
       node.add_output("y");
     },
     2 * 4 * (128 + 64), 10 * 2 * 4 * (128 + 64), "lstm"},
    {"AttentionOfOneOperator",
     [](OnnxBuilder& m) {
       m.model().mutable_opset_import(0)->set_version(23);
       m.input("q", {2, 6, 32});
       m.input("k", {2, 9, 16});
       m.node("Attention", {"q", "k", "k"}, "y", {{"q_num_heads", {4}}, {"kv_num_heads", {2}}});
     },
     0, 4 * 6 * 9 * (8 + 8), "attention"},
    {"ProductsOfConstantsAreNone",
     [](OnnxBuilder& m) {
       m.input("x", {1, 8});
       m.weights("down", {8, 2});
       m.weights("up", {2, 3});
       OnnxBuilder::text(m.node("Einsum", {"down", "up"}, "w"), "equation", "ij,jk->ik");
       m.node("MatMul", {"x", "w"}, "y");
     },
     24, 24, "fc"},
    {"WeightsThatAreComputedFromConstants",
     [](OnnxBuilder& m) {
       m.input("x", {1, 8});
       m.weights("v", {3, 8});
       m.weights("g", {3, 1});
       m.node("ReduceL2", {"v"}, "norm", {{"axes", {1}}, {"keepdims", {1}}});
       m.node("Div", {"v", "norm"}, "unit");
       m.node("Mul", {"unit", "g"}, "scaled");
       m.node("Transpose", {"scaled"}, "w");
       m.node("MatMul", {"x", "w"}, "y");
     },
     24, 24, "fc"},
};

INSTANTIATE_TEST_SUITE_P(Operators, OnnxCounts, testing::ValuesIn(kCounts),
                         [](const auto& one) { return one.param.name; });

TEST(OnnxTables, OfAnyRankAndAxisAreEmbeddings) {
  OnnxBuilder made;
  made.input("ids", {2, 6}, onnx::TensorProto::INT64);
  made.weights("table", {4, 100, 2});
  made.node("Gather", {"table", "ids"}, "rows", {{"axis", {1}}});
  made.weights("w", {2, 3});
  made.node("MatMul", {"rows", "w"}, "y");
  made.output("y");
  const Graph graph = parse_onnx(made.bytes(), "made.onnx");
  ASSERT_EQ(graph.tables().size(), 1u);
  EXPECT_EQ(graph.tables()[0].rows, 100);
  EXPECT_EQ(graph.tables()[0].dim, 8);
}

TEST(OnnxCountsOf, SequencesInFrontAreByTheirSecondDimension) {
  OnnxBuilder made(17);
  recurrent(made, "LSTM", 4, true);
  made.output("y");
  const Graph graph = parse_onnx(made.bytes(), "made.onnx");
  EXPECT_EQ(graph.node(0).in_words, 10 * 16 + 8) << "two samples of ten positions and their states";
  EXPECT_EQ(graph.node(0).out_words, 10 * 8);
}

TEST(OnnxCountsOf, ShapesThatDoNotFitAreNamedWithTheirNode) {
  const std::vector<std::pair<std::string, std::vector<std::int64_t>>> cases = {
      {"MatMul", {7, 3}}, {"Conv", {6, 4, 3, 3}}, {"Gemm", {7, 3}}, {"Add", {7}}};
  for (const auto& [op, shape] : cases) {
    OnnxBuilder made(17);
    const bool image = op == "Conv";
    made.input("x",
               image ? std::vector<std::int64_t>{1, 3, 8, 8} : std::vector<std::int64_t>{2, 8});
    made.weights("w", shape);
    made.node(op, {"x", "w"}, "y");
    made.weights("v", {8, 2});
    if (op == "Add") made.node("MatMul", {"y", "v"}, "z");
    made.output(op == "Add" ? "z" : "y");
    const Error error = error_of([&] { (void)parse_onnx(made.bytes(), "made.onnx"); });
    EXPECT_THAT(error, IsError(ErrorKind::kFormat, "node y (" + op + "): shapes do not agree"));
  }
}

}  // namespace
}  // namespace taut::graph
