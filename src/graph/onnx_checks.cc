#include "graph/onnx_checks.h"

#include <onnx/defs/schema.h>
#include <algorithm>
#include <array>
#include <exception>
#include <optional>
#include <string_view>

#include "graph/onnx_operators.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::graph {
namespace {

constexpr std::int64_t kNewestOperatorSet = 17;  // of the onnx library that infers the shapes
constexpr std::int64_t kLargestNumber = std::int64_t{1} << 31;
constexpr int kMostRank = 16;
constexpr std::array<std::string_view, 6> kAtLeastOne = {"strides",      "dilations", "group",
                                                         "kernel_shape", "scales",    "blocksize"};

class Checker {
 public:
  Checker(const onnx::ModelProto& model, const std::string& source)
      : model_(model), source_(source) {}

  void check() {
    if (model_.graph().node_size() == 0) fail(ErrorKind::kFormat, "the ONNX model has no nodes");
    if (model_.functions_size() > 0) {
      fail(ErrorKind::kUnsupported, concat("model function ", model_.functions(0).name()),
           "inline functions before export");
    }
    check_operator_set();
    for (const onnx::TensorProto& tensor : model_.graph().initializer()) {
      check_tensor(tensor, "constant " + tensor.name());
    }
    for (const auto* infos :
         {&model_.graph().input(), &model_.graph().output(), &model_.graph().value_info()}) {
      for (const onnx::ValueInfoProto& info : *infos) check_info(info);
    }
    for (const onnx::NodeProto& node : model_.graph().node()) check_node(node);
  }

 private:
  [[noreturn]] void fail(ErrorKind kind, const std::string& what,
                         const std::string& mend = {}) const {
    throw Error(kind, what, source_, mend);
  }

  void check_operator_set() {
    bool found = false;
    for (const onnx::OperatorSetIdProto& set : model_.opset_import()) {
      if (!set.domain().empty() && set.domain() != "ai.onnx") continue;
      found = true;
      operator_set_ = set.version();
    }
    if (!found) fail(ErrorKind::kFormat, "the ONNX model names no operator set");
    if (operator_set_ > kNewestOperatorSet) {
      fail(ErrorKind::kUnsupported,
           concat("operator set ", operator_set_, ", this build reads up to ", kNewestOperatorSet),
           concat("export with opset_version=", kNewestOperatorSet));
    }
    if (operator_set_ < 1) fail(ErrorKind::kFormat, concat("operator set ", operator_set_));
  }

  void check_info(const onnx::ValueInfoProto& info) const {
    if (!info.type().has_tensor_type()) return;
    const auto& shape = info.type().tensor_type().shape();
    if (shape.dim_size() > kMostRank) {
      fail(ErrorKind::kFormat, concat("tensor ", info.name(), " has rank ", shape.dim_size()));
    }
    for (const auto& dim : shape.dim()) {
      if (dim.has_dim_value() && (dim.dim_value() < 0 || dim.dim_value() > kLargestNumber)) {
        fail(ErrorKind::kData,
             concat("tensor ", info.name(), " has a dimension of ", dim.dim_value()));
      }
    }
  }

  void check_tensor(const onnx::TensorProto& tensor, const std::string& owner) const {
    if (tensor.dims_size() > kMostRank) {
      fail(ErrorKind::kFormat, concat(owner, " has rank ", tensor.dims_size()));
    }
    std::int64_t count = 1;
    for (const std::int64_t dim : tensor.dims()) {
      const bool empty_list = dim == 0 && tensor.dims_size() == 1;
      if ((dim < 1 && !empty_list) || dim > kLargestNumber ||
          __builtin_mul_overflow(count, dim, &count)) {
        fail(ErrorKind::kData, concat(owner, " has a dimension of ", dim));
      }
    }
    // The inference reads constants of these types; their data must be all there.
    const auto whole = [&](std::size_t width, std::int64_t listed) {
      const bool raw = tensor.has_raw_data();
      const std::uint64_t have = raw ? tensor.raw_data().size() / width : listed;
      const bool broken = raw && tensor.raw_data().size() % width != 0;
      if (broken || have != static_cast<std::uint64_t>(count)) {
        fail(ErrorKind::kFormat, concat(owner, " has ", have, " values, its shape ", count));
      }
    };
    if (tensor.data_type() == onnx::TensorProto::INT64) whole(8, tensor.int64_data_size());
    if (tensor.data_type() == onnx::TensorProto::INT32) whole(4, tensor.int32_data_size());
    const bool has_floats = tensor.has_raw_data() || tensor.float_data_size() > 0;
    if (tensor.data_type() == onnx::TensorProto::FLOAT && has_floats) {
      whole(4, tensor.float_data_size());
    }
  }

  void check_node(const onnx::NodeProto& node) const {
    const std::string label = onnx_label(node);
    const bool known_domain = node.domain().empty() || node.domain() == "ai.onnx";
    for (const onnx::AttributeProto& attribute : node.attribute()) {
      check_attribute(node, attribute);
    }
    if (!known_domain || !onnx_operator_role(node.op_type())) {
      fail(ErrorKind::kUnsupported, concat("node ", label, ": unknown operator ", node.domain(),
                                           known_domain ? "" : ".", node.op_type()));
    }
    if (node.output_size() == 0 || node.output(0).empty()) {
      fail(ErrorKind::kFormat, concat("node ", label, " has no output"));
    }
    const onnx::OpSchema* schema = onnx::OpSchemaRegistry::Schema(
        node.op_type(), static_cast<int>(operator_set_), onnx::ONNX_DOMAIN);
    if (schema == nullptr) {
      fail(ErrorKind::kUnsupported, concat("node ", label, ": operator ", node.op_type(),
                                           " is not in operator set ", operator_set_));
    }
    try {
      schema->Verify(node);
    } catch (const std::exception& error) {
      const std::string text = error.what();
      fail(ErrorKind::kFormat, concat("node ", label, ": ", text.substr(0, text.find('\n'))));
    }
  }

  void check_attribute(const onnx::NodeProto& node, const onnx::AttributeProto& attribute) const {
    if (attribute.has_g() || attribute.graphs_size() > 0) {
      fail(ErrorKind::kUnsupported,
           concat("node ", onnx_label(node), ": control flow (", node.op_type(), ")"));
    }
    const bool counts =
        std::find(kAtLeastOne.begin(), kAtLeastOne.end(), attribute.name()) != kAtLeastOne.end();
    const auto check = [&](std::int64_t value) {
      if (value > kLargestNumber || value < (counts ? 1 : -kLargestNumber)) {
        fail(ErrorKind::kFormat,
             concat("node ", onnx_label(node), ": ", attribute.name(), " is ", value));
      }
    };
    if (attribute.has_i()) check(attribute.i());
    for (const std::int64_t value : attribute.ints()) check(value);
    const std::string owner = concat("node ", onnx_label(node), ": ", attribute.name());
    if (attribute.has_t()) check_tensor(attribute.t(), owner);
    for (const onnx::TensorProto& tensor : attribute.tensors()) check_tensor(tensor, owner);
  }

  const onnx::ModelProto& model_;
  const std::string& source_;
  std::int64_t operator_set_ = 0;
};

}  // namespace

std::string onnx_label(const onnx::NodeProto& node) {
  if (!node.name().empty()) return node.name();
  return node.output_size() > 0 ? node.output(0) : std::string("without a name");
}

void check_onnx(const onnx::ModelProto& model, const std::string& source) {
  Checker(model, source).check();
}

}  // namespace taut::graph
