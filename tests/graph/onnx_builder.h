#pragma once
// Makes small ONNX models in memory. Needs ONNX_ML and ONNX_NAMESPACE to be defined.

#include <onnx/onnx_pb.h>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

namespace taut::graph {

class OnnxBuilder {
 public:
  explicit OnnxBuilder(std::int64_t operator_set = 13) {
    model_.set_ir_version(7);
    model_.add_opset_import()->set_version(operator_set);
    graph().set_name("made");
  }

  onnx::GraphProto& graph() { return *model_.mutable_graph(); }
  onnx::ModelProto& model() { return model_; }

  /// Sizes below 1 become a symbolic dimension named "d0", "d1" ...; -1 stays, without a name.
  void input(const std::string& name, const std::vector<std::int64_t>& shape,
             std::int32_t type = onnx::TensorProto::FLOAT) {
    describe(*graph().add_input(), name, shape, type);
  }
  void output(const std::string& name) {
    onnx::ValueInfoProto& info = *graph().add_output();
    info.set_name(name);
    info.mutable_type()->mutable_tensor_type()->set_elem_type(onnx::TensorProto::FLOAT);
  }

  /// Weights without values: only their shape matters to the reader.
  void weights(const std::string& name, const std::vector<std::int64_t>& shape) {
    onnx::TensorProto& tensor = *graph().add_initializer();
    tensor.set_name(name);
    tensor.set_data_type(onnx::TensorProto::FLOAT);
    for (const std::int64_t size : shape) tensor.add_dims(size);
  }
  /// The same with values, as raw bytes.
  void values(const std::string& name, const std::vector<std::int64_t>& shape,
              const std::vector<float>& numbers) {
    weights(name, shape);
    graph().mutable_initializer()->rbegin()->set_raw_data(numbers.data(),
                                                          numbers.size() * sizeof(float));
  }
  void integers(const std::string& name, const std::vector<std::int64_t>& values) {
    onnx::TensorProto& tensor = *graph().add_initializer();
    tensor.set_name(name);
    tensor.set_data_type(onnx::TensorProto::INT64);
    tensor.add_dims(static_cast<std::int64_t>(values.size()));
    for (const std::int64_t value : values) tensor.add_int64_data(value);
  }

  /// A constant of one number, of no dimensions.
  void scalar(const std::string& name, std::int64_t value) {
    integers(name, {value});
    graph().mutable_initializer()->rbegin()->clear_dims();
  }
  void reals(const std::string& name, const std::vector<float>& values) {
    weights(name, {static_cast<std::int64_t>(values.size())});
    onnx::TensorProto& tensor = *graph().mutable_initializer()->rbegin();
    for (const float value : values) tensor.add_float_data(value);
  }

  using Integers = std::vector<std::pair<std::string, std::vector<std::int64_t>>>;

  /// A node named as its output; attributes of several numbers are lists, of one a number.
  onnx::NodeProto& node(const std::string& op, const std::vector<std::string>& inputs,
                        const std::string& output, const Integers& attributes = {}) {
    onnx::NodeProto& made = *graph().add_node();
    made.set_op_type(op);
    made.set_name(output);
    for (const std::string& input : inputs) made.add_input(input);
    made.add_output(output);
    for (const auto& [name, values] : attributes) {
      onnx::AttributeProto& attribute = *made.add_attribute();
      attribute.set_name(name);
      if (values.size() == 1) {
        attribute.set_type(onnx::AttributeProto::INT);
        attribute.set_i(values[0]);
      } else {
        attribute.set_type(onnx::AttributeProto::INTS);
        for (const std::int64_t value : values) attribute.add_ints(value);
      }
    }
    return made;
  }

  /// Adds an attribute that is a text.
  static void text(onnx::NodeProto& node, const std::string& name, const std::string& value) {
    onnx::AttributeProto& attribute = *node.add_attribute();
    attribute.set_name(name);
    attribute.set_type(onnx::AttributeProto::STRING);
    attribute.set_s(value);
  }

  /// Adds an attribute that is one real number.
  static void real(onnx::NodeProto& node, const std::string& name, float value) {
    onnx::AttributeProto& attribute = *node.add_attribute();
    attribute.set_name(name);
    attribute.set_type(onnx::AttributeProto::FLOAT);
    attribute.set_f(value);
  }

  [[nodiscard]] std::string bytes() const { return model_.SerializeAsString(); }

 private:
  static void describe(onnx::ValueInfoProto& info, const std::string& name,
                       const std::vector<std::int64_t>& shape, std::int32_t type) {
    info.set_name(name);
    auto& tensor = *info.mutable_type()->mutable_tensor_type();
    tensor.set_elem_type(type);
    for (std::size_t d = 0; d < shape.size(); ++d) {
      auto& dim = *tensor.mutable_shape()->add_dim();
      if (shape[d] != 0) {
        dim.set_dim_value(shape[d]);
      } else {
        dim.set_dim_param("d" + std::to_string(d));
      }
    }
  }

  onnx::ModelProto model_;
};

/// Lenet-c as an exporter writes it: biases, activations, a symbolic batch.
inline OnnxBuilder onnx_lenet_c() {
  OnnxBuilder made;
  made.input("x", {0, 1, 28, 28});
  const auto layer = [&](const std::string& name, const std::string& in, std::int64_t from,
                         std::int64_t to) {
    made.weights(name + ".w", {to, from, 5, 5});
    made.weights(name + ".b", {to});
    made.node("Conv", {in, name + ".w", name + ".b"}, name);
    made.node("Relu", {name}, name + ".relu");
    made.node("MaxPool", {name + ".relu"}, name + ".pool",
              {{"kernel_shape", {2, 2}}, {"strides", {2, 2}}});
  };
  layer("conv1", "x", 1, 20);
  layer("conv2", "conv1.pool", 20, 50);
  made.node("Flatten", {"conv2.pool"}, "flat", {{"axis", {1}}});
  made.weights("fc1.w", {500, 800});
  made.weights("fc1.b", {500});
  made.node("Gemm", {"flat", "fc1.w", "fc1.b"}, "fc1", {{"transB", {1}}});
  made.node("Relu", {"fc1"}, "fc1.relu");
  made.weights("fc2.w", {500, 10});
  made.node("MatMul", {"fc1.relu", "fc2.w"}, "fc2");
  made.output("fc2");
  return made;
}

/// A residual block with normalisation, then a global pool and a classifier.
inline OnnxBuilder onnx_residual() {
  OnnxBuilder made;
  made.input("x", {4, 8, 16, 16});
  made.weights("a.w", {16, 8, 3, 3});
  made.node("Conv", {"x", "a.w"}, "a", {{"pads", {1, 1, 1, 1}}});
  for (const char* part : {"scale", "bias", "mean", "var"}) made.weights(part, {16});
  made.node("BatchNormalization", {"a", "scale", "bias", "mean", "var"}, "a.norm");
  made.node("Relu", {"a.norm"}, "a.relu");
  made.weights("b.w", {16, 16, 3, 3});
  made.node("Conv", {"a.relu", "b.w"}, "b", {{"pads", {1, 1, 1, 1}}});
  made.weights("c.w", {16, 1, 3, 3});
  made.node("Conv", {"b", "c.w"}, "c", {{"pads", {1, 1, 1, 1}}, {"group", {16}}});
  made.node("Add", {"c", "a.relu"}, "sum");
  made.node("GlobalAveragePool", {"sum"}, "pool");
  made.node("Flatten", {"pool"}, "flat", {{"axis", {1}}});
  made.weights("fc.w", {16, 10});
  made.node("MatMul", {"flat", "fc.w"}, "fc");
  made.output("fc");
  return made;
}

/// A product through 8 bits whose largest values stay, as our writer makes them.
inline OnnxBuilder onnx_winners() {
  OnnxBuilder made(17);
  made.input("x", {0, 8});
  made.weights("scale", {});
  made.weights("w", {8, 6});
  made.node("QuantizeLinear", {"x", "scale"}, "codes");
  made.node("DequantizeLinear", {"codes", "scale"}, "rounded");
  made.node("MatMul", {"rounded", "w"}, "fc1");
  made.node("Abs", {"fc1"}, "scores");
  made.weights("zero", {});
  made.integers("count", {2});
  made.node("Less", {"scores", "zero"}, "none");
  made.node("TopK", {"scores", "count"}, "most", {{"axis", {1}}}).add_output("places");
  made.node("Greater", {"most", "zero"}, "won");
  made.node("ScatterElements", {"none", "places", "won"}, "mask", {{"axis", {1}}});
  made.node("Where", {"mask", "fc1", "zero"}, "winners");
  made.weights("v", {6, 4});
  made.node("MatMul", {"winners", "v"}, "fc2");
  made.output("fc2");
  return made;
}

/// Gives every constant of reals that has none values of 1, -1, 1 ...
inline OnnxBuilder with_values(OnnxBuilder made) {
  for (onnx::TensorProto& tensor : *made.graph().mutable_initializer()) {
    const bool bare = tensor.data_type() == onnx::TensorProto::FLOAT && !tensor.has_raw_data() &&
                      tensor.float_data().empty();
    if (!bare) continue;
    std::int64_t count = 1;
    for (const std::int64_t size : tensor.dims()) count *= size;
    for (std::int64_t i = 0; i < count; ++i) tensor.add_float_data(i % 2 == 0 ? 1.0f : -1.0f);
  }
  return made;
}

/// Everything that a network has a layer for: a Pad, a convolution in 8 bits, normalization,
/// winners, pools of both kinds, a branch, a mean and a classifier.
inline OnnxBuilder onnx_expressed() {
  OnnxBuilder made(17);
  made.input("x", {0, 2, 9, 8});
  made.integers("pads", {0, 0, 1, 0, 0, 0, 1, 1});
  made.node("Pad", {"x", "pads"}, "padded");
  made.values("scale", {}, {0.5f});
  made.values("least", {}, {-63.5f});
  made.values("most", {}, {63.5f});
  made.weights("zero_point", {});
  made.graph().mutable_initializer()->rbegin()->set_data_type(onnx::TensorProto::INT8);
  made.graph().mutable_initializer()->rbegin()->set_raw_data(std::string(1, '\0'));
  made.node("Conv", {"padded", "a.w"}, "a", {{"strides", {2, 1}}});
  made.graph().mutable_node()->rbegin()->mutable_attribute(0)->set_ints(1, 2);
  made.weights("a.w", {4, 2, 3, 2});
  made.node("Relu", {"a"}, "a.relu");
  made.node("Clip", {"a.relu", "least", "most"}, "clipped");
  made.node("QuantizeLinear", {"clipped", "scale", "zero_point"}, "codes");
  made.node("DequantizeLinear", {"codes", "scale", "zero_point"}, "rounded");
  made.weights("b.codes", {4, 1, 3, 3});
  made.graph().mutable_initializer()->rbegin()->set_data_type(onnx::TensorProto::INT8);
  made.graph().mutable_initializer()->rbegin()->set_raw_data(std::string(36, '\3'));
  made.values("b.scales", {4}, {1, 2, 3, 4});
  made.node("DequantizeLinear", {"b.codes", "b.scales"}, "b.w", {{"axis", {0}}});
  made.node("Conv", {"rounded", "b.w"}, "b", {{"pads", {1, 1, 1, 1}}, {"group", {4}}});
  for (const char* part : {"gain", "shift", "mean", "var"}) made.values(part, {4}, {1, 2, 3, 4});
  made.node("BatchNormalization", {"b", "gain", "shift", "mean", "var"}, "b.norm");
  made.node("Relu", {"b.norm"}, "b.relu");
  made.node("Abs", {"b.relu"}, "scores");
  made.values("zero", {}, {0});
  made.integers("count", {2});
  made.node("Less", {"scores", "zero"}, "none");
  made.node("TopK", {"scores", "count"}, "most_of", {{"axis", {1}}}).add_output("places");
  made.node("Greater", {"most_of", "zero"}, "won");
  made.node("ScatterElements", {"none", "places", "won"}, "mask", {{"axis", {1}}});
  made.node("Where", {"mask", "b.relu", "zero"}, "winners");
  made.values("kept", {1, 4, 1, 1}, {1, 0, 1, 1});
  made.node("Mul", {"winners", "kept"}, "maps");
  made.node("AveragePool", {"maps"}, "average", {{"kernel_shape", {3, 3}}, {"strides", {1, 1}}});
  made.node("MaxPool", {"maps"}, "largest", {{"kernel_shape", {3, 3}}, {"strides", {1, 1}}});
  made.node("Concat", {"average", "largest"}, "joined", {{"axis", {1}}});
  made.node("GlobalAveragePool", {"joined"}, "pooled");
  made.node("Flatten", {"pooled"}, "features");
  made.values("c.b", {3}, {1, 2, 3});
  made.weights("c.w", {8, 3});
  made.node("Gemm", {"features", "c.w", "c.b"}, "logits");
  made.node("Softmax", {"logits"}, "y");
  made.output("y");
  return with_values(std::move(made));
}

/// Token ids through an embedding and one attention block of four heads.
inline OnnxBuilder onnx_attention() {
  OnnxBuilder made;
  made.input("ids", {2, 6}, onnx::TensorProto::INT64);
  made.weights("table", {100, 8});
  made.node("Gather", {"table", "ids"}, "emb");
  for (const std::string name : {"q", "k", "v"}) {
    made.weights(name + ".w", {8, 8});
    made.node("MatMul", {"emb", name + ".w"}, name);
    made.integers(name + ".shape", {2, 6, 4, 2});
    made.node("Reshape", {name, name + ".shape"}, name + ".heads");
    made.node("Transpose", {name + ".heads"}, name + ".t",
              {{"perm", name == "k" ? std::vector<std::int64_t>{0, 2, 3, 1}
                                    : std::vector<std::int64_t>{0, 2, 1, 3}}});
  }
  made.node("MatMul", {"q.t", "k.t"}, "scores");
  made.node("Softmax", {"scores"}, "weights", {{"axis", {3}}});
  made.node("MatMul", {"weights", "v.t"}, "mixed");
  made.node("Transpose", {"mixed"}, "back", {{"perm", {0, 2, 1, 3}}});
  made.integers("flat.shape", {2, 6, 8});
  made.node("Reshape", {"back", "flat.shape"}, "flat");
  made.weights("out.w", {8, 8});
  made.node("MatMul", {"flat", "out.w"}, "out");
  made.node("Add", {"out", "emb"}, "sum");
  made.output("sum");
  return made;
}

/// Sizes that flow through Shape, Gather, Concat and Slice into Reshape, Expand, Range and Resize.
inline OnnxBuilder onnx_flowing_shapes() {
  OnnxBuilder made(17);
  made.input("x", {1, 6, 8, 8});
  made.scalar("zero", 0);
  made.scalar("one", 1);
  made.integers("axis", {0});
  made.integers("two", {2});
  made.integers("end", {std::int64_t{9223372036854775807}});
  made.integers("rest", {6, -1});
  made.node("Shape", {"x"}, "shape");
  made.node("Gather", {"shape", "zero"}, "batch");
  made.node("Unsqueeze", {"batch", "axis"}, "batch.list");
  made.node("Slice", {"shape", "two", "end", "axis"}, "sides");
  made.node("Mul", {"sides", "two"}, "doubled");
  made.node("Shape", {"x"}, "front", {{"end", {2}}});
  made.node("Concat", {"front", "doubled"}, "sizes", {{"axis", {0}}});
  made.node("Resize", {"x", "", "", "sizes"}, "large");
  made.weights("w", {4, 6, 3, 3});
  made.node("Conv", {"large", "w"}, "conv", {{"strides", {2, 2}}});
  made.node("Reshape", {"x", "flat.shape"}, "flat");
  made.node("Concat", {"batch.list", "rest"}, "flat.shape", {{"axis", {0}}});
  made.graph().mutable_node()->SwapElements(9, 10);
  made.node("Range", {"zero", "batch", "one"}, "places");
  made.weights("table", {10, 64});
  made.node("Gather", {"table", "places"}, "rows");
  made.node("Add", {"flat", "rows"}, "sum");
  made.weights("v", {64, 4});
  made.node("MatMul", {"sum", "v"}, "fc");
  made.node("ReduceMean", {"conv"}, "mean", {{"axes", {2, 3}}, {"keepdims", {0}}});
  made.node("Unsqueeze", {"mean", "two"}, "column");
  made.node("Expand", {"column", "square"}, "wide");
  made.integers("square", {1, 4, 4});
  made.node("Einsum", {"fc", "wide"}, "y");
  OnnxBuilder::text(*made.graph().mutable_node()->rbegin(), "equation", "bij,bjk->bik");
  made.output("y");
  return made;
}

}  // namespace taut::graph
