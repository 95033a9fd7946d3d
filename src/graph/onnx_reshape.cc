// Operators that give all elements of a tensor in another shape, order or number.
#include <algorithm>
#include <numeric>
#include <set>

#include "graph/onnx_rules.h"
#include "taut/core/text.h"

namespace taut::graph {
namespace {

/// The axes of Squeeze and Unsqueeze: an attribute up to operator set 12, then an input.
std::optional<std::vector<std::int64_t>> listed_axes(const OnnxCall& call) {
  if (auto attribute = call.integers("axes")) return attribute;
  if (call.has(1)) return call.whole(1, "list of axes");
  return std::nullopt;
}

std::set<std::size_t> checked_axes(const OnnxCall& call, const std::vector<std::int64_t>& axes,
                                   std::size_t rank) {
  std::set<std::size_t> set;
  for (const std::int64_t axis : axes) {
    if (!set.insert(call.axis(axis, rank)).second) {
      call.fail(ErrorKind::kFormat, concat("axis ", axis, " twice"));
    }
  }
  return set;
}

/// Splits axes of an image for DepthToSpace and SpaceToDepth.
std::int64_t block_size(const OnnxCall& call) {
  const std::int64_t block = call.integer("blocksize", 0);
  if (block < 1 || block > (1 << 20)) {
    call.fail(ErrorKind::kFormat, concat("blocksize is ", block));
  }
  return block;
}

}  // namespace

void reshape_rule(OnnxCall& call) {
  const OnnxValue& in = call.in(0);
  const auto attribute = call.integers("shape");
  Dimensions shape = attribute ? *attribute : call.whole(1, "shape");
  if (shape.size() > kMostRank) call.fail(ErrorKind::kData, concat("rank ", shape.size()));
  std::optional<std::size_t> open;
  std::int64_t known = 1;
  for (std::size_t d = 0; d < shape.size(); ++d) {
    if (shape[d] == 0 && call.integer("allowzero", 0) == 0) {
      if (d >= in.shape.size()) {
        call.fail(ErrorKind::kFormat, concat("shapes do not agree: ", dimensions_text(in.shape),
                                             " as ", dimensions_text(shape)));
      }
      shape[d] = in.shape[d];
    }
    if (shape[d] == -1 && !open) {
      open = d;
    } else if (shape[d] < 0 || __builtin_mul_overflow(known, shape[d], &known)) {
      call.fail(ErrorKind::kFormat, "a shape of " + dimensions_text(shape));
    }
  }
  if (open) shape[*open] = known > 0 ? *element_count(in.shape) / known : 0;
  call.give_reshaped(std::move(shape));
}

void flatten_rule(OnnxCall& call) {
  const Dimensions& in = call.shape(0);
  const std::int64_t given = call.integer("axis", 1);
  const auto rank = static_cast<std::int64_t>(in.size());
  const std::size_t axis = given == rank ? in.size() : call.axis(given, in.size());
  const std::span<const std::int64_t> all(in);
  call.give_reshaped(
      {element_count(all.first(axis)).value_or(-1), element_count(all.subspan(axis)).value_or(-1)});
}

void squeeze_rule(OnnxCall& call) {
  const Dimensions& in = call.shape(0);
  const auto listed = listed_axes(call);
  Dimensions out;
  const std::set<std::size_t> axes =
      listed ? checked_axes(call, *listed, in.size()) : std::set<std::size_t>();
  for (std::size_t d = 0; d < in.size(); ++d) {
    const bool gone = listed ? axes.contains(d) : in[d] == 1;
    if (gone && in[d] != 1) {
      call.fail(ErrorKind::kFormat, concat("axis ", d, " of ", dimensions_text(in), " is not 1"));
    }
    if (!gone) out.push_back(in[d]);
  }
  call.give_reshaped(std::move(out));
}

void unsqueeze_rule(OnnxCall& call) {
  const Dimensions& in = call.shape(0);
  const auto listed = listed_axes(call);
  if (!listed) call.fail(ErrorKind::kFormat, "it has no axes");
  if (listed->size() > kMostRank) call.fail(ErrorKind::kData, concat(listed->size(), " new axes"));
  const std::size_t rank = in.size() + listed->size();
  const std::set<std::size_t> axes = checked_axes(call, *listed, rank);
  Dimensions out;
  std::size_t from = 0;
  for (std::size_t d = 0; d < rank; ++d) out.push_back(axes.contains(d) ? 1 : in[from++]);
  call.give_reshaped(std::move(out));
}

void transpose_rule(OnnxCall& call) {
  const Dimensions& in = call.shape(0);
  std::vector<std::int64_t> order(in.size());
  std::iota(order.rbegin(), order.rend(), 0);
  if (auto given = call.integers("perm")) order = std::move(*given);
  const std::set<std::size_t> axes = checked_axes(call, order, in.size());
  if (axes.size() != in.size()) call.fail(ErrorKind::kFormat, "perm does not name every axis");
  Dimensions out;
  for (std::int64_t& axis : order) {
    axis = static_cast<std::int64_t>(call.axis(axis, in.size()));
    out.push_back(in[static_cast<std::size_t>(axis)]);
  }
  call.give_moved(0, std::move(out), [&](std::span<const std::int64_t> index) {
    Dimensions source(in.size());
    for (std::size_t d = 0; d < index.size(); ++d) {
      source[static_cast<std::size_t>(order[d])] = index[d];
    }
    return element_at(in, source);
  });
}

void expand_rule(OnnxCall& call) {
  const Dimensions wanted = call.whole(1, "shape");
  for (const std::int64_t size : wanted) {
    if (size < 0) call.fail(ErrorKind::kFormat, "a shape of " + dimensions_text(wanted));
  }
  std::optional<Dimensions> shape = broadcast_shape(call.shape(0), wanted);
  if (!shape) {
    call.fail(ErrorKind::kFormat, concat("shapes do not agree: ", dimensions_text(call.shape(0)),
                                         " to ", dimensions_text(wanted)));
  }
  call.give_moved(0, std::move(*shape), [&](std::span<const std::int64_t> index) {
    return element_at(call.shape(0), index);
  });
}

void tile_rule(OnnxCall& call) {
  const Dimensions& in = call.shape(0);
  const std::vector<std::int64_t> repeats = call.whole(1, "list of repeats");
  Dimensions out = in;
  if (repeats.size() != in.size()) {
    call.fail(ErrorKind::kFormat, concat(repeats.size(), " repeats for ", dimensions_text(in)));
  }
  for (std::size_t d = 0; d < in.size(); ++d) {
    if (repeats[d] < 0 || __builtin_mul_overflow(in[d], repeats[d], &out[d])) {
      call.fail(ErrorKind::kFormat, concat(repeats[d], " repeats"));
    }
  }
  call.give_moved(0, std::move(out), [&](std::span<const std::int64_t> index) {
    Dimensions source(index.begin(), index.end());
    for (std::size_t d = 0; d < in.size(); ++d) source[d] %= in[d];
    return element_at(in, source);
  });
}

void pad_rule(OnnxCall& call) {
  Dimensions shape = call.shape(0);
  std::vector<std::int64_t> pads;
  if (auto attribute = call.integers("pads")) {
    pads = std::move(*attribute);
  } else if (auto old = call.integers("paddings")) {
    pads = std::move(*old);
  } else {
    pads = call.whole(1, "list of pads");
  }
  std::vector<std::int64_t> axes(shape.size());
  std::iota(axes.begin(), axes.end(), 0);
  if (call.has(3)) axes = call.whole(3, "list of axes");
  if (pads.size() != 2 * axes.size()) {
    call.fail(ErrorKind::kFormat,
              concat(pads.size(), " pads for ", axes.size(), " axes of ", dimensions_text(shape)));
  }
  for (std::size_t i = 0; i < axes.size(); ++i) {
    std::int64_t& size = shape[call.axis(axes[i], shape.size())];
    for (const std::int64_t pad : {pads[i], pads[i + axes.size()]}) {
      if (pad < -kLargestWords || pad > kLargestWords || size + pad < 0) {
        call.fail(ErrorKind::kFormat, concat("a pad of ", pad, " on ", size));
      }
      size += pad;
    }
  }
  call.give(0, std::move(shape), call.in(0).type);
}

void depth_to_space_rule(OnnxCall& call) {
  const Dimensions& in = call.shape(0, 4);
  const std::int64_t block = block_size(call);
  if (in[1] % (block * block) != 0) {
    call.fail(ErrorKind::kFormat, concat(in[1], " channels in blocks of ", block, "^2"));
  }
  call.give_reshaped({in[0], in[1] / (block * block), in[2] * block, in[3] * block});
  call.outputs()[0].numbers.reset();
}

void space_to_depth_rule(OnnxCall& call) {
  const Dimensions& in = call.shape(0, 4);
  const std::int64_t block = block_size(call);
  if (in[2] % block != 0 || in[3] % block != 0) {
    call.fail(ErrorKind::kFormat, concat(in[2], " x ", in[3], " in blocks of ", block));
  }
  call.give_reshaped({in[0], in[1] * block * block, in[2] / block, in[3] / block});
  call.outputs()[0].numbers.reset();
}

}  // namespace taut::graph
