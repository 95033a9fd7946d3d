// ONNX models: small valid ones, and those of the folder that TAUT_FUZZ_MODELS names, with their
// bytes, nodes, attributes, shapes and constants changed, read as costs and as networks. One that
// takes five seconds fails.
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/fuzz.h"
#include "graph/onnx_builder.h"
#include "taut/core/file.h"
#include "taut/graph/model_file.h"
#include "taut/graph/onnx_network.h"

namespace {

/// Whatever was read, an engine may trust every size of it.
void check_network(const taut::graph::Network& network) {
  if (taut::graph::wrong_layer(network) || network.values.size() != network.layers.size()) {
    std::abort();
  }
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    const taut::graph::Layer& layer = network.layers[i];
    const taut::graph::LayerValues& values = network.values[i];
    using taut::graph::Op;
    std::size_t wanted = 0;
    if (layer.op == Op::kBatchNorm || layer.op == Op::kLayerNorm) {
      wanted = static_cast<std::size_t>(layer.out.channels);
    } else if (layer.op == Op::kConstant) {
      wanted = static_cast<std::size_t>(layer.out.size());
    } else if (layer.op == Op::kAttention) {
      wanted = static_cast<std::size_t>(taut::graph::mask_count(network, layer));
    }
    const std::vector<std::int64_t> shape = taut::graph::weight_shape(layer);
    if (!shape.empty()) wanted = 1;
    for (const std::int64_t side : shape) wanted *= static_cast<std::size_t>(side);
    if (values.weight.size() + values.codes.size() != wanted) std::abort();
    if (layer.bias && values.bias.size() != static_cast<std::size_t>(layer.out.channels)) {
      std::abort();
    }
  }
}

}  // namespace

namespace taut::fuzz {
namespace {

constexpr std::chrono::seconds kMostSeconds(5);

/// Operators that a node may be turned into: one of each kind of rule.
const std::vector<std::string> kOperators = {"Add",
                                             "Attention",
                                             "AveragePool",
                                             "Cast",
                                             "CenterCropPad",
                                             "Col2Im",
                                             "Compress",
                                             "Concat",
                                             "Constant",
                                             "ConstantOfShape",
                                             "Conv",
                                             "ConvInteger",
                                             "ConvTranspose",
                                             "CumSum",
                                             "DFT",
                                             "DeformConv",
                                             "DepthToSpace",
                                             "Div",
                                             "Dropout",
                                             "DynamicQuantizeLinear",
                                             "Einsum",
                                             "Expand",
                                             "EyeLike",
                                             "Flatten",
                                             "GRU",
                                             "Gather",
                                             "GatherElements",
                                             "GatherND",
                                             "Gemm",
                                             "GlobalAveragePool",
                                             "GridSample",
                                             "HardSigmoid",
                                             "If",
                                             "LSTM",
                                             "LayerNormalization",
                                             "Loop",
                                             "MatMul",
                                             "MatMulInteger",
                                             "MaxPool",
                                             "MaxUnpool",
                                             "MelWeightMatrix",
                                             "Mod",
                                             "NonZero",
                                             "OneHot",
                                             "Pad",
                                             "Pow",
                                             "QLinearConv",
                                             "QLinearMatMul",
                                             "Range",
                                             "ReduceProd",
                                             "Reshape",
                                             "Resize",
                                             "RoiAlign",
                                             "STFT",
                                             "ScatterND",
                                             "Shape",
                                             "Slice",
                                             "SpaceToDepth",
                                             "Split",
                                             "Squeeze",
                                             "Tile",
                                             "TopK",
                                             "Transpose",
                                             "Unsqueeze",
                                             "Upsample",
                                             "Where"};

/// Attributes that rules look at.
const std::vector<std::string> kAttributes = {"axes",
                                              "axis",
                                              "auto_pad",
                                              "batch_dims",
                                              "blocksize",
                                              "ceil_mode",
                                              "dilations",
                                              "end",
                                              "ends",
                                              "equation",
                                              "group",
                                              "hidden_size",
                                              "keepdims",
                                              "kernel_shape",
                                              "layout",
                                              "onesided",
                                              "output_padding",
                                              "output_shape",
                                              "pads",
                                              "perm",
                                              "scales",
                                              "shape",
                                              "split",
                                              "start",
                                              "starts",
                                              "strides",
                                              "to",
                                              "transA",
                                              "value",
                                              "value_ints",
                                              "q_num_heads",
                                              "kv_num_heads",
                                              "keep_aspect_ratio_policy",
                                              "inverse"};

const std::vector<std::string> kTexts = {"SAME_UPPER", "VALID",         "ij,jk->ik",  "...i,...i",
                                         "ii->i",      "bidirectional", "not_larger", "i,j->"};

/// Changes a model in one to eight places.
class Mutator {
 public:
  explicit Mutator(Random& random) : random_(random) {}

  std::string mutate(std::string bytes) {
    onnx::ModelProto model;
    if (below(3) != 0 && model.ParseFromString(bytes) && model.graph().node_size() > 0) {
      for (std::uint64_t n = below(6) + 1; n > 0; --n) change(model);
      bytes = model.SerializeAsString();
      if (below(4) != 0) return bytes;
    }
    for (std::uint64_t n = below(8) + 1; n > 0 && !bytes.empty(); --n) change(bytes);
    return bytes;
  }

 private:
  std::uint64_t below(std::uint64_t n) { return random_.below(n); }

  template <typename List>
  auto& one_of(List& list) {
    return list[static_cast<int>(below(static_cast<std::uint64_t>(list.size())))];
  }

  std::int64_t number() {
    switch (below(8)) {
      case 0:
        return std::numeric_limits<std::int64_t>::max() - static_cast<std::int64_t>(below(3));
      case 1:
        return std::numeric_limits<std::int64_t>::min() + static_cast<std::int64_t>(below(3));
      case 2:
        return std::int64_t{1} << below(63);
      case 3:
        return -static_cast<std::int64_t>(below(5));
      default:
        return static_cast<std::int64_t>(below(20));
    }
  }

  /// The name of some tensor of the model.
  std::string tensor(const onnx::GraphProto& graph) {
    if (graph.initializer_size() > 0 && below(2) == 0) return one_of(graph.initializer()).name();
    if (graph.input_size() > 0 && below(3) == 0) return one_of(graph.input()).name();
    const onnx::NodeProto& node = one_of(graph.node());
    return node.output_size() > 0 ? node.output(0) : std::string();
  }

  void change(onnx::ModelProto& model) {
    onnx::GraphProto& graph = *model.mutable_graph();
    auto& nodes = *graph.mutable_node();
    if (nodes.empty()) return;
    onnx::NodeProto& node = one_of(nodes);
    switch (below(10)) {
      case 0:
        node.set_op_type(one_of(kOperators));
        break;
      case 1:
        node.add_input(tensor(graph));
        break;
      case 2:
        if (node.input_size() > 0) one_of(*node.mutable_input()) = tensor(graph);
        break;
      case 3:
        add_attribute(node, graph);
        break;
      case 4:
        for (onnx::AttributeProto& attribute : *node.mutable_attribute()) {
          if (attribute.has_i()) attribute.set_i(number());
          for (auto& value : *attribute.mutable_ints()) value = number();
        }
        break;
      case 5:
        if (graph.initializer_size() > 0) change(one_of(*graph.mutable_initializer()));
        break;
      case 6:
        if (graph.input_size() > 0) change(one_of(*graph.mutable_input()));
        break;
      case 7:
        if (model.opset_import_size() > 0) {
          model.mutable_opset_import(0)->set_version(static_cast<std::int64_t>(below(30)));
        }
        break;
      case 8:
        nodes.SwapElements(static_cast<int>(below(nodes.size())),
                           static_cast<int>(below(nodes.size())));
        break;
      default:
        add_node(graph);
        break;
    }
  }

  void add_node(onnx::GraphProto& graph) {
    if (graph.node_size() > 200) return;
    const std::string in = tensor(graph);
    const std::string more = tensor(graph);
    onnx::NodeProto& node = *graph.add_node();
    node.set_op_type(one_of(kOperators));
    node.add_input(in);
    if (below(2) == 0) node.add_input(more);
    node.add_output("made" + std::to_string(graph.node_size()));
    // In front of one that may read it.
    for (int at = graph.node_size() - 1; at > 0 && below(4) != 0; --at) {
      graph.mutable_node()->SwapElements(at, at - 1);
    }
    if (below(2) == 0)
      graph.add_output()->set_name(graph.node(0).output_size() > 0 ? graph.node(0).output(0)
                                                                   : std::string());
  }

  void add_attribute(onnx::NodeProto& node, const onnx::GraphProto& graph) {
    onnx::AttributeProto& attribute = *node.add_attribute();
    attribute.set_name(one_of(kAttributes));
    switch (below(5)) {
      case 0:
        attribute.set_s(one_of(kTexts));
        break;
      case 1:
        if (graph.initializer_size() > 0) *attribute.mutable_t() = one_of(graph.initializer());
        break;
      case 2:
        attribute.set_i(number());
        break;
      case 3:
        attribute.set_name(below(2) == 0 ? "then_branch" : "else_branch");
        if (graph.ByteSizeLong() < 4096) *attribute.mutable_g() = graph;
        break;
      default:
        for (std::uint64_t n = below(5); n > 0; --n) attribute.add_ints(number());
        break;
    }
  }

  void change(onnx::TensorProto& tensor) {
    switch (below(4)) {
      case 0:
        for (auto& value : *tensor.mutable_int64_data()) value = number();
        break;
      case 1:
        if (tensor.dims_size() > 0) one_of(*tensor.mutable_dims()) = number();
        break;
      case 2:
        tensor.add_dims(number());
        break;
      default:
        tensor.set_data_type(static_cast<std::int32_t>(below(28)));
        break;
    }
  }

  void change(onnx::ValueInfoProto& info) {
    auto& shape = *info.mutable_type()->mutable_tensor_type()->mutable_shape();
    if (shape.dim_size() == 0 || below(4) == 0) {
      shape.add_dim()->set_dim_value(number());
    } else {
      one_of(*shape.mutable_dim()).set_dim_value(number());
    }
  }

  void change(std::string& bytes) {
    const std::size_t at = below(bytes.size());
    switch (below(7)) {
      case 0:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
        break;
      case 1:
        bytes[at] = static_cast<char>(below(256));
        break;
      case 2:
        bytes.insert(at, 1 + below(8), static_cast<char>(below(256)));
        break;
      case 3:
        bytes.erase(at, 1 + below(16));
        break;
      case 4:  // a part again somewhere else
        bytes.insert(below(bytes.size()), bytes.substr(at, 1 + below(64)));
        break;
      case 5:  // the largest and smallest numbers of a varint
        bytes.replace(at, 1,
                      below(2) == 0 ? "\xff\xff\xff\xff\xff\xff\xff\xff\x7f"
                                    : "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
        break;
      default:
        if (below(8) == 0) bytes.resize(at);
        break;
    }
  }

  Random& random_;
};

std::vector<std::string> models() {
  std::vector<std::string> models = {graph::onnx_lenet_c().bytes(),
                                     graph::onnx_residual().bytes(),
                                     graph::onnx_winners().bytes(),
                                     graph::onnx_attention().bytes(),
                                     graph::onnx_flowing_shapes().bytes(),
                                     graph::onnx_expressed().bytes(),
                                     graph::with_values(graph::onnx_residual()).bytes()};
  const char* folder = std::getenv("TAUT_FUZZ_MODELS");
  if (folder == nullptr) return models;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    const bool model = entry.path().extension() == ".onnx" && entry.file_size() < (1 << 20);
    if (model) models.push_back(read_file(entry.path().string()));
  }
  return models;
}

}  // namespace

Target target() {
  return {.name = "onnx",
          .make = [models = models()](
                      Random& random) { return Mutator(random).mutate(random.pick(models)); },
          .read =
              [](std::string_view bytes) {
                const auto begin = std::chrono::steady_clock::now();
                bool refused = is_refused([&] { (void)graph::parse_onnx(bytes, "fuzz"); });
                const bool unplanned =
                    is_refused([&] { (void)graph::summarize_onnx_bytes(bytes, "fuzz"); });
                if (unplanned != refused) {
                  throw std::runtime_error("the network and the nodes are refused unlike");
                }
                refused = is_refused([&] {
                            check_network(graph::parse_onnx_network(bytes, "fuzz").network);
                          }) &&
                          refused;
                if (std::chrono::steady_clock::now() - begin > kMostSeconds) {
                  throw std::runtime_error("more than five seconds");
                }
                return refused;
              }};
}

}  // namespace taut::fuzz
