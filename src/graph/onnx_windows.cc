// Operators on images: convolutions, pools, and those that change sizes of images.
#include "graph/onnx_windows.h"

#include <algorithm>
#include <cmath>

#include "graph/onnx_rules.h"
#include "taut/core/text.h"

namespace taut::graph {

OnnxWindows onnx_windows(const OnnxCall& call, std::vector<std::int64_t> kernel) {
  const std::size_t axes = kernel.size();
  OnnxWindows windows;
  windows.kernel = std::move(kernel);
  windows.strides = call.sizes("strides", axes, 1, 1);
  windows.dilations = call.sizes("dilations", axes, 1, 1);
  windows.pads = call.sizes("pads", 2 * axes, 0, -kMostKnown);
  windows.auto_pad = call.text("auto_pad", "NOTSET");
  for (std::size_t d = 0; d < axes; ++d) {
    std::int64_t reach = 0;
    if (windows.kernel[d] < 1 ||
        __builtin_mul_overflow(windows.dilations[d], windows.kernel[d] - 1, &reach) ||
        reach >= kLargestWords) {
      call.fail(ErrorKind::kFormat,
                concat("a window of ", windows.kernel[d], ", dilated by ", windows.dilations[d]));
    }
  }
  return windows;
}

namespace {

/// Windows that fit one axis of an image.
std::int64_t window_count(const OnnxCall& call, const OnnxWindows& windows, std::size_t d,
                          std::int64_t size) {
  const std::int64_t stride = windows.strides[d];
  if (windows.auto_pad.starts_with("SAME")) return (size + stride - 1) / stride;
  const bool padded = windows.auto_pad != "VALID";
  const std::int64_t before = padded ? windows.pads[d] : 0;
  const std::int64_t all = before + (padded ? windows.pads[d + windows.kernel.size()] : 0);
  const std::int64_t room = size + all - windows.reach(d);
  if (room < 0) {
    call.fail(ErrorKind::kFormat, concat("shapes do not agree: a window of ", windows.reach(d),
                                         " on an image of ", size, ", padded by ", all));
  }
  if (call.integer("ceil_mode", 0) == 0) return room / stride + 1;
  const std::int64_t count = (room + stride - 1) / stride + 1;
  // A window that would begin behind the image is none.
  return (count - 1) * stride >= size + before ? count - 1 : count;
}

/// The operand of the weights: behind the image's scale and zero point in QLinearConv.
int weights_operand(const OnnxCall& call) {
  return call.op() == "QLinearConv" ? 3 : 1;
}

/// Fills in what convolutions have in common. positions: how often the weights are applied.
void give_convolution(OnnxCall& call, std::int64_t in_channels, std::int64_t out_channels,
                      std::int64_t groups, std::int64_t positions) {
  const int operand = weights_operand(call);
  const Dimensions& weights = call.shape(operand);
  OnnxProduct product{.op = groups > 1 ? "conv-grouped" : "conv"};
  if (call.in(operand).constant) product.weights = {operand};
  const std::int64_t words = *element_count(weights);
  product.macs = call.counted({words, positions});
  product.in_channels = in_channels;
  product.out_channels = out_channels;
  product.groups = groups;
  product.kernel = weights.back();
  product.input_macs =
      call.counted({words, *element_count(call.shape(0)) / std::max<std::int64_t>(1, in_channels)});
  call.product = std::move(product);
}

/// The shape of weights and how many groups they are for. Errors: kFormat.
std::int64_t checked_groups(const OnnxCall& call, const Dimensions& in, const Dimensions& weights,
                            std::size_t in_axis) {
  const std::int64_t groups = call.integer("group", 1);
  const bool shared = in_axis == 0;  // a transposed convolution counts its input channels whole
  const bool fits =
      groups >= 1 && in.size() == weights.size() && weights[in_axis] <= kLargestWords &&
      (shared ? weights[0] == in[1] && weights[0] % groups == 0
              : in[1] % groups == 0 && weights[1] == in[1] / groups && weights[0] % groups == 0);
  if (!fits) {
    call.fail(ErrorKind::kFormat, concat("shapes do not agree: weights ", dimensions_text(weights),
                                         " on ", dimensions_text(in), " in ", groups, " groups"));
  }
  return groups;
}

}  // namespace

void conv_rule(OnnxCall& call) {
  const Dimensions& in = call.shape(0, 3);
  const Dimensions& weights = call.shape(weights_operand(call), 3);
  const std::int64_t groups = checked_groups(call, in, weights, 1);
  const OnnxWindows windows = onnx_windows(call, {weights.begin() + 2, weights.end()});
  (void)call.sizes("kernel_shape", windows.kernel.size(), 1, 1);
  Dimensions out = {in[0], weights[0]};
  for (std::size_t d = 0; d < windows.kernel.size(); ++d) {
    out.push_back(window_count(call, windows, d, in[d + 2]));
  }
  const std::int64_t positions = call.counted(out) / std::max<std::int64_t>(1, weights[0]);
  const std::int32_t type = call.op() == "ConvInteger" ? kOnnxInt32 : call.in(0).type;
  const std::int64_t out_channels = weights[0];
  const std::int64_t in_channels = in[1];
  call.give(0, std::move(out), type);
  give_convolution(call, in_channels, out_channels, groups, positions);
}

void conv_transpose_rule(OnnxCall& call) {
  const Dimensions& in = call.shape(0, 3);
  const Dimensions& weights = call.shape(1, 3);
  const std::int64_t groups = checked_groups(call, in, weights, 0);
  const OnnxWindows windows = onnx_windows(call, {weights.begin() + 2, weights.end()});
  const std::size_t axes = windows.kernel.size();
  const std::vector<std::int64_t> more = call.sizes("output_padding", axes, 0, 0);
  const auto wanted = call.integers("output_shape");
  if (wanted && wanted->size() != axes) {
    call.fail(ErrorKind::kFormat, concat("output_shape has ", wanted->size(), " numbers"));
  }
  Dimensions out = {in[0], call.counted({weights[1], groups})};
  for (std::size_t d = 0; d < axes; ++d) {
    const std::int64_t spread = call.counted({in[d + 2], windows.strides[d]});
    std::int64_t size = spread - windows.strides[d] + more[d] + windows.reach(d);
    if (windows.auto_pad.starts_with("SAME")) {
      size = spread;
    } else if (windows.auto_pad != "VALID") {
      size -= windows.pads[d] + windows.pads[d + axes];
    }
    out.push_back(wanted ? (*wanted)[d] : size);
  }
  const std::int64_t out_channels = out[1];
  const std::int64_t positions = *element_count(in) / std::max<std::int64_t>(1, in[1]);
  call.give(0, std::move(out), call.in(0).type);
  give_convolution(call, call.shape(0)[1], out_channels, groups, positions);
}

void pool_rule(OnnxCall& call) {
  Dimensions shape = call.shape(0, 3);
  const OnnxWindows windows =
      onnx_windows(call, call.sizes("kernel_shape", shape.size() - 2, 0, 1));
  for (std::size_t d = 0; d < windows.kernel.size(); ++d) {
    shape[d + 2] = window_count(call, windows, d, shape[d + 2]);
  }
  call.give(0, shape, call.in(0).type);
  call.give(1, shape, kOnnxInt64);
}

void unpool_rule(OnnxCall& call) {
  Dimensions shape = call.shape(0, 3);
  if (call.has(2)) {
    shape = call.whole(2, "shape");
  } else {
    const OnnxWindows windows =
        onnx_windows(call, call.sizes("kernel_shape", shape.size() - 2, 0, 1));
    for (std::size_t d = 0; d < windows.kernel.size(); ++d) {
      shape[d + 2] =
          call.counted({std::max<std::int64_t>(0, shape[d + 2] - 1), windows.strides[d]}) +
          windows.reach(d) - windows.pads[d] - windows.pads[d + windows.kernel.size()];
    }
  }
  call.give(0, std::move(shape), call.in(0).type);
}

void global_pool_rule(OnnxCall& call) {
  Dimensions shape = call.shape(0, 2);
  std::fill(shape.begin() + 2, shape.end(), 1);
  call.give(0, std::move(shape), call.in(0).type);
}

void roi_rule(OnnxCall& call) {
  const std::int64_t channels = call.shape(0, 4)[1];
  std::vector<std::int64_t> size = {call.integer("output_height", 1),
                                    call.integer("output_width", 1)};
  if (call.op() == "MaxRoiPool") size = call.sizes("pooled_shape", 2, 1, 1);
  call.give(0, {call.shape(1, 1)[0], channels, size[0], size[1]}, call.in(0).type);
}

void resize_rule(OnnxCall& call) {
  const Dimensions in = call.shape(0);
  std::vector<std::int64_t> axes;
  for (std::size_t d = 0; d < in.size(); ++d) axes.push_back(static_cast<std::int64_t>(d));
  if (auto given = call.integers("axes")) axes = std::move(*given);
  const bool resize = call.op() == "Resize" && call.operator_set() >= 11;
  const int scales_input = resize ? 2 : 1;
  const auto given = [&](int input) {
    return call.has(input) && call.shape(input) != Dimensions{0};
  };
  Dimensions out = in;
  const auto set = [&](std::size_t i, Number size) {
    if (!(size >= 0 && size < 0x1p40L)) {
      call.fail(ErrorKind::kFormat, concat("a size of ", static_cast<double>(size)));
    }
    out[call.axis(axes[i], in.size())] = static_cast<std::int64_t>(size);
  };
  std::vector<Number> wanted;
  const bool by_size = resize && given(3);
  if (by_size) {
    wanted = call.numbers(3, "size");
  } else if (const OnnxAttribute* scales = call.attribute("scales")) {
    wanted.assign(scales->reals.begin(), scales->reals.end());
  } else {
    wanted = call.numbers(scales_input, "size");
  }
  if (wanted.size() != axes.size()) {
    call.fail(ErrorKind::kFormat, concat(wanted.size(), " sizes for ", axes.size(), " axes"));
  }
  const std::string_view policy = call.text("keep_aspect_ratio_policy", "stretch");
  if (by_size && policy != "stretch") {
    // One scale for all axes: that of the axis that limits it.
    const bool larger = policy == "not_smaller";
    std::optional<Number> scale;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      const std::int64_t size = std::max<std::int64_t>(1, in[call.axis(axes[i], in.size())]);
      const Number one = wanted[i] / static_cast<Number>(size);
      scale = !scale ? one : larger ? std::max(*scale, one) : std::min(*scale, one);
    }
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      wanted[i] = std::round(*scale * static_cast<Number>(in[call.axis(axes[i], in.size())]));
    }
  }
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const auto size = static_cast<Number>(in[call.axis(axes[i], in.size())]);
    set(i, by_size ? wanted[i] : std::floor(size * wanted[i]));
  }
  call.give(0, std::move(out), call.in(0).type);
}

void grid_sample_rule(OnnxCall& call) {
  const Dimensions& in = call.shape(0, 3);
  const Dimensions& grid = call.shape(1, 3);
  if (grid.size() != in.size()) {
    call.fail(ErrorKind::kFormat,
              concat("shapes do not agree: ", dimensions_text(in), " and ", dimensions_text(grid)));
  }
  Dimensions out = {in[0], in[1]};
  out.insert(out.end(), grid.begin() + 1, grid.end() - 1);
  call.give(0, std::move(out), call.in(0).type);
}

void affine_grid_rule(OnnxCall& call) {
  const std::vector<std::int64_t> size = call.whole(1, "size");
  if (size.size() != 4 && size.size() != 5) {
    call.fail(ErrorKind::kFormat, concat("a size of ", size.size(), " numbers"));
  }
  Dimensions out = {size[0]};
  out.insert(out.end(), size.begin() + 2, size.end());
  out.push_back(static_cast<std::int64_t>(size.size()) - 2);
  call.give(0, std::move(out), call.in(0).type);
}

void column_to_image_rule(OnnxCall& call) {
  const Dimensions& in = call.shape(0, 3);
  const std::vector<std::int64_t> image = call.whole(1, "image's shape");
  const std::optional<std::int64_t> block = element_count(call.whole(2, "block's shape"));
  if (!block || *block < 1 || in[1] % *block != 0) {
    call.fail(ErrorKind::kFormat, concat(in[1], " rows are no blocks of the given shape"));
  }
  Dimensions out = {in[0], in[1] / *block};
  out.insert(out.end(), image.begin(), image.end());
  call.give(0, std::move(out), call.in(0).type);
}

void crop_pad_rule(OnnxCall& call) {
  Dimensions out = call.shape(0);
  const std::vector<std::int64_t> sizes = call.whole(1, "shape");
  const auto axes = call.integers("axes");
  if (sizes.size() != (axes ? axes->size() : out.size())) {
    call.fail(ErrorKind::kFormat, concat(sizes.size(), " sizes for ", dimensions_text(out)));
  }
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    out[axes ? call.axis((*axes)[i], out.size()) : i] = sizes[i];
  }
  call.give(0, std::move(out), call.in(0).type);
}

}  // namespace taut::graph
