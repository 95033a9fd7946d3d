#include "taut/graph/network_builder.h"

#include <array>
#include <utility>

#include "graph/layer_rules.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::graph {
namespace {

void check_operand(const std::string& layer, const std::string& wanted, bool fits,
                   const Shape& shape) {
  if (fits) return;
  throw_invalid_argument("layer " + layer + ": operand", wanted, shape_text(shape));
}

}  // namespace

NetworkBuilder::NetworkBuilder(std::string name, const Shape& input) {
  network_.name = std::move(name);
  network_.input = input;
  if (input.channels == 0) return;
  checked_size("input", "channels", input.channels, 1);
  checked_size("input", "height", input.height, 1);
  checked_size("input", "width", input.width, 1);
  checked_product("input", {input.channels, input.height, input.width});
}

const Shape& NetworkBuilder::shape(int layer) const {
  return network_.shape_of(layer);
}

const std::string& NetworkBuilder::name_of(int layer) const {
  return network_.layers.at(static_cast<std::size_t>(layer)).name;
}

Layer NetworkBuilder::reading(const std::string& name, Op op, std::span<const int> from) const {
  if (from.empty()) throw_invalid_argument("layer " + name + ": operands", "some", "none");
  for (const int input : from) {
    if (input < kNetworkInput || input >= static_cast<int>(network_.layers.size())) {
      throw_invalid_argument("layer " + name + ": from", "a layer before it", taut::concat(input));
    }
    check_operand(name, "with values", shape(input).channels > 0, shape(input));
  }
  Layer layer;
  layer.name = name;
  layer.op = op;
  layer.inputs.assign(from.begin(), from.end());
  layer.in = layer.out = shape(from.front());
  return layer;
}

int NetworkBuilder::append(Layer layer) {
  if (layer.name.empty() || !names_.insert(layer.name).second) {
    throw_invalid_argument("name of a layer", "one of its own", "\"" + layer.name + "\"");
  }
  const auto out = output_shape(network_, layer);
  TAUT_ASSERT(out.has_value());
  layer.out = *out;
  checked_product(layer.name, {layer.out.channels, layer.out.height, layer.out.width});
  network_.layers.push_back(std::move(layer));
  return static_cast<int>(network_.layers.size()) - 1;
}

int NetworkBuilder::conv(const std::string& name, int from, std::int64_t channels,
                         const Window& window, std::int64_t groups, bool bias) {
  Layer layer = reading(name, Op::kConv, {&from, 1});
  checked_size(name, "out", channels, 1);
  checked_size(name, "groups", groups, 1);
  if (layer.in.channels % groups != 0 || channels % groups != 0) {
    throw_invalid_argument(
        "layer " + name + ": groups",
        taut::concat("a divisor of ", layer.in.channels, " and ", channels, " channels"),
        taut::concat(groups));
  }
  checked_window(name, layer.in.height, window);
  checked_window(name, layer.in.width, along_width(window));
  checked_product(name, {layer.in.channels / groups, window.kernel, window.kernel, channels});
  layer.out.channels = channels;
  layer.window = window;
  layer.groups = groups;
  layer.bias = bias;
  return append(std::move(layer));
}

int NetworkBuilder::linear(const std::string& name, int from, std::int64_t outputs, bool bias) {
  Layer layer = reading(name, Op::kLinear, {&from, 1});
  checked_size(name, "out", outputs, 1);
  checked_product(name, {layer.in.channels, outputs});
  layer.out.channels = outputs;
  layer.bias = bias;
  return append(std::move(layer));
}

int NetworkBuilder::fully_connected(const std::string& name, int from, std::int64_t outputs,
                                    bool bias) {
  const int flat = shape(from).is_map() ? flatten(name + "_flat", from) : from;
  return linear(name, flat, outputs, bias);
}

int NetworkBuilder::batch_norm(const std::string& name, int from) {
  return append(reading(name, Op::kBatchNorm, {&from, 1}));
}

int NetworkBuilder::activation(const std::string& name, int from, Op kind) {
  if (kind != Op::kRelu && kind != Op::kRelu6) {
    throw_invalid_argument("layer " + name + ": kind", "relu or relu6",
                           std::string(to_string(kind)));
  }
  return append(reading(name, kind, {&from, 1}));
}

int NetworkBuilder::max_pool(const std::string& name, int from, const Window& window) {
  Layer layer = reading(name, Op::kMaxPool, {&from, 1});
  checked_window(name, layer.in.height, window);
  checked_window(name, layer.in.width, along_width(window));
  layer.window = window;
  return append(std::move(layer));
}

int NetworkBuilder::global_mean(const std::string& name, int from) {
  return append(reading(name, Op::kGlobalMean, {&from, 1}));
}

int NetworkBuilder::flatten(const std::string& name, int from) {
  return append(reading(name, Op::kFlatten, {&from, 1}));
}

int NetworkBuilder::add(const std::string& name, std::span<const int> from) {
  if (from.size() < 2) {
    throw_invalid_argument("layer " + name + ": operands", "at least 2", taut::concat(from.size()));
  }
  Layer layer = reading(name, Op::kAdd, from);
  for (const int input : from) {
    check_operand(name, "of shape " + shape_text(layer.in), shape(input) == layer.in, shape(input));
  }
  return append(std::move(layer));
}

int NetworkBuilder::concat(const std::string& name, std::span<const int> from) {
  Layer layer = reading(name, Op::kConcat, from);
  for (const int input : from) {
    const Shape& other = shape(input);
    check_operand(name, taut::concat("of ", layer.in.height, " x ", layer.in.width),
                  other.height == layer.in.height && other.width == layer.in.width, other);
  }
  return append(std::move(layer));
}

int NetworkBuilder::attention(const std::string& name, int from, std::int64_t heads) {
  Layer layer = reading(name, Op::kAttention, {&from, 1});
  checked_size(name, "heads", heads, 1);
  if (layer.in.channels % (3 * heads) != 0) {
    throw_invalid_argument("layer " + name + ": input channels",
                           taut::concat("a multiple of 3 x ", heads, " heads"),
                           taut::concat(layer.in.channels));
  }
  layer.heads = heads;
  return append(std::move(layer));
}

int NetworkBuilder::interaction(const std::string& name, std::span<const int> from,
                                std::int64_t copied) {
  Layer layer = reading(name, Op::kInteraction, from);
  std::int64_t vectors = 0;
  for (const int input : from) {
    const Shape& other = shape(input);
    check_operand(name, taut::concat("of vectors of ", layer.in.channels),
                  other.channels == layer.in.channels, other);
    vectors += other.height * other.width;
  }
  checked_size(name, "copied", copied, 0);
  if (vectors > (1 << 20) || copied > vectors) {
    throw_invalid_argument("layer " + name + ": copied",
                           taut::concat("at most the ", vectors, " vectors (at most 2^20)"),
                           taut::concat(copied));
  }
  layer.copied = copied;
  return append(std::move(layer));
}

int NetworkBuilder::first_values(const std::string& name, int from) {
  return append(reading(name, Op::kFirstValues, {&from, 1}));
}

int NetworkBuilder::table(Table table) {
  checked_size(table.name, "rows", table.rows, 0);
  checked_size(table.name, "dim", table.dim, 1);
  checked_product(table.name, {table.rows, table.dim});
  network_.tables.push_back(std::move(table));
  return static_cast<int>(network_.tables.size()) - 1;
}

int NetworkBuilder::embedding(const std::string& name, std::span<const int> tables,
                              std::int64_t rows_read) {
  if (tables.empty()) throw_invalid_argument("layer " + name + ": tables", "some", "none");
  checked_size(name, "tokens", rows_read, 1);
  Layer layer;
  layer.name = name;
  layer.op = Op::kEmbedding;
  layer.tables.assign(tables.begin(), tables.end());
  for (const int number : tables) {
    if (number < 0 || number >= static_cast<int>(network_.tables.size())) {
      throw_invalid_argument("layer " + name + ": table", "one that was added",
                             taut::concat(number));
    }
    const Table& table = network_.tables[static_cast<std::size_t>(number)];
    const Table& first = network_.tables[static_cast<std::size_t>(tables.front())];
    if (table.dim != first.dim) {
      throw_invalid_argument("layer " + name + ": dim of table " + table.name,
                             taut::concat("that of ", first.name, ", ", first.dim),
                             taut::concat(table.dim));
    }
    layer.in = {.channels = table.dim,
                .height = static_cast<std::int64_t>(tables.size()) * rows_read};
  }
  layer.out = layer.in;
  return append(std::move(layer));
}

Network NetworkBuilder::finish() {
  if (network_.layers.empty()) {
    throw_invalid_argument("model " + network_.name, "at least one layer", "none");
  }
  network_.number_sites();
  return std::move(network_);
}

}  // namespace taut::graph
