// The ONNX reader on models made in the test.
#include <gtest/gtest.h>

#include <filesystem>

#include "graph/onnx_builder.h"
#include "support/error_matchers.h"
#include "support/temporary_directory.h"
#include "taut/core/file.h"
#include "taut/graph/model_file.h"
#include "taut/graph/zoo.h"

namespace taut::graph {
namespace {

using test::error_of;
using test::IsError;

Error reading(const std::string& bytes, const DimensionSizes& sizes = {}) {
  return error_of([&] { (void)parse_onnx(bytes, "made.onnx", sizes); });
}

const Node& node_named(const Graph& graph, const std::string& name) {
  for (const Node& node : graph.nodes()) {
    if (node.name == name) return node;
  }
  throw std::runtime_error("no node " + name);
}

TEST(Onnx, LenetCReadsAsTheZoosNetwork) {
  const Graph read = parse_onnx(onnx_lenet_c().bytes(), "lenet.onnx");
  const Graph wanted = load_model("lenet-c");
  ASSERT_EQ(read.size(), wanted.size());
  for (int v = 0; v < wanted.size(); ++v) {
    const Node& a = read.node(v);
    const Node& b = wanted.node(v);
    EXPECT_EQ(a.name, b.name);
    EXPECT_EQ(a.op, b.op);
    EXPECT_EQ(a.weights, b.weights) << a.name;
    EXPECT_EQ(a.in_words, b.in_words) << a.name;
    EXPECT_EQ(a.out_words, b.out_words) << a.name;
    EXPECT_EQ(a.raw_words, b.raw_words) << a.name;
    EXPECT_EQ(a.macs, b.macs) << a.name;
    EXPECT_EQ(a.input_macs, b.input_macs) << a.name;
    EXPECT_EQ(a.in_channels, b.in_channels) << a.name;
    EXPECT_EQ(a.out_channels, b.out_channels) << a.name;
  }
  ASSERT_TRUE(read.is_chain());
  for (std::size_t e = 0; e < wanted.edges().size(); ++e) {
    EXPECT_EQ(read.edges()[e].words, wanted.edges()[e].words);
    EXPECT_EQ(read.edges()[e].raw_words, wanted.edges()[e].raw_words);
  }
}

TEST(Onnx, ResidualBlockBecomesAGraphWithAnElementwiseSum) {
  const Graph graph = parse_onnx(onnx_residual().bytes(), "residual.onnx");
  EXPECT_EQ(graph.size(), 7);  // a, b, c, sum, pool, fc, loss
  const Node& sum = node_named(graph, "sum");
  EXPECT_EQ(sum.kind, NodeKind::kElementwise);
  EXPECT_EQ(sum.in_words, 2 * 16 * 256) << "per sample, though the file says batch 4";
  EXPECT_EQ(sum.channel_levels, 4);
  const Node& depthwise = node_named(graph, "c");
  EXPECT_TRUE(depthwise.grouped);
  EXPECT_EQ(depthwise.weights, 16 * 9);
  EXPECT_EQ(depthwise.macs, 16 * 9 * 256);
  EXPECT_EQ(node_named(graph, "pool").out_words, 16);
  EXPECT_EQ(node_named(graph, "fc").weights, 160);
}

TEST(Onnx, AttentionSplitsByHeadsAndReadsAnEmbedding) {
  const Graph graph = parse_onnx(onnx_attention().bytes(), "attention.onnx");
  const Node& scores = node_named(graph, "scores");
  EXPECT_EQ(scores.kind, NodeKind::kElementwise);
  EXPECT_EQ(scores.channel_levels, 2) << "four heads";
  EXPECT_EQ(scores.macs, 4 * 6 * 6 * 2);
  EXPECT_EQ(node_named(graph, "q").macs, 6 * 64);
  const Node& embedding = node_named(graph, "emb");
  EXPECT_EQ(embedding.kind, NodeKind::kBatchOnly);
  ASSERT_EQ(graph.tables().size(), 1u);
  EXPECT_EQ(graph.tables()[0].rows, 100);
  EXPECT_EQ(graph.tables()[0].dim, 8);
}

TEST(Onnx, WinnersAndEightBitsBelongToTheLayerBeforeThem) {
  const Graph graph = parse_onnx(onnx_winners().bytes(), "winners.onnx");
  EXPECT_EQ(graph.size(), 3);  // fc1, fc2, loss
  EXPECT_EQ(node_named(graph, "fc1").weights, 48);
  EXPECT_EQ(node_named(graph, "fc1").out_words, 6);
  EXPECT_EQ(node_named(graph, "fc2").macs, 24);
  EXPECT_TRUE(graph.is_chain());
}

TEST(Onnx, FilesAreReadFromTheirPath) {
  const test::TemporaryDirectory directory;
  write_file(directory.file("m.onnx"), onnx_lenet_c().bytes());
  EXPECT_EQ(load_model(directory.file("m.onnx")).size(), 5);
  EXPECT_THAT(error_of([&] { (void)load_model(directory.file("none.onnx")); }),
              IsError(ErrorKind::kNotFound, "none.onnx"));
}

TEST(Onnx, FilesAboveOneGibibyteAreRefusedUnread) {
  const test::TemporaryDirectory directory;
  const std::string path = directory.file("huge.onnx");
  write_file(path, onnx_lenet_c().bytes());
  std::filesystem::resize_file(path, (std::uintmax_t{1} << 30) + 1);  // sparse
  EXPECT_THAT(error_of([&] { (void)read_onnx(path); }), IsError(ErrorKind::kFormat, "1 GiB"));
}

TEST(Onnx, WindowsOfMoreDimensionsThanTheirImageAreErrors) {
  OnnxBuilder made = onnx_lenet_c();
  onnx::TensorProto& weights = *made.graph().mutable_initializer(0);
  for (int i = 0; i < 8; ++i) weights.add_dims(3);
  const Error error = reading(made.bytes());
  EXPECT_EQ(error.kind(), ErrorKind::kFormat) << error.what();
}

TEST(Onnx, UnknownOperatorsAreNamedWithTheirNode) {
  OnnxBuilder made = onnx_lenet_c();
  made.graph().mutable_node(1)->set_op_type("Sorcery");
  EXPECT_THAT(reading(made.bytes()), IsError(ErrorKind::kUnsupported, "conv1.relu"));
  EXPECT_THAT(reading(made.bytes()), IsError(ErrorKind::kUnsupported, "Sorcery"));
  made.graph().mutable_node(1)->set_op_type("Relu");
  made.graph().mutable_node(1)->set_domain("my.domain");
  EXPECT_THAT(reading(made.bytes()), IsError(ErrorKind::kUnsupported, "my.domain.Relu"));
}

TEST(Onnx, EveryTruncationIsAFormatErrorOrAModelCutShort) {
  const std::string bytes = onnx_residual().bytes();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    try {
      (void)parse_onnx(bytes.substr(0, size), "cut.onnx");
    } catch (const Error& error) {
      EXPECT_NE(error.kind(), ErrorKind::kInternal) << size;
    }
  }
  EXPECT_THAT(reading(""), IsError(ErrorKind::kFormat, "made.onnx"));
  EXPECT_THAT(reading("not a model"), IsError(ErrorKind::kFormat, "made.onnx"));
}

TEST(Onnx, LoopsAreRefusedAsControlFlow) {
  OnnxBuilder made = onnx_lenet_c();
  made.graph().mutable_node(1)->set_op_type("Loop");
  EXPECT_THAT(reading(made.bytes()), IsError(ErrorKind::kUnsupported, "control flow"));
}

TEST(Onnx, NewerOperatorSetsAreRefusedWithTheRemedy) {
  OnnxBuilder made(29);
  made.input("x", {1, 4});
  made.weights("w", {4, 2});
  made.node("MatMul", {"x", "w"}, "y");
  made.output("y");
  EXPECT_THAT(reading(made.bytes()), IsError(ErrorKind::kUnsupported, "opset_version=28"));
}

TEST(Onnx, SymbolicDimensionsNeedASize) {
  OnnxBuilder made;
  made.input("x", {0, 0, 16});
  made.weights("w", {16, 4});
  made.node("MatMul", {"x", "w"}, "y");
  made.output("y");
  EXPECT_THAT(reading(made.bytes()), IsError(ErrorKind::kData, "d1"));
  const Graph graph = parse_onnx(made.bytes(), "made.onnx", {{"d1", 10}});
  EXPECT_EQ(graph.node(0).in_words, 160);
}

TEST(Onnx, NodesOutOfOrderOrInACycleAreNamed) {
  OnnxBuilder made;
  made.input("x", {1, 4});
  made.weights("w", {4, 4});
  made.node("Add", {"x", "b"}, "a");
  made.node("MatMul", {"a", "w"}, "b");
  made.output("b");
  EXPECT_THAT(reading(made.bytes()), IsError(ErrorKind::kFormat, "node a reads b"));
}

TEST(Onnx, DeadBranchesAreLeftOutWhateverTheyHold) {
  OnnxBuilder made;
  made.input("x", {1, 4});
  made.weights("w", {4, 4});
  made.node("MatMul", {"x", "w"}, "used");
  made.node("MatMul", {"x", "w"}, "dangling");
  made.node("Sorcery", {"dangling"}, "magic");
  made.node("MatMul", {"magic", "w"}, "more");
  made.output("used");
  const Graph graph = parse_onnx(made.bytes(), "made.onnx");
  EXPECT_EQ(graph.size(), 2);  // used, loss
  EXPECT_EQ(graph.weights(), 16);
  made.output("more");
  EXPECT_THAT(reading(made.bytes()), IsError(ErrorKind::kUnsupported, "Sorcery"));
}

TEST(Onnx, HugeAndEmptyShapesAreRefused) {
  for (const std::int64_t size : {std::int64_t{0}, std::int64_t{-3}, std::int64_t{1} << 60}) {
    OnnxBuilder made;
    made.input("x", {1, 4});
    made.weights("w", {4, size});
    made.node("MatMul", {"x", "w"}, "y");
    made.output("y");
    const Error error = reading(made.bytes());
    EXPECT_TRUE(error.kind() == ErrorKind::kData || error.kind() == ErrorKind::kFormat)
        << error.what();
  }
}

}  // namespace
}  // namespace taut::graph
