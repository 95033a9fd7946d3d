// Windows over images: convolutions and pools.
#include <algorithm>
#include <utility>

#include "graph/onnx_network_maker.h"
#include "graph/onnx_windows.h"
#include "taut/core/text.h"

namespace taut::graph {
namespace {

constexpr std::int64_t kMostTries = 1024;
constexpr std::int64_t kMostPad = std::int64_t{1} << 30;

// The zeros that auto_pad means, begins then ends.
std::vector<std::int64_t> resolved_pads(const OnnxWindows& windows, const Dimensions& in,
                                        const Dimensions& out) {
  if (windows.auto_pad == "VALID") return std::vector<std::int64_t>(4, 0);
  if (!windows.auto_pad.starts_with("SAME")) return windows.pads;
  std::vector<std::int64_t> pads(4, 0);
  for (std::size_t d = 0; d < 2; ++d) {
    const std::int64_t wanted = (out[d + 2] - 1) * windows.strides[d] + windows.reach(d);
    const std::int64_t all = std::max<std::int64_t>(0, wanted - in[d + 2]);
    pads[d] = windows.auto_pad == "SAME_LOWER" ? all - all / 2 : all / 2;
    pads[d + 2] = all - pads[d];
  }
  return pads;
}

}  // namespace

const OnnxOperand& OnnxNetworkMaker::planes(const Node& node) const {
  const OnnxOperand& from = operand(node, 0);
  if (from.channel_axis != 1 || trace_.value(input(node, 0)).shape.size() != 4) {
    refuse(concat("its input ", dimensions_text(trace_.value(input(node, 0)).shape),
                  " is no image of two axes behind the channels"));
  }
  return from;
}

// The window of a step, with the zeros of a Pad before it.
OnnxNetworkMaker::Reach OnnxNetworkMaker::reach_of(const Node& node, const OnnxOperand& from,
                                                   std::vector<std::int64_t> kernel) const {
  const OnnxWindows windows = onnx_windows(node.call, std::move(kernel));
  Reach reach{windows.kernel, windows.strides, windows.dilations,
              resolved_pads(windows, trace_.value(input(node, 0)).shape,
                            trace_.value(node.step.outputs[0]).shape)};
  for (std::size_t side = 0; side < from.padding.size(); ++side) {
    reach.pads[side] += from.padding[side];
  }
  return reach;
}

// The smallest square window in which the weights meet the very same values, and which fits as
// often. Of side s, stride and padding p it needs so much more behind the image (`after`) that the
// last one fits, and so little that no other one does.
std::optional<OnnxNetworkMaker::Square> OnnxNetworkMaker::square_of(const Reach& reach,
                                                                    const Shape& in,
                                                                    const Shape& out,
                                                                    const Strides& strides) {
  const auto span = [&](std::size_t d) { return reach.dilations[d] * (reach.kernel[d] - 1) + 1; };
  const std::int64_t first = std::max({std::int64_t{0}, reach.pads[0], reach.pads[1]});
  const std::int64_t tries = std::min(kMostTries, std::max(span(0), span(1)));
  for (std::int64_t padding = first; padding <= first + tries; ++padding) {
    // Where the last window begins in the padded image, less that image's side.
    const std::int64_t down = (out.height - 1) * strides[0] - in.height - 2 * padding;
    const std::int64_t across = (out.width - 1) * strides[1] - in.width - 2 * padding;
    // Where the next one would begin.
    const std::int64_t next = std::min(down + strides[0], across + strides[1]);
    if (std::max(down, across) >= next) return std::nullopt;
    const std::int64_t side = std::max({padding - reach.pads[0] + span(0),
                                        padding - reach.pads[1] + span(1), padding + 1, 1 - next});
    const std::int64_t after = std::max<std::int64_t>(0, side + std::max(down, across));
    if (after >= side - padding) continue;  // the last one would lie behind the image
    return Square{.window = {.kernel = side,
                             .stride = strides[0],
                             .padding = padding,
                             .after = after,
                             .across = strides[1] == strides[0] ? 0 : strides[1]},
                  .top = padding - reach.pads[0],
                  .left = padding - reach.pads[1]};
  }
  return std::nullopt;
}

// The steps down and across; one along an axis where the window fits once may be any.
OnnxNetworkMaker::Strides OnnxNetworkMaker::strides_of(const Reach& reach, const Shape& out) {
  return {reach.strides[out.height == 1 ? 1 : 0], reach.strides[out.width == 1 ? 0 : 1]};
}

// The window of a layer that makes `out`. Refuses what no square window is.
OnnxNetworkMaker::Square OnnxNetworkMaker::checked_square(const Reach& reach, const Shape& in,
                                                          const Shape& out) {
  std::optional<Square> square = square_of(reach, in, out, strides_of(reach, out));
  // A window that fits once may take any step.
  if (!square && out.height * out.width == 1) {
    const std::int64_t whole = std::max(in.height, in.width);
    square = square_of(reach, in, out, {whole, whole});
  }
  if (!square) refuse("it takes unlike borders off height and width, which no square window does");
  return *square;
}

template <typename T>
void OnnxNetworkMaker::spread(std::span<const T> from, const Reach& reach, const Square& square,
                              std::span<T> to) {
  const std::int64_t taps = reach.kernel[0] * reach.kernel[1];
  const std::int64_t side = square.window.kernel;
  for (std::size_t i = 0; i < from.size(); ++i) {
    const auto at = static_cast<std::int64_t>(i);
    const std::int64_t row = square.top + at % taps / reach.kernel[1] * reach.dilations[0];
    const std::int64_t column = square.left + at % reach.kernel[1] * reach.dilations[1];
    to[static_cast<std::size_t>((at / taps * side + row) * side + column)] = from[i];
  }
}

// Weights of a square window, where the model's is none.
void OnnxNetworkMaker::spread_weights(const Node& node, const Reach& reach, const Square& square,
                                      const Layer& layer, LayerValues& values) {
  const std::int64_t side = square.window.kernel;
  if (reach.kernel[0] == side && reach.kernel[1] == side) return;
  const std::optional<std::int64_t> count = element_count(weight_shape(layer));
  if (!count) refuse("its weights with zeros beside them are more than 2^50");
  widened_ = true;
  if (values.codes.empty()) {
    const std::span<float> to = values_.make(*count, node.step.label);
    if (values_.reads(*count)) spread(values.weight, reach, square, to);
    values.weight = to;
  } else {
    const std::span<std::int8_t> to = values_.make_codes(*count, node.step.label);
    if (values_.reads(*count)) spread(values.codes, reach, square, to);
    values.codes = to;
  }
}

void OnnxNetworkMaker::convolution(Node& node) {
  const OnnxOperand from = planes(node);
  const int weights = input(node, 1);
  if (!is_constant(weights)) refuse("its weights are no constant");
  const Dimensions shape = trace_.value(weights).shape;
  const Reach reach = reach_of(node, from, {shape[2], shape[3]});
  const Shape out = *shape_of(trace_.value(node.step.outputs[0]).shape, 1);
  Layer layer = reading(Op::kConv, {from.layer});
  const Square square = checked_square(reach, layer.in, out);
  layer.window = square.window;
  layer.groups = node.call.integer("group", 1);
  layer.out.channels = shape[0];
  LayerValues values;
  if (!takes_codes(node, shape[0], values)) values.weight = constant(weights);
  spread_weights(node, reach, square, layer, values);
  values.bias = bias(node, 2, shape[0], 1);
  const LaterBias later = values.bias.empty() ? later_bias(node, shape[0], 1) : LaterBias{};
  give_product(node, std::move(layer), values, 1, later);
}

// Zeros beside an image, which the windows that read it take along.
void OnnxNetworkMaker::pad(Node& node) {
  OnnxOperand from = planes(node);
  if (from.clipped || from.codes || from.rounding) refuse("it pads values on their way to 8 bits");
  if (node.call.text("mode", "constant") != "constant")
    refuse("it pads with other values than zeros");
  const OnnxAttribute* value = node.call.attribute("value");
  std::optional<Number> filled = value != nullptr && !value->reals.empty() ? value->reals[0] : 0;
  if (input(node, 2) >= 0) filled = one_number(input(node, 2));
  if (!filled || *filled != 0) refuse("it pads with other values than zeros");
  const bool listed = node.step.operator_set < 11;
  std::vector<std::int64_t> pads;
  if (listed) {
    for (const char* name : {"pads", "paddings"}) {
      if (const auto given = node.call.integers(name)) pads = *given;
    }
  } else {
    pads = node.call.whole(1, "pads");
  }
  if (input(node, 3) >= 0) refuse("it pads along axes that are listed");
  const bool sides =
      pads.size() == 8 && pads[0] == 0 && pads[1] == 0 && pads[4] == 0 && pads[5] == 0;
  if (!sides) refuse("it pads examples or channels");
  const bool sane = std::all_of(pads.begin(), pads.end(), [](std::int64_t pad) {
    return pad <= kMostPad && pad >= -kMostPad;
  });
  if (!sane) refuse("it pads by more than a network's windows may");
  if (from.padding.empty()) from.padding.assign(4, 0);
  for (const auto& [side, place] :
       {std::pair{0, 2}, std::pair{1, 3}, std::pair{2, 6}, std::pair{3, 7}}) {
    from.padding[static_cast<std::size_t>(side)] += pads[static_cast<std::size_t>(place)];
  }
  give(node, std::move(from));
}

void OnnxNetworkMaker::max_pool(Node& node) {
  static_cast<void>(plain(node, 0));
  const OnnxOperand from = planes(node);
  Layer layer = reading(Op::kMaxPool, {from.layer});
  const Reach reach = reach_of(node, from, node.call.sizes("kernel_shape", 2, 0, 1));
  layer.window =
      pool_window(reach, layer.in, *shape_of(trace_.value(node.step.outputs[0]).shape, 1));
  give(node, {.layer = append(node, std::move(layer)), .channel_axis = 1});
}

// The window of a pool that leaves out what lies beside the image.
Window OnnxNetworkMaker::pool_window(const Reach& reach, const Shape& in, const Shape& out) {
  if (reach.kernel[0] != reach.kernel[1]) refuse("its window is not square");
  if (reach.dilations[0] != 1 || reach.dilations[1] != 1) refuse("its window is dilated");
  if (reach.pads[0] != reach.pads[1]) refuse("its padding is uneven");
  // What lies beside the image is left out, so only how often the window fits must agree.
  const std::optional<Square> square = square_of(reach, in, out, strides_of(reach, out));
  if (!square || square->window.kernel != reach.kernel[0] ||
      square->window.padding != reach.pads[0]) {
    refuse("its padding before and behind the image is not that of a network's window");
  }
  return square->window;
}

// A mean over whole maps, over what of windows lies on the image, or a depthwise convolution of
// equal weights, which takes the zeros beside it along.
void OnnxNetworkMaker::average_pool(Node& node) {
  const OnnxOperand from = planes(node);
  if (from.clipped || from.codes || from.rounding) static_cast<void>(plain(node, 0));
  const OnnxOperand unpadded{.layer = from.layer};
  const std::vector<std::int64_t> kernel = node.call.sizes("kernel_shape", 2, 0, 1);
  const Reach own = reach_of(node, unpadded, kernel);
  const Reach reach = reach_of(node, from, kernel);
  const Dimensions& in = trace_.value(input(node, 0)).shape;
  const Shape out = *shape_of(trace_.value(node.step.outputs[0]).shape, 1);
  const bool padded =
      std::any_of(own.pads.begin(), own.pads.end(), [](auto pad) { return pad != 0; });
  const std::vector<std::int64_t> counts = {out.height, out.width};
  bool behind = false;  // by ceil_mode
  for (std::size_t d = 0; d < 2; ++d) {
    const std::int64_t room =
        in[d + 2] + own.pads[d] + own.pads[d + 2] - (own.dilations[d] * (own.kernel[d] - 1) + 1);
    behind = behind || room / own.strides[d] + 1 != counts[d];
  }
  const bool counts_padding = node.call.integer("count_include_pad", 0) != 0;
  if (behind && padded && counts_padding) {
    refuse("its last windows reach behind padding that counts");
  }
  if (behind || (padded && !counts_padding)) {
    if (!from.padding.empty()) refuse("it leaves out its own padding, but not that of a Pad");
    Layer layer = reading(Op::kMeanPool, {from.layer});
    layer.window = pool_window(own, layer.in, out);
    return give(node, {.layer = append(node, std::move(layer)), .channel_axis = 1});
  }
  const Shape& shape = network_.shape_of(from.layer);
  if (!padded && from.padding.empty() && kernel[0] == shape.height && kernel[1] == shape.width) {
    return mean(node, 1);
  }
  Layer layer = reading(Op::kConv, {from.layer});
  const Square square = checked_square(reach, layer.in, out);
  layer.window = square.window;
  layer.groups = layer.in.channels;
  const std::optional<std::int64_t> taps =
      element_count(std::vector{layer.groups, kernel[0], kernel[1]});
  if (!taps) refuse("its windows are of more than 2^50 values");
  const std::span<float> each = values_.make(*taps, node.step.label);
  if (values_.reads(*taps)) {
    std::fill(each.begin(), each.end(), 1.0f / static_cast<float>(kernel[0] * kernel[1]));
  }
  widened_ = true;
  LayerValues values;
  values.weight = each;
  spread_weights(node, reach, square, layer, values);
  give_product(node, std::move(layer), values, 1, {});
}

void OnnxNetworkMaker::mean(const Node& node, std::size_t channel_axis) {
  const OnnxOperand from = operand(node, 0);
  const int layer = append(node, reading(Op::kGlobalMean, {from.layer}));
  give(node, {.layer = layer, .channel_axis = channel_axis, .averaged = true});
}

void OnnxNetworkMaker::global_mean(Node& node) {
  static_cast<void>(plain(node, 0));
  static_cast<void>(planes(node));
  mean(node, 1);
}

void OnnxNetworkMaker::reduce_mean(Node& node) {
  const OnnxOperand from = plain(node, 0);
  const std::size_t rank = trace_.value(input(node, 0)).shape.size();
  std::vector<std::int64_t> axes;
  if (const auto given = node.call.integers("axes")) axes = *given;
  if (node.call.has(1)) axes = node.call.whole(1, "axes");
  std::vector<bool> reduced(rank, false);
  for (const std::int64_t axis : axes) reduced[node.call.axis(axis, rank)] = true;
  for (std::size_t d = 0; d < rank; ++d) {
    const bool position = d != 0 && d != from.channel_axis;
    if (reduced[d] != position || rank < 3) refuse("its mean is not over the positions of maps");
  }
  mean(node, node.call.integer("keepdims", 1) != 0 ? from.channel_axis : 1);
}

}  // namespace taut::graph
