#include "graph/onnx_view.h"

#include <algorithm>

namespace taut::graph {
namespace {

using Of = OnnxFactor::Of;

// Behind the parts that an axis has already.
void add_factor(std::vector<OnnxFactor>& axis, const OnnxFactor& factor) {
  if (factor.size == 1) return;
  if (!axis.empty() && axis.back().of == factor.of &&
      axis.back().stride == factor.size * factor.stride) {
    axis.back().size *= factor.size;
    axis.back().stride = factor.stride;
    return;
  }
  axis.push_back(factor);
}

// Whether an axis is these positions or channels, one after another.
bool is_whole(const std::vector<OnnxFactor>& axis, Of of, std::int64_t size) {
  if (size == 1) return axis.empty();
  return axis.size() == 1 && axis[0] == OnnxFactor{of, size, 1};
}

}  // namespace

std::int64_t OnnxView::size(std::size_t axis) const {
  std::int64_t product = 1;
  for (const OnnxFactor& factor : axes[axis]) product *= factor.size;
  return product;
}

Dimensions OnnxView::dimensions() const {
  Dimensions dims;
  for (std::size_t axis = 0; axis < axes.size(); ++axis) dims.push_back(size(axis));
  return dims;
}

OnnxView view_of(std::span<const std::int64_t> dims, std::size_t channel_axis) {
  OnnxView view;
  view.axes.resize(dims.size());
  std::int64_t positions = 1;
  for (std::size_t d = dims.size(); d-- > 0;) {
    const Of of = d == channel_axis ? Of::kChannel : d == 0 ? Of::kExample : Of::kPosition;
    add_factor(view.axes[d], {of, dims[d], of == Of::kPosition ? positions : 1});
    if (of == Of::kPosition) positions *= dims[d];
  }
  return view;
}

std::optional<OnnxView> reshaped(const OnnxView& view, std::span<const std::int64_t> dims) {
  std::vector<OnnxFactor> parts;  // those not yet placed, the next one last
  for (auto axis = view.axes.rbegin(); axis != view.axes.rend(); ++axis) {
    parts.insert(parts.end(), axis->rbegin(), axis->rend());
  }
  OnnxView made{.axes = {}, .first_channel = view.first_channel};
  for (const std::int64_t size : dims) {
    std::vector<OnnxFactor>& axis = made.axes.emplace_back();
    std::int64_t left = size;
    while (left > 1) {
      if (parts.empty()) return std::nullopt;
      OnnxFactor& part = parts.back();
      if (part.size < 1) return std::nullopt;
      if (left % part.size == 0) {
        left /= part.size;
        add_factor(axis, part);
        parts.pop_back();
      } else if (part.size % left == 0) {
        part.size /= left;
        add_factor(axis, {part.of, left, part.stride * part.size});
        left = 1;
      } else {
        return std::nullopt;
      }
    }
    if (left != 1) return std::nullopt;  // an axis without entries
  }
  if (!parts.empty()) return std::nullopt;
  return made;
}

OnnxView transposed(const OnnxView& view, std::span<const std::int64_t> order) {
  OnnxView made{.axes = {}, .first_channel = view.first_channel};
  for (const std::int64_t axis : order) {
    made.axes.push_back(view.axes[static_cast<std::size_t>(axis)]);
  }
  return made;
}

std::optional<OnnxView> narrowed(const OnnxView& view, std::size_t axis, std::int64_t first,
                                 std::int64_t count) {
  if (first == 0 && count == view.size(axis)) return view;
  const std::vector<OnnxFactor>& parts = view.axes[axis];
  if (parts.size() != 1 || parts[0].of != Of::kChannel || first < 0 || count < 1 ||
      first > parts[0].size - count) {
    return std::nullopt;
  }
  OnnxView made = view;
  made.first_channel += first * parts[0].stride;
  made.axes[axis].clear();
  add_factor(made.axes[axis], {Of::kChannel, count, parts[0].stride});
  return made;
}

std::optional<std::size_t> plain_axis(const OnnxView& view, std::int64_t channels) {
  const Dimensions dims = view.dimensions();
  for (std::size_t axis = dims.size(); axis-- > 1;) {
    if (dims[axis] == channels && view == view_of(dims, axis)) return axis;
  }
  return std::nullopt;
}

bool has_rows(const OnnxView& view, std::int64_t channels) {
  if (view.axes.empty() || view.first_channel != 0) return false;
  const auto is_channel = [](const OnnxFactor& part) { return part.of == Of::kChannel; };
  for (std::size_t axis = 0; axis + 1 < view.axes.size(); ++axis) {
    if (std::any_of(view.axes[axis].begin(), view.axes[axis].end(), is_channel)) return false;
  }
  return is_whole(view.axes.back(), Of::kChannel, channels);
}

OnnxView with_last(OnnxView view, std::int64_t channels) {
  view.axes.back().clear();
  add_factor(view.axes.back(), {Of::kChannel, channels, 1});
  return view;
}

std::optional<OnnxHeads> heads_of(const OnnxView& view, bool turned, std::int64_t batch) {
  const std::size_t rank = view.axes.size();
  if (rank < 3) return std::nullopt;
  const std::size_t channels = turned ? rank - 2 : rank - 1;
  const std::size_t positions = turned ? rank - 1 : rank - 2;
  OnnxHeads found{.positions = view.size(positions),
                  .width = view.size(channels),
                  .first_channel = view.first_channel};
  if (!is_whole(view.axes[channels], Of::kChannel, found.width) ||
      !is_whole(view.axes[positions], Of::kPosition, found.positions)) {
    return std::nullopt;
  }
  std::vector<OnnxFactor> outer;
  for (std::size_t axis = 0; axis + 2 < rank; ++axis) {
    outer.insert(outer.end(), view.axes[axis].begin(), view.axes[axis].end());
  }
  if (!outer.empty() && outer.front() == OnnxFactor{Of::kExample, batch, 1}) {
    outer.erase(outer.begin());
  } else if (batch != 1) {
    return std::nullopt;
  }
  if (outer.empty()) return found;
  if (outer.size() > 1 || outer[0].of != Of::kChannel || outer[0].stride != found.width) {
    return std::nullopt;
  }
  found.heads = outer[0].size;
  return found;
}

OnnxView view_of_heads(const OnnxView& like, const OnnxHeads& heads) {
  OnnxView made{.axes = like.axes};
  const std::size_t rank = made.axes.size();
  for (std::size_t axis = 0; axis + 2 < rank; ++axis) {
    for (OnnxFactor& part : made.axes[axis]) {
      if (part.of == Of::kChannel) part.stride = heads.width;
    }
  }
  made.axes[rank - 2].clear();
  made.axes[rank - 1].clear();
  add_factor(made.axes[rank - 2], {Of::kPosition, heads.positions, 1});
  add_factor(made.axes[rank - 1], {Of::kChannel, heads.width, 1});
  return made;
}

}  // namespace taut::graph
