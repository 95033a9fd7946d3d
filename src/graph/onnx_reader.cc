// ONNX in: protobuf and shape inference are the onnx library's; what a layer is to a planner is
// ours. Only the files named onnx_* see protobuf (LibTorch carries another one).
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <onnx/onnx_pb.h>
#include <algorithm>
#include <bit>
#include <filesystem>
#include <initializer_list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "graph/onnx_checks.h"
#include "graph/onnx_operators.h"
#include "graph/onnx_shapes.h"
#include "taut/core/error.h"
#include "taut/core/file.h"
#include "taut/core/text.h"
#include "taut/graph/model_file.h"

namespace taut::graph {
namespace {

constexpr std::size_t kLargestFile = std::size_t{1} << 30;
constexpr std::int64_t kLargestWords = std::int64_t{1} << 50;

using Dimensions = std::vector<std::int64_t>;

/// A tensor of the file: a constant, or something computed from the model's input.
struct Value {
  bool constant = false;
  int node = -1;               ///< the layer that made it; -1: the model's input
  std::int64_t raw_words = 0;  ///< per sample, as that layer made it; 0: not pooled since
};

class OnnxModel {
 public:
  OnnxModel(std::string_view bytes, std::string source, const DimensionSizes& sizes)
      : source_(std::move(source)), sizes_(sizes) {
    parse(bytes);
  }

  Graph build() {
    check_onnx(model_, source_);
    fix_input_dimensions();
    infer_onnx_shapes(model_, source_);
    collect_shapes();
    for (const onnx::NodeProto& node : model_.graph().node()) read(node);
    return finish();
  }

 private:
  [[noreturn]] void fail(ErrorKind kind, const std::string& what,
                         const std::string& mend = {}) const {
    throw Error(kind, what, source_, mend);
  }

  static std::string label(const onnx::NodeProto& node) { return onnx_label(node); }

  void parse(std::string_view bytes) {
    if (bytes.size() > kLargestFile) {
      fail(ErrorKind::kFormat, concat("the model is ", bytes.size(), " bytes, above 1 GiB"),
           "save the weights as external data");
    }
    google::protobuf::io::ArrayInputStream array(bytes.data(), static_cast<int>(bytes.size()));
    google::protobuf::io::CodedInputStream coded(&array);
    if (!model_.ParseFromCodedStream(&coded) || !coded.ConsumedEntireMessage()) {
      fail(ErrorKind::kFormat, "not an ONNX model, or cut short");
    }
  }

  /// Gives every dimension of the inputs a size: a symbolic first one is the batch, 1.
  void fix_input_dimensions() {
    std::set<std::string> initializers;
    for (const onnx::TensorProto& tensor : model_.graph().initializer()) {
      initializers.insert(tensor.name());
    }
    DimensionSizes known = sizes_;
    std::optional<std::int64_t> batch;
    for (onnx::ValueInfoProto& input : *model_.mutable_graph()->mutable_input()) {
      if (initializers.contains(input.name())) continue;
      if (!input.type().has_tensor_type()) {
        fail(ErrorKind::kUnsupported, concat("input ", input.name(), " is not a tensor"));
      }
      values_[input.name()] = {};
      auto& shape = *input.mutable_type()->mutable_tensor_type()->mutable_shape();
      for (int d = 0; d < shape.dim_size(); ++d) {
        auto& dim = *shape.mutable_dim(d);
        if (!dim.has_dim_value()) fix(dim, d, input.name(), known);
        if (dim.dim_value() < 1) {
          fail(ErrorKind::kData, concat("input ", input.name(), " dimension ", d, " is ",
                                        dim.dim_value(), ", must be at least 1"));
        }
      }
      if (shape.dim_size() == 0) continue;
      const std::int64_t first = shape.dim(0).dim_value();
      if (batch && *batch != first) {
        fail(ErrorKind::kData,
             concat("input ", input.name(), " has batch ", first, ", an earlier input ", *batch));
      }
      batch = first;
    }
    batch_ = batch.value_or(1);
  }

  void fix(onnx::TensorShapeProto::Dimension& dim, int index, const std::string& input,
           DimensionSizes& known) const {
    const std::string name = dim.dim_param();
    if (index == 0) known.try_emplace(name, 1);
    const auto found = known.find(name);
    if (found == known.end()) {
      fail(ErrorKind::kData,
           concat("input ", input, " dimension ", index, " (", name.empty() ? "no name" : name,
                  ") has no size"),
           "give its size, or export with fixed sizes");
    }
    dim.set_dim_value(found->second);
  }

  void collect_shapes() {
    const auto collect = [&](const auto& infos) {
      for (const onnx::ValueInfoProto& info : infos) {
        if (!info.type().has_tensor_type() || !info.type().tensor_type().has_shape()) continue;
        Dimensions dims;
        for (const auto& dim : info.type().tensor_type().shape().dim()) {
          dims.push_back(dim.has_dim_value() ? dim.dim_value() : -1);
        }
        shapes_[info.name()] = std::move(dims);
      }
    };
    collect(model_.graph().value_info());
    collect(model_.graph().input());
    collect(model_.graph().output());
    for (const onnx::TensorProto& tensor : model_.graph().initializer()) {
      shapes_[tensor.name()] = Dimensions(tensor.dims().begin(), tensor.dims().end());
      values_[tensor.name()] = {.constant = true};
    }
  }

  const Dimensions& shape(const std::string& tensor, const std::string& node) const {
    const auto found = shapes_.find(tensor);
    const bool known =
        found != shapes_.end() && std::all_of(found->second.begin(), found->second.end(),
                                              [](std::int64_t dim) { return dim >= 1; });
    if (!known) {
      fail(ErrorKind::kData, concat("node ", node, ": the shape of ", tensor, " is not known"),
           "export with fixed sizes");
    }
    return found->second;
  }

  std::int64_t product(const Dimensions& dims, const std::string& node) const {
    std::int64_t words = 1;
    for (const std::int64_t dim : dims) {
      if (__builtin_mul_overflow(words, dim, &words) || words > kLargestWords) {
        fail(ErrorKind::kData, concat("node ", node, ": a tensor of more than 2^50 words"));
      }
    }
    return words;
  }

  /// Words of one sample.
  std::int64_t words(const std::string& tensor, const std::string& node) const {
    return std::max<std::int64_t>(1, product(shape(tensor, node), node) / batch_);
  }

  /// The axis of channels: the second of an image or a matrix, the last of a sequence.
  static std::int64_t channels(const Dimensions& dims) {
    if (dims.size() < 2) return 1;
    return dims.size() == 3 ? dims[2] : dims[1];
  }

  const Value& value(const std::string& tensor, const std::string& node) const {
    const auto found = values_.find(tensor);
    if (found == values_.end()) {
      fail(ErrorKind::kFormat,
           concat("node ", node, " reads ", tensor, ", which nothing before it makes"),
           "nodes must stand in the order in which they run, without cycles");
    }
    return found->second;
  }

  /// The tensors that a node reads and that depend on the model's input.
  std::vector<std::string> activations(const onnx::NodeProto& node) const {
    std::vector<std::string> names;
    for (const std::string& input : node.input()) {
      if (!input.empty() && !value(input, label(node)).constant) names.push_back(input);
    }
    return names;
  }

  void give(const onnx::NodeProto& node, const Value& made) {
    for (const std::string& output : node.output()) {
      if (output.empty()) continue;
      if (!values_.try_emplace(output, made).second) {
        fail(ErrorKind::kFormat, concat("node ", label(node), ": ", output, " is made twice"));
      }
    }
  }

  void read(const onnx::NodeProto& node) {
    const std::vector<std::string> moving = activations(node);
    const OnnxRole role = *onnx_operator_role(node.op_type());
    if (moving.empty() || role == OnnxRole::kConstant) {
      give(node, {.constant = true});
      return;
    }
    std::set<int> sources;
    for (const std::string& input : moving) sources.insert(value(input, label(node)).node);
    sources.erase(-1);
    switch (role) {
      case OnnxRole::kProduct:
        if (moving.size() == 1 && !constant_input(node, moving[0]).empty()) {
          weighted(node, moving[0]);
        } else {
          joined(node, moving, product_macs(node));
        }
        return;
      case OnnxRole::kGather:
        if (value(node.input(0), label(node)).constant) {
          embedding(node, moving);
        } else {
          passed(node, moving[0], true);
        }
        return;
      case OnnxRole::kGlobalPool:
        if (sources.empty()) {
          passed(node, moving[0], false);
        } else {
          joined(node, moving, 0);
        }
        return;
      default:
        break;
    }
    if (sources.size() >= 2) {
      joined(node, moving, 0);
      return;
    }
    // One layer's output, perhaps beside the model's input: the operator belongs to that layer.
    const auto main = std::find_if(moving.begin(), moving.end(), [&](const std::string& input) {
      return sources.empty() || value(input, label(node)).node >= 0;
    });
    passed(node, *main, role == OnnxRole::kSelection);
  }

  /// An operator folded into the layer that made its input. Pools leave the raw words as they are;
  /// selections (slice, split) take their share of them.
  void passed(const onnx::NodeProto& node, const std::string& input, bool selection) {
    Value made = value(input, label(node));
    const std::int64_t before = made.node >= 0 ? words(input, label(node)) : 0;
    if (made.node >= 0 && made.raw_words == 0) made.raw_words = before;
    for (const std::string& output : node.output()) {
      if (output.empty()) continue;
      Value one = made;
      if (selection && one.node >= 0) {
        const double share =
            static_cast<double>(words(output, label(node))) / static_cast<double>(before);
        one.raw_words = std::max<std::int64_t>(
            1, static_cast<std::int64_t>(share * static_cast<double>(made.raw_words)));
      }
      if (!values_.try_emplace(output, one).second) {
        fail(ErrorKind::kFormat, concat("node ", label(node), ": ", output, " is made twice"));
      }
    }
  }

  static std::int64_t attribute(const onnx::NodeProto& node, const std::string& name,
                                std::int64_t fallback) {
    for (const onnx::AttributeProto& one : node.attribute()) {
      if (one.name() == name && one.has_i()) return one.i();
    }
    return fallback;
  }

  /// The constant operand of a product with one moving operand; empty if there is none.
  std::string constant_input(const onnx::NodeProto& node, const std::string& moving) const {
    for (int i = 0; i < std::min(2, node.input_size()); ++i) {
      const std::string& input = node.input(i);
      if (input != moving && !input.empty() && value(input, label(node)).constant) return input;
    }
    return {};
  }

  std::int64_t product_macs(const onnx::NodeProto& node) const {
    const Dimensions& left = shape(node.input(0), label(node));
    return words(node.output(0), label(node)) * (left.empty() ? 1 : left.back());
  }

  void weighted(const onnx::NodeProto& proto, const std::string& input) {
    const std::string name = label(proto);
    const bool conv = proto.op_type() == "Conv" || proto.op_type() == "ConvTranspose";
    const Dimensions& in = shape(input, name);
    const Dimensions& out = shape(proto.output(0), name);
    const Dimensions& weights = shape(constant_input(proto, input), name);
    if (in.size() < 2 || out.size() < 2 || weights.size() < 2) {
      fail(ErrorKind::kFormat, concat("node ", name, ": input, output or weights of rank below 2"));
    }
    Node node{.name = name, .op = conv ? "conv" : "fc"};
    node.weights = product(weights, name);
    node.in_words = node.stored_words = words(input, name);
    node.out_words = node.raw_words = words(proto.output(0), name);
    node.in_channels = conv ? in[1] : in.back();
    node.out_channels = conv ? out[1] : out.back();
    std::int64_t positions = node.out_words / std::max<std::int64_t>(1, node.out_channels);
    if (conv) {
      const std::int64_t groups = attribute(proto, "group", 1);
      if (groups < 1) fail(ErrorKind::kFormat, concat("node ", name, ": group is ", groups));
      node.kernel = weights.back();
      node.grouped = groups > 1;
      node.channel_levels = groups > 1 ? std::bit_width(static_cast<std::uint64_t>(groups)) - 1 : 0;
      if (node.grouped) node.op = "conv-grouped";
      if (proto.op_type() == "ConvTranspose") positions = node.in_words / node.in_channels;
    }
    node.macs = product({node.weights, positions}, name);
    node.input_macs =
        conv ? product({node.weights, std::max<std::int64_t>(1, node.in_words / node.in_channels)},
                       name)
             : node.macs;
    append(proto, std::move(node), {input});
  }

  void embedding(const onnx::NodeProto& proto, const std::vector<std::string>& moving) {
    const std::string name = label(proto);
    const Dimensions& table = shape(proto.input(0), name);
    if (table.size() != 2) {
      fail(ErrorKind::kUnsupported,
           concat("node ", name, ": gathers from a constant of rank ", table.size()));
    }
    Node node{.name = name, .op = "embedding", .kind = NodeKind::kBatchOnly};
    node.out_words = node.raw_words = words(proto.output(0), name);
    node.in_channels = node.out_channels = table[1];
    tables_.push_back({name, static_cast<int>(nodes_.size()), table[0], table[1]});
    append(proto, std::move(node), moving);
  }

  /// A node that joins several layers' outputs, or pools a whole image.
  void joined(const onnx::NodeProto& proto, const std::vector<std::string>& moving,
              std::int64_t macs) {
    const std::string name = label(proto);
    Node node{.name = name, .op = proto.op_type(), .kind = NodeKind::kElementwise};
    std::transform(node.op.begin(), node.op.end(), node.op.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    const Dimensions& out = shape(proto.output(0), name);
    for (const std::string& input : moving) node.in_words += words(input, name);
    node.out_words = node.raw_words = words(proto.output(0), name);
    node.in_channels = node.out_channels = channels(out);
    const auto parts = static_cast<std::uint64_t>(node.out_channels);
    const bool product_of_heads = macs > 0 && out.size() >= 4;
    if (macs == 0) node.channel_levels = std::bit_width(parts) - 1;
    if (product_of_heads) node.channel_levels = std::countr_zero(parts);
    if (macs > 0) node.stored_words = node.in_words;
    node.macs = node.input_macs = macs;
    append(proto, std::move(node), moving);
  }

  void append(const onnx::NodeProto& proto, Node node, const std::vector<std::string>& inputs) {
    const int index = static_cast<int>(nodes_.size());
    connect(index, inputs, node.name);
    const std::int64_t raw = node.raw_words;
    nodes_.push_back(std::move(node));
    give(proto, {.node = index, .raw_words = raw});
  }

  void connect(int reader, const std::vector<std::string>& inputs, const std::string& name) {
    for (const std::string& input : inputs) {
      const Value& source = value(input, name);
      if (source.node < 0) continue;
      const std::int64_t read_words = words(input, name);
      edges_.push_back({source.node, reader, read_words, std::max(read_words, source.raw_words)});
      nodes_[source.node].out_words = read_words;
    }
  }

  Graph finish() {
    if (nodes_.empty()) fail(ErrorKind::kFormat, "no layer depends on the model's input");
    Node loss{.name = "loss", .op = "loss", .kind = NodeKind::kBatchOnly};
    std::vector<std::string> outputs;
    for (const onnx::ValueInfoProto& output : model_.graph().output()) {
      const Value& made = value(output.name(), "output");
      if (made.constant || made.node < 0) continue;
      outputs.push_back(output.name());
      loss.in_words += words(output.name(), "loss");
    }
    connect(static_cast<int>(nodes_.size()), outputs, "loss");
    nodes_.push_back(std::move(loss));
    std::string name = model_.graph().name().empty() ? source_ : model_.graph().name();
    return Graph(std::move(name), std::move(nodes_), std::move(edges_), std::move(tables_));
  }

  std::string source_;
  const DimensionSizes& sizes_;
  onnx::ModelProto model_;
  std::int64_t batch_ = 1;
  std::map<std::string, Dimensions> shapes_;
  std::map<std::string, Value> values_;
  std::vector<Node> nodes_;
  std::vector<Edge> edges_;
  std::vector<GraphTable> tables_;
};

}  // namespace

Graph parse_onnx(std::string_view bytes, const std::string& source, const DimensionSizes& sizes) {
  return OnnxModel(bytes, source, sizes).build();
}

Graph read_onnx(const std::string& path, const DimensionSizes& sizes) {
  const MappedFile file(path);
  return parse_onnx({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()}, path,
                    sizes);
}

}  // namespace taut::graph
