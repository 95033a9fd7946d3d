// Shapes that flow through a model as numbers: what the reader works out, and what it asks for.
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "graph/onnx_builder.h"
#include "support/error_matchers.h"
#include "support/temporary_directory.h"
#include "taut/core/file.h"
#include "taut/graph/model_file.h"

namespace taut::graph {
namespace {

using test::error_of;
using test::IsError;

constexpr std::int64_t kEnd = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kStart = std::numeric_limits<std::int64_t>::min();

Graph read(OnnxBuilder& made, const DimensionSizes& sizes = {}) {
  return parse_onnx(made.bytes(), "made.onnx", sizes);
}

Error reading(OnnxBuilder& made, const DimensionSizes& sizes = {}) {
  return error_of([&] { (void)read(made, sizes); });
}

/// Ends the model: what `last` holds goes through a product, whose input words tell its size.
std::int64_t words_of(OnnxBuilder& made, const std::string& last, std::int64_t width,
                      const DimensionSizes& sizes = {}) {
  made.weights("end.w", {width, 1});
  made.node("MatMul", {last, "end.w"}, "end");
  made.output("end");
  const Graph graph = read(made, sizes);
  return graph.node(graph.size() - 2).in_words;
}

TEST(OnnxShapes, FlowThroughShapeGatherAndConcatIntoReshape) {
  OnnxBuilder made(17);
  made.input("x", {1, 6, 12});
  made.scalar("zero", 0);
  made.scalar("one", 1);
  made.integers("axis", {0});
  made.integers("rest", {4, -1});
  made.node("Shape", {"x"}, "shape");
  made.node("Gather", {"shape", "zero"}, "batch");
  made.node("Gather", {"shape", "one"}, "length");
  made.node("Unsqueeze", {"batch", "axis"}, "batch.list");
  made.node("Unsqueeze", {"length", "axis"}, "length.list");
  made.node("Concat", {"batch.list", "length.list", "rest"}, "wanted", {{"axis", {0}}});
  made.node("Reshape", {"x", "wanted"}, "heads");
  EXPECT_EQ(words_of(made, "heads", 3), 6 * 12);
}

TEST(OnnxShapes, ArithmeticOnSizesIsDone) {
  // floor(sqrt(cast(prod(shape)) * 0.5)) and the remainder of a division, as sizes of Expand.
  OnnxBuilder made(17);
  made.input("x", {1, 1, 32});
  made.reals("half", {0.5F});
  made.integers("five", {5});
  made.node("Shape", {"x"}, "shape");
  made.node("ReduceProd", {"shape"}, "product", {{"keepdims", {1}}});
  made.node("Cast", {"product"}, "real", {{"to", {1}}});
  made.node("Mul", {"real", "half"}, "halved");
  made.node("Sqrt", {"halved"}, "root");
  made.node("Floor", {"root"}, "floor");
  made.node("Cast", {"floor"}, "four", {{"to", {7}}});
  made.node("Mod", {"product", "five"}, "two");
  made.integers("width", {32});
  made.node("Concat", {"four", "two", "width"}, "wanted", {{"axis", {0}}});
  made.node("Expand", {"x", "wanted"}, "wide");
  EXPECT_EQ(words_of(made, "wide", 32), 4 * 2 * 32);
}

TEST(OnnxShapes, SizesOfMinusOneAreChosenByWhere) {
  // torch's expand(-1, 3, -1): where(wanted == -1, ones, wanted).
  OnnxBuilder made(17);
  made.input("x", {1, 1, 8});
  made.integers("wanted", {-1, 3, -1});
  made.integers("minus", {-1});
  made.integers("rank", {3});
  auto& ones = made.node("ConstantOfShape", {"rank"}, "ones");
  onnx::AttributeProto& value = *ones.add_attribute();
  value.set_name("value");
  value.mutable_t()->set_data_type(onnx::TensorProto::INT64);
  value.mutable_t()->add_dims(1);
  value.mutable_t()->add_int64_data(1);
  made.node("Equal", {"wanted", "minus"}, "open");
  made.node("Where", {"open", "ones", "wanted"}, "sizes");
  made.node("Expand", {"x", "sizes"}, "wide");
  EXPECT_EQ(words_of(made, "wide", 8), 3 * 8);
}

TEST(OnnxShapes, RangesTilesAndSlicesOfSizesHaveTheirLength) {
  OnnxBuilder made(17);
  made.input("x", {1, 5, 8});
  made.scalar("zero", 0);
  made.scalar("one", 1);
  made.integers("from", {1});
  made.integers("to", {2});
  made.integers("first", {0});
  made.node("Shape", {"x"}, "shape");
  made.node("Slice", {"shape", "from", "to"}, "length.list");
  made.node("Squeeze", {"length.list", "first"}, "length");
  made.node("Range", {"zero", "length", "one"}, "places");
  made.weights("table", {100, 8});
  made.node("Gather", {"table", "places"}, "positions");  // no layer: it depends on no input
  made.node("Add", {"x", "positions"}, "sum");
  made.integers("twice", {1, 2, 1});
  made.node("Tile", {"sum", "twice"}, "tiled");
  EXPECT_EQ(words_of(made, "tiled", 8), 10 * 8);
}

TEST(OnnxShapes, EndsOfSlicesMayBeAsFarAsThereIs) {
  struct Case {
    std::int64_t start, end, step, count;
  };
  for (const Case& one :
       {Case{1, kEnd, 1, 6}, Case{0, -1, 1, 6}, Case{-3, kEnd, 1, 3}, Case{-1, kStart, -1, 7},
        Case{kStart, kEnd, 3, 3}, Case{kEnd, kStart, -2, 4}, Case{0, kEnd, kEnd, 1},
        Case{-1, kStart, kStart, 1}}) {
    OnnxBuilder made(17);
    made.input("x", {1, 7, 4});
    made.integers("start", {one.start});
    made.integers("to", {one.end});
    made.integers("axis", {1});
    made.integers("step", {one.step});
    made.node("Slice", {"x", "start", "to", "axis", "step"}, "part");
    EXPECT_EQ(words_of(made, "part", 4), one.count * 4) << one.start << " " << one.end;
  }
}

TEST(OnnxShapes, SlicesOfOldOperatorSetsHaveAttributes) {
  OnnxBuilder made(9);
  made.input("x", {1, 7, 4});
  made.node("Slice", {"x"}, "part", {{"axes", {1}}, {"starts", {1}}, {"ends", {kEnd}}});
  EXPECT_EQ(words_of(made, "part", 4), 6 * 4);
}

TEST(OnnxShapes, BranchesOfAKnownConditionAreTakenAndTheOthersForgotten) {
  for (const bool taken : {true, false}) {
    OnnxBuilder made(17);
    made.input("x", {1, taken ? 3 : 4});
    made.scalar("one", 1);
    made.integers("three", {3});
    made.node("Shape", {"x"}, "shape");
    made.node("Gather", {"shape", "one"}, "width");
    made.node("Equal", {"width", "three"}, "is.three");
    made.node("Squeeze", {"is.three"}, "condition");
    onnx::NodeProto& node = made.node("If", {"condition"}, "y");
    for (const bool then : {true, false}) {
      onnx::AttributeProto& attribute = *node.add_attribute();
      attribute.set_name(then ? "then_branch" : "else_branch");
      onnx::GraphProto& branch = *attribute.mutable_g();
      onnx::NodeProto& inner = *branch.add_node();
      inner.set_op_type(then == taken ? "MatMul" : "Sorcery");
      inner.add_input("x");  // of the graph around
      inner.add_input("w");
      inner.add_output("made");
      onnx::TensorProto& weights = *branch.add_initializer();
      weights.set_name("w");
      weights.set_data_type(onnx::TensorProto::FLOAT);
      weights.add_dims(taken ? 3 : 4);
      weights.add_dims(5);
      branch.add_output()->set_name("made");
    }
    made.output("y");
    EXPECT_EQ(read(made).weights(), taken ? 15 : 20);
  }
}

TEST(OnnxShapes, AConditionThatDependsOnTheInputIsNamed) {
  OnnxBuilder made(17);
  made.input("x", {1, 3});
  made.input("flag", {1}, onnx::TensorProto::BOOL);
  made.node("If", {"flag"}, "y");
  made.output("y");
  EXPECT_THAT(reading(made), IsError(ErrorKind::kUnsupported, "node y (If): control flow"));
}

/// A model that calls a function which multiplies by weights and reduces along an axis.
OnnxBuilder with_function(std::int64_t axis) {
  OnnxBuilder made(17);
  made.input("x", {1, 6, 8});
  made.weights("w", {8, 4});
  made.model().add_opset_import()->set_domain("mine");
  onnx::FunctionProto& function = *made.model().add_functions();
  function.set_name("Mixed");
  function.set_domain("mine");
  function.add_input("a");
  function.add_input("b");
  function.add_output("c");
  function.add_attribute("axis");
  function.add_opset_import()->set_version(17);
  onnx::NodeProto& product = *function.add_node();
  product.set_op_type("MatMul");
  product.set_name("product");
  product.add_input("a");
  product.add_input("b");
  product.add_output("p");
  onnx::NodeProto& reduce = *function.add_node();
  reduce.set_op_type("ArgMax");
  reduce.set_name("reduce");
  reduce.add_input("p");
  reduce.add_output("c");
  onnx::AttributeProto& reference = *reduce.add_attribute();
  reference.set_name("axis");
  reference.set_ref_attr_name("axis");
  made.node("Mixed", {"x", "w"}, "mixed", {{"axis", {axis}}}).set_domain("mine");
  made.node("Mixed", {"x", "w"}, "again", {{"axis", {axis}}}).set_domain("mine");
  made.node("Add", {"mixed", "again"}, "y");
  made.output("y");
  return made;
}

TEST(OnnxShapes, FunctionsOfTheModelAreEnteredWithTheirAttributes) {
  for (const std::int64_t axis : {1, 2}) {
    OnnxBuilder made = with_function(axis);
    const Graph graph = read(made);
    EXPECT_EQ(graph.weights(), 2 * 32);
    EXPECT_EQ(graph.macs(), 2 * 6 * 32);
    EXPECT_EQ(graph.node(0).name, "mixed/product");
    EXPECT_EQ(graph.node(graph.size() - 2).out_words, axis == 1 ? 4 : 6);
  }
}

TEST(OnnxShapes, NewestOperatorSetsAndFieldsOfNewerVersionsAreRead) {
  OnnxBuilder made(28);
  made.model().set_ir_version(99);
  made.input("x", {1, 4});
  made.weights("w", {4, 2});
  made.node("MatMul", {"x", "w"}, "y");
  made.output("y");
  // Field 1000 of the model, a text; field 999, a number.
  const std::string newer = made.bytes() + "\xc2\x3e\x03new" + "\xb8\x3e\x07";
  EXPECT_EQ(parse_onnx(newer, "made.onnx").weights(), 8);
}

TEST(OnnxShapes, WeightsInAFileBesideAreNotNeeded) {
  OnnxBuilder made = onnx_lenet_c();
  for (onnx::TensorProto& tensor : *made.graph().mutable_initializer()) {
    tensor.set_data_location(onnx::TensorProto::EXTERNAL);
    onnx::StringStringEntryProto& place = *tensor.add_external_data();
    place.set_key("location");
    place.set_value("../../nowhere.data");
  }
  EXPECT_EQ(read(made).weights(), 430500);
}

/// A model whose Reshape takes its shape from `location`.
OnnxBuilder with_external_shape(const std::string& location) {
  OnnxBuilder made(17);
  made.input("x", {1, 24});
  made.integers("shape", {2, -1, 4});
  onnx::TensorProto& tensor = *made.graph().mutable_initializer()->rbegin();
  tensor.clear_int64_data();
  tensor.set_data_location(onnx::TensorProto::EXTERNAL);
  for (const auto& [key, value] : {std::pair<const char*, std::string>{"location", location},
                                   {"offset", "8"},
                                   {"length", "24"}}) {
    onnx::StringStringEntryProto& entry = *tensor.add_external_data();
    entry.set_key(key);
    entry.set_value(value);
  }
  made.node("Reshape", {"x", "shape"}, "parts");
  made.weights("w", {4, 5});
  made.node("MatMul", {"parts", "w"}, "y");
  made.output("y");
  return made;
}

TEST(OnnxShapes, ShapesInAFileBesideAreReadFromTheModelsFolderAlone) {
  const test::TemporaryDirectory directory;
  const std::string folder = directory.file("model");
  std::filesystem::create_directories(folder);
  const std::vector<std::int64_t> numbers = {99, 2, -1, 4};
  const std::string data(reinterpret_cast<const char*>(numbers.data()), 32);
  write_file(folder + "/weights.data", data);
  write_file(directory.file("secret.data"), data);
  std::filesystem::create_symlink(directory.file("secret.data"), folder + "/link.data");
  const auto from = [&](const std::string& location) {
    OnnxBuilder made = with_external_shape(location);
    write_file(folder + "/m.onnx", made.bytes());
    return read_onnx(folder + "/m.onnx");
  };
  EXPECT_EQ(from("weights.data").macs(), 6 * 20);
  for (const std::string& outside :
       {std::string("../secret.data"), directory.file("secret.data"), std::string("link.data"),
        std::string("a/../../secret.data"), std::string("/etc/passwd"), std::string()}) {
    EXPECT_THAT(error_of([&] { (void)from(outside); }), IsError(ErrorKind::kFormat, "outside"))
        << outside;
  }
  EXPECT_THAT(error_of([&] { (void)from("absent.data"); }),
              IsError(ErrorKind::kUnsupported, "not known"));
  write_file(folder + "/weights.data", data.substr(0, 20));
  EXPECT_THAT(error_of([&] { (void)from("weights.data"); }),
              IsError(ErrorKind::kFormat, "which has 20"));
}

TEST(OnnxInputs, WithoutANameAreSizedByTheirPlace) {
  OnnxBuilder made(17);
  made.input("x", {-1, -1, 8});
  made.weights("w", {8, 2});
  made.node("MatMul", {"x", "w"}, "y");
  made.output("y");
  EXPECT_THAT(reading(made), IsError(ErrorKind::kData, "--dim x.1=SIZE"));
  EXPECT_EQ(read(made, {{"x.1", 5}}).macs(), 5 * 16) << "the first is the batch";
  EXPECT_EQ(read(made, {{"x.0", 4}, {"x.1", 5}}).macs(), 5 * 16) << "of one sample of four";
}

TEST(OnnxInputs, WithoutAShapeAreSizedWhole) {
  OnnxBuilder made(17);
  made.input("x", {1, 8});
  made.graph().mutable_input(0)->mutable_type()->mutable_tensor_type()->clear_shape();
  made.weights("w", {8, 2});
  made.node("MatMul", {"x", "w"}, "y");
  made.output("y");
  EXPECT_THAT(reading(made), IsError(ErrorKind::kData, "input x has no shape"));
  EXPECT_EQ(read(made, {{"x.0", 1}, {"x.1", 8}}).macs(), 16);
}

TEST(OnnxInputs, SizesThatNoDimensionTakesAreRefused) {
  OnnxBuilder made(17);
  made.input("x", {0, 0, 8});
  made.weights("w", {8, 2});
  made.node("MatMul", {"x", "w"}, "y");
  made.output("y");
  EXPECT_THAT(reading(made, {{"d1", 5}, {"d11", 6}}),
              IsError(ErrorKind::kConfig, "called d11, made.onnx, did you mean d1?"));
}

TEST(OnnxInputs, MayDifferInTheirFirstDimension) {
  // A state [layers, batch, width] and a mask [sequence, sequence] beside the sequence.
  OnnxBuilder made(17);
  made.input("x", {0, 1, 8});
  auto& shape = *made.graph().mutable_input(0)->mutable_type()->mutable_tensor_type();
  shape.mutable_shape()->mutable_dim(0)->set_dim_param("batch");
  shape.mutable_shape()->mutable_dim(1)->set_dim_param("sequence");
  made.input("state", {2, 0, 8});
  auto& state = *made.graph().mutable_input(1)->mutable_type()->mutable_tensor_type();
  state.mutable_shape()->mutable_dim(1)->set_dim_param("batch");
  made.input("mask", {0, 1});
  auto& mask = *made.graph().mutable_input(2)->mutable_type()->mutable_tensor_type();
  for (int d = 0; d < 2; ++d) mask.mutable_shape()->mutable_dim(d)->set_dim_param("sequence");
  made.weights("w", {8, 8});
  made.node("MatMul", {"x", "w"}, "a");
  made.node("MatMul", {"mask", "a"}, "mixed");
  made.node("MatMul", {"state", "w"}, "b");
  made.integers("axis", {0});
  made.node("ReduceSum", {"b", "axis"}, "sum", {{"keepdims", {0}}});
  made.integers("second", {1});
  made.node("Unsqueeze", {"sum", "second"}, "last");
  made.node("Add", {"mixed", "last"}, "y");
  made.output("y");
  EXPECT_THAT(reading(made), IsError(ErrorKind::kData, "--dim sequence=SIZE"));
  const Graph graph = read(made, {{"sequence", 5}});
  EXPECT_EQ(graph.weights(), 2 * 64);
  EXPECT_EQ(graph.macs(), 5 * 64 + 5 * 5 * 8 + 2 * 64);
  EXPECT_EQ(read(made, {{"sequence", 5}, {"batch", 3}}).macs(), graph.macs());
}

TEST(OnnxForged, FunctionsThatMultiplyEndInAnError) {
  // Each function calls the one before it sixteen times.
  OnnxBuilder made(17);
  made.input("x", {1, 4});
  for (int f = 0; f < 12; ++f) {
    onnx::FunctionProto& function = *made.model().add_functions();
    function.set_name("f" + std::to_string(f));
    function.set_domain("mine");
    function.add_input("a");
    function.add_output("c");
    std::string last = "a";
    for (int i = 0; i < 16; ++i) {
      onnx::NodeProto& node = *function.add_node();
      node.set_op_type(f == 0 ? "Relu" : "f" + std::to_string(f - 1));
      if (f > 0) node.set_domain("mine");
      node.add_input(last);
      last = i == 15 ? "c" : "t" + std::to_string(i);
      node.add_output(last);
    }
  }
  made.node("f11", {"x"}, "y").set_domain("mine");
  made.output("y");
  EXPECT_THAT(reading(made), IsError(ErrorKind::kUnsupported, "steps"));
  made.model().mutable_functions(0)->mutable_node(0)->set_op_type("f0");
  made.model().mutable_functions(0)->mutable_node(0)->set_domain("mine");
  made.graph().mutable_node(0)->set_op_type("f0");
  EXPECT_THAT(reading(made), IsError(ErrorKind::kUnsupported, "deeper than 64"));
}

TEST(OnnxForged, SizesThatLieAreErrorsBeforeAnythingIsTaken) {
  OnnxBuilder range(17);
  range.input("x", {1, 4});
  range.scalar("zero", 0);
  range.scalar("limit", std::int64_t{1} << 39);
  range.scalar("one", 1);
  range.node("Range", {"zero", "limit", "one"}, "places");
  range.node("Reshape", {"x", "places"}, "y");
  range.output("y");
  EXPECT_THAT(reading(range), IsError(ErrorKind::kUnsupported, "not known"));
  OnnxBuilder tiles(17);
  tiles.input("x", {1, 4});
  tiles.integers("repeats", {kEnd, kEnd});
  tiles.node("Tile", {"x", "repeats"}, "y");
  tiles.output("y");
  EXPECT_EQ(reading(tiles).kind(), ErrorKind::kFormat);
}

TEST(OnnxForged, AFloodOfEmptyNodesIsRefused) {
  // 2 bytes a node in the graph of a model: 4 million of them.
  std::string nodes;
  for (int i = 0; i < (1 << 22); ++i) nodes += std::string("\x0a\x00", 2);
  std::string length;
  for (std::size_t size = nodes.size(); size > 0; size >>= 7) {
    length += static_cast<char>((size & 127) | (size > 127 ? 128 : 0));
  }
  EXPECT_THAT(error_of([&] { (void)parse_onnx("\x3a" + length + nodes, "made.onnx"); }),
              IsError(ErrorKind::kFormat, "more than"));
}

}  // namespace
}  // namespace taut::graph
