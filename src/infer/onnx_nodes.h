#pragma once
// Builds an ONNX model node by node. Needs ONNX_ML and ONNX_NAMESPACE to be defined.

#include <onnx/onnx_pb.h>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace taut::infer {

/// Attributes that are whole numbers, one or a list.
struct OnnxAttribute {
  std::string name;
  std::vector<std::int64_t> values;
  bool list = false;
};

class OnnxNodes {
 public:
  OnnxNodes(std::int64_t operator_set, const std::string& producer_version,
            const std::string& graph) {
    model_.set_ir_version(8);
    model_.set_producer_name("taut");
    model_.set_producer_version(producer_version);
    model_.add_opset_import()->set_version(operator_set);
    model_.mutable_graph()->set_name(graph);
  }

  [[nodiscard]] onnx::ModelProto& model() { return model_; }

  /// Adds a node named as its first output and returns that.
  std::string add(const std::string& op, const std::vector<std::string>& inputs,
                  const std::vector<std::string>& outputs,
                  const std::vector<OnnxAttribute>& attributes = {}) {
    onnx::NodeProto& node = *model_.mutable_graph()->add_node();
    node.set_op_type(op);
    node.set_name(outputs.front());
    for (const std::string& input : inputs) node.add_input(input);
    for (const std::string& output : outputs) node.add_output(output);
    for (const OnnxAttribute& attribute : attributes) set(*node.add_attribute(), attribute);
    return outputs.front();
  }
  void set_last_float(const std::string& name, float value) {
    onnx::AttributeProto& attribute = *last().add_attribute();
    attribute.set_name(name);
    attribute.set_type(onnx::AttributeProto::FLOAT);
    attribute.set_f(value);
  }
  /// Gives what the last node makes another name; the node keeps its own.
  void rename_last_output(const std::string& name) { last().set_output(0, name); }
  /// Gives the last node a name that is not that of its output.
  void rename_last(const std::string& name) { last().set_name(name); }

  /// Adds a constant and returns its name. Numbers are written little-endian, as ONNX wants them.
  template <typename T>
  std::string constant(const std::string& name, std::int32_t type,
                       const std::vector<std::int64_t>& shape, std::span<const T> values) {
    onnx::TensorProto& tensor = *model_.mutable_graph()->add_initializer();
    tensor.set_name(name);
    tensor.set_data_type(type);
    for (const std::int64_t size : shape) tensor.add_dims(size);
    tensor.set_raw_data(values.data(), values.size_bytes());
    return name;
  }
  std::string floats(const std::string& name, const std::vector<std::int64_t>& shape,
                     std::span<const float> values) {
    return constant(name, onnx::TensorProto::FLOAT, shape, values);
  }
  std::string scalar(const std::string& name, float value) {
    return floats(name, {}, std::span(&value, 1));
  }
  std::string integers(const std::string& name, const std::vector<std::int64_t>& values) {
    return constant<std::int64_t>(name, onnx::TensorProto::INT64,
                                  {static_cast<std::int64_t>(values.size())}, values);
  }

  /// A float tensor of the graph's face; its first size is the batch, named "N".
  static void describe(onnx::ValueInfoProto& info, const std::string& name,
                       const std::vector<std::int64_t>& example_shape) {
    info.set_name(name);
    auto& tensor = *info.mutable_type()->mutable_tensor_type();
    tensor.set_elem_type(onnx::TensorProto::FLOAT);
    tensor.mutable_shape()->add_dim()->set_dim_param("N");
    for (const std::int64_t size : example_shape) {
      tensor.mutable_shape()->add_dim()->set_dim_value(size);
    }
  }

 private:
  onnx::NodeProto& last() { return *model_.mutable_graph()->mutable_node()->rbegin(); }

  static void set(onnx::AttributeProto& proto, const OnnxAttribute& attribute) {
    proto.set_name(attribute.name);
    if (!attribute.list) {
      proto.set_type(onnx::AttributeProto::INT);
      proto.set_i(attribute.values.front());
      return;
    }
    proto.set_type(onnx::AttributeProto::INTS);
    for (const std::int64_t value : attribute.values) proto.add_ints(value);
  }

  onnx::ModelProto model_;
};

}  // namespace taut::infer
