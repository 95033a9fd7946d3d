// ONNX models as networks: what they become, and what is refused. Values of operators:
// tests/infer/onnx_network_test.cc.
#include "taut/graph/onnx_network.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

#include "graph/onnx_builder.h"
#include "support/error_matchers.h"
#include "support/temporary_directory.h"
#include "taut/core/file.h"
#include "taut/core/text.h"
#include "taut/graph/cost_graph.h"

namespace taut::graph {
namespace {

using test::error_of;
using test::IsError;

Error reading(const std::string& bytes) {
  return error_of([&] { (void)parse_onnx_network(bytes, "made.onnx"); });
}

std::vector<OnnxRefusal> refused_of(const OnnxBuilder& made) {
  try {
    (void)parse_onnx_network(made.bytes(), "made.onnx");
  } catch (const OnnxNotExpressed& refused) {
    EXPECT_EQ(refused.kind(), ErrorKind::kUnsupported);
    return refused.refused();
  }
  return {};
}

std::vector<Op> ops_of(const Network& network) {
  std::vector<Op> ops;
  for (const Layer& layer : network.layers) ops.push_back(layer.op);
  return ops;
}

TEST(OnnxNetwork, HasALayerForEachOperatorThatIsOne) {
  const std::string bytes = onnx_expressed().bytes();
  const OnnxNetwork read = parse_onnx_network(bytes, "made.onnx");
  const Network& network = read.network;
  EXPECT_EQ(wrong_layer(network), std::nullopt);
  EXPECT_EQ(ops_of(network),
            (std::vector<Op>{Op::kConv, Op::kRelu, Op::kConv, Op::kBatchNorm, Op::kRelu, Op::kConv,
                             Op::kMaxPool, Op::kConcat, Op::kGlobalMean, Op::kLinear}));
  EXPECT_EQ(network.input, (Shape{2, 9, 8}));
  EXPECT_EQ(network.layers[2].groups, 4);
  EXPECT_EQ(network.values[2].codes.size(), 36u);
  EXPECT_EQ(network.values[2].input_scale, 0.5f);
  EXPECT_FALSE(network.values[2].input_unsigned);
  EXPECT_EQ(network.winners.rates, (std::vector<double>{1, 0.5}));
  EXPECT_EQ(network.layers[4].winner_site, 1);
  EXPECT_EQ(network.values[4].kept_maps.size(), 4u);
  EXPECT_TRUE(network.layers[9].bias);
  EXPECT_EQ(network.layers[9].name, "logits");
  EXPECT_EQ(read.ending, OnnxEnding::kSoftmax);
  EXPECT_EQ(read.input.channel_axis, 1u);
}

TEST(OnnxNetwork, ValuesLiveAsLongAsTheNetwork) {
  const test::TemporaryDirectory folder;
  const std::string path = folder.file("m.onnx");
  write_file(path, with_values(onnx_residual()).bytes());
  OnnxNetwork read = read_onnx_network(path);
  const OnnxNetwork moved = std::move(read);
  std::filesystem::remove(path);
  double sum = 0;
  for (const float weight : moved.network.values[0].weight) sum += weight;
  EXPECT_EQ(sum, 0);
  EXPECT_EQ(moved.network.layers.size(), 8u);
}

TEST(OnnxNetwork, TheCostGraphOfBothWaysIsOne) {
  for (const OnnxBuilder& made : {with_values(onnx_lenet_c()), with_values(onnx_residual())}) {
    const std::string bytes = made.bytes();
    const Graph direct = parse_onnx(bytes, "made.onnx");
    const Graph network = cost_graph(parse_onnx_network(bytes, "made.onnx").network);
    ASSERT_EQ(direct.size(), network.size());
    for (int v = 0; v < direct.size(); ++v) {
      EXPECT_EQ(direct.node(v).weights, network.node(v).weights) << v;
      EXPECT_EQ(direct.node(v).macs, network.node(v).macs) << v;
      EXPECT_EQ(direct.node(v).out_words, network.node(v).out_words) << v;
      EXPECT_EQ(direct.node(v).raw_words, network.node(v).raw_words) << v;
    }
  }
}

TEST(OnnxNetwork, EveryOperatorWithoutALayerIsNamedAtOnce) {
  OnnxBuilder made;
  made.input("x", {1, 4, 8, 8});
  made.values("w", {4, 4, 3, 3}, std::vector<float>(144));
  made.weights("v", {4, 4, 1, 3});
  made.values("slope", {4, 1, 1}, {1, 2, 3, 4});
  made.node("Softplus", {"x"}, "a");
  made.node("Conv", {"a", "v"}, "b");
  made.node("PRelu", {"b", "slope"}, "c");
  made.node("Sorcery", {"c"}, "d");
  made.node("Relu", {"d"}, "e");
  made.node("Exp", {"e"}, "f");
  made.output("f");
  // What no output depends on is no matter.
  made.node("Tanh", {"x"}, "dead");
  const std::vector<OnnxRefusal> refused = refused_of(made);
  ASSERT_EQ(refused.size(), 5u);
  EXPECT_EQ(refused[0].node + refused[0].op, "aSoftplus");
  EXPECT_EQ(refused[1].node + refused[1].op, "bConv");
  EXPECT_EQ(refused[1].why,
            "it takes unlike borders off height and width, which no square window does");
  EXPECT_EQ(refused[2].op, "PRelu");
  EXPECT_EQ(refused[3].why, "unknown operator Sorcery");
  EXPECT_EQ(refused[4].op, "Exp");
  EXPECT_THAT(reading(made.bytes()),
              IsError(ErrorKind::kUnsupported, "node a (Softplus): no layer of a network"));
  EXPECT_THAT(reading(made.bytes()), IsError(ErrorKind::kUnsupported, "node f (Exp)"));
}

TEST(OnnxNetwork, ManyAreAllThereThoughTheMessageEnds) {
  OnnxBuilder made;
  made.input("x", {1, 4});
  std::string before = "x";
  for (int i = 0; i < 150; ++i) {
    const std::string name = concat("t", i);
    made.node("Cos", {before}, name);
    before = name;
  }
  made.output(before);
  EXPECT_EQ(refused_of(made).size(), 150u);
  EXPECT_THAT(reading(made.bytes()), IsError(ErrorKind::kUnsupported, "; 50 more, made.onnx"));
}

struct RefusedCase {
  const char* why;
  std::function<void(OnnxBuilder&)> add;  // reads x [1, 4, 8, 8], gives y
};

TEST(OnnxNetwork, WhatIsRefusedSaysWhy) {
  using Made = OnnxBuilder&;
  const auto weights = [](Made made) { made.values("w", {4, 4, 3, 3}, std::vector<float>(144)); };
  const std::vector<RefusedCase> cases = {
      {"it is not over the channels alone",
       [](Made made) {
         made.weights("scale", {8});
         made.node("LayerNormalization", {"x", "scale"}, "y");
       }},
      {"unlike borders",
       [](Made made) {
         made.weights("w", {4, 4, 1, 3});
         made.node("Conv", {"x", "w"}, "y");
       }},
      {"its weights are no constant", [](Made made) { made.node("Conv", {"x", "x"}, "y"); }},
      {"its window is not square",
       [](Made made) { made.node("MaxPool", {"x"}, "y", {{"kernel_shape", {2, 3}}}); }},
      {"padding before and behind",
       [](Made made) {
         made.node("MaxPool", {"x"}, "y", {{"kernel_shape", {3, 3}}, {"pads", {2, 2, 0, 0}}});
       }},
      {"its padding is uneven",
       [](Made made) {
         made.node("MaxPool", {"x"}, "y", {{"kernel_shape", {3, 3}}, {"pads", {1, 0, 1, 0}}});
       }},
      {"its window is dilated",
       [](Made made) {
         made.node("MaxPool", {"x"}, "y", {{"kernel_shape", {2, 2}}, {"dilations", {2, 2}}});
       }},
      {"its window is not square",
       [](Made made) {
         made.node("AveragePool", {"x"}, "y", {{"kernel_shape", {3, 2}}, {"pads", {1, 1, 1, 0}}});
       }},
      {"reach behind padding that counts",
       [](Made made) {
         made.node("AveragePool", {"x"}, "y",
                   {{"kernel_shape", {3, 3}},
                    {"strides", {2, 2}},
                    {"pads", {1, 1, 1, 1}},
                    {"ceil_mode", {1}},
                    {"count_include_pad", {1}}});
       }},
      {"not that of a Pad",
       [](Made made) {
         made.integers("pads", {0, 0, 1, 1, 0, 0, 1, 1});
         made.node("Pad", {"x", "pads"}, "padded");
         made.node("AveragePool", {"padded"}, "y",
                   {{"kernel_shape", {3, 3}}, {"pads", {1, 1, 1, 1}}});
       }},
      {"its output 1 is read",
       [](Made made) {
         made.node("MaxPool", {"x"}, "pooled", {{"kernel_shape", {2, 2}}}).add_output("places");
         made.node("Cast", {"places"}, "floats", {{"to", {1}}});
         made.node("Add", {"pooled", "floats"}, "y");
       }},
      {"its bounds are not known",
       [](Made made) {
         made.node("GlobalAveragePool", {"x"}, "mean");
         made.node("Clip", {"x", "mean"}, "y");
       }},
      {"values that both depend on the input",
       [](Made made) { made.node("MatMul", {"x", "x"}, "y"); }},
      {"it adds several values of two shapes",
       [](Made made) {
         made.node("GlobalAveragePool", {"x"}, "mean");
         made.node("Sum", {"x", "mean", "x"}, "y");
       }},
      {"lie along different axes",
       [](Made made) {
         made.values("w", {8, 4, 1, 1}, std::vector<float>(32));
         made.node("Conv", {"x", "w"}, "cube");
         made.node("Transpose", {"cube"}, "turned", {{"perm", {0, 2, 3, 1}}});
         made.node("Mul", {"cube", "turned"}, "y");
       }},
      {"its constant has more axes",
       [](Made made) {
         made.values("c", {1, 1, 1, 8, 1}, std::vector<float>(8));
         made.node("Add", {"x", "c"}, "y");
       }},
      {"along another axis",
       [](Made made) { made.node("Concat", {"x", "x"}, "y", {{"axis", {2}}}); }},
      {"it is not the last operator",
       [](Made made) {
         made.node("GlobalAveragePool", {"x"}, "mean");
         made.node("Softmax", {"mean"}, "soft", {{"axis", {1}}});
         made.node("Relu", {"soft"}, "y");
       }},
      {"it turns images",
       [](Made made) { made.node("Transpose", {"x"}, "y", {{"perm", {0, 1, 3, 2}}}); }},
      {"it makes [1, 8, 4, 8] of [1, 4, 8, 8]",
       [](Made made) {
         made.integers("shape", {1, 8, 4, 8});
         made.node("Reshape", {"x", "shape"}, "y");
       }},
      {"its mean is not over the positions",
       [](Made made) { made.node("ReduceMean", {"x"}, "y", {{"axes", {1, 2}}}); }},
      {"it reads a Pad",
       [](Made made) {
         made.integers("pads", {0, 0, 1, 1, 0, 0, 1, 1});
         made.node("Pad", {"x", "pads"}, "padded");
         made.node("Relu", {"padded"}, "y");
       }},
      {"with other values than zeros",
       [](Made made) {
         made.integers("pads", {0, 0, 1, 1, 0, 0, 1, 1});
         made.values("one", {}, {1});
         made.node("Pad", {"x", "pads", "one"}, "y");
       }},
      {"computed by node w (Exp)",
       [](Made made) {
         made.weights("v", {4, 4, 3, 3});
         made.node("Exp", {"v"}, "w");
         made.node("Conv", {"x", "w"}, "y");
       }},
      {"its weights do not",
       [&](Made made) {
         weights(made);
         made.values("scale", {}, {0.5f});
         made.node("QuantizeLinear", {"x", "scale"}, "codes");
         made.node("DequantizeLinear", {"codes", "scale"}, "rounded");
         made.node("Conv", {"rounded", "w"}, "y");
       }},
      {"no choice of winners", [](Made made) {
         made.values("zero", {}, {0});
         made.node("Greater", {"x", "zero"}, "mask");
         made.node("Where", {"mask", "x", "zero"}, "y");
       }}};
  for (const RefusedCase& one : cases) {
    OnnxBuilder made(17);
    made.input("x", {1, 4, 8, 8});
    one.add(made);
    made.output("y");
    std::string told;
    for (const OnnxRefusal& refused : refused_of(with_values(made))) told += refused.why + "; ";
    EXPECT_NE(told.find(one.why), std::string::npos) << one.why << " is not in: " << told;
  }
}

TEST(OnnxNetwork, WinnersThatOthersReadBeforeTheyAreChosenAreNone) {
  OnnxBuilder made = onnx_expressed();
  made.node("Add", {"y", "extra"}, "z");
  made.node("GlobalAveragePool", {"b.relu"}, "extra");
  const int last = made.graph().node_size() - 1;
  made.graph().mutable_node()->SwapElements(last, last - 1);
  made.graph().mutable_output(0)->set_name("extra");
  EXPECT_TRUE(refused_of(made).empty()) << "nothing reads the winners";
  onnx::NodeProto& conv = made.node("Concat", {"maps", "b.relu"}, "both", {{"axis", {1}}});
  (void)conv;
  made.graph().mutable_output(0)->set_name("both");
  const std::vector<OnnxRefusal> refused = refused_of(made);
  ASSERT_FALSE(refused.empty());
  EXPECT_EQ(refused[0].op, "Abs");
}

TEST(OnnxNetwork, SeveralInputsAndOutputsAreRefused) {
  OnnxBuilder two;
  two.input("x", {1, 4});
  two.input("z", {1, 4});
  two.node("Add", {"x", "z"}, "y");
  two.output("y");
  EXPECT_THAT(reading(two.bytes()), IsError(ErrorKind::kUnsupported, "a network reads one input"));
  OnnxBuilder outputs;
  outputs.input("x", {1, 4});
  outputs.node("Relu", {"x"}, "y");
  outputs.node("Relu", {"y"}, "z");
  outputs.output("y");
  outputs.output("z");
  EXPECT_THAT(reading(outputs.bytes()), IsError(ErrorKind::kUnsupported, "2 outputs"));
  OnnxBuilder none;
  none.input("x", {1, 4});
  none.node("Identity", {"x"}, "y");
  none.output("y");
  EXPECT_THAT(reading(none.bytes()), IsError(ErrorKind::kUnsupported, "not that of a layer"));
}

TEST(OnnxNetwork, ForgedValuesAreErrors) {
  const auto forged = [](auto&& change) {
    OnnxBuilder made;
    made.input("x", {1, 2});
    made.values("w", {2, 3}, {1, 2, 3, 4, 5, 6});
    made.node("MatMul", {"x", "w"}, "y");
    made.output("y");
    change(*made.graph().mutable_initializer(0));
    return reading(made.bytes());
  };
  EXPECT_THAT(forged([](onnx::TensorProto& w) { w.set_raw_data("short"); }),
              IsError(ErrorKind::kFormat, "constant w has 5 bytes of values, its shape 24"));
  EXPECT_THAT(forged([](onnx::TensorProto& w) { w.set_dims(1, 4); }),
              IsError(ErrorKind::kFormat, "its shape 32"));
  EXPECT_THAT(forged([](onnx::TensorProto& w) { w.clear_raw_data(); }),
              IsError(ErrorKind::kData, "constant w has no values"));
  EXPECT_THAT(forged([](onnx::TensorProto& w) {
                w.clear_raw_data();
                w.set_dims(1, std::int64_t{1} << 39);
              }),
              IsError(ErrorKind::kData, "constant w has no values"));
  EXPECT_THAT(forged([](onnx::TensorProto& w) { w.set_data_type(onnx::TensorProto::COMPLEX64); }),
              IsError(ErrorKind::kFormat, "constant w has 24 bytes"));
}

class ExternalValuesTest : public ::testing::Test {
 protected:
  // The error of a model whose weights lie in another file.
  Error read_from(const std::string& location, const std::string& offset = "",
                  const std::string& length = "") {
    return error_of([&] { (void)network_from(location, offset, length); });
  }
  OnnxNetwork network_from(const std::string& location, const std::string& offset = "",
                           const std::string& length = "") {
    OnnxBuilder made;
    made.input("x", {1, 2});
    made.weights("w", {3, 2});
    onnx::TensorProto& w = *made.graph().mutable_initializer(0);
    w.set_data_location(onnx::TensorProto::EXTERNAL);
    const auto entry = [&](const char* key, const std::string& value) {
      if (value.empty()) return;
      onnx::StringStringEntryProto& made_entry = *w.add_external_data();
      made_entry.set_key(key);
      made_entry.set_value(value);
    };
    entry("location", location);
    entry("offset", offset);
    entry("length", length);
    onnx::NodeProto& node = made.node("Gemm", {"x", "w"}, "y", {{"transB", {1}}});
    (void)node;
    made.output("y");
    write_file(folder_.file("inner/m.onnx"), made.bytes());
    return read_onnx_network(folder_.file("inner/m.onnx"));
  }
  void SetUp() override {
    make_directories(folder_.file("inner"));
    const std::vector<float> values = {9, 9, 9, 9, 1, 2, 3, 4, 5, 6};
    const std::string bytes(reinterpret_cast<const char*>(values.data()), 40);
    write_file(folder_.file("inner/w.bin"), bytes);
    write_file(folder_.file("outside.bin"), bytes);
  }
  test::TemporaryDirectory folder_;
};

TEST_F(ExternalValuesTest, LieBesideTheModel) {
  const OnnxNetwork read = network_from("w.bin", "16", "24");
  const std::span<const float> weight = read.network.values[0].weight;
  EXPECT_EQ(std::vector<float>(weight.begin(), weight.end()),
            (std::vector<float>{1, 2, 3, 4, 5, 6}));
}

TEST_F(ExternalValuesTest, AreRefusedWhereTheyLie) {
  EXPECT_THAT(read_from("../outside.bin"), IsError(ErrorKind::kFormat, "outside of the model's"));
  EXPECT_THAT(read_from(folder_.file("outside.bin")),
              IsError(ErrorKind::kFormat, "outside of the model's folder"));
  std::filesystem::create_symlink(folder_.file("outside.bin"), folder_.file("inner/link.bin"));
  EXPECT_THAT(read_from("link.bin"), IsError(ErrorKind::kFormat, "outside of the model's folder"));
  EXPECT_THAT(read_from("none.bin"), IsError(ErrorKind::kNotFound, "none.bin"));
  EXPECT_THAT(read_from("w.bin", "20"), IsError(ErrorKind::kFormat, "24 bytes from 20 on"));
  EXPECT_THAT(read_from("w.bin", "18446744073709551615"),
              IsError(ErrorKind::kFormat, "bytes from"));
  EXPECT_THAT(read_from("w.bin", "16", "20"), IsError(ErrorKind::kFormat, "20 bytes of values"));
  EXPECT_THAT(read_from("w.bin", "-1"), IsError(ErrorKind::kFormat, "offset"));
}

TEST(OnnxNetwork, CopiesOfValuesAreBounded) {
  // A window of 3 x 3, dilated until its square is larger than memory may be.
  OnnxBuilder made;
  made.input("x", {1, 64, 4000, 4000});
  made.values("w", {64, 64, 3, 3}, std::vector<float>(36864));
  made.node("Conv", {"x", "w"}, "y", {{"dilations", {1500, 1500}}});
  made.output("y");
  const std::vector<OnnxRefusal> refused = refused_of(made);
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_NE(refused[0].why.find("come to more than"), std::string::npos) << refused[0].why;
}

TEST(OnnxNetwork, ModelsOfTooManyOperatorsAreRefused) {
  OnnxBuilder made;
  made.input("x", {1, 4});
  made.weights("w", {4, 4});
  std::string before = "x";
  for (int i = 0; i < (1 << 18) + 5; ++i) {
    const std::string name = concat("t", i);
    made.node("Relu", {before}, name);
    before = name;
  }
  made.node("MatMul", {before, "w"}, "y");
  made.output("y");
  EXPECT_THAT(reading(made.bytes()), IsError(ErrorKind::kUnsupported, "more than 2^18 operators"));
  const test::TemporaryDirectory folder;
  write_file(folder.file("m.onnx"), made.bytes());
  const OnnxSummary summary = summarize_onnx(folder.file("m.onnx"));
  EXPECT_EQ(summary.graph.weights(), 16);
  EXPECT_EQ(summary.parameters, std::nullopt);
}

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
