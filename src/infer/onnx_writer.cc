#include "taut/infer/onnx_writer.h"

#include <array>
#include <nlohmann/json.hpp>

#include "infer/onnx_nodes.h"
#include "taut/core/error.h"
#include "taut/core/file.h"
#include "taut/core/text.h"

namespace taut::infer {
namespace {

using Json = nlohmann::json;
using graph::Layer;
using graph::Op;
using sparsity::Unit;

constexpr int kOperatorSet = 17;
constexpr std::size_t kLargestFile = (std::size_t{1} << 31) - 1;
constexpr const char* kImageInput = "image";
constexpr const char* kDenseInput = "dense";
constexpr const char* kOutput = "logits";
constexpr float kLargestSignedCode = 127;

OnnxAttribute number(const char* name, std::int64_t value) {
  return {.name = name, .values = {value}};
}
OnnxAttribute numbers(const char* name, std::vector<std::int64_t> values) {
  return {.name = name, .values = std::move(values), .list = true};
}

// A tensor of the graph: its name, and whether it has the axes [N, channels, height, width] or
// [N, features].
struct Tensor {
  std::string name;
  bool planes = false;
};

class Writer {
 public:
  explicit Writer(const Model& model)
      : model_(model),
        images_(model.task == kImageTask),
        nodes_(kOperatorSet, TAUT_VERSION, model.network.name) {}

  onnx::ModelProto write() {
    const graph::Shape& input = model_.network.input;
    onnx::GraphProto& graph = *nodes_.model().mutable_graph();
    if (images_) {
      OnnxNodes::describe(*graph.add_input(), kImageInput,
                          {input.channels, input.height, input.width});
    } else if (input.channels > 0) {
      OnnxNodes::describe(*graph.add_input(), kDenseInput, {input.channels});
    }
    for (std::size_t i = 0; i < model_.network.layers.size(); ++i) {
      const Layer& layer = model_.network.layers[i];
      Tensor made = apply(layer, model_.network.values[i]);
      if (layer.winner_site >= 0) made = choose(layer, model_.network.values[i], made);
      made_.push_back(made);
    }
    nodes_.rename_last_output(kOutput);
    const graph::Shape& out = model_.network.layers.back().out;
    OnnxNodes::describe(*graph.add_output(), kOutput,
                        made_.back().planes
                            ? std::vector<std::int64_t>{out.channels, out.height, out.width}
                            : std::vector<std::int64_t>{out.channels});
    describe();
    return std::move(nodes_.model());
  }

 private:
  [[nodiscard]] Tensor input(const Layer& layer, std::size_t which = 0) const {
    const int from = layer.inputs[which];
    if (from == graph::kNetworkInput) {
      return {.name = images_ ? kImageInput : kDenseInput, .planes = images_};
    }
    return made_[static_cast<std::size_t>(from)];
  }

  [[nodiscard]] std::vector<std::string> inputs(const Layer& layer) const {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < layer.inputs.size(); ++i) names.push_back(input(layer, i).name);
    return names;
  }

  Tensor apply(const Layer& layer, const LayerValues& values) {
    if (layer.op == Op::kEmbedding) return pooled_rows(layer);
    const Tensor x = input(layer);
    switch (layer.op) {
      case Op::kConv:
        return convolution(layer, values, x);
      case Op::kLinear:
        return linear(layer, values, x);
      case Op::kBatchNorm:
        return normalization(layer, values, x);
      case Op::kRelu:
        return {nodes_.add("Relu", {x.name}, {layer.name}), x.planes};
      case Op::kRelu6: {
        const std::string least = nodes_.scalar(layer.name + ".min", 0);
        const std::string most = nodes_.scalar(layer.name + ".max", 6);
        return {nodes_.add("Clip", {x.name, least, most}, {layer.name}), x.planes};
      }
      case Op::kMaxPool:
        return {nodes_.add("MaxPool", {x.name}, {layer.name}, window(layer)), true};
      case Op::kGlobalMean:
        return global_mean(layer, x);
      case Op::kFlatten:
        return flattened(x.name, layer.name);
      case Op::kAdd:
        return {nodes_.add(layer.inputs.size() == 2 ? "Add" : "Sum", inputs(layer), {layer.name}),
                x.planes};
      case Op::kConcat:
        return {nodes_.add("Concat", inputs(layer), {layer.name}, {number("axis", 1)}), x.planes};
      case Op::kInteraction:
        return interaction(layer);
      case Op::kFirstValues:
        return first_values(layer, x);
      default:
        throw Error(ErrorKind::kUnsupported, concat("layer ", layer.name, ": ", to_string(layer.op),
                                                    " cannot be written as ONNX"));
    }
  }

  // The node of the mean has the layer's name, so that whoever reads the file finds it again.
  Tensor global_mean(const Layer& layer, const Tensor& x) {
    const std::string map = nodes_.add("GlobalAveragePool", {x.name}, {layer.name + ".map"});
    nodes_.rename_last(layer.name);
    const Tensor features = flattened(map, layer.name);
    nodes_.rename_last(layer.name + ".features");
    return features;
  }

  Tensor flattened(const std::string& x, const std::string& name) {
    return {nodes_.add("Flatten", {x}, {name}, {number("axis", 1)}), false};
  }

  // An input [N, rows, dim] of the layer's name: tables stay where they are, pooled rows come in.
  Tensor pooled_rows(const Layer& layer) {
    const std::int64_t rows = layer.out.height * layer.out.width;
    OnnxNodes::describe(*nodes_.model().mutable_graph()->add_input(), layer.name,
                        {rows, layer.out.channels});
    if (rows == 1) return flattened(layer.name, layer.name + ".row");
    const std::string turned = nodes_.add("Transpose", {layer.name}, {layer.name + ".turned"},
                                          {numbers("perm", {0, 2, 1})});
    return {reshaped(turned, layer.name + ".map",
                     {0, layer.out.channels, layer.out.height, layer.out.width}),
            true};
  }

  // Dots of every vector with those before it, then the first vectors as they are.
  Tensor interaction(const Layer& layer) {
    const std::int64_t dim = layer.in.channels;
    const std::string& name = layer.name;
    std::vector<std::string> parts;
    std::int64_t vectors = 0;
    for (std::size_t i = 0; i < layer.inputs.size(); ++i) {
      const Tensor x = input(layer, i);
      const std::int64_t count = model_.network.shape_of(layer.inputs[i]).size() / dim;
      const std::string part = concat(name, ".vectors", i);
      vectors += count;
      if (x.planes) {
        const std::string columns = reshaped(x.name, part + ".columns", {0, dim, count});
        parts.push_back(nodes_.add("Transpose", {columns}, {part}, {numbers("perm", {0, 2, 1})}));
      } else {
        parts.push_back(reshaped(x.name, part, {0, count, dim}));
      }
    }
    const std::string rows = nodes_.add("Concat", parts, {name + ".vectors"}, {number("axis", 1)});
    const std::string columns =
        nodes_.add("Transpose", {rows}, {name + ".columns"}, {numbers("perm", {0, 2, 1})});
    const std::string products = nodes_.add("MatMul", {rows, columns}, {name + ".products"});
    std::vector<std::int64_t> pairs;
    for (std::int64_t i = 1; i < vectors; ++i) {
      for (std::int64_t j = 0; j < i; ++j) pairs.push_back(i * vectors + j);
    }
    std::vector<std::string> outputs;
    if (!pairs.empty()) {
      const std::string all = reshaped(products, name + ".all", {0, vectors * vectors});
      outputs.push_back(nodes_.add("Gather", {all, nodes_.integers(name + ".pairs", pairs)},
                                   {name + ".dots"}, {number("axis", 1)}));
    }
    if (layer.copied > 0) {
      const std::string flat = reshaped(rows, name + ".rows", {0, vectors * dim});
      outputs.push_back(nodes_.add("Slice",
                                   {flat, nodes_.integers(name + ".from", {0}),
                                    nodes_.integers(name + ".to", {layer.copied * dim}),
                                    nodes_.integers(name + ".axis", {1})},
                                   {name + ".copied"}));
    }
    return {nodes_.add("Concat", outputs, {name}, {number("axis", 1)}), false};
  }

  // The sum of the first channel.
  Tensor first_values(const Layer& layer, const Tensor& x) {
    const std::string first =
        nodes_.add("Gather", {x.name, nodes_.integers(layer.name + ".channel", {0})},
                   {layer.name + ".first"}, {number("axis", 1)});
    if (!x.planes) return {first, false};
    const std::string axes = nodes_.integers(layer.name + ".axes", {2, 3});
    return {nodes_.add("ReduceSum", {first, axes}, {layer.name}, {number("keepdims", 0)}), false};
  }

  static std::vector<OnnxAttribute> window(const Layer& layer) {
    const std::int64_t pad = layer.window.padding;
    const std::int64_t end = pad + layer.window.after;
    return {numbers("kernel_shape", {layer.window.kernel, layer.window.kernel}),
            numbers("strides", {layer.window.stride, graph::along_width(layer.window).stride}),
            numbers("pads", {pad, pad, end, end})};
  }

  // The operands of a product: input and weight, both through 8 bits where the network is, and
  // bias.
  std::vector<std::string> operands(const Layer& layer, const LayerValues& values,
                                    const std::string& x) {
    const std::vector<std::int64_t> shape = graph::weight_shape(layer);
    std::vector<std::string> names;
    if (values.codes.empty()) {
      names = {x, nodes_.floats(layer.name + ".weight", shape, values.weight)};
    } else {
      names = {rounded(layer, values, x), decoded(layer, values, shape)};
    }
    if (layer.bias) {
      names.push_back(nodes_.floats(layer.name + ".bias", {layer.out.channels}, values.bias));
    }
    return names;
  }

  // A weight that is kept as codes.
  std::string decoded(const Layer& layer, const LayerValues& values,
                      const std::vector<std::int64_t>& shape) {
    const std::string codes =
        nodes_.constant(layer.name + ".codes", onnx::TensorProto::INT8, shape, values.codes);
    const std::string scales =
        nodes_.floats(layer.name + ".scales", {layer.out.channels}, values.code_scales);
    return nodes_.add("DequantizeLinear", {codes, scales}, {layer.name + ".weight"},
                      {number("axis", 0)});
  }

  // The input of a layer through 8 bits. Signed codes go from -127: what would be -128 is clipped
  // before.
  std::string rounded(const Layer& layer, const LayerValues& values, std::string x) {
    const std::string prefix = layer.name + ".input";
    const std::string scale = nodes_.scalar(prefix + ".scale", values.input_scale);
    const std::array<std::uint8_t, 1> zero = {0};
    const std::string zero_point = nodes_.constant<std::uint8_t>(
        prefix + ".zero",
        values.input_unsigned ? onnx::TensorProto::UINT8 : onnx::TensorProto::INT8, {}, zero);
    if (!values.input_unsigned) {
      const float most = kLargestSignedCode * values.input_scale;
      x = nodes_.add(
          "Clip", {x, nodes_.scalar(prefix + ".min", -most), nodes_.scalar(prefix + ".max", most)},
          {prefix + ".clipped"});
    }
    const std::string codes =
        nodes_.add("QuantizeLinear", {x, scale, zero_point}, {prefix + ".codes"});
    return nodes_.add("DequantizeLinear", {codes, scale, zero_point}, {prefix});
  }

  Tensor convolution(const Layer& layer, const LayerValues& values, const Tensor& x) {
    std::vector<OnnxAttribute> attributes = window(layer);
    attributes.push_back(number("group", layer.groups));
    return {nodes_.add("Conv", operands(layer, values, x.name), {layer.name}, attributes), true};
  }

  Tensor linear(const Layer& layer, const LayerValues& values, const Tensor& x) {
    if (layer.in.is_map()) {
      throw Error(ErrorKind::kUnsupported,
                  concat("layer ", layer.name,
                         ": a linear layer on each position cannot be written as ONNX"));
    }
    const std::string features =
        x.planes ? flattened(x.name, layer.name + ".features").name : x.name;
    return {
        nodes_.add("Gemm", operands(layer, values, features), {layer.name}, {number("transB", 1)}),
        false};
  }

  Tensor normalization(const Layer& layer, const LayerValues& values, const Tensor& x) {
    const auto part = [&](const char* name, std::span<const float> numbers_of) {
      return nodes_.floats(layer.name + name, {layer.out.channels}, numbers_of);
    };
    const std::string y =
        nodes_.add("BatchNormalization",
                   {x.name, part(".weight", values.weight), part(".bias", values.bias),
                    part(".mean", values.mean), part(".variance", values.variance)},
                   {layer.name});
    nodes_.set_last_float("epsilon", static_cast<float>(graph::kNormEpsilon));
    return {y, x.planes};
  }

  // Winners, then what is pruned for all inputs.
  Tensor choose(const Layer& layer, const LayerValues& values, Tensor x) {
    if (graph::winners_at(model_.network, layer).rate < 1) x.name = winners(layer, x);
    if (values.kept_maps.empty()) return x;
    std::vector<std::int64_t> shape = {1, layer.out.channels};
    if (x.planes) shape.insert(shape.end(), {1, 1});
    const std::string kept = nodes_.floats(layer.name + ".kept", shape, values.kept_maps);
    x.name = nodes_.add("Mul", {x.name, kept}, {layer.name + ".maps"});
    return x;
  }

  // x where a unit is among the winners and its score is above zero, 0 elsewhere. Units lie along
  // axis 1 of the scores, which the mask is spread from.
  std::string winners(const Layer& layer, const Tensor& x) {
    const sparsity::WinnersOptions options = graph::winners_at(model_.network, layer);
    const std::string prefix = layer.name + ".winners";
    const bool whole = options.unit == Unit::kElement;
    const bool blocks = options.unit == Unit::kBlock;
    std::string values = x.name;
    if (whole && x.planes) {
      values = flattened(x.name, prefix + ".flat").name;
    } else if (blocks) {
      values = reshaped(x.name, prefix + ".blocks", block_shape(layer, options.block, x.planes));
    }
    std::string y = masked(values, scores(options, values, prefix),
                           sparsity::winner_count(units(layer, options), options.rate), prefix,
                           /*last=*/values == x.name);
    if (values == x.name) return y;
    std::vector<std::int64_t> shape = {0, layer.out.channels};
    if (x.planes) shape.insert(shape.end(), {layer.out.height, layer.out.width});
    return reshaped(y, prefix, shape);
  }

  // [N, channels / block, block (, height, width)]; 0 keeps the batch as it is.
  static std::vector<std::int64_t> block_shape(const Layer& layer, std::int64_t block,
                                               bool planes) {
    std::vector<std::int64_t> shape = {0, layer.out.channels / block, block};
    if (planes) shape.insert(shape.end(), {layer.out.height, layer.out.width});
    return shape;
  }

  std::string reshaped(const std::string& x, const std::string& name,
                       const std::vector<std::int64_t>& shape) {
    return nodes_.add("Reshape", {x, nodes_.integers(name + ".shape", shape)}, {name});
  }

  static std::int64_t units(const Layer& layer, const sparsity::WinnersOptions& options) {
    if (options.unit == Unit::kElement) return layer.out.size();
    return options.unit == Unit::kBlock ? layer.out.channels / options.block : layer.out.channels;
  }

  // What units are ranked by: magnitudes, or for a unit of several values their reduction.
  std::string scores(const sparsity::WinnersOptions& options, const std::string& x,
                     const std::string& prefix) {
    const bool several = options.unit == Unit::kChannel || options.unit == Unit::kBlock;
    if (!several) return nodes_.add("Abs", {x}, {prefix + ".scores"});
    const OnnxAttribute axes =
        options.unit == Unit::kChannel ? numbers("axes", {2, 3}) : numbers("axes", {2});
    const bool square = options.score == sparsity::Score::kMeanSquare;
    const std::string ranked = square ? nodes_.add("Mul", {x, x}, {prefix + ".squares"})
                                      : nodes_.add("Abs", {x}, {prefix + ".magnitudes"});
    const bool most = options.score == sparsity::Score::kMaxMagnitude;
    return nodes_.add(most ? "ReduceMax" : "ReduceMean", {ranked}, {prefix + ".scores"},
                      {axes, number("keepdims", 1)});
  }

  std::string masked(const std::string& x, const std::string& scores, std::int64_t count,
                     const std::string& prefix, bool last) {
    const std::string zero = nodes_.scalar(prefix + ".zero", 0);
    const std::string none = nodes_.add("Less", {scores, zero}, {prefix + ".none"});
    const std::string most = prefix + ".most";
    const std::string places = prefix + ".places";
    nodes_.add("TopK", {scores, nodes_.integers(prefix + ".count", {count})}, {most, places},
               {number("axis", 1), number("largest", 1), number("sorted", 1)});
    const std::string won = nodes_.add("Greater", {most, zero}, {prefix + ".won"});
    const std::string mask =
        nodes_.add("ScatterElements", {none, places, won}, {prefix + ".mask"}, {number("axis", 1)});
    return nodes_.add("Where", {mask, x, zero}, {last ? prefix : prefix + ".kept"});
  }

  void keep(const char* key, const std::string& value) {
    onnx::StringStringEntryProto& entry = *nodes_.model().add_metadata_props();
    entry.set_key(key);
    entry.set_value(value);
  }

  void describe() {
    if (images_) {
      nodes_.model().set_doc_string(
          "Reads \"image\" [N, channels, height, width], normalized as (pixel / 255 - mean) / "
          "deviation for each channel; mean, deviation and class names are metadata.");
      const ImageInput input = parse_image_input(model_.input);
      keep("taut.mean", Json(input.mean).dump());
      keep("taut.deviation", Json(input.deviation).dump());
      keep("taut.class_names", Json(input.class_names).dump());
    } else {
      nodes_.model().set_doc_string(
          "Reads \"dense\" [N, columns], scaled as the metadata taut.input says, and pooled rows "
          "[N, tables, dim], which a package of the same run gives: taut predict --inputs.");
    }
    keep("taut.input", model_.input);
    const graph::Winners& winners = model_.network.winners;
    Json chosen = {{"unit", to_string(winners.unit)},
                   {"score", to_string(winners.score)},
                   {"block", winners.block},
                   {"rates", winners.rates}};
    if (!model_.network.densities.empty()) chosen["densities"] = model_.network.densities;
    keep("taut.winners", chosen.dump());
    keep("taut.facts", model_.facts);
  }

  const Model& model_;
  bool images_;
  OnnxNodes nodes_;
  std::vector<Tensor> made_;
};

}  // namespace

OnnxContents write_onnx(const std::string& path, const Model& model) {
  check_model(model, ErrorKind::kInvalidArgument, path);
  const onnx::ModelProto proto = Writer(model).write();
  const std::size_t size = proto.ByteSizeLong();
  if (size > kLargestFile) {
    throw Error(ErrorKind::kUnsupported, concat("the model is ", size, " bytes, above 2 GiB"), path,
                "export a package");
  }
  std::string bytes;
  if (!proto.SerializeToString(&bytes)) {
    throw Error(ErrorKind::kInternal, "the model cannot be written as ONNX", path);
  }
  write_file(path, bytes);
  OnnxContents contents{.size = Bytes{static_cast<std::int64_t>(size)},
                        .operator_set = kOperatorSet,
                        .operators = {}};
  for (const onnx::NodeProto& node : proto.graph().node()) ++contents.operators[node.op_type()];
  return contents;
}

}  // namespace taut::infer
