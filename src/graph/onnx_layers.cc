#include "graph/onnx_layers.h"

#include <algorithm>
#include <bit>
#include <cctype>
#include <set>

#include "taut/core/text.h"

namespace taut::graph {
namespace {

constexpr std::size_t kMostLayers = 65536;

/// The axis of channels: the second of an image or a matrix, the last of a sequence.
std::int64_t channels(const Dimensions& dims) {
  if (dims.size() < 2) return 1;
  return std::max<std::int64_t>(1, dims.size() == 3 ? dims[2] : dims[1]);
}

int halvings(std::int64_t parts) {
  return std::bit_width(static_cast<std::uint64_t>(parts)) - 1;
}

int whole_halvings(std::int64_t parts) {
  return std::countr_zero(static_cast<std::uint64_t>(parts));
}

std::string lower(std::string_view text) {
  std::string made(text);
  std::transform(made.begin(), made.end(), made.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return made;
}

}  // namespace

std::int64_t OnnxLayers::of_sample(std::int64_t count) const {
  return std::max<std::int64_t>(1, count / batch_);
}

std::int64_t OnnxLayers::words(const OnnxValue& value) const {
  return of_sample(*element_count(value.shape));
}

void OnnxLayers::add(OnnxCall& call, const OnnxRole& role) {
  std::vector<int> moving;  // operands that depend on the model's input
  std::set<int> sources;
  for (int i = 0; i < call.input_count(); ++i) {
    if (!call.has(i) || call.in(i).constant) continue;
    moving.push_back(i);
    if (call.in(i).layer >= 0) sources.insert(call.in(i).layer);
  }
  if (moving.empty() || role == OnnxRole::kConstant) {
    for (OnnxValue& output : call.outputs()) output.constant = true;
    return;
  }
  if (call.product) {
    if (call.product->weights.empty()) {
      joined(call, moving);
    } else {
      weighted(call, moving);
    }
    return;
  }
  if (role == OnnxRole::kGather && call.in(0).constant) return embedding(call, moving);
  if (role == OnnxRole::kGather) return pass(call, call.in(moving[0]), true);
  if (role == OnnxRole::kGlobalPool && !sources.empty()) return joined(call, moving);
  if (sources.size() >= 2) return joined(call, moving);
  // One layer's output, perhaps beside the model's input: the operator belongs to that layer.
  const auto main = std::find_if(moving.begin(), moving.end(), [&](int input) {
    return sources.empty() || call.in(input).layer >= 0;
  });
  pass(call, call.in(*main), role == OnnxRole::kSelection);
}

/// An operator folded into the layer that made its input. Pools leave the raw words as they are;
/// selections (slice, split) take their share of them.
void OnnxLayers::pass(OnnxCall& call, const OnnxValue& from, bool selection) {
  const std::int64_t before = from.layer >= 0 ? words(from) : 0;
  const std::int64_t raw = from.raw_words == 0 ? before : from.raw_words;
  for (OnnxValue& output : call.outputs()) {
    output.layer = from.layer;
    output.raw_words = raw;
    if (!selection || from.layer < 0) continue;
    const double share = static_cast<double>(words(output)) / static_cast<double>(before);
    output.raw_words =
        std::max<std::int64_t>(1, static_cast<std::int64_t>(share * static_cast<double>(raw)));
  }
}

void OnnxLayers::weighted(OnnxCall& call, const std::vector<int>& moving) {
  const OnnxProduct& product = *call.product;
  Node node{.name = {}, .op = product.op};
  for (const int operand : product.weights) {
    node.weights += *element_count(call.shape(operand));
  }
  const std::int64_t outputs = *element_count(call.outputs()[0].shape);
  if (node.weights < 1 || product.in_channels < 1 || product.out_channels < 1 || outputs < 1) {
    call.fail(ErrorKind::kData,
              concat("weights of ", dimensions_text(call.shape(product.weights[0])), " give ",
                     dimensions_text(call.outputs()[0].shape)));
  }
  for (const int input : moving) node.in_words += words(call.in(input));
  node.stored_words = node.in_words;
  node.out_words = node.raw_words = words(call.outputs()[0]);
  node.in_channels = product.in_channels;
  node.out_channels = product.out_channels;
  node.kernel = std::max<std::int64_t>(1, product.kernel);
  node.grouped = product.groups > 1;
  node.channel_levels = node.grouped ? halvings(product.groups) : 0;
  node.macs = of_sample(product.macs);
  node.input_macs = of_sample(product.input_macs);
  append(call, std::move(node), moving);
}

void OnnxLayers::embedding(OnnxCall& call, const std::vector<int>& moving) {
  const Dimensions& table = call.shape(0);
  const std::size_t axis = call.axis(call.integer("axis", 0), table.size());
  const std::int64_t words_of_table = *element_count(table);
  if (words_of_table < 1) call.fail(ErrorKind::kData, "a table without rows or columns");
  const std::int64_t dim = words_of_table / table[axis];
  Node node{.name = {}, .op = "embedding", .kind = NodeKind::kBatchOnly};
  node.out_words = node.raw_words = words(call.outputs()[0]);
  node.in_channels = node.out_channels = dim;
  const int index = static_cast<int>(nodes_.size());
  append(call, std::move(node), moving);
  tables_.push_back({nodes_.back().name, index, table[axis], dim});
}

/// A node that joins several layers' outputs, multiplies activations, or pools a whole image.
void OnnxLayers::joined(OnnxCall& call, const std::vector<int>& moving) {
  Node node{.name = {}, .op = lower(call.op()), .kind = NodeKind::kElementwise};
  const Dimensions& out = call.outputs()[0].shape;
  for (const int input : moving) node.in_words += words(call.in(input));
  node.out_words = node.raw_words = words(call.outputs()[0]);
  node.in_channels = node.out_channels = channels(out);
  if (call.product) {
    node.macs = of_sample(call.product->macs);
    node.input_macs = of_sample(call.product->input_macs);
    node.stored_words = node.in_words;
    // Products of heads are split by whole heads.
    if (out.size() >= 4) node.channel_levels = whole_halvings(node.out_channels);
  } else {
    node.channel_levels = halvings(node.out_channels);
  }
  append(call, std::move(node), moving);
}

void OnnxLayers::append(OnnxCall& call, Node node, const std::vector<int>& inputs) {
  if (nodes_.size() >= kMostLayers) {
    call.fail(ErrorKind::kUnsupported, concat("a model of more than ", kMostLayers, " layers"));
  }
  const int index = static_cast<int>(nodes_.size());
  for (const int input : inputs) connect(index, call.in(input));
  const std::int64_t raw = node.raw_words;
  node.name = names_.name_for(call.label());
  nodes_.push_back(std::move(node));
  for (OnnxValue& output : call.outputs()) {
    output.layer = index;
    output.raw_words = raw;
  }
}

void OnnxLayers::connect(int reader, const OnnxValue& value) {
  if (value.layer < 0) return;
  const std::int64_t read_words = words(value);
  edges_.push_back({value.layer, reader, read_words, std::max(read_words, value.raw_words)});
}

/// Leaves out the layers on which the last one does not depend.
void OnnxLayers::drop_unread() {
  std::vector<bool> read(nodes_.size(), false);
  read.back() = true;
  // Readers come after what they read.
  std::vector<std::vector<int>> inputs(nodes_.size());
  for (const Edge& edge : edges_) inputs[static_cast<std::size_t>(edge.to)].push_back(edge.from);
  for (std::size_t v = nodes_.size(); v-- > 0;) {
    if (!read[v]) continue;
    for (const int input : inputs[v]) read[static_cast<std::size_t>(input)] = true;
  }
  std::vector<int> place(nodes_.size(), -1);
  std::vector<Node> kept;
  for (std::size_t v = 0; v < nodes_.size(); ++v) {
    if (!read[v]) continue;
    place[v] = static_cast<int>(kept.size());
    kept.push_back(std::move(nodes_[v]));
  }
  nodes_ = std::move(kept);
  std::erase_if(edges_,
                [&](const Edge& edge) { return place[static_cast<std::size_t>(edge.to)] < 0; });
  for (Edge& edge : edges_) {
    edge.from = place[static_cast<std::size_t>(edge.from)];
    edge.to = place[static_cast<std::size_t>(edge.to)];
    nodes_[static_cast<std::size_t>(edge.from)].out_words = edge.words;
  }
  std::erase_if(tables_, [&](const GraphTable& table) {
    return place[static_cast<std::size_t>(table.node)] < 0;
  });
  for (GraphTable& table : tables_) table.node = place[static_cast<std::size_t>(table.node)];
}

Graph OnnxLayers::finish(const std::string& name, const std::vector<OnnxValue>& outputs) {
  Node loss{.name = names_.name_for("loss"), .op = "loss", .kind = NodeKind::kBatchOnly};
  for (const OnnxValue& output : outputs) {
    if (output.constant || output.layer < 0) continue;
    loss.in_words += words(output);
    connect(static_cast<int>(nodes_.size()), output);
  }
  nodes_.push_back(std::move(loss));
  drop_unread();
  if (nodes_.size() == 1) {
    throw Error(ErrorKind::kFormat, "no layer depends on the model's input", source_);
  }
  return Graph(name, std::move(nodes_), std::move(edges_), std::move(tables_));
}

}  // namespace taut::graph
