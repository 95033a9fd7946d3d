#pragma once
// How a value of an ONNX model lies in what a layer gives: what reshapes and transposes make of it
// before attention reads it. Nothing is moved; axes are described.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "graph/onnx_value.h"
#include "taut/graph/network.h"

namespace taut::graph {

/// Part of an axis: so many examples, positions or channels, each `stride` of them apart.
struct OnnxFactor {
  enum class Of { kExample, kPosition, kChannel };
  Of of = Of::kPosition;
  std::int64_t size = 1;
  std::int64_t stride = 1;
  bool operator==(const OnnxFactor&) const = default;
};

/// Axes, each the product of its parts, the last of which runs fastest. Parts of size 1 are left
/// out, and neighbours that are one are joined, so that equal views are equal.
struct OnnxView {
  std::vector<std::vector<OnnxFactor>> axes;
  std::int64_t first_channel = 0;
  bool operator==(const OnnxView&) const = default;

  /// Product of an axis's parts.
  [[nodiscard]] std::int64_t size(std::size_t axis) const;
  [[nodiscard]] Dimensions dimensions() const;
};

/// A value whose first axis is that of examples, one that of channels, and all others positions in
/// their order.
[[nodiscard]] OnnxView view_of(std::span<const std::int64_t> dims, std::size_t channel_axis);

/// The same values in another shape; nothing where an axis would cut a part that it does not
/// divide, or sizes differ.
[[nodiscard]] std::optional<OnnxView> reshaped(const OnnxView& view,
                                               std::span<const std::int64_t> dims);

/// Axis i of the result is axis order[i].
[[nodiscard]] OnnxView transposed(const OnnxView& view, std::span<const std::int64_t> order);

/// `count` entries of an axis from `first` on; nothing where they are not channels side by side.
[[nodiscard]] std::optional<OnnxView> narrowed(const OnnxView& view, std::size_t axis,
                                               std::int64_t first, std::int64_t count);

/// The axis of channels with which view_of() of the view's own sizes gives it; nothing where none
/// does. channels: of the layer, all of which it must have.
[[nodiscard]] std::optional<std::size_t> plain_axis(const OnnxView& view, std::int64_t channels);

/// Whether its last axis is all of the channels in their order, and no other axis has any.
[[nodiscard]] bool has_rows(const OnnxView& view, std::int64_t channels);

/// The same with so many channels on its last axis.
[[nodiscard]] OnnxView with_last(OnnxView view, std::int64_t channels);

/// One head of attention among others: [examples and heads ..., positions, channels].
struct OnnxHeads {
  std::int64_t heads = 1;
  std::int64_t positions = 0;
  std::int64_t width = 0;  ///< channels of a head
  std::int64_t first_channel = 0;
  bool operator==(const OnnxHeads&) const = default;
};

/// Of a view whose last two axes are positions and channels, or turned: channels and positions.
/// Heads must lie side by side, examples outside of them; nothing where they do not.
[[nodiscard]] std::optional<OnnxHeads> heads_of(const OnnxView& view, bool turned,
                                                std::int64_t batch);

/// What attention gives, laid as `like` but for its last two axes: positions and channels.
[[nodiscard]] OnnxView view_of_heads(const OnnxView& like, const OnnxHeads& heads);

}  // namespace taut::graph
