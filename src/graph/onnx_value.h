#pragma once
// What is known of a tensor while an ONNX file is read: its shape, perhaps its values, and which
// layer it comes from.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "taut/core/error.h"

namespace taut::graph {

using Dimensions = std::vector<std::int64_t>;

/// A value that is known: holds every int64 and every double exactly.
using Number = long double;

/// Tensors of more elements than this have a shape, no values.
inline constexpr std::int64_t kMostKnown = 4096;
inline constexpr std::size_t kMostRank = 32;
/// Elements of the largest tensor, multiply-adds of the largest layer.
inline constexpr std::int64_t kLargestWords = std::int64_t{1} << 50;

struct OnnxTensor;

/// A tensor. Either trouble says why its shape is not known, or shape holds sizes of at least 0.
struct OnnxValue {
  Dimensions shape;
  std::int32_t type = 0;
  /// All elements in row-major order, where they are known.
  std::shared_ptr<const std::vector<Number>> numbers = {};
  /// A constant whose values lie in another file and were not read yet.
  const OnnxTensor* external = nullptr;
  std::shared_ptr<const Error> trouble = {};
  bool constant = false;  ///< does not depend on the model's input
  /// The constant of the file that it is, as it stands there.
  const OnnxTensor* tensor = nullptr;
  int id = -1;                 ///< in OnnxTrace::values; -1: nobody keeps a trace
  int layer = -1;              ///< that made it; -1: the model's input
  std::int64_t raw_words = 0;  ///< per sample, as that layer made it; 0: not pooled since
};

/// The product of the sizes; nothing above 2^50.
[[nodiscard]] std::optional<std::int64_t> element_count(std::span<const std::int64_t> shape);

/// "[1, 3, 224, 224]".
[[nodiscard]] std::string dimensions_text(std::span<const std::int64_t> shape);

/// The shape to which both are stretched by ONNX's (NumPy's) rule; nothing where they do not fit.
[[nodiscard]] std::optional<Dimensions> broadcast_shape(std::span<const std::int64_t> a,
                                                        std::span<const std::int64_t> b);

/// Calls visit with every index of a tensor of the shape, the last axis fastest.
void for_each_index(std::span<const std::int64_t> shape,
                    const std::function<void(std::span<const std::int64_t>)>& visit);

/// Where the element of an index lies in a tensor of the shape; axes of size 1 and axes that the
/// tensor lacks in front are stretched.
[[nodiscard]] std::int64_t element_at(std::span<const std::int64_t> shape,
                                      std::span<const std::int64_t> index);

}  // namespace taut::graph
