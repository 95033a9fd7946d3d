// Parts of values: rows of an image or tokens, channels on their way to attention.
#include <algorithm>

#include "graph/onnx_network_maker.h"
#include "graph/onnx_rules.h"

namespace taut::graph {

// The axis that becomes the height of a layer.
std::size_t OnnxNetworkMaker::row_axis(std::size_t channel_axis) {
  return channel_axis == 1 ? 2 : 1;
}

// `count` entries of an axis of input 0 as an output. drops: the axis goes.
void OnnxNetworkMaker::take(const Node& node, std::size_t axis, std::int64_t first,
                            std::int64_t count, bool drops, std::size_t output) {
  const OnnxOperand from = raw(node, 0);
  if (from.scores) refuse_turned(from);
  if (!from.turned) static_cast<void>(plain(node, 0));
  const Dimensions& shape = trace_.value(input(node, 0)).shape;
  if (!from.turned && axis == row_axis(from.channel_axis) && axis < shape.size()) {
    int layer = from.layer;
    if (count != shape[axis]) {
      Layer rows = reading(Op::kRows, {from.layer});
      rows.first = first;
      rows.out.height = count;
      layer = append(node, std::move(rows));
    }
    const std::size_t moved = drops && axis < from.channel_axis ? 1 : 0;
    return give(node, {.layer = layer, .channel_axis = from.channel_axis - moved}, output);
  }
  std::optional<OnnxView> view = narrowed(view_at(node, 0), axis, first, count);
  if (!view || (!from.turned && axis == 0))
    refuse("it takes examples, columns, or channels that lie apart");
  if (drops) view->axes.erase(view->axes.begin() + static_cast<std::ptrdiff_t>(axis));
  OnnxTurned made;
  if (from.turned) made = *from.turned;
  if (made.step < 0) {
    made.step = node.number;
    made.why = "it takes some channels, which attention alone may read";
  }
  made.view = std::move(*view);
  give_view(node, from.layer, std::move(made), output);
}

void OnnxNetworkMaker::split(Node& node) {
  const Dimensions& shape = trace_.value(input(node, 0)).shape;
  const std::size_t axis = node.call.axis(node.call.integer("axis", 0), shape.size());
  std::int64_t first = 0;
  for (std::size_t output = 0; output < node.step.outputs.size(); ++output) {
    const int value = node.step.outputs[output];
    const std::int64_t count = trace_.value(value).shape[axis];
    if (readers(value) > 0) take(node, axis, first, count, false, output);
    first += count;
  }
}

void OnnxNetworkMaker::slice(Node& node) {
  const Dimensions& before = trace_.value(input(node, 0)).shape;
  const Dimensions& after = trace_.value(node.step.outputs[0]).shape;
  const std::optional<Dimensions> begin = slice_begin(node.call, before);
  if (!begin) refuse("it takes steps");
  std::vector<std::size_t> cut;
  for (std::size_t axis = 0; axis < before.size(); ++axis) {
    if (before[axis] != after[axis]) cut.push_back(axis);
  }
  if (cut.empty()) return pass(node);
  if (cut.size() > 1) refuse("it takes parts of several axes");
  take(node, cut[0], (*begin)[cut[0]], after[cut[0]], false);
}

void OnnxNetworkMaker::gather(Node& node) {
  if (is_constant(input(node, 0))) refuse("it looks up rows of a constant");
  const Dimensions& shape = trace_.value(input(node, 0)).shape;
  const std::size_t axis = node.call.axis(node.call.integer("axis", 0), shape.size());
  const int places = input(node, 1);
  const std::optional<Number> place = one_number(places);
  if (!place || trace_.value(places).shape.size() > 1) refuse("it takes more than one place");
  const Number first = *place < 0 ? *place + static_cast<Number>(shape[axis]) : *place;
  if (!(first >= 0 && first < static_cast<Number>(shape[axis]))) {
    refuse("it takes a place that is not there");
  }
  take(node, axis, static_cast<std::int64_t>(first), 1, trace_.value(places).shape.empty());
}

}  // namespace taut::graph
