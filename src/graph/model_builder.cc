#include "taut/graph/model_builder.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "graph/layer_rules.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::graph {
namespace {

int halvings(std::int64_t channels) {
  return std::bit_width(static_cast<std::uint64_t>(channels)) - 1;
}

int whole_halvings(std::int64_t parts) {
  return std::countr_zero(static_cast<std::uint64_t>(parts));
}

}  // namespace

ModelBuilder::ModelBuilder(std::string name) : name_(std::move(name)) {}

Tensor ModelBuilder::input(Shape shape) const {
  checked_size("input", "channels", shape.channels, 1);
  checked_size("input", "height", shape.height, 1);
  checked_size("input", "width", shape.width, 1);
  return {-1, shape, checked_product("input", {shape.channels, shape.height, shape.width})};
}

int ModelBuilder::append(Node node, std::span<const Tensor> operands) {
  const int index = static_cast<int>(nodes_.size());
  for (const Tensor& operand : operands) {
    if (operand.node >= 0) {
      edges_.push_back(
          {operand.node, index, operand.shape.size(), operand.raw_words, operand.density});
    }
  }
  nodes_.push_back(std::move(node));
  return index;
}

Tensor ModelBuilder::weighted(Node node, const Tensor& in, const Shape& out) {
  node.kind = NodeKind::kWeighted;
  node.in_words = in.shape.size();
  node.stored_words = node.in_words;
  node.raw_words = checked_product(node.name, {out.channels, out.height, out.width});
  node.out_words = node.raw_words;
  node.macs = checked_product(node.name, {node.weights, out.height, out.width});
  const int index = append(std::move(node), {&in, 1});
  return {index, out, out.size()};
}

Tensor ModelBuilder::conv(const std::string& name, const Tensor& in, std::int64_t out_channels,
                          Window window, std::int64_t groups) {
  checked_size(name, "out", out_channels, 1);
  checked_size(name, "groups", groups, 1);
  if (in.shape.channels % groups != 0 || out_channels % groups != 0) {
    throw_invalid_argument(
        "layer " + name + ": groups",
        concat("a divisor of ", in.shape.channels, " and ", out_channels, " channels"),
        concat(groups));
  }
  const Shape out{out_channels, checked_window(name, in.shape.height, window),
                  checked_window(name, in.shape.width, along_width(window))};
  Node node{.name = name, .op = groups > 1 ? "conv-grouped" : "conv"};
  node.in_channels = in.shape.channels;
  node.out_channels = out_channels;
  node.grouped = groups > 1;
  node.channel_levels = groups > 1 ? halvings(groups) : 0;
  node.kernel = window.kernel;
  node.weights = checked_product(
      name, {in.shape.channels / groups, window.kernel, window.kernel, out_channels});
  node.input_macs = checked_product(name, {node.weights, in.shape.height, in.shape.width});
  return weighted(std::move(node), in, out);
}

Tensor ModelBuilder::fc(const std::string& name, const Tensor& in, std::int64_t out) {
  checked_size(name, "out", out, 1);
  Node node{.name = name, .op = "fc"};
  node.in_channels = in.shape.size();
  node.out_channels = out;
  node.weights = checked_product(name, {in.shape.size(), out});
  node.input_macs = node.weights;
  return weighted(std::move(node), in, {out, 1, 1});
}

Tensor ModelBuilder::linear(const std::string& name, const Tensor& in, std::int64_t out,
                            std::int64_t out_parts) {
  checked_size(name, "out", out, 1);
  checked_size(name, "out_parts", out_parts, 0);
  Node node{.name = name, .op = "fc"};
  node.in_channels = in.shape.channels;
  node.out_channels = out_parts > 0 ? out_parts : out;
  node.weights = checked_product(name, {in.shape.channels, out});
  node.input_macs = checked_product(name, {node.weights, in.shape.height, in.shape.width});
  return weighted(std::move(node), in, {out, in.shape.height, in.shape.width});
}

Tensor ModelBuilder::pooled(const Tensor& in, Window window) const {
  const std::string layer =
      in.node >= 0 ? "pool after " + nodes_.at(in.node).name : "pool of input";
  Tensor out = in;
  out.shape.height = checked_window(layer, in.shape.height, window);
  out.shape.width = checked_window(layer, in.shape.width, along_width(window));
  return out;
}

Tensor ModelBuilder::global_pool(const std::string& name, const Tensor& in) {
  Node node{.name = name, .op = "pool", .kind = NodeKind::kElementwise};
  node.in_channels = node.out_channels = in.shape.channels;
  node.channel_levels = halvings(in.shape.channels);
  node.in_words = in.shape.size();
  node.out_words = node.raw_words = in.shape.channels;
  const int index = append(std::move(node), {&in, 1});
  return {index, {in.shape.channels, 1, 1}, in.shape.channels};
}

Tensor ModelBuilder::add(const std::string& name, std::span<const Tensor> operands) {
  if (operands.size() < 2) {
    throw_invalid_argument("layer " + name + ": operands", "at least 2", concat(operands.size()));
  }
  const Shape& shape = operands[0].shape;
  for (const Tensor& operand : operands) {
    if (operand.shape != shape) {
      throw_invalid_argument("layer " + name + ": operand", "of shape " + shape_text(shape),
                             shape_text(operand.shape));
    }
  }
  return combine(name, operands, shape);
}

Tensor ModelBuilder::combine(const std::string& name, std::span<const Tensor> operands,
                             const Shape& shape) {
  Node node{.name = name, .op = "add", .kind = NodeKind::kElementwise};
  for (const Tensor& operand : operands) node.in_words += operand.shape.size();
  node.in_channels = node.out_channels = shape.channels;
  node.channel_levels = halvings(shape.channels);
  node.out_words = node.raw_words = shape.size();
  return {append(std::move(node), operands), shape, shape.size()};
}

Tensor ModelBuilder::concatenate(const std::string& name, std::span<const Tensor> operands) {
  if (operands.empty()) throw_invalid_argument("layer " + name + ": operands", "some", "none");
  Shape out = operands[0].shape;
  out.channels = 0;
  int levels = 62;
  for (const Tensor& operand : operands) {
    if (operand.shape.height != out.height || operand.shape.width != out.width) {
      throw_invalid_argument("layer " + name + ": operand",
                             concat("of ", out.height, " x ", out.width),
                             shape_text(operand.shape));
    }
    out.channels += operand.shape.channels;
    levels = std::min(levels, halvings(operand.shape.channels));
  }
  Node node{.name = name, .op = "concat", .kind = NodeKind::kElementwise};
  node.in_channels = node.out_channels = out.channels;
  node.channel_levels = levels;  // every operand is cut alike, so the narrowest limits
  node.in_words = node.out_words = node.raw_words = out.size();
  return {append(std::move(node), operands), out, out.size()};
}

Tensor ModelBuilder::attention(const std::string& name, const Tensor& qkv, std::int64_t heads) {
  checked_size(name, "heads", heads, 1);
  if (qkv.shape.channels % (3 * heads) != 0) {
    throw_invalid_argument("layer " + name + ": input channels",
                           concat("a multiple of 3 x ", heads, " heads"),
                           concat(qkv.shape.channels));
  }
  const Shape out{qkv.shape.channels / 3, qkv.shape.height, qkv.shape.width};
  const std::int64_t tokens = out.height * out.width;
  Node node{.name = name, .op = "attention", .kind = NodeKind::kElementwise};
  node.in_channels = node.out_channels = out.channels;
  node.channel_levels = whole_halvings(heads);
  node.in_words = node.stored_words = qkv.shape.size();
  node.out_words = node.raw_words = out.size();
  node.macs = node.input_macs = checked_product(name, {2, tokens, tokens, out.channels});
  return {append(std::move(node), {&qkv, 1}), out, out.size()};
}

Tensor ModelBuilder::attention(const std::string& name, std::span<const Tensor, 3> read,
                               std::int64_t heads) {
  checked_size(name, "heads", heads, 1);
  const Shape& query = read[0].shape;
  const Shape& value = read[2].shape;
  if (query.channels != read[1].shape.channels || query.channels % heads != 0 ||
      value.channels % heads != 0) {
    throw_invalid_argument("layer " + name + ": input channels",
                           concat("alike in queries and keys, multiples of ", heads, " heads"),
                           concat(query.channels, " and ", read[1].shape.channels));
  }
  const Shape out{value.channels, query.height, query.width};
  Node node{.name = name, .op = "attention", .kind = NodeKind::kElementwise};
  node.in_channels = node.out_channels = out.channels;
  node.channel_levels = whole_halvings(heads);
  for (const Tensor& one : read) node.in_words += one.shape.size();
  node.stored_words = node.in_words;
  node.out_words = node.raw_words = out.size();
  node.macs = node.input_macs = checked_product(
      name,
      {query.height * query.width, value.height * value.width, query.channels + value.channels});
  return {append(std::move(node), read), out, out.size()};
}

Tensor ModelBuilder::batch_only(const std::string& name, const std::string& op,
                                std::span<const Tensor> operands, Shape out) {
  Node node{.name = name, .op = op, .kind = NodeKind::kBatchOnly};
  for (const Tensor& operand : operands) node.in_words += operand.shape.size();
  node.out_words = node.raw_words = checked_product(name, {out.channels, out.height, out.width});
  node.in_channels = node.out_channels = checked_size(name, "out", out.channels, 1);
  return {append(std::move(node), operands), out, out.size()};
}

void ModelBuilder::table(const Table& table, const Tensor& reader, std::int64_t rows_read) {
  checked_product(table.name, {checked_size(table.name, "rows", table.rows, 1),
                               checked_size(table.name, "dim", table.dim, 1)});
  checked_size(table.name, "bytes", table.bytes, 0);
  checked_size(table.name, "rows read", rows_read, 1);
  tables_.push_back({table.name, reader.node, table.rows, table.dim, table.bytes, rows_read});
}

Graph ModelBuilder::finish(const Tensor& last) {
  if (last.node < 0) throw_invalid_argument("model " + name_, "at least one layer", "none");
  Node loss{.name = "loss", .op = "loss", .kind = NodeKind::kBatchOnly};
  loss.in_words = last.shape.size();
  append(std::move(loss), {&last, 1});
  // What a layer gives is what its readers read: pools belong to the layer before them.
  for (const Edge& edge : edges_) {
    Node& node = nodes_[edge.from];
    if (node.kind == NodeKind::kWeighted) node.out_words = edge.words;
  }
  return Graph(std::move(name_), std::move(nodes_), std::move(edges_), std::move(tables_));
}

}  // namespace taut::graph
