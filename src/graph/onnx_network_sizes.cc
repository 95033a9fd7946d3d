// Operators that make more positions of each: Resize, ConvTranspose, DepthToSpace.
#include <algorithm>
#include <cmath>
#include <utility>

#include "graph/onnx_network_maker.h"
#include "graph/onnx_windows.h"
#include "taut/core/text.h"

namespace taut::graph {
namespace {

constexpr std::int64_t kMostFactor = 1 << 10;  // as output_shape() takes

// The position that a nearest Resize by `factor` reads for an output position, before it is kept on
// the image; nothing for rules that are not known.
std::optional<double> position_read(std::string_view place, std::string_view rounding,
                                    std::int64_t out, std::int64_t factor) {
  const auto scale = static_cast<double>(factor);
  const auto at = static_cast<double>(out);
  double from = at / scale;
  if (place == "half_pixel" || place == "pytorch_half_pixel" || place == "half_pixel_symmetric") {
    from = (at + 0.5) / scale - 0.5;
  } else if (place != "asymmetric") {
    return std::nullopt;
  }
  if (rounding == "floor") return std::floor(from);
  if (rounding == "ceil") return std::ceil(from);
  if (rounding == "round_prefer_floor") return std::ceil(from - 0.5);
  if (rounding == "round_prefer_ceil") return std::floor(from + 0.5);
  return std::nullopt;
}

}  // namespace

void OnnxNetworkMaker::enlarge(const Node& node, Op op, int from, std::int64_t factor) {
  Layer layer = reading(op, {from});
  layer.factor = factor;
  give(node, {.layer = append(node, std::move(layer)), .channel_axis = 1});
}

// By how much height and width grow, as sizes say.
std::int64_t OnnxNetworkMaker::factor_of(const Node& node) const {
  const Dimensions& in = trace_.value(input(node, 0)).shape;
  const Dimensions& out = trace_.value(node.step.outputs[0]).shape;
  const auto factor = [&](std::size_t d) { return in[d] == 0 ? 0 : out[d] / in[d]; };
  const bool whole = out.size() == 4 && out[1] == in[1] && factor(2) >= 1 &&
                     factor(2) == factor(3) && out[2] == factor(2) * in[2] &&
                     out[3] == factor(3) * in[3];
  if (!whole) refuse("height and width do not grow by one whole factor");
  if (factor(2) > kMostFactor) refuse(concat("it grows by more than ", kMostFactor));
  return factor(2);
}

void OnnxNetworkMaker::resize(Node& node) {
  const OnnxOperand from = plain(node, 0);
  static_cast<void>(planes(node));
  const bool old = node.step.node->op == "Upsample" || node.step.operator_set < 11;
  if (node.call.text("mode", "nearest") != "nearest") refuse("it interpolates");
  const std::string_view place =
      old ? "asymmetric" : node.call.text("coordinate_transformation_mode", "half_pixel");
  const std::string_view rounding =
      old ? "floor" : node.call.text("nearest_mode", "round_prefer_floor");
  const std::int64_t factor = factor_of(node);
  const Dimensions& in = trace_.value(input(node, 0)).shape;
  const std::int64_t side = std::max(in[2], in[3]);
  // All positions but the first and the last are alike.
  for (std::int64_t i = 0; i < 3 * factor; ++i) {
    const std::int64_t block = i < factor ? 0 : i < 2 * factor ? side / 2 : side - 1;
    const std::int64_t out = block * factor + i % factor;
    const std::optional<double> read = position_read(place, rounding, out, factor);
    if (!read) refuse(concat("it resizes by the rules ", place, ", ", rounding));
    if (std::clamp(*read, 0.0, static_cast<double>(side - 1)) != static_cast<double>(block)) {
      refuse("it does not repeat each position as often");
    }
  }
  enlarge(node, Op::kUpsample, from.layer, factor);
}

// One whose windows do not overlap: a product for each position, whose outputs are factor x factor
// positions.
void OnnxNetworkMaker::transposed_convolution(Node& node) {
  const OnnxOperand from = plain(node, 0);
  static_cast<void>(planes(node));
  if (!is_constant(input(node, 1))) refuse("its weights are no constant");
  const Dimensions shape = trace_.value(input(node, 1)).shape;  // [inputs, outputs, kernel]
  const Dimensions& in = trace_.value(input(node, 0)).shape;
  const Dimensions& out = trace_.value(node.step.outputs[0]).shape;
  const std::int64_t factor = shape[2];
  const OnnxWindows windows = onnx_windows(node.call, {shape[2], shape[3]});
  const bool apart = shape[3] == factor && windows.strides[0] == factor &&
                     windows.strides[1] == factor && windows.dilations[0] == 1 &&
                     windows.dilations[1] == 1 && out[2] == factor * in[2] &&
                     out[3] == factor * in[3] &&
                     std::all_of(windows.pads.begin(), windows.pads.end(),
                                 [](std::int64_t pad) { return pad == 0; });
  if (!apart) refuse("its windows overlap, leave gaps or are cut");
  if (node.call.integer("group", 1) != 1) refuse("it has groups");
  const std::span<const float> stored = constant(input(node, 1));
  const std::int64_t outputs = shape[1];
  Layer layer = reading(Op::kConv, {from.layer});
  layer.out.channels = factor * factor * outputs;
  LayerValues values;
  const std::span<float> weight =
      values_.make(static_cast<std::int64_t>(stored.size()), node.step.label);
  widened_ = true;
  const std::int64_t taps = factor * factor;
  for (std::int64_t i = 0; values_.reads(std::ssize(stored)) && i < shape[0]; ++i) {
    for (std::int64_t o = 0; o < outputs; ++o) {
      for (std::int64_t tap = 0; tap < taps; ++tap) {
        weight[static_cast<std::size_t>((tap * outputs + o) * shape[0] + i)] =
            stored[static_cast<std::size_t>((i * outputs + o) * taps + tap)];
      }
    }
  }
  values.weight = weight;
  if (const std::span<const float> given = bias(node, 2, outputs, 1); !given.empty()) {
    const std::span<float> each = values_.make(layer.out.channels, node.step.label);
    for (std::size_t o = 0; o < each.size(); ++o) each[o] = given[o % given.size()];
    values.bias = each;
  }
  layer.bias = !values.bias.empty();
  enlarge(node, Op::kDepthToSpace, append(node, std::move(layer), values), factor);
}

void OnnxNetworkMaker::depth_to_space(Node& node) {
  const OnnxOperand from = plain(node, 0);
  static_cast<void>(planes(node));
  if (node.call.text("mode", "DCR") != "DCR") refuse("its channels go before its factors");
  enlarge(node, Op::kDepthToSpace, from.layer, node.call.integer("blocksize", 1));
}

}  // namespace taut::graph
