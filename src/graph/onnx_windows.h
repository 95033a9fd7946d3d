#pragma once
// The windows of convolutions and pools over the axes of an image.

#include <cstdint>
#include <string_view>
#include <vector>

#include "graph/onnx_call.h"

namespace taut::graph {

/// The attributes of a window over the spatial axes of an image.
struct OnnxWindows {
  std::vector<std::int64_t> kernel;
  std::vector<std::int64_t> strides;
  std::vector<std::int64_t> dilations;
  std::vector<std::int64_t> pads;  ///< begins, then ends
  std::string_view auto_pad;

  /// What a window spans of axis d.
  [[nodiscard]] std::int64_t reach(std::size_t d) const {
    return dilations[d] * (kernel[d] - 1) + 1;
  }
};

/// Errors: kFormat for attributes that are none.
[[nodiscard]] OnnxWindows onnx_windows(const OnnxCall& call, std::vector<std::int64_t> kernel);

}  // namespace taut::graph
