#pragma once
// Networks for images as lists of layers: what trains them, exports them and counts their work
// walks one description.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace taut::graph {

/// What a layer does.
enum class Op {
  kConv,        ///< 2-D convolution, square kernel
  kLinear,      ///< fully connected, on features
  kBatchNorm,   ///< per channel, with kNormEpsilon
  kRelu,        ///< max(x, 0)
  kRelu6,       ///< min(max(x, 0), 6)
  kMaxPool,     ///< square window
  kGlobalMean,  ///< [channels, height, width] -> [channels, 1, 1]
  kFlatten,     ///< -> [channels * height * width, 1, 1]
  kAdd,         ///< sum of two layers of one shape
};

/// What is added to variances in normalizations.
inline constexpr double kNormEpsilon = 1e-5;

/// Spellings in files: "conv", "linear", "batch_norm", "relu", "relu6", "max_pool", "global_mean",
/// "flatten", "add".
[[nodiscard]] std::string_view to_string(Op op) noexcept;
[[nodiscard]] std::optional<Op> parse_op(std::string_view text) noexcept;

/// Sizes of one example; features have height and width 1.
struct ImageShape {
  std::int64_t channels = 0;
  std::int64_t height = 1;
  std::int64_t width = 1;

  [[nodiscard]] std::int64_t size() const noexcept { return channels * height * width; }
  /// Whether there is more than one position.
  [[nodiscard]] bool is_map() const noexcept { return height * width > 1; }
  bool operator==(const ImageShape&) const = default;
};

/// One layer. Fields that its op does not have keep their defaults.
struct Layer {
  std::string name;
  Op op = Op::kRelu;
  std::vector<int> inputs;  ///< numbers of layers before it; kNetworkInput: the image
  std::int64_t kernel = 1;
  std::int64_t stride = 1;
  std::int64_t padding = 0;
  std::int64_t groups = 1;
  bool bias = false;
  ImageShape in;  ///< of its first input
  ImageShape out;
  int winner_site = -1;  ///< number among the places where winners are chosen; -1: none
};
inline constexpr int kNetworkInput = -1;

/// A network from images to one logit per class, the output of the last layer.
struct NetworkSpec {
  std::string name;
  ImageShape input;
  std::vector<Layer> layers;  ///< each reads layers before it only

  /// Layers after which winners are chosen: every activation, or the pool that follows it at once.
  [[nodiscard]] std::vector<int> winner_sites() const;
};

/// Multiply-adds of a layer for one example; density: the share of its inputs that are not zero.
[[nodiscard]] double multiply_adds(const Layer& layer, double density = 1.0);

/// Values of weights (without bias) of a convolution or linear layer, empty for others:
/// [out, in / groups, kernel, kernel] or [out, in].
[[nodiscard]] std::vector<std::int64_t> weight_shape(const Layer& layer);

/// Side of what a window gives: floor((side + 2 * padding - kernel) / stride) + 1.
[[nodiscard]] constexpr std::int64_t windowed_side(std::int64_t side, std::int64_t kernel,
                                                   std::int64_t stride,
                                                   std::int64_t padding) noexcept {
  return (side + 2 * padding - kernel) / stride + 1;
}

/// The number of the site whose winners a layer reads, through pools, means and flattening; -1 when
/// it reads the image or something that was never chosen from.
[[nodiscard]] int site_read_by(const NetworkSpec& network, const Layer& layer);

/// What is wrong with a network that was read from a file, naming the layer: inputs that are not
/// before it, shapes that do not follow from its inputs, sizes out of range, names twice, sites
/// that are not numbered in order. Nothing for a sound one.
[[nodiscard]] std::optional<std::string> wrong_layer(const NetworkSpec& network);

}  // namespace taut::graph
